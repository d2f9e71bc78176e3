from itertools import pairwise

import pytest

from nmf_nets.grid import GeometricGrid


@pytest.mark.parametrize("growth", [1.0, 1.2, 1.25, 2.0, 5.0])
def test_the_grid_starts_at_one_never_repeats_and_grows(growth):
    grid = GeometricGrid(growth)
    numbers = [number for number in range(1, 2000) if number in grid]
    assert numbers[0] == 1
    steps = [after / before for before, after in pairwise(numbers)]
    assert all(after <= before * growth or after == before + 1 for before, after in pairwise(numbers))
    assert len(numbers) == (1999 if growth == 1 else len(set(numbers)))
    assert growth == 1 or steps[-1] == pytest.approx(growth, rel=0.01)


def test_the_grid_does_not_depend_on_what_was_asked_before():
    asked, fresh = GeometricGrid(1.3), GeometricGrid(1.3)
    assert 500 in asked or 500 not in asked
    assert [n in asked for n in range(1, 600)] == [n in fresh for n in range(1, 600)]
