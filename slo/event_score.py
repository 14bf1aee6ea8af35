"""Score a line of events: how many of them were bad, and what that proves with the outages and the slots that they came in.

Two layers: the plain count rule, and the evidence with exact 95 % bounds, which is the verdict. Events of one slot share its
fate, so that they count as one; where failures come minute after minute, an outage counts as its length says (`slo.effect`).
Refuses: minutes (`slo.slice_score`), and leaving maintenance out without having been told what was measured in it. Called by
`slo.scoring`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from slo.budget import Budget, Unit
from slo.cells import Cell, Measured, Track
from slo.effect import LEAST_OUTAGE_EFFECT, NO_EFFECT, DesignEffect, clusters_of, outage_effect
from slo.evidence import Bounds, Verdict, bad_rate_bounds, clean_events_to_claim, evidence_verdict
from slo.score import EventDetail, Frame, Missing, Reading, RegionScore, Score, Sli
from slo.slice_score import LEAST_CONCLUSIVE

__all__ = ["score_events"]


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece as some regions of it measured it: `cell` is what counts, without what is set aside for maintenance."""

    reading: Reading
    regions: tuple[str, ...]
    measured: Measured
    cell: Cell


def score_events(readings: Sequence[Reading], frame: Frame, trailing_effect: Fraction) -> Score:
    """The score of a line that counts events; notes and labels are the caller's.

    `trailing_effect` is the `outage_effect` of the ninety days before, for a line whose failures are correlated.
    """
    by_region = [_parts_of(reading, reading.regions(frame)) for reading in readings]
    whole = [_united(reading, parts) for reading, parts in zip(readings, by_region, strict=True)]
    cell = _sum(whole)
    newest = readings[-1].objective
    budget = _budget(whole)
    effect, clusters = _effect(whole, cell, trailing_effect)
    events = effect.events
    allowed = budget.allowed / cell.total if cell.total else newest.allowed_bad
    verdict = evidence_verdict(cell.bad, cell.total, allowed, design_effect=events)
    bounds = bad_rate_bounds(cell.bad, cell.total, design_effect=events) if cell.total else None
    slots = cell.runs + cell.inconclusive
    regions = dict.fromkeys(part.regions[0] for parts in by_region for part in parts)
    return Score(
        objective=newest,
        versions=tuple(reading.objective for reading in readings),
        span=frame.span,
        phase=frame.phase,
        verdict=verdict,
        budget=budget,
        sli=_sli(cell, bounds) if bounds else None,
        sli_with_maintenance=_with_maintenance(whole, effect),
        coverage=Fraction(cell.runs, slots) if slots else None,
        missing=_missing(cell, allowed, effect, verdict, _elapsed(readings, frame)),
        regions=tuple(
            _region([part for parts in by_region for part in parts if part.regions[0] == region], trailing_effect)
            for region in regions
        ),
        detail=EventDetail(cell, clusters, effect, bounds, budget.covers(cell.bad) if cell.total else None),
        notes=(),
    )


def _parts_of(reading: Reading, regions: Sequence[str]) -> list[_Part]:
    """Each region of a piece by itself; every track is looked at once."""
    own: dict[str, list[Track]] = {region: [] for region in regions}
    for track in reading.measured.tracks:
        if track.region in own:
            own[track.region].append(track)
    span = reading.measured.span
    return [
        _Part(reading, (region,), Measured(span, tuple(tracks)), _counted(reading, region, tracks))
        for region, tracks in own.items()
    ]


def _counted(reading: Reading, region: str, tracks: Sequence[Track]) -> Cell:
    """Everything that a region measured, without what is set aside for maintenance."""
    whole = _totals(tracks)
    if not reading.excluded.get(region):
        return whole
    if reading.set_aside is None:
        message = f"{reading.objective.name}: what was measured during maintenance must be handed over to be left out"
        raise ValueError(message)
    aside = _totals([track for track in reading.set_aside.tracks if track.region == region])
    return Cell(
        whole.good - aside.good,
        whole.bad - aside.bad,
        whole.inconclusive - aside.inconclusive,
        whole.runs - aside.runs,
    )


def _totals(tracks: Sequence[Track]) -> Cell:
    if len(tracks) == 1:
        return tracks[0].totals
    return sum((track.totals for track in tracks), Cell())


