"""Score a line of minutes: budget, verdict, best and worst case, each region by itself.

Uptime is observed, not inferred: every minute of the window is counted, so that its bounds are what the unknown minutes can have
been and no statistics. Refuses: events (`slo.event_score`). Called by `slo.scoring`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from slo.bitmaps import runs
from slo.budget import Budget, Unit, closed_verdict, mean_month_minutes, open_verdict, projected_bad
from slo.evidence import Verdict
from slo.objective import Objective, SliceRule
from slo.score import Frame, Missing, Phase, Reading, RegionScore, Score, Sli, SliceDetail
from slo.slices import SliceCounts, Slices, decide_slices
from slo.window import Span

__all__ = ["LEAST_CONCLUSIVE", "score_slices"]

LEAST_CONCLUSIVE: Final = Fraction(999, 1000)
_NOTHING: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class _Part:
    """One decided piece with the version that it was decided by."""

    objective: Objective
    rule: SliceRule
    span: Span
    slices: Slices
    counts: SliceCounts


def score_slices(readings: Sequence[Reading], frame: Frame) -> Score:
    """The score of a line that counts minutes; notes and labels are the caller's."""
    parts = [_decided(reading, reading.regions(frame), frame) for reading in readings]
    counts = _sum(parts)
    newest = readings[-1].objective
    budget, verdict = _judge(parts, frame)
    is_breached = verdict is Verdict.BREACHED
    return Score(
        objective=newest,
        versions=tuple(reading.objective for reading in readings),
        span=frame.span,
        phase=Phase.FINAL if is_breached and not frame.is_rolling else frame.phase,
        verdict=verdict,
        budget=budget,
        sli=_sli(counts),
        sli_with_maintenance=_with_maintenance(readings, frame),
        coverage=counts.coverage,
        missing=_missing(parts, budget, verdict),
        regions=tuple(_region(readings, region, frame) for region in _all_regions(readings, frame)),
        detail=SliceDetail(
            counts=counts,
            pieces=tuple((part.span, part.slices) for part in parts),
            longest_bad=max((length for _, length in _bad_runs(parts)), default=0),
            projected_bad=projected_bad(counts),
            mean_month_minutes=mean_month_minutes(newest.allowed_bad),
            is_gap_breach=_is_gap_breach(parts),
        ),
        notes=(),
    )


def _decided(
    reading: Reading, regions: Sequence[str], frame: Frame, *, excluded: Mapping[str, int] | None = None
) -> _Part:
    rule = reading.objective.slices
    if rule is None:
        message = f"{reading.objective.name} counts events and has no minutes to decide"
        raise ValueError(message)
    slices = decide_slices(
        reading.measured,
        rule,
        regions,
        excluded=reading.excluded if excluded is None else excluded,
        now_minute=frame.now_minute if frame.is_open else None,
    )
    return _Part(reading.objective, rule, reading.measured.span, slices, slices.counts)


def _sum(parts: Sequence[_Part]) -> SliceCounts:
    return sum((part.counts for part in parts), SliceCounts())


def _least_conclusive(parts: Sequence[_Part]) -> Fraction:
    """How many of the minutes due must have been decided: each version asks its own share of its own minutes."""
    return sum((part.objective.min_coverage * part.counts.due for part in parts), Fraction(0))


def _bad_runs(parts: Sequence[_Part]) -> list[tuple[int, int]]:
    """The first minute and the length of each row of bad minutes: a change of version ends no outage."""
    first = parts[0].span.from_minute
    bad = sum(part.slices.bad << (part.span.from_minute - first) for part in parts)
    return [(first + start, length) for start, length in runs(bad)]


def _is_gap_breach(parts: Sequence[_Part]) -> bool:
    """True when a row was longer than allowed at any of its minutes, by the version that was in force then."""
    limits = [(part.span, part.rule.max_gap_minutes) for part in parts if part.rule.max_gap_minutes is not None]
    if not limits:
        return False
    return any(
        start < span.until_minute
        and span.from_minute < start + length
        and min(start + length, span.until_minute) - start > limit
        for start, length in _bad_runs(parts)
        for span, limit in limits
    )


def _judge(parts: Sequence[_Part], frame: Frame) -> tuple[Budget, Verdict]:
    counts = _sum(parts)
    allowed = sum((part.objective.allowed_bad * part.counts.eligible for part in parts), Fraction(0))
    budget = Budget(allowed, counts.bad, Unit.MINUTES, is_strict=any(part.objective.strict for part in parts))
    if _is_gap_breach(parts):
        return budget, Verdict.BREACHED
    judge = open_verdict if frame.is_open else closed_verdict
    return budget, judge(counts, budget, _least_conclusive(parts))


def _sli(counts: SliceCounts) -> Sli | None:
    if not counts.conclusive:
        return None
    worst, best = counts.good / counts.due, (counts.good + counts.unknown) / counts.due
    return Sli(Fraction(counts.good, counts.conclusive), worst, best)


def _with_maintenance(readings: Sequence[Reading], frame: Frame) -> Sli | None:
    if all(reading.exclusions.is_empty for reading in readings):
        return None
    return _sli(_sum([_decided(reading, reading.regions(frame), frame, excluded=_NOTHING) for reading in readings]))


def _all_regions(readings: Sequence[Reading], frame: Frame) -> tuple[str, ...]:
    return tuple(dict.fromkeys(region for reading in readings for region in reading.regions(frame)))


def _region(readings: Sequence[Reading], region: str, frame: Frame) -> RegionScore:
    """What one region alone says of the pieces that asked it."""
    asking = [reading for reading in readings if region in reading.regions(frame)]
    parts = [
        _decided(replace(reading, measured=reading.measured.of_region(region)), (region,), frame) for reading in asking
    ]
    counts = _sum(parts)
    budget, verdict = _judge(parts, frame)
    return RegionScore(
        region=region,
        verdict=verdict,
        budget=budget,
        good=counts.good,
        bad=counts.bad,
        conclusive=counts.conclusive,
        asked=counts.due,
        is_conclusive_enough=counts.conclusive >= LEAST_CONCLUSIVE * counts.due,
    )


def _missing(parts: Sequence[_Part], budget: Budget, verdict: Verdict) -> Missing | None:
    """How many more minutes must be known and good for a word that says something."""
    if verdict is not Verdict.NOT_ENOUGH_DATA:
        return None
    counts, least = _sum(parts), _least_conclusive(parts)
    if counts.conclusive and counts.conclusive >= least:
        # Covered, but more is unknown than the budget holds: late records must show that much of it was good.
        return Missing(max(counts.unknown - budget.whole, 1), None)
    short = least - counts.conclusive
    share = parts[-1].objective.min_coverage
    if not counts.future or share == 1:
        return Missing(max(math.ceil(short), 1), None)
    # Each clean minute to come adds itself to both sides: conclusive + m >= share x (due + m).
    wait = max(math.ceil(short / (1 - share)), 1)
    return Missing(wait, wait if wait <= counts.future else None)
