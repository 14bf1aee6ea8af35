"""The counters `fleet_slices_total` and `fleet_events_total`: what the stored cells say of each line, up to the settled minute.

Nothing is counted in memory: after a restart, and from another collector on the same database, the same numbers come. A
minute is added when alerts may read it. Late results mostly add; where they turn an unknown minute into a good one, where a
host turns out to have been unfit, or where works are announced afterwards, a number becomes smaller: that is a counter reset,
and is counted. What is older than two weeks is counted once and kept, because its cells are deleted one day.

Refuses to guess: a line whose past is still being scored has no counter. Called by `collector.exports.metrics_upkeep`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from operator import or_
from typing import Final, Protocol

import structlog

from collector.score_reader import maintenance_of
from collector.store import Store, StoreError
from collector.store_counts import Counted
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from slo.bitmaps import indices
from slo.burn import settled_minute
from slo.cells import Measured
from slo.maintenance import MaintenanceWindow, exclusions_of
from slo.objective import Objective
from slo.objective_set import ObjectiveSet
from slo.pieces import pieces_of
from slo.slices import decide_slices
from slo.window import MINUTES_PER_DAY, Span, minute_of

__all__ = ["LineCounters", "Lines"]

log = structlog.get_logger(__name__)

KEPT_AFTER_DAYS: Final = 14
"""So long may a probe keep what it cannot send (`worker.outbox_days`); and no cells are deleted within four weeks."""
KEPT_AT_ONCE_DAYS: Final = 7
PAST_GOOD_FOR_S: Final = 3600.0
RECENT_DAYS: Final = 1
NOT_KEPT: Final = (0, Counted())


class Lines(Protocol):
    """Where objectives come from."""

    current: ObjectiveSet


@dataclass(frozen=True, slots=True)
class _Past:
    """What was counted before the minute `until`, and for whom that holds."""

    until: int
    counted: Counted
    rules: object
    made_s: float


class LineCounters:
    """The counters of one target; `refresh`, then read `values`."""

    def __init__(self, store: Store, lines: Lines, *, fleet: str, regions: Sequence[str], clock: Clock) -> None:
        self.values: dict[str, tuple[bool, Counted]] = {}
        self.resets: Counter[str] = Counter()
        self.until_minute = 0
        self._store = store
        self._lines = lines
        self._fleet = fleet
        self._regions = tuple(regions)
        self._clock = clock
        self._counted_by: ObjectiveSet | None = None
        self._target = ""
        self._past: dict[str, _Past] = {}
        self._measured: dict[tuple[str, Span], Measured] = {}
        self._maintenance: list[MaintenanceWindow] = []

    @property
    def is_current(self) -> bool:
        """Whether the objectives are still those that were counted by."""
        return self._lines.current is self._counted_by

    async def refresh(self, target: str, *, late_from: int | None = None) -> None:
        """Count anew what may have changed. `late_from`: slots of this minute have come since. Raises StoreError."""
        until = settled_minute(self._clock.now()) + 1
        cut = (until // MINUTES_PER_DAY - RECENT_DAYS) * MINUTES_PER_DAY
        if target != self._target:
            self._target, self._past, self.values = target, {}, {}
        if late_from is not None:
            self._past = {name: past for name, past in self._past.items() if past.until <= late_from}
        known = self._lines.current
        self._maintenance = await maintenance_of(self._store, known)
        checks = {name: {one.check for one in versions} for name, versions in known.objectives.items()}
        every = frozenset().union(*checks.values()) if checks else frozenset()
        incomplete = await self._store.scores.incomplete(every)
        await self._read_recent(every - incomplete, Span("recent", cut, until))
        kept = await self._store.counts.kept(self._fleet, target)
        first_seen = await self._first_seen_minute(until)
        values = {}
        for name, versions in known.objectives.items():
            if checks[name] & incomplete:
                continue
            line = _Line(name, versions, kept.get(name, NOT_KEPT), first_seen)
            try:
                values[name] = (versions[-1].slices is not None, await self._total(line, cut, until))
            except (StoreError, StoreRefusedError):
                raise
            except Exception:  # our bug, or a line that cannot be added up: it costs no other line its counter
                log.exception("counters.failed", line=name)
        self._measured = {}
        self._note_resets(values)
        self.values, self.until_minute, self._counted_by = values, until, known

    async def _total(self, line: _Line, cut: int, until: int) -> Counted:
        past = await self._past_of(line, cut)
        return past.counted + await self._count(line.versions, max(cut, past.until), until)

    async def _read_recent(self, keys: frozenset[str], span: Span) -> None:
        """One look at all checks; what a version was in force for in part only is read by itself."""
        found = await self._store.scores.measured(keys, target=self._target, fleet=self._fleet, span=span)
        self._measured = {(key, span): measured for key, measured in found.items()}

    async def _first_seen_minute(self, until: int) -> int:
        seen = [one.first_seen_at for one in await self._store.probes() if one.address.fleet == self._fleet]
        return minute_of(min(seen)) if seen else until

    async def _past_of(self, line: _Line, cut: int) -> _Past:
        """What was counted before the recent days: remembered for an hour, unless rules change or late results come."""
        rules: object = (line.versions, tuple(self._maintenance), line.kept, cut)
        past = self._past.get(line.name)
        now_s = self._clock.monotonic_ns() / 1e9
        if past is not None and past.rules == rules and now_s - past.made_s < PAST_GOOD_FOR_S:
            return past
        kept_until, counted = await self._keep_old(line, cut)
        begin = kept_until or await self._origin(line)
        counted += await self._count(line.versions, begin, cut)
        past = self._past[line.name] = _Past(max(begin, cut), counted, rules, now_s)
        return past

    async def _keep_old(self, line: _Line, cut: int) -> tuple[int, Counted]:
        """Count what is older than two weeks for good, a week at a time."""
        until, counted = line.kept
        last = cut - KEPT_AFTER_DAYS * MINUTES_PER_DAY
        begin = until or await self._origin(line)
        while begin + KEPT_AT_ONCE_DAYS * MINUTES_PER_DAY <= last:
            after = (begin // MINUTES_PER_DAY + KEPT_AT_ONCE_DAYS) * MINUTES_PER_DAY
            counted += await self._count(line.versions, begin, after)
            if not await self._store.counts.keep(self._fleet, self._target, line.name, until, after, counted):
                log.info("counters.kept_by_another", line=line.name)
                return (await self._store.counts.kept(self._fleet, self._target)).get(line.name, NOT_KEPT)
            until = begin = after
        return until, counted

    async def _origin(self, line: _Line) -> int:
        """Where a line begins to count: with its first cell, or when the fleet was first heard, whichever was earlier."""
        keys = {one.check for one in line.versions}
        found = await self._store.counts.first_minutes(keys, fleet=self._fleet, target=self._target)
        return min([line.first_seen_minute, *found.values()])

    async def _count(self, versions: Sequence[Objective], begin: int, until: int) -> Counted:
        """Each version by its own rules in the minutes in which it was in force."""
        if begin >= until:
            return Counted()
        pieces = pieces_of(versions, Span("recent", begin, until))
        return sum([await self._count_piece(piece.objective, piece.span) for piece in pieces], Counted())

    async def _count_piece(self, objective: Objective, span: Span) -> Counted:
        measured = self._measured.get((objective.check, span))
        if measured is None:
            found = await self._store.scores.measured(
                [objective.check], target=self._target, fleet=self._fleet, span=span
            )
            measured = found[objective.check]
        regions = objective.regions or self._regions
        excluded = exclusions_of(self._maintenance, objective, span, regions).by_region
        if objective.slices is not None:
            if not regions:
                return Counted()
            counts = decide_slices(measured, objective.slices, regions, excluded=excluded).counts
            return Counted(counts.good, counts.bad, counts.unknown, counts.excluded)
        totals = [track.totals for track in measured.tracks if track.region in regions]
        good, bad = sum(cell.good for cell in totals), sum(cell.bad for cell in totals)
        less = await self._set_aside(objective, span, excluded)
        return Counted(good - less.good, bad - less.bad)

    async def _set_aside(self, objective: Objective, span: Span, excluded: Mapping[str, int]) -> Counted:
        """The events of minutes that maintenance takes out."""
        anywhere = reduce(or_, excluded.values(), 0)
        if not anywhere:
            return Counted()
        minutes = [span.from_minute + index for index in indices(anywhere)]
        found = await self._store.scores.cells(
            objective.check, target=self._target, fleet=self._fleet, span=span, only=minutes
        )
        cells = [
            cell
            for (region, _), of_probe in found.items()
            for minute, cell in of_probe.items()
            if excluded.get(region, 0) >> (minute - span.from_minute) & 1
        ]
        return Counted(sum(cell.good for cell in cells), sum(cell.bad for cell in cells))

    def _note_resets(self, values: Mapping[str, tuple[bool, Counted]]) -> None:
        for name, (_, after) in values.items():
            _, before = self.values.get(name, (False, Counted()))
            if any(now < then for now, then in zip(astuple(after), astuple(before), strict=True)):
                self.resets[name] += 1
                log.info("counters.lowered", line=name)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line while it is counted. `kept`: before which minute it is counted for good, and what that came to."""

    name: str
    versions: tuple[Objective, ...]
    kept: tuple[int, Counted]
    first_seen_minute: int