def _united(reading: Reading, parts: Sequence[_Part]) -> _Part:
    """All regions of a piece together."""
    return _Part(reading, tuple(part.regions[0] for part in parts), reading.measured, _sum(parts))


def _sum(parts: Sequence[_Part]) -> Cell:
    if len(parts) == 1:
        return parts[0].cell
    return sum((part.cell for part in parts), Cell())


def _budget(parts: Sequence[_Part]) -> Budget:
    shares = [part.reading.objective.allowed_bad * part.cell.total for part in parts]
    return Budget(
        shares[0] if len(shares) == 1 else sum(shares, Fraction(0)),
        sum(part.cell.bad for part in parts),
        Unit.EVENTS,
        is_strict=any(part.reading.objective.strict for part in parts if part.cell.total),
    )


def _effect(parts: Sequence[_Part], cell: Cell, trailing_effect: Fraction) -> tuple[DesignEffect, int]:
    """How many events stand for one, and how many slots there were."""
    clusters = sum(clusters_of(part.measured, part.regions, part.reading.excluded) for part in parts)
    per_slot = max(Fraction(cell.total, clusters), NO_EFFECT) if clusters else NO_EFFECT
    correlated = [part for part in parts if part.reading.objective.is_correlated]
    if not correlated:
        return DesignEffect(per_slot), clusters
    seen = (outage_effect(part.measured, part.regions, part.reading.excluded) for part in correlated)
    return DesignEffect(per_slot, max(*seen, trailing_effect, LEAST_OUTAGE_EFFECT)), clusters


def _sli(cell: Cell, bounds: Bounds) -> Sli:
    return Sli(Fraction(cell.good, cell.total), 1 - bounds.high, 1 - bounds.low)


def _with_maintenance(parts: Sequence[_Part], effect: DesignEffect) -> Sli | None:
    if all(part.reading.exclusions.is_empty for part in parts):
        return None
    chosen = (track.totals for part in parts for track in part.measured.tracks if track.region in part.regions)
    cell = sum(chosen, Cell())
    return _sli(cell, bad_rate_bounds(cell.bad, cell.total, design_effect=effect.events)) if cell.total else None


def _elapsed(readings: Sequence[Reading], frame: Frame) -> int:
    """How many minutes of the pieces are over."""
    spans = [reading.measured.span for reading in readings]
    return sum(max(min(span.until_minute, frame.now_minute) - span.from_minute, 0) for span in spans)


def _missing(cell: Cell, allowed: Fraction, effect: DesignEffect, verdict: Verdict, elapsed: int) -> Missing | None:
    """How many more clean events would be a claim, for the words that are no claim either way."""
    if verdict not in (Verdict.NOT_ENOUGH_DATA, Verdict.AT_RISK):
        return None
    amount = clean_events_to_claim(cell.bad, cell.total, allowed, design_effect=effect.events)
    return Missing(amount, math.ceil(Fraction(amount * elapsed, cell.total)) if cell.total and elapsed else None)


def _region(own: Sequence[_Part], trailing_effect: Fraction) -> RegionScore:
    """The same counts of one region alone, with a design effect of its own."""
    cell = _sum(own)
    budget = _budget(own)
    effect, conclusive = _effect(own, cell, trailing_effect)
    allowed = budget.allowed / cell.total if cell.total else own[-1].reading.objective.allowed_bad
    asked_minutes = sum(_asked_minutes(part) for part in own)
    return RegionScore(
        region=own[0].regions[0],
        verdict=evidence_verdict(cell.bad, cell.total, allowed, design_effect=effect.events),
        budget=budget,
        good=cell.good,
        bad=cell.bad,
        conclusive=conclusive,
        asked=asked_minutes,
        is_conclusive_enough=conclusive * LEAST_CONCLUSIVE.denominator >= LEAST_CONCLUSIVE.numerator * asked_minutes,
    )


def _asked_minutes(part: _Part) -> int:
    """Minutes with a slot of this region outside maintenance, whatever it said."""
    bits = 0
    for track in part.measured.tracks:
        bits |= track.good | track.bad | track.mute
    return (bits & ~part.reading.excluded.get(part.regions[0], 0)).bit_count()
