"""Lines and minutes written by hand: a letter for each minute of each probe.

`g` voted good, `b` voted bad, `m` had slots that say nothing, `.` nothing at all. Called by the tests of `slo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from slo.burn_tiers import AlertTier, Severity
from slo.cells import Cell, Measured, Track
from slo.objective import EventKind, EventSelector, Good, Objective, SliceRule
from slo.score import Frame, Reading, Score
from slo.scoring import score
from slo.window import CalendarMonths, Span, month_span

__all__ = ["ALLOWED_SHARES", "SEPTEMBER", "SMALL_TIERS", "UPTIME", "frame", "line", "measured", "minutes", "score_of"]

SEPTEMBER = month_span("2026-09")
UPTIME = Objective(
    name="api-uptime",
    title="API uptime 99.9 %",
    line="1",
    version=1,
    window=CalendarMonths(),
    selector=EventSelector(EventKind.STEP, ("api-health",), ("api-health",)),
    good=Good.PASSED,
    allowed_bad=Fraction(1, 1000),
    slices=SliceRule(),
)


SMALL_TIERS = (
    AlertTier(Severity.CRITICAL, 12, 3, Fraction(1, 10)),
    AlertTier(Severity.HIGH, 24, 4, Fraction(1, 5)),
    AlertTier(Severity.REPORT, 40, 12, Fraction(2, 5)),
)
"""Short windows of a period of 200 minutes, so that a few hundred minutes show everything."""
ALLOWED_SHARES = tuple(Fraction(1, n) for n in (10_000, 2000, 1000, 300, 100, 50, 20, 10))


def line(**changes: Any) -> Objective:  # noqa: ANN401 - the fields of a dataclass, whatever they are
    """The uptime line with other fields."""
    return replace(UPTIME, **changes)


def minutes(count: int, from_minute: int = SEPTEMBER.from_minute) -> Span:
    """A span of so many minutes."""
    return Span("few", from_minute, from_minute + count)


def measured(span: Span, votes: Mapping[str, str]) -> Measured:
    """The letters of each probe, `region` or `region/probe`, from the span's first minute on; the last goes on to the end."""
    tracks = []
    for place, letters in votes.items():
        region, _, probe = place.partition("/")
        filled = letters.ljust(span.minutes, letters[-1])[: span.minutes]
        good, bad, mute = (_bits(filled, letter) for letter in "gbm")
        runs = good.bit_count() + bad.bit_count()
        totals = Cell(good.bit_count(), bad.bit_count(), mute.bit_count(), runs)
        tracks.append(Track(region, probe or "one", totals, good, bad, mute))
    return Measured(span, tuple(tracks))


def _bits(letters: str, letter: str) -> int:
    row = "".join(other if other == letter else "0" for other in "gbm.")
    return int(letters[::-1].translate(str.maketrans("gbm.", row.replace(letter, "1"))), 2)


def frame(span: Span, now: datetime | None = None, regions: tuple[str, ...] = ("eu", "us"), **more: Any) -> Frame:  # noqa: ANN401 - see above
    """The span seen at `now`, or as its last minute ends."""
    return Frame(span, now or span.until_at, regions, **more)


def score_of(
    objective: Objective,
    span: Span,
    votes: Mapping[str, str],
    now: datetime | None = None,
    **more: Any,  # noqa: ANN401 - see above
) -> Score:
    """The line scored on letters; the regions are those that have some."""
    regions = tuple(dict.fromkeys(place.partition("/")[0] for place in votes))
    return score([Reading(objective, measured(span, votes))], frame(span, now, regions), **more)
