import pytest

from nmf_nets.plots.path import FEW, draw_path

LONG = {k: 10.0 / k for k in range(1, FEW + 5)}


@pytest.mark.parametrize("losses", [{}, {"nested": {1: 2.0}}, {"nested": LONG, "joint": {1: 10.0, 5: 1.5}}])
@pytest.mark.parametrize("bound", [None, {1: 1.0}, {k: value / 2 for k, value in LONG.items()}])
def test_every_path_is_a_line_and_single_fits_are_points(losses, bound):
    figure = draw_path(losses, bound)
    (axes,) = figure.axes
    figure.canvas.draw()
    assert [line.get_label() for line in axes.lines] == list(losses)
    for line, values in zip(axes.lines, losses.values(), strict=True):
        assert list(line.get_ydata()) == list(values.values())
        assert (line.get_linestyle() == "None") == (len(values) <= FEW)
    assert len(axes.collections) == (bound is not None)
