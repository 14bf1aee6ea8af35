"""Every line of the service-level document in one window: what is stored, read and handed to the pure engine.

A line without a verdict says why: nothing measures it, nobody has scored its past yet, no version was in force. Refuses to lay
anything out (the console and the pages do), and to do arithmetic of its own (`slo` does). Called by the commands `report`,
`slo explain` and `slo alerts`, and by whoever keeps the scores of closed windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import Final

from collector.alerting.answers import answer_facts
from collector.burn_history import BurnHistories
from collector.score_reader import Asked, Reader, maintenance_of, span_of, trailing_span
from collector.scoring import key_of_selector
from collector.store import Store
from slo.burn import TierBurn
from slo.burn_tiers import Severity
from slo.cells import Measured, track_of
from slo.duties import DutyScore, judge_duty
from slo.effect import NO_EFFECT, outage_effect
from slo.maintenance import Exclusions
from slo.objective import Objective, Tier
from slo.objective_set import ObjectiveSet, line_order
from slo.obligation import Duty, Obligation, ObservationSource
from slo.pieces import Piece, pieces_of
from slo.score import Frame, Reading, Score
from slo.scoring import score
from slo.window import RollingDays, Span

__all__ = ["Asked", "LineScore", "Scorecard", "make_scorecard", "scored_line", "span_of"]

OBSERVED_BEFORE: Final = timedelta(days=32)
"""Facts about a window's first days were seen before it began: what a backup of the month before looked like."""
OBSERVED_AFTER: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class LineScore:
    """One line. Without a `score` there is a `reason` why: it is honest about what is not known.

    `burn` has the tiers of a line whose window is open.
    """

    line: str
    name: str
    title: str
    tier: Tier
    span: Span | None
    score: Score | DutyScore | None = None
    reason: str = ""
    burn: tuple[TierBurn, ...] = ()


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All lines as of an instant."""

    asked: Asked
    lines: tuple[LineScore, ...]


async def make_scorecard(store: Store, known: ObjectiveSet, asked: Asked) -> Scorecard:
    """Score every line of the set. Raises StoreError, and ValueError for a window that is none."""
    chosen = {name: versions for name, versions in known.objectives.items() if not asked.names or name in asked.names}
    reader = Reader(store, asked, await maintenance_of(store, known))
    owed = [one for versions in known.obligations.values() for one in versions]
    await reader.prepare(chosen.values(), {key_of_selector(one.selector) for one in owed})
    histories = BurnHistories(reader, known.presets)
    lines = [await scored_line(reader, versions, histories) for versions in chosen.values()]
    for name, obligations in known.obligations.items():
        if not asked.names or name in asked.names:
            lines.append(await _owed_line(reader, obligations))
    lines += [
        LineScore(gap.line, gap.name, gap.title, gap.tier, None, reason=f"not measured: {gap.because}")
        for gap in known.not_measured
        if not asked.names or gap.name in asked.names
    ]
    return Scorecard(asked, tuple(sorted(lines, key=lambda one: line_order(one.line, one.name))))


async def scored_line(
    reader: Reader, versions: Sequence[Objective], histories: BurnHistories | None = None
) -> LineScore:
    """One line with its score, or why it has none."""
    newest, asked = versions[-1], reader.asked
    span = span_of(newest.window, asked)
    in_force = pieces_of(versions, span)
    heading = LineScore(newest.line, newest.name, newest.title, newest.tier, span)
    if not in_force:
        return _without(heading, f"no version of it was in force in {span.name}")
    unscored = [piece for piece in in_force if piece.objective.check in reader.incomplete]
    if unscored:
        return _without(heading, "stored runs have still to be scored for it: see `runner.py rescore`")
    if not reader.regions_of(newest):
        return _without(heading, "no region is asked: the setting `regions` and the line name none")
    pieces = await reader.pieces(versions, span)
    if not pieces:
        return _without(heading, f"not measured: nothing had said a word about it yet in {span.name}")
    readings = [await _reading(reader, piece) for piece in pieces]
    is_rolling = (not asked.window and isinstance(newest.window, RollingDays)) or asked.window.endswith("d")
    frame = Frame(span, asked.now, asked.regions, is_rolling, reader.settle_minutes(newest))
    trailing = (
        await _trailing_effect(reader, pieces[0]) if newest.is_correlated and newest.slices is None else NO_EFFECT
    )
    found = score(readings, frame, trailing_effect=trailing, what_if=asked.what_if)
    burn: tuple[TierBurn, ...] = ()
    if histories is not None and asked.with_burn and frame.is_open and newest.alerts:
        burn = await histories.burn_now(newest)
    return LineScore(newest.line, newest.name, newest.title, newest.tier, span, found, burn=burn)


def _without(heading: LineScore, reason: str) -> LineScore:
    return LineScore(heading.line, heading.name, heading.title, heading.tier, heading.span, reason=reason)


async def _reading(reader: Reader, piece: Piece) -> Reading:
    """A piece with what was measured in it and what maintenance leaves out of it."""
    objective, span = piece.objective, piece.span
    measured = await reader.measured(objective.check, span)
    exclusions = reader.exclusions(objective, span)
    set_aside = None
    if not exclusions.is_empty and objective.slices is None:
        set_aside = await _set_aside(reader, objective, span, exclusions)
    return Reading(objective, measured, exclusions, set_aside)


async def _set_aside(reader: Reader, objective: Objective, span: Span, exclusions: Exclusions) -> Measured:
    """What was measured in the excluded minutes of the excluded regions."""
    anywhere = 0
    for bits in exclusions.by_region.values():
        anywhere |= bits
    minutes = [span.from_minute + index for index in range(span.minutes) if anywhere >> index & 1]
    tracks = []
    for (region, probe), of_probe in (await reader.cells(objective.check, span, minutes)).items():
        bits = exclusions.by_region.get(region, 0)
        within = {at: cell for at, cell in of_probe.items() if bits >> (at - span.from_minute) & 1}
        tracks.append(track_of(region, probe, within, span))
    return Measured(span, tuple(tracks))


async def _trailing_effect(reader: Reader, first: Piece) -> Fraction:
    """The design effect of the outages of the ninety days before; approved works are none, there as in the window."""
    span = trailing_span(first)
    measured = await reader.measured(first.objective.check, span)
    exclusions = reader.exclusions(first.objective, span)
    return outage_effect(measured, reader.regions_of(first.objective), exclusions.by_region)


async def _owed_line(reader: Reader, versions: Sequence[Obligation]) -> LineScore:
    """An obligation with its score, by the version that is in force at the end of the window."""
    asked = reader.asked
    span = span_of(versions[-1].window, asked)
    begun = [one for one in versions if one.effective_from is None or one.effective_from < span.until_at]
    newest = begun[-1] if begun else versions[-1]
    heading = LineScore(newest.line, newest.name, newest.title, newest.tier, span)
    if not begun:
        return _without(heading, f"no version of it was in force in {span.name}")
    if newest.selector.source is ObservationSource.ALERTS:
        return await _answered_line(reader, newest, heading)
    key = key_of_selector(newest.selector)
    if key in reader.incomplete:
        return _without(heading, "stored runs have still to be scored for it: see `runner.py rescore`")
    from_at, until_at = span.from_at - OBSERVED_BEFORE, span.until_at + OBSERVED_AFTER
    facts = await reader.store.scores.observations(
        key, target=asked.target, fleet=asked.fleet, from_at=from_at, until_at=until_at
    )
    # Facts of before the window say nothing about its days: a probe that stopped looking leaves a gap of ours behind.
    if newest.duty is not Duty.DURATION and not any(one.seen_at >= span.from_at for one in facts):
        globs = newest.selector.scenarios
        if not await reader.is_looked_at(globs, span):
            return _without(heading, f"not measured: no run of {', '.join(globs)} says anything about this window")
    live_at = None
    if newest.duty is not Duty.DURATION:
        live_at = await reader.live_at()
    found = judge_duty(newest, facts, span, asked.now, live_at=live_at)
    return replace(heading, score=found)


async def _answered_line(reader: Reader, obligation: Obligation, heading: LineScore) -> LineScore:
    """Whether a person answered each alert of a severity in time."""
    asked, span = reader.asked, heading.span
    if span is None or await reader.store.alerts.decided_minute(asked.fleet, asked.target) is None:
        return _without(heading, "not measured: no collector has decided alerts here yet")
    severity = Severity(obligation.selector.severity)
    answers = await reader.store.alerts.answers(asked.fleet, asked.target, severity)
    facts = answer_facts(answers, obligation.limit_ns, asked.now)
    return replace(heading, score=judge_duty(obligation, facts, span, asked.now))
