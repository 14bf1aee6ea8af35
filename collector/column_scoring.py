"""From a file of step events to exact cells, a day at a time: what `collector.scoring` makes of the same runs one by one.

Nothing is estimated and nothing is left out in silence: a limit that no column can be compared with is refused by the
objective's name, and facts for obligations are no business of a file of steps. Unfit minutes are applied when cells are read, as
ever. Memory is that of a row group and of the cells of a day.

Called by `bench.scoring`, by tests, and by whoever wants a month of a large fleet scored without its records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from collector.column_events import Events, events_of_steps
from collector.columns import Numbers, Steps, read_steps
from collector.scoring import is_matched
from probes.errors import OperatorError
from probes.messages import Address
from slo.objective import EVERY_SCENARIO, Objective
from slo.window import MINUTES_PER_DAY

__all__ = ["CellColumns", "DayCells", "SlotPlace", "score_steps"]

MOST_LIMIT: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """Whose slots, and of which target; a slot that ended without a run names none."""

    sender: Address
    target: str


@dataclass(frozen=True, slots=True)
class CellColumns:
    """Cells of one check as columns of one length, by place and then minute; `place` is a number in `DayCells.places`."""

    place: Numbers
    minute: Numbers
    good: Numbers
    bad: Numbers
    inconclusive: Numbers
    runs: Numbers


@dataclass(frozen=True, slots=True)
class DayCells:
    """All cells of a day by the key of their check; each day comes once, and each cell once."""

    day: int
    places: tuple[SlotPlace, ...]
    cells: Mapping[str, CellColumns]


def score_steps(path: Path, objectives: Iterable[Objective]) -> Iterator[DayCells]:
    """The cells of every check of these objectives, day by day.

    Raises OperatorError for a file that is none and for an objective that columns cannot say.
    """
    scorer = _ColumnScorer({objective.check: objective for objective in objectives})
    draft = _Draft()
    for steps in read_steps(path):
        first_day = int(steps.minutes[0]) // MINUTES_PER_DAY
        if draft.parts and first_day != draft.day:
            yield draft.finished()
        for day, counts in scorer.days_of(steps):
            if draft.parts and day != draft.day:
                yield draft.finished()
            draft.add(day, steps, counts)
    if draft.parts:
        yield draft.finished()


Counts = dict[str, Numbers]
"""By check: good, bad, inconclusive, runs for each cell of a row group; the dense table of four rows."""


class _ColumnScorer:
    """The checks, those together that see the same events."""

    def __init__(self, checks: Mapping[str, Objective]) -> None:
        for objective in checks.values():
            _refuse_unsayable(objective)
        groups: dict[object, list[tuple[str, Objective]]] = defaultdict(list)
        for key, one in checks.items():
            groups[one.selector, one.good, one.time, one.limit_ns is None].append((key, one))
        self._groups = list(groups.values())

    def days_of(self, steps: Steps) -> Iterator[tuple[int, Counts]]:
        """What a row group adds, by day: nearly always one."""
        counts = self._count(steps)
        days = steps.minutes // MINUTES_PER_DAY
        for day in np.unique(days):
            within = np.repeat(days == day, len(steps.places))
            yield int(day), {key: np.where(within, of_check, 0) for key, of_check in counts.items()}

    def _count(self, steps: Steps) -> Counts:
        counts: Counts = {}
        silent = np.flatnonzero(steps.silent_shape >= 0)
        for group in self._groups:
            _, first = group[0]
            events = events_of_steps(steps, first)
            inconclusive = _silence_of(steps, silent, first)
            total, runs = _totals(steps, events)
            for key, objective in group:
                good = _good_events(steps, events, objective.limit_ns)
                counts[key] = np.stack([good, total - good, inconclusive, runs])
        return counts


def _refuse_unsayable(objective: Objective) -> None:
    below = objective.selector.part_bytes_below
    for what, limit in (("limit", objective.limit_ns), ("partBytesBelow", below)):
        if limit is not None and abs(limit) > MOST_LIMIT:
            remedy = "Score it from the records: `runner.py rescore`"
            message = f"the {what} of {objective.name!r} is beyond what a column of step events can be compared with"
            raise OperatorError(message, where=objective.name, remedy=remedy)


def _totals(steps: Steps, events: Events) -> tuple[Numbers, Numbers]:
    """How many events each cell has, and from how many runs."""
    cell, run = events.cell, events.run
    if events.weights is None:
        total = np.bincount(cell, minlength=steps.cells)
    else:
        each = events.weights[0].astype(np.int64) + events.weights[1]
        total = _weighed(steps, cell, each)
        cell, run = cell[each > 0], run[each > 0]
    is_first = np.ones(len(run), dtype=np.bool_)
    np.not_equal(run[1:], run[:-1], out=is_first[1:])
    return total, np.bincount(cell[is_first], minlength=steps.cells)


def _good_events(steps: Steps, events: Events, limit_ns: int | None) -> Numbers:
    if events.weights is not None:
        return _weighed(steps, events.cell, events.weights[0])
    good = events.passed
    if limit_ns is not None and events.time_ns is not None:
        good = good & (events.time_ns < limit_ns)
    return np.bincount(events.cell[good], minlength=steps.cells)


def _weighed(steps: Steps, cell: Numbers, each: Numbers) -> Numbers:
    """The sums by cell. In floating point, which is exact for them: a row group has fewer than 2^53 requests."""
    return np.rint(np.bincount(cell, weights=each, minlength=steps.cells)).astype(np.int64)


def _silence_of(steps: Steps, silent: Numbers, objective: Objective) -> Numbers:
    """How many slots of each cell say nothing to a check whose selector names their scenario."""
    globs = [glob for glob in objective.selector.scenarios if glob != EVERY_SCENARIO]
    named = np.array([is_matched(scenario, globs) for scenario, _ in steps.shapes], dtype=np.bool_)
    rows = silent[named[steps.silent_shape[silent]]]
    return np.bincount(steps.cell[rows], minlength=steps.cells)


@dataclass(slots=True)
class _Draft:
    """The cells of a day while its row groups come in."""

    day: int = 0
    places: dict[tuple[str, ...], int] = field(default_factory=dict)
    parts: list[dict[str, CellColumns]] = field(default_factory=list)

    def add(self, day: int, steps: Steps, counts: Counts) -> None:
        """What a row group says of the day."""
        self.day = day
        numbers = np.array([self.places.setdefault(place, len(self.places)) for place in steps.places])
        part = {}
        for key, of_check in counts.items():
            cells = np.flatnonzero((of_check != 0).any(axis=0))
            minute, place = np.divmod(cells, len(steps.places))
            part[key] = CellColumns(numbers[place], steps.minutes[minute], *of_check[:, cells])
        self.parts.append(part)

    def finished(self) -> DayCells:
        """The day; begins another."""
        places = tuple(SlotPlace(Address(*place[:3]), place[3]) for place in self.places)
        cells = {key: _joined([part[key] for part in self.parts]) for key in self.parts[0]}
        self.parts, self.places = [], {}
        return DayCells(self.day, places, cells)


def _joined(parts: list[CellColumns]) -> CellColumns:
    """One table, each cell once: the minute in which one row group ends is often that in which the next one begins."""
    place, minute, *counts = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("place", "minute", "good", "bad", "inconclusive", "runs")
    )
    order = np.lexsort((minute, place))
    place, minute = place[order], minute[order]
    is_new = (place[1:] != place[:-1]) | (minute[1:] != minute[:-1])
    starts = np.flatnonzero(np.concatenate(([len(order) > 0], is_new)))
    if not len(order):
        return CellColumns(place, minute, *counts)
    sums = (np.add.reduceat(column[order], starts) for column in counts)
    return CellColumns(place[starts], minute[starts], *sums)
