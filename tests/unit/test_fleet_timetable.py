"""How often scenarios run: their own word, the settings', or the command line's for all."""

from __future__ import annotations

import pytest

from console.timetable import check_schedule, intervals_of
from probes.errors import OperatorError
from probes.registry import Registry, load_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in scenarios."""
    return load_registry("scenarios")


def test_a_scenario_runs_as_often_as_it_says_unless_somebody_else_does(registry: Registry) -> None:
    """A name goes before a glob, the first glob before later ones, `off` takes it off the schedule."""
    specs = [registry.get(name) for name in ("api-health", "cad-large", "cad-small", "payment")]
    schedule = {"cad-*": "20m", "c*": "1m", "cad-large": "1h", "payment": "off"}
    assert intervals_of(specs, schedule, None) == {
        "api-health": 60.0,
        "cad-large": 3600.0,
        "cad-small": 1200.0,
        "payment": None,
    }


def test_every_goes_before_all_of_it(registry: Registry) -> None:
    """Also before `off`: whoever types it means it."""
    assert intervals_of([registry.get("payment")], {"payment": "off"}, 5.0) == {"payment": 5.0}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [({"cad-larg": "1h"}, "cad-large"), ({"cad-*": "often"}, "often"), ({"cad-large": "0.5s"}, "too short")],
)
def test_a_slip_in_the_schedule_is_found_before_anything_runs(
    registry: Registry, schedule: dict[str, str], message: str
) -> None:
    """Unknown names, no durations, and intervals that cannot be kept."""
    with pytest.raises(OperatorError) as caught:
        check_schedule(schedule, registry)
    assert message in f"{caught.value} {caught.value.remedy}"
    assert caught.value.where == f"schedule.{next(iter(schedule))}"
