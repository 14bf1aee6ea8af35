"""Budgets, burn rates, SLIs and verdicts of each line as they are now, made a line at a time so that results never wait for long.

Refuses to score by itself (`collector.scorecard` does). Called by `collector.exports.metrics_upkeep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.exports.line_counts import Lines
from collector.scorecard import Asked, LineScore, make_scorecard
from collector.store import Store
from probes.clock import Clock
from slo.duties import DutyScore
from slo.score import Score

__all__ = ["LineGauge", "LineGauges", "TierGauge"]

PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class TierGauge:
    """Burn rates of a tier's two windows; None: nothing conclusive in it."""

    severity: str
    long: float | None
    short: float | None
    is_on: bool


@dataclass(frozen=True, slots=True)
class LineGauge:
    """A line in its own window. None: there is no such number, or nothing was measured."""

    line: str
    title: str
    tier: str
    window: str
    verdict: str
    target: float | None = None
    sli: float | None = None
    budget_left: float | None = None
    coverage: float | None = None
    tiers: tuple[TierGauge, ...] = ()


class LineGauges:
    """The gauges of one target; `refresh`, then read `values`."""

    def __init__(self, store: Store, lines: Lines, *, fleet: str, regions: Sequence[str], clock: Clock) -> None:
        self.values: dict[str, LineGauge] = {}
        self._store = store
        self._lines = lines
        self._fleet = fleet
        self._regions = tuple(regions)
        self._clock = clock

    async def refresh(self, target: str) -> None:
        """Score every line, with a pause after each. Raises StoreError."""
        known = self._lines.current
        values: dict[str, LineGauge] = {}
        for name in (*known.objectives, *known.obligations):
            asked = Asked(target, self._fleet, self._regions, self._clock.now(), names=(name,))
            for one in (await make_scorecard(self._store, known, asked)).lines:
                values[one.name] = gauge_of(one)
            await self._clock.sleep(PAUSE_S)
        self.values = values


def gauge_of(one: LineScore) -> LineGauge:
    """The numbers of a scored line."""
    heading = (one.line, one.title, one.tier.value, one.span.name if one.span else "")
    match one.score:
        case Score() as score:
            return LineGauge(
                *heading,
                score.verdict.value,
                float(score.objective.target_share),
                _number(score.sli.point if score.sli else None),
                _number(score.budget.left_share),
                _number(score.coverage),
                tuple(
                    TierGauge(
                        burn.fit.tier.severity.value,
                        _number(burn.long_burn),
                        _number(burn.short_burn),
                        burn.cause is not None,
                    )
                    for burn in one.burn
                ),
            )
        case DutyScore() as duty:
            return LineGauge(*heading, duty.verdict.value)
        case None:
            return LineGauge(*heading, "")


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)
