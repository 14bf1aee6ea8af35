"""What a scorecard is asked for, and what it needs of the store: each check and span read once, and agreed maintenance.

Refuses to score. Called by `collector.scorecard`, `collector.burn_history` and the commands that explain a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Final

from collector.store import Store
from slo.cells import Cell, Measured
from slo.maintenance import NO_EXCLUSIONS, Exclusions, MaintenanceWindow, exclusions_of
from slo.objective import Objective, Silence
from slo.objective_set import ObjectiveSet
from slo.pieces import Piece, pieces_of
from slo.window import MINUTES_PER_DAY, CalendarMonths, Span, Window, month_span, rolling_span, span_at

__all__ = ["Asked", "Reader", "maintenance_of", "parse_maintenance", "render_maintenance", "span_of", "trailing_span"]

TRAILING_DAYS: Final = 90
GRACE_S: Final = 60
DEFAULT_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a scorecard is asked for. `window`: `2026-10`, `30d`, or empty for each line's own, as it is at `now`.

    `regions` are the fleet's; `timeouts_s` the scenarios' own, which say how young a minute may be to be judged. `names`: only
    these lines, where there are any. `what_if`: another share of bad ones to try.
    """

    target: str
    fleet: str
    regions: tuple[str, ...]
    now: datetime
    window: str = ""
    names: tuple[str, ...] = ()
    what_if: Fraction | None = None
    timeouts_s: Mapping[str, float] = field(default_factory=dict)
    with_burn: bool = True


def span_of(window: Window, asked: Asked) -> Span:
    """The span that is asked about, of a line with this window; ValueError for words that name none."""
    if asked.window.endswith("d") and asked.window[:-1].isdecimal():
        return rolling_span(int(asked.window[:-1]), asked.now)
    if asked.window:
        return month_span(asked.window, window.zone if isinstance(window, CalendarMonths) else "UTC")
    return span_at(window, asked.now)


def trailing_span(first: Piece) -> Span:
    """The ninety days before a line's first piece, whose outages its evidence is weighed by."""
    until_minute = first.span.from_minute
    return Span("90d before", until_minute - TRAILING_DAYS * MINUTES_PER_DAY, until_minute)


async def maintenance_of(store: Store, known: ObjectiveSet) -> list[MaintenanceWindow]:
    """Every interruption that was announced, in files and by command."""
    return [*known.maintenance, *(parse_maintenance(one.document) for one in await store.scores.maintenance())]


def render_maintenance(window: MaintenanceWindow) -> str:
    """An interruption as the store keeps it."""
    return json.dumps(
        {
            "name": window.name,
            "starts_at": window.starts_at.isoformat(),
            "duration_minutes": window.duration_minutes,
            "announced_at": window.announced_at.isoformat(),
            "reason": window.reason,
            "rrule": window.rrule,
            "scenarios": window.scenarios,
            "objectives": window.objectives,
            "regions": window.regions,
        }
    )


def parse_maintenance(document: str) -> MaintenanceWindow:
    """The interruption that `render_maintenance` wrote; raises ValueError or KeyError for anything else."""
    found = json.loads(document)
    return MaintenanceWindow(
        name=found["name"],
        starts_at=datetime.fromisoformat(found["starts_at"]),
        duration_minutes=found["duration_minutes"],
        announced_at=datetime.fromisoformat(found["announced_at"]),
        reason=found["reason"],
        rrule=found["rrule"],
        scenarios=tuple(found["scenarios"]),
        objectives=tuple(found["objectives"]),
        regions=tuple(found["regions"]),
    )


