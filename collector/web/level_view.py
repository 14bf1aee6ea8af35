"""Everything that the page of one service level shows, worked out in one go in the process for heavy questions.

Refuses to score and to look into runs (`collector.line_account` does), and to lay out. Called by
`collector.web.routes_levels` and the API through a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.episode_runs import EpisodeAccount
from collector.line_account import LineAccount, account_of_line
from collector.score_reader import Asked
from collector.store import Store
from collector.texts.scorecard_rows import Row, row_of
from collector.web.latency import Latency, latency_of
from collector.web.standing import Day, Level, days_of_events, level_of
from slo.bitmaps import between, runs
from slo.objective_set import ObjectiveSet
from slo.score import Score, SliceDetail
from slo.slices import Slices
from slo.window import MINUTES_PER_DAY, Span, minute_of

__all__ = ["BurnPoint", "LevelView", "Stretch", "level_view_of"]

MOST_POINTS: Final = 240
MOST_STRETCHES: Final = 12
MINUTES_PER_HOUR: Final = 60


@dataclass(frozen=True, slots=True)
class BurnPoint:
    """How much of the budget was left at the end of minute `until_minute - 1`, in its own unit; below 0 when overspent."""

    until_minute: int
    left: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes in a row of one kind: `unknown`, or `excluded` by maintenance."""

    kind: str
    from_minute: int
    minutes: int


@dataclass(frozen=True, slots=True)
class LevelView:
    """One line in full. `stretches` are the longest of each kind, in order of time; `more_stretches` are not listed."""

    asked: Asked
    level: Level
    row: Row
    allowed: float | None
    burn_down: tuple[BurnPoint, ...]
    episodes: tuple[EpisodeAccount, ...]
    all_episodes: int
    all_cost: int
    stretches: tuple[Stretch, ...]
    more_stretches: int
    latency: Latency | None


async def level_view_of(store: Store, known: ObjectiveSet, asked: Asked) -> LevelView | None:
    """The one line that `asked` names; None when there is none of that name. Raises StoreError and ValueError."""
    (name,) = asked.names
    if name not in known.objectives and name not in known.obligations and name not in _gaps(known):
        return None
    account = await account_of_line(store, known, asked)
    line = account.line
    versions = known.objectives.get(name) or known.obligations.get(name)
    row = row_of(line, asked, None, window=versions[-1].window if versions else None)
    level = level_of(line, row, await days_of_events(store, [line], asked))
    latency = None
    found = line.score
    if isinstance(found, Score):
        latency = await latency_of(
            store, found.objective, found.span, target=asked.target, fleet=asked.fleet, now=asked.now
        )
    stretches = tuple(_stretches(found)) if isinstance(found, Score) else ()
    listed = sorted(sorted(stretches, key=lambda one: -one.minutes)[:MOST_STRETCHES], key=lambda one: one.from_minute)
    return LevelView(
        asked=asked,
        level=level,
        row=row,
        allowed=float(found.budget.allowed) if isinstance(found, Score) else None,
        burn_down=tuple(_burn_down(account, level.days, asked)),
        episodes=account.episodes,
        all_episodes=len(account.all_episodes),
        all_cost=sum(one.cost for one in account.all_episodes),
        stretches=tuple(listed),
        more_stretches=len(stretches) - len(listed),
        latency=latency,
    )


def _gaps(known: ObjectiveSet) -> frozenset[str]:
    return frozenset(gap.name for gap in known.not_measured)


def _burn_down(account: LineAccount, days: Sequence[Day], asked: Asked) -> Iterator[BurnPoint]:
    """The budget from its beginning to now: by hours or more for minutes, by days for events."""
    found = account.line.score
    if not isinstance(found, Score) or not found.budget.allowed:
        return
    yield BurnPoint(found.span.from_minute, float(found.budget.allowed))
    until = min(found.span.until_minute, minute_of(asked.now) + 1)
    if isinstance(found.detail, SliceDetail):
        yield from _minutes_down(found.detail, found.span, until, found.budget.allowed)
        return
    left = found.budget.allowed
    for day in days:
        left -= day.bad
        end = min((day.day + 1) * MINUTES_PER_DAY, until)
        if day.day * MINUTES_PER_DAY < until:
            yield BurnPoint(end, float(left))


def _minutes_down(detail: SliceDetail, span: Span, until: int, allowed: Fraction) -> Iterator[BurnPoint]:
    width = max(MINUTES_PER_HOUR, -(-(until - span.from_minute) // MOST_POINTS))
    spent = 0
    for start in range(span.from_minute, until, width):
        end = min(start + width, until)
        spent += sum((slices.bad & _window(piece, start, end)).bit_count() for piece, slices in detail.pieces)
        yield BurnPoint(end, float(allowed - spent))


def _window(piece: Span, start: int, end: int) -> int:
    return between(max(start - piece.from_minute, 0), max(min(end, piece.until_minute) - piece.from_minute, 0))


def _stretches(found: Score) -> Iterator[Stretch]:
    if not isinstance(found.detail, SliceDetail):
        return
    for kind in ("unknown", "excluded"):
        for span, slices in found.detail.pieces:
            for start, length in runs(_bits(slices, kind)):
                yield Stretch(kind, span.from_minute + start, length)


def _bits(slices: Slices, kind: str) -> int:
    return slices.unknown if kind == "unknown" else slices.excluded
