"""Whatever is brought to a door: a clear refusal or a right answer."""

import pytest
from hostile.all_doors import DOORS
from hypothesis import HealthCheck, Phase, given, settings

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)


@pytest.mark.parametrize(
    "name", [name if door.typed else pytest.param(name, marks=pytest.mark.untyped) for name, door in DOORS.items()]
)
def test_a_door_refuses_or_answers(name):
    door = DOORS[name]
    settings(
        max_examples=door.examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )(given(door.inputs)(door.law))()
