"""One line in one window: from what was measured to the score that a report prints.

The way of use: `pieces_of` says which versions were in force when; for each piece the caller reads what was measured of its check
and what maintenance leaves out (`exclusions_of`); `score` adds the pieces up, each with its own target. Refuses: obligations
(`slo.duties`), and a line of which nothing was in force. Called by the reports and by whoever stores revisions. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from slo.effect import NO_EFFECT
from slo.event_score import score_events
from slo.evidence import Verdict
from slo.maintenance import Approval
from slo.objective import Objective
from slo.score import EventDetail, Frame, Reading, Score, SliceDetail
from slo.slice_score import score_slices
from slo.window import MINUTES_PER_DAY, instant_of_minute

__all__ = ["people_note", "score"]

# Source: the document's own response time for critical alerts; less downtime than that leaves no time for people.
_PEOPLE_NEED_MINUTES: Final = 15
_THIRTY_DAYS: Final = 30 * MINUTES_PER_DAY


def score(
    readings: Sequence[Reading],
    frame: Frame,
    *,
    trailing_effect: Fraction = NO_EFFECT,
    what_if: Fraction | None = None,
) -> Score:
    """What the window says about the line, from its pieces in order of time.

    `trailing_effect` is the `outage_effect` of the ninety days before the window, for lines of correlated events. `what_if` is a
    share of bad ones in (0, 1) to judge all pieces by, instead of their own; the score carries it as its label. Raises
    ValueError where nothing can be scored: no pieces, no regions, another kind of line, a share that is none.
    """
    if not readings:
        message = f"no version of the line was in force in {frame.span.name}"
        raise ValueError(message)
    if what_if is not None:
        if not 0 < what_if < 1:
            message = f"a share of bad ones to try must lie in (0, 1), not {what_if}"
            raise ValueError(message)
        readings = [replace(reading, objective=replace(reading.objective, allowed_bad=what_if)) for reading in readings]
    if readings[-1].objective.slices is None:
        found = score_events(readings, frame, trailing_effect)
    else:
        found = score_slices(readings, frame)
    return replace(found, notes=tuple(_notes(found, readings, frame)), what_if=what_if)


def _notes(found: Score, readings: Sequence[Reading], frame: Frame) -> Iterator[str]:
    """What a reader must know to take the figures for what they are; most telling first."""
    match found.detail:
        case SliceDetail():
            yield from _slice_notes(found, found.detail)
        case EventDetail():
            yield from _event_notes(found, found.detail)
    yield from _region_notes(found)
    yield from _version_notes(readings, frame)
    yield from _maintenance_notes(readings)


def _slice_notes(found: Score, detail: SliceDetail) -> Iterator[str]:
    counts = detail.counts
    least = found.objective.min_coverage
    if detail.is_gap_breach:
        yield f"{detail.longest_bad} bad minutes in a row are a breach by themselves"
    if counts.coverage is not None and counts.coverage < least:
        yield f"{counts.conclusive} of {counts.due} minutes were decided; a verdict needs {float(least * 100):g} % of them"
    if counts.future and detail.projected_bad > found.budget.allowed and found.verdict is not Verdict.BREACHED:
        yield f"at the rate so far {float(detail.projected_bad):.1f} minutes will be bad at the end"
    if counts.suspect:
        yield f"{counts.suspect} unknown minutes hold a failure that too few regions confirm"
    if counts.split:
        yield f"{counts.split} minutes were a tie between regions and count as good"
    if note := people_note(found.objective):
        yield note


def people_note(objective: Objective) -> str:
    """That people are too slow for a target of minutes, where they are; else nothing."""
    allowed = objective.allowed_bad * _THIRTY_DAYS
    if objective.slices is None or allowed >= _PEOPLE_NEED_MINUTES:
        return ""
    return (
        f"this target allows {float(allowed):.3g} minutes in 30 days, less than the {_PEOPLE_NEED_MINUTES} minutes in which "
        "a critical alert must be answered: it needs failover without people"
    )


def _event_notes(found: Score, detail: EventDetail) -> Iterator[str]:
    if not detail.cell.total:
        yield "no valid event was measured"
        return
    if detail.effect.events > 1:
        effect = detail.effect.events
        independent = f"{float(detail.cell.total / effect):.1f} independent ones (design effect {float(effect):.4g})"
        yield f"{detail.cell.total} events count as {independent}"
    if detail.is_within is False and found.verdict is not Verdict.BREACHED:
        yield "more events were bad than the line allows, but not enough to prove it at 95 %"
    if detail.is_within and found.verdict is Verdict.BREACHED:
        yield "the count rule is kept, the evidence speaks against it"


def _region_notes(found: Score) -> Iterator[str]:
    if len(found.regions) == 1:
        yield f"one region only: what {found.regions[0].region} sees is the whole truth"
    for region in found.regions:
        if isinstance(found.detail, EventDetail) and found.detail.cell.total and not region.asked:
            yield f"region {region.region}: nothing was measured there; these figures are of the others"
        if len(found.regions) > 1 and region.verdict is Verdict.BREACHED and found.verdict is not Verdict.BREACHED:
            yield f"region {region.region} by itself has overspent the budget"
        if not region.is_conclusive_enough:
            yield f"region {region.region}: only {region.conclusive} of {region.asked} minutes were conclusive, 99.9 % must be"


def _version_notes(readings: Sequence[Reading], frame: Frame) -> Iterator[str]:
    first = readings[0].measured.span.from_minute
    if first > frame.span.from_minute:
        before = first - frame.span.from_minute
        yield f"counted from {_text(first)} on; the {before} minutes before are not in these figures"
    for earlier, later in pairwise(readings):
        old, new = earlier.objective.version, later.objective.version
        change = _text(later.measured.span.from_minute)
        yield f"version {old} until {change}, version {new} from then on; each has a budget of its own"


def _maintenance_notes(readings: Sequence[Reading]) -> Iterator[str]:
    told = dict.fromkeys(occurrence for reading in readings for occurrence in reading.exclusions.occurrences)
    approved = [occurrence for occurrence in told if occurrence.approval is Approval.APPROVED]
    for occurrence in (*(entry for entry in told if entry not in approved), *approved):
        yield occurrence.text


def _text(minute: int) -> str:
    return instant_of_minute(minute).strftime("%Y-%m-%d %H:%M UTC")
