"""Announced works with each time they happen, and whether service levels leave it out or why it counts.

The same occurrence may be left out of one line and count for another, for the monthly cap is each line's own. Refuses to change
anything. Called by the command `maintenance`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slo.maintenance import Approval, MaintenanceWindow, occurrences_of
from slo.objective_set import ObjectiveSet
from slo.window import MINUTES_PER_DAY, Span, minute_of

__all__ = ["ListedOccurrence", "concerned_lines", "listed_occurrences"]

_YEAR_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class ListedOccurrence:
    """One time that a window happens, with how many lines each ruling is for."""

    from_minute: int
    until_minute: int
    rulings: Mapping[Approval, int]


def listed_occurrences(
    windows: Sequence[MaintenanceWindow], known: ObjectiveSet, span: Span, regions: Sequence[str]
) -> dict[str, list[ListedOccurrence]]:
    """By window, the occurrences that have minutes in the span and bear on a line, in order of time."""
    rulings: dict[tuple[str, int, int], Counter[Approval]] = {}
    for versions in known.objectives.values():
        newest = versions[-1]
        for one in occurrences_of(windows, newest, span, newest.regions or tuple(regions)):
            place = (one.window.name, one.from_minute, one.until_minute)
            rulings.setdefault(place, Counter())[one.approval] += 1
    found: dict[str, list[ListedOccurrence]] = {window.name: [] for window in windows}
    for (name, from_minute, until_minute), counts in sorted(rulings.items()):
        found[name].append(ListedOccurrence(from_minute, until_minute, counts))
    return found


def concerned_lines(window: MaintenanceWindow, known: ObjectiveSet, regions: Sequence[str]) -> list[str]:
    """The lines that the works bear on: all that the line measures, and at least one of its regions, is worked on."""
    start = minute_of(window.starts_at)
    # The first occurrence of a rule need not be the instant that it starts from; none is rarer than yearly.
    days = _YEAR_DAYS if window.rrule else 1
    span = Span("first", start, start + window.duration_minutes + days * MINUTES_PER_DAY)
    return [
        name
        for name, versions in known.objectives.items()
        if occurrences_of([window], versions[-1], span, versions[-1].regions or tuple(regions))
    ]
