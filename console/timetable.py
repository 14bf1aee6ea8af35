"""How often each scenario runs: as it says itself, as `[schedule]` of the settings says, or as `--every` says for all.

Pure. A name in `[schedule]` goes before a glob, the first glob that fits before later ones; `off` leaves a scenario to those who
ask for it. Refuses names that no scenario has. Called by the lanes' kit and by whoever tells what will run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from probes.errors import OperatorError
from probes.registry import Registry, ScenarioSpec, is_glob, parse_duration_s

__all__ = ["check_schedule", "intervals_of"]

_OFF = "off"


def intervals_of(
    specs: Iterable[ScenarioSpec], schedule: Mapping[str, str], every_s: float | None
) -> dict[str, float | None]:
    """Seconds between two slots of each scenario; None for one that is only run when somebody asks."""
    return {spec.name: every_s if every_s is not None else _interval(spec, schedule) for spec in specs}


def check_schedule(schedule: Mapping[str, str], registry: Registry) -> None:
    """Raises OperatorError for a name that no scenario has and for a text that is no duration."""
    for name, text in schedule.items():
        if not is_glob(name):
            try:
                registry.get(name)
            except OperatorError as error:
                where = error.where or f"schedule.{name}"
                raise OperatorError(error.what, where=where, remedy=error.remedy) from error
        if text != _OFF and parse_duration_s(text, where=f"schedule.{name}") < 1:
            raise OperatorError(f"an interval of {text} is too short", where=f"schedule.{name}", remedy="1s or more")


def _interval(spec: ScenarioSpec, schedule: Mapping[str, str]) -> float | None:
    text = schedule.get(spec.name) or next(
        (every for glob, every in schedule.items() if fnmatchcase(spec.name, glob)), ""
    )
    if text == _OFF:
        return None
    return parse_duration_s(text, where=f"schedule.{spec.name}") if text else spec.every_s
