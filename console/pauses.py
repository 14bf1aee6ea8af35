"""Times in which a worker starts nothing because that was agreed: the setting `worker.maintenance`.

One is written `START/DURATION`, with globs of scenarios behind it where it is not for all of them:
`2026-10-03T02:00Z/2h cad-* quote`. Refuses to guess a zone, and names that no scenario has. Called by `console.lane_kit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from console.instants import parse_instant
from probes.errors import OperatorError
from probes.registry import Registry, parse_duration_s
from probes.worker_slots import MaintenanceRule

__all__ = ["Pause", "parse_pauses", "rule_of"]

_WHERE: Final = "worker.maintenance"


@dataclass(frozen=True, slots=True)
class Pause:
    """From `from_at` until before `until_at` slots of the scenarios that match end as `maintenance`."""

    text: str
    from_at: datetime
    until_at: datetime
    scenarios: tuple[str, ...]

    def covers(self, scenario: str, slot_at: datetime) -> bool:
        """True for a slot that is not to be run."""
        return self.from_at <= slot_at < self.until_at and any(fnmatchcase(scenario, glob) for glob in self.scenarios)


def parse_pauses(texts: Sequence[str], registry: Registry) -> tuple[Pause, ...]:
    """The pauses of the settings; raises OperatorError for what is none, and for a name that no scenario has."""
    return tuple(_parse(text, registry) for text in texts)


def rule_of(pauses: Sequence[Pause]) -> MaintenanceRule:
    """Why a slot is not to be run, in the words of the settings; empty when it is."""

    def rule(scenario: str, slot_at: datetime) -> str:
        return next((f"agreed: {pause.text}" for pause in pauses if pause.covers(scenario, slot_at)), "")

    return rule


def _parse(text: str, registry: Registry) -> Pause:
    words = text.split()
    start, slash, length = (words or [""])[0].partition("/")
    if not slash:
        remedy = "Write START/DURATION and the scenarios, where not all: 2026-10-03T02:00Z/2h cad-*"
        raise OperatorError(f"{text!r} is no time of maintenance", where=_WHERE, remedy=remedy)
    from_at = parse_instant(start, where=_WHERE)
    try:
        registry.select(words[1:])
    except OperatorError as error:
        raise OperatorError(error.what, where=error.where or _WHERE, remedy=error.remedy) from error
    until_at = from_at + timedelta(seconds=parse_duration_s(length, where=_WHERE))
    return Pause(text, from_at, until_at, tuple(words[1:]) or ("*",))
