"""Whether a candidate's step is slower than the baseline's, looked at a few times while rounds come in.

Two claims are tested at each look, each with its own risk: "it is within the margin" (accept) and "it is slower than the
baseline" (reject). Between no slower and slower by the margin either may come out, as between the two shares of Wald's test.
The looks are fixed beforehand and share each risk by weight, so that looking often costs nothing that was not paid for
(Bonferroni over looks). Refuses: looks that were not planned, and failed steps: failures are counted by the check.
Called by `slo.release_gate`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from slo.gate import GateDecision
from slo.rank_test import matched_rank_chance, rank_sum_chance

__all__ = ["LOOKS", "Look", "Margin", "StepLook", "TimedSet", "judge_samples", "judge_sets"]

_NS_PER_MS: Final = 1_000_000
_FAR: Final = 10
"""A chance that is so many times what may be risked decides nothing, and need not be counted exactly."""

TimedSet = tuple[int, tuple[int, ...]]
"""The candidate's time in one round, and those of the baseline's runs beside it."""


@dataclass(frozen=True, slots=True)
class Look:
    """After `rounds` rounds the times are looked at, with these shares of the risks of failing and of passing."""

    rounds: int
    alarm_share: Fraction
    pass_share: Fraction


LOOKS: Final = (
    Look(20, Fraction(1, 100), Fraction(5, 100)),
    Look(40, Fraction(4, 100), Fraction(35, 100)),
    Look(60, Fraction(88, 100), Fraction(40, 100)),
    Look(100, Fraction(3, 100), Fraction(10, 100)),
    Look(200, Fraction(2, 100), Fraction(5, 100)),
    Look(400, Fraction(2, 100), Fraction(5, 100)),
)
"""Nearly all of the risk of failing is kept for the sixtieth round: by then a slowdown that matters should be known, and each
step among many has only a small part of it. The risk of passing is not shared between steps, so more of it can be spent early:
what is within the margin needs no baseline any more."""


@dataclass(frozen=True, slots=True)
class Margin:
    """How much slower than the baseline is still good enough: a share of its time, or `slack_ns` where that is more.

    Without the slack a step of 2 ms would hold a release for half a millisecond. Raises ValueError for a margin of nothing.
    """

    ratio: Fraction = Fraction(1, 4)
    slack_ns: int = 20 * _NS_PER_MS

    def __post_init__(self) -> None:
        if self.ratio < 0 or self.slack_ns < 0 or not (self.ratio or self.slack_ns):
            message = "a latency margin must be above 0: no number of rounds can show that two times are equal"
            raise ValueError(message)

    def limit_ns(self, baseline_ns: int) -> int:
        """The time that a candidate may take where the baseline took `baseline_ns`."""
        return baseline_ns + max(baseline_ns * self.ratio.numerator // self.ratio.denominator, self.slack_ns)


@dataclass(frozen=True, slots=True)
class StepLook:
    """What one look found: `slower` and `within` are the chances of such ranks if the opposite were true."""

    decision: GateDecision
    rounds: int
    slower: float
    within: float


def judge_sets(sets: Sequence[TimedSet], margin: Margin, *, false_alarm: float, false_pass: float) -> StepLook:
    """One look at times that were measured side by side in sets, in which a lot drew the candidate's place.

    With equal platforms it rejects with a chance of at most `false_alarm`, whatever disturbs all of a set; a candidate that is
    slower by the whole margin is accepted with a chance of at most `false_pass`. Raises ValueError for times below 1.
    """
    log = math.log
    slower = matched_rank_chance(
        [(log(own_ns), *[log(time_ns) for time_ns in others_ns]) for own_ns, others_ns in sets],
        exact_below=_FAR * false_alarm,
    )
    # How far the limits are above the candidate's times: all negated, so that a quick candidate ranks high.
    limit_ns = margin.limit_ns
    within = matched_rank_chance(
        [(-log(own_ns), *[-log(limit_ns(time_ns)) for time_ns in others_ns]) for own_ns, others_ns in sets],
        exact_below=_FAR * false_pass,
    )
    return StepLook(_decided(slower, within, false_alarm, false_pass), len(sets), slower, within)


def judge_samples(
    candidate_ns: Sequence[int], baseline_ns: Sequence[int], margin: Margin, *, false_alarm: float, false_pass: float
) -> StepLook:
    """The same against times of the past, in ascending order: true only as far as the past days are like today."""
    slower = rank_sum_chance(candidate_ns, baseline_ns)
    # How far the limits are above the candidate's times: both sides negated, so that the baseline's stay in order.
    limits = [-margin.limit_ns(time_ns) for time_ns in reversed(baseline_ns)]
    within = rank_sum_chance([-time_ns for time_ns in candidate_ns], limits)
    return StepLook(_decided(slower, within, false_alarm, false_pass), len(candidate_ns), slower, within)


def _decided(slower: float, within: float, false_alarm: float, false_pass: float) -> GateDecision:
    """Within the margin is good enough, even when it is certainly slower."""
    if within <= false_pass:
        return GateDecision.ACCEPT
    return GateDecision.REJECT if slower <= false_alarm else GateDecision.CONTINUE
