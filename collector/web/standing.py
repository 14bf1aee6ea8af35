"""How every service level stands, as the overview and the API tell it: worked out apart, the same for all viewers.

`standing_of` is the heavy part and runs in the process for heavy questions. Refuses figures of its own: they are the scorecard's.
Called by the modules of pages, the API and badges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from aiohttp import web

from collector.scorecard import Asked, LineScore, make_scorecard
from collector.store import Store
from collector.texts.scorecard_page import ReportPage, page_of
from collector.texts.scorecard_rows import Row
from collector.web.kept import Kept
from collector.web.site import Site, site_of
from slo.bitmaps import between
from slo.budget import Unit
from slo.burn import Cause, TierBurn
from slo.cells import Cell
from slo.duties import DutyScore
from slo.evidence import Verdict
from slo.objective_set import ObjectiveSet
from slo.score import EventDetail, Phase, Score, SliceDetail
from slo.window import MINUTES_PER_DAY, Span

__all__ = [
    "STANDINGS",
    "Day",
    "Level",
    "Standing",
    "asked_of",
    "days_of_events",
    "days_of_minutes",
    "level_of",
    "standing_for",
    "standing_of",
]


@dataclass(frozen=True, slots=True)
class Day:
    """What a UTC day (since the epoch) of the window cost, and of how many.

    `unknown` and `excluded` are minutes of lines of minutes.
    """

    day: int
    bad: int
    total: int
    unknown: int = 0
    excluded: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """One line: its texts, and what is drawn of it.

    `contract` says in words how the plain count stands; the evidence's verdict is in the row. `left_share` of the budget, below 0
    when overspent; None: there is no budget to have a share of. `is_burning`: an alert of its burn rate is on; `burn` has each
    tier's rates.
    """

    row: Row
    reason: str
    verdict: Verdict | None
    phase: Phase | None
    contract: str
    span: Span | None
    unit: Unit | None
    allowed: Fraction | None
    bad: int | None
    left_share: float | None
    sli: float | None
    is_burning: bool
    days: tuple[Day, ...] = ()
    burn: tuple[TierBurn, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """All lines as of an instant."""

    asked: Asked
    page: ReportPage
    levels: tuple[Level, ...]

    def level(self, name: str) -> Level | None:
        """The line of that name."""
        return next((one for one in self.levels if one.row.name == name), None)


async def standing_of(store: Store, known: ObjectiveSet, asked: Asked) -> Standing:
    """Work it out. Raises StoreError, and ValueError for a window that is none."""
    card = await make_scorecard(store, known, asked)
    page = page_of(card, known, {})
    rows = {row.name: row for row in page.rows}
    counted = await days_of_events(store, card.lines, asked)
    levels = tuple(level_of(line, rows[line.name], counted) for line in card.lines)
    return Standing(asked, page, levels)


async def days_of_events(store: Store, lines: Sequence[LineScore], asked: Asked) -> dict[str, dict[int, Cell]]:
    """By check and day what was counted of those of the lines that count events."""
    scores = [
        line.score for line in lines if isinstance(line.score, Score) and isinstance(line.score.detail, EventDetail)
    ]
    if not scores:
        return {}
    whole = Span("all", min(one.span.from_minute for one in scores), max(one.span.until_minute for one in scores))
    keys = {version.check for one in scores for version in one.versions}
    return await store.views.days(keys, target=asked.target, fleet=asked.fleet, span=whole)


def level_of(line: LineScore, row: Row, counted: Mapping[str, dict[int, Cell]]) -> Level:
    """One line; `counted` has by check and day what was counted of lines of events."""
    found = line.score
    if not isinstance(found, Score):
        return Level(
            row=row,
            reason=line.reason,
            verdict=found.verdict if isinstance(found, DutyScore) else None,
            phase=None,
            contract="",
            span=line.span,
            unit=None,
            allowed=None,
            bad=None,
            left_share=None,
            sli=None,
            is_burning=False,
        )
    share = found.budget.left_share
    return Level(
        row=row,
        reason=line.reason,
        verdict=found.verdict,
        phase=found.phase,
        contract=contract_text(found),
        span=found.span,
        unit=found.budget.unit,
        allowed=found.budget.allowed,
        bad=found.budget.bad,
        left_share=None if share is None else float(share),
        sli=None if found.sli is None else float(found.sli.point),
        is_burning=any(tier.cause is Cause.BURN for tier in line.burn),
        days=tuple(_days(found, counted)),
        burn=tuple(line.burn),
    )


def contract_text(found: Score) -> str:
    """How the plain count stands: what a contract looks at, however sure anybody is."""
    match found.detail:
        case SliceDetail(counts=counts):
            if not counts.conclusive:
                return "nothing decided"
            is_kept = not found.budget.is_spent and not found.detail.is_gap_breach
        case EventDetail(is_within=is_within):
            if is_within is None:
                return "nothing measured"
            is_kept = is_within
    if found.phase is Phase.PROVISIONAL:
        return "kept so far" if is_kept else "not kept so far"
    return "kept" if is_kept else "not kept"


def _days(found: Score, counted: Mapping[str, dict[int, Cell]]) -> list[Day]:
    """Each day of the window, oldest first."""
    span = found.span
    first, last = span.from_minute // MINUTES_PER_DAY, (span.until_minute - 1) // MINUTES_PER_DAY
    if isinstance(found.detail, SliceDetail):
        return days_of_minutes(found, found.detail)
    keys = dict.fromkeys(version.check for version in found.versions)
    days = []
    for day in range(first, last + 1):
        cell = sum((counted.get(key, {}).get(day, Cell()) for key in keys), Cell())
        days.append(Day(day, cell.bad, cell.total))
    return days


def days_of_minutes(found: Score, detail: SliceDetail) -> list[Day]:
    """Each day of a line of minutes, oldest first."""
    first, last = found.span.from_minute // MINUTES_PER_DAY, (found.span.until_minute - 1) // MINUTES_PER_DAY
    return [_day_of_minutes(detail, day) for day in range(first, last + 1)]


def _day_of_minutes(detail: SliceDetail, day: int) -> Day:
    bad = good = unknown = excluded = 0
    for span, slices in detail.pieces:
        start = max(day * MINUTES_PER_DAY - span.from_minute, 0)
        end = min((day + 1) * MINUTES_PER_DAY - span.from_minute, span.minutes)
        if start >= end:
            continue
        bits = between(start, end)
        bad += (slices.bad & bits).bit_count()
        good += (slices.good & bits).bit_count()
        unknown += (slices.unknown & bits).bit_count()
        excluded += (slices.excluded & bits).bit_count()
    return Day(day, bad, good + bad, unknown, excluded)


STANDINGS: Final = web.AppKey("standings", Kept[Standing])


async def standing_for(request: web.Request, target: str, window: str = "", *, is_soon: bool = False) -> Standing:
    """How all lines of a target stand; `is_soon` for pages, see `Kept.get_soon`.

    Raises StoreError, ValueError for a window that is none.
    """
    site = site_of(request)
    question = asked_of(site, target, window)
    kept, known = request.app[STANDINGS], site.objectives.current
    if is_soon:
        return await kept.get_soon((target, window), standing_of, known, question)
    return await kept.get((target, window), standing_of, known, question)


def asked_of(site: Site, target: str, window: str = "", names: tuple[str, ...] = ()) -> Asked:
    """The question for a scorecard of this site."""
    now: datetime = site.clock.now()
    return Asked(
        target=target,
        fleet=site.fleet,
        regions=site.regions,
        now=now,
        window=window,
        names=names,
        timeouts_s=site.timeouts_s,
    )
