"""What a person needs to know of an alert: what broke, where, since when, how fast the budget goes and what is left of it.

Looks into a few runs behind the bad minutes and scores the line's open window; both only when an alert begins or ends. Refuses to
decide. Called by `collector.alerting.engine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from collector.alerting.model import AlertFacts, AlertKind
from collector.alerting.tiers import TierState
from collector.episode_runs import EpisodeAccount, SeenRun, account_of_episode
from collector.score_reader import Reader
from collector.scorecard import scored_line
from collector.texts.tier_text import meaning_of
from slo.burn import SliceHistory
from slo.episodes import CostEpisode
from slo.objective import Objective
from slo.pieces import Piece
from slo.score import Score
from slo.window import Span, instant_of_minute, minute_of

__all__ = ["Evidence", "first_of", "refreshed"]

_MOST_RUNS: Final = 5
_LEAST_GAP_MINUTES: Final = 10


@dataclass(frozen=True, slots=True)
class _Left:
    left_ratio: float | None
    allowed: Fraction


class Evidence:
    """Facts of alerts, from what a reader reads; one for each decision, because it remembers scores."""

    def __init__(self, reader: Reader, versions: Mapping[str, Sequence[Objective]]) -> None:
        self._reader = reader
        self._versions = versions
        self._budgets: dict[str, _Left] = {}

    async def of_firing(self, state: TierState, kind: AlertKind, fired_minute: int) -> AlertFacts:
        """Everything about an alert that begins. Raises StoreError."""
        facts = self._bare(state, kind, fired_minute)
        if kind is AlertKind.NO_DATA:
            silent = () if state.region == "" else (state.region,)
            return replace(facts, regions=silent)
        account = await self._account(state, kind)
        if account is not None:
            facts = _with_runs(facts, account, state)
        left = await self._left(state.objective)
        return replace(facts, budget_left_ratio=left.left_ratio, cost_ratio=_share(facts.cost, left))

    async def of_ending(
        self, state: TierState, kind: AlertKind, before: AlertFacts, resolved_minute: int
    ) -> AlertFacts:
        """The same as it ends: what it cost in all, and what is left. What broke stays as it was found. Raises StoreError."""
        facts = refreshed(before, state, kind)
        if kind is AlertKind.NO_DATA:
            return facts
        left = await self._left(state.objective)
        facts = replace(facts, cost=_cost(state, kind, facts, resolved_minute))
        return replace(facts, budget_left_ratio=left.left_ratio, cost_ratio=_share(facts.cost, left))

    def _bare(self, state: TierState, kind: AlertKind, fired_minute: int) -> AlertFacts:
        facts = AlertFacts(
            meaning=meaning_of(state.fit) if kind is AlertKind.BURN else "under half of its long window is known",
            unit="minutes" if isinstance(state.history, SliceHistory) else "events",
            first_bad_at=instant_of_minute(first_of(state, kind, fired_minute)),
        )
        return refreshed(facts, state, kind)

    async def _account(self, state: TierState, kind: AlertKind) -> EpisodeAccount | None:
        costs = state.costs(kind, state.fit.tier.short_minutes)
        if not costs:
            return None
        objective = state.objective
        if state.region:
            objective = replace(objective, regions=(state.region,))
        minutes = tuple(sorted(costs))
        span = Span("alert", minutes[0], minutes[-1] + 1)
        episode = CostEpisode(minutes, sum(costs.values()))
        return await account_of_episode(self._reader, [Piece(objective, span)], episode)

    async def _left(self, objective: Objective) -> _Left:
        known = self._budgets.get(objective.name)
        if known is None:
            line = await scored_line(self._reader, self._versions[objective.name])
            known = _Left(None, Fraction(0))
            if isinstance(line.score, Score):
                share = line.score.budget.left_share
                known = _Left(None if share is None else float(share), line.score.budget.allowed)
            self._budgets[objective.name] = known
        return known


def refreshed(facts: AlertFacts, state: TierState, kind: AlertKind) -> AlertFacts:
    """The facts with what changes each minute: counts, rates, the last bad minute, what it has cost so far."""
    costs = state.costs(kind, state.fit.tier.long_minutes)
    bad, total = state.counts(state.fit.tier.long_minutes)
    last_bad_at = instant_of_minute(max(costs)) if costs else facts.last_bad_at
    burn = state.burn
    return replace(
        facts,
        bad=bad,
        total=total,
        last_bad_at=last_bad_at,
        cost=_cost(state, kind, facts, state.minute) if kind is AlertKind.BURN else 0,
        long_burn=float(burn.long_burn) if burn and burn.long_burn is not None else None,
        short_burn=float(burn.short_burn) if burn and burn.short_burn is not None else None,
    )


def first_of(state: TierState, kind: AlertKind, fired_minute: int) -> int:
    """Since which minute it is so: back from the newest bad one, as long as the next is not much further away."""
    gap = max(_LEAST_GAP_MINUTES, state.fit.tier.short_minutes // 2)
    first = fired_minute
    for minute in sorted(state.costs(kind, state.fit.tier.long_minutes), reverse=True):
        if minute <= first:
            if first - minute > gap:
                break
            first = minute
    return first


def _cost(state: TierState, kind: AlertKind, facts: AlertFacts, until_minute: int) -> int:
    """How much was bad since it began, of what the history holds."""
    if facts.first_bad_at is None:
        return 0
    minutes = state.minute + 1 - state.history.span.from_minute
    costs = state.costs(kind, minutes)
    first_minute = minute_of(facts.first_bad_at)
    return sum(cost for at, cost in costs.items() if first_minute <= at <= until_minute)


def _share(cost: int, left: _Left) -> float | None:
    return float(cost / left.allowed) if left.allowed else None


def _with_runs(facts: AlertFacts, account: EpisodeAccount, state: TierState) -> AlertFacts:
    """What the runs say: the most frequent failure, and some runs of it, the newest first."""
    facts = replace(facts, regions=(state.region,) if state.region else tuple(sorted(account.bad_by_region)))
    if not account.runs:
        return facts
    counted = Counter((run.scenario, run.step, run.kind) for run in account.runs)
    (scenario, step, kind), _ = min(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    same = [run for run in account.runs if (run.scenario, run.step, run.kind) == (scenario, step, kind)]
    others = [name for name, _ in Counter(run.scenario for run in account.runs).most_common() if name != scenario]
    return replace(
        facts,
        scenarios=(scenario, *others),
        step=step,
        failure_kind=kind,
        message=_message(same),
        run_ids=tuple(run.run_id for run in sorted(same, key=_newest, reverse=True)[:_MOST_RUNS]),
    )


def _message(runs: Sequence[SeenRun]) -> str:
    counted = Counter(run.message or run.why for run in runs)
    return min(counted.items(), key=lambda pair: (-pair[1], pair[0]))[0]


def _newest(run: SeenRun) -> tuple[object, str]:
    return run.slot_at, run.run_id