class Reader:
    """Reads what was measured, each check and span once."""

    def __init__(self, store: Store, asked: Asked, maintenance: Sequence[MaintenanceWindow]) -> None:
        self.asked = asked
        self.maintenance = maintenance
        self.store = store
        self.incomplete: frozenset[str] = frozenset()
        self._measured: dict[tuple[str, int, int], Measured] = {}
        self._first_seen_at: datetime | None = None
        self._has_looked = False
        self._looked: dict[tuple[tuple[str, ...], Span], bool] = {}

    async def prepare(self, lines: Iterable[Sequence[Objective]], facts: Iterable[str] = ()) -> None:
        """Read the checks of all lines that share a span at once; `facts` are further keys to know the completeness of."""
        wanted: dict[tuple[int, int], tuple[Span, set[str]]] = {}
        keys: set[str] = set(facts)
        for versions in lines:
            pieces = pieces_of(versions, span_of(versions[-1].window, self.asked))
            for piece in pieces:
                place = (piece.span.from_minute, piece.span.until_minute)
                wanted.setdefault(place, (piece.span, set()))[1].add(piece.objective.check)
                keys.add(piece.objective.check)
            if pieces and versions[-1].is_correlated and versions[-1].slices is None:
                before = trailing_span(pieces[0])
                place = (before.from_minute, before.until_minute)
                wanted.setdefault(place, (before, set()))[1].add(pieces[0].objective.check)
        self.incomplete = await self.store.scores.incomplete(keys)
        for span, checks in wanted.values():
            found = await self.store.scores.measured(
                checks, target=self.asked.target, fleet=self.asked.fleet, span=span
            )
            for key, measured in found.items():
                self._measured[key, span.from_minute, span.until_minute] = measured

    async def measured(self, key: str, span: Span) -> Measured:
        """What was measured of one check in a span."""
        place = (key, span.from_minute, span.until_minute)
        if place not in self._measured:
            found = await self.store.scores.measured([key], target=self.asked.target, fleet=self.asked.fleet, span=span)
            self._measured[place] = found[key]
        return self._measured[place]

    async def pieces(self, versions: Sequence[Objective], span: Span) -> tuple[Piece, ...]:
        """Which version of a line was in force when; where silence is bad, from the first word about its check on.

        Before that word nothing was in service that could have been silent: a fleet that began in the middle of a month is not
        charged for the days in which it did not exist.
        """
        return tuple([piece for piece in [await self._in_service(one) for one in pieces_of(versions, span)] if piece])

    async def _in_service(self, piece: Piece) -> Piece | None:
        """The piece from the first word on; None: all of it was before."""
        rule, span = piece.objective.slices, piece.span
        if rule is None or rule.silence is not Silence.BAD:
            return piece
        check = piece.objective.check
        found = await self.store.counts.first_minutes([check], fleet=self.asked.fleet, target=self.asked.target)
        first = found.get(check)
        if first is None or first >= span.until_minute:
            return None
        return Piece(piece.objective, Span(span.name, max(first, span.from_minute), span.until_minute))

    async def is_looked_at(self, scenarios: Sequence[str], span: Span) -> bool:
        """Whether a run of these scenarios says anything about a span. Asked once: several lines rest on the same runs."""
        place = (tuple(scenarios), span)
        if place not in self._looked:
            self._looked[place] = await self.store.scores.has_conclusive_run(
                scenarios,
                target=self.asked.target,
                fleet=self.asked.fleet,
                from_at=span.from_at,
                until_at=span.until_at,
            )
        return self._looked[place]

    async def live_at(self) -> datetime:
        """Since when the fleet is known; now, where it is not."""
        return await self.first_seen_at() or self.asked.now

    async def first_seen_at(self) -> datetime | None:
        """When the first probe of the fleet was first heard; None: none ever was."""
        if not self._has_looked:
            seen = [one.first_seen_at for one in await self.store.probes() if one.address.fleet == self.asked.fleet]
            self._first_seen_at = min(seen, default=None)
            self._has_looked = True
        return self._first_seen_at

    async def cells(self, key: str, span: Span, only: Sequence[int] = ()) -> dict[tuple[str, str], dict[int, Cell]]:
        """The cells of one check."""
        return await self.store.scores.cells(
            key, target=self.asked.target, fleet=self.asked.fleet, span=span, only=only
        )

    async def events(self, key: str, span: Span, regions: Sequence[str]) -> dict[int, tuple[int, int]]:
        """The events of one check in these regions by minute."""
        return await self.store.scores.events(
            key, target=self.asked.target, fleet=self.asked.fleet, span=span, regions=regions
        )

    def regions_of(self, objective: Objective) -> tuple[str, ...]:
        """Whom a line asks."""
        return objective.regions or self.asked.regions

    def exclusions(self, objective: Objective, span: Span) -> Exclusions:
        """What maintenance leaves out of a span of a line."""
        if not self.maintenance:
            return NO_EXCLUSIONS
        return exclusions_of(self.maintenance, objective, span, self.regions_of(objective))

    def settle_minutes(self, objective: Objective) -> int:
        """After how many whole minutes a slot that says nothing is missing: its timeout and a minute of grace."""
        globs = objective.selector.scenarios
        timeouts = [
            seconds for name, seconds in self.asked.timeouts_s.items() if any(fnmatchcase(name, glob) for glob in globs)
        ]
        return -int(-(max(timeouts, default=DEFAULT_TIMEOUT_S) + GRACE_S) // 60)
