"""What a gate will do, before it has begun: how often each answer comes, and when, for a candidate of a known kind.

Exact, by walking all counts of failures round by round; no simulation. Refuses: a candidate whose rounds depend on each other.
Called by whoever announces a gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from slo.gate import Gate, GateDecision

__all__ = ["GateOdds", "gate_odds"]


@dataclass(frozen=True, slots=True)
class GateOdds:
    """The chance of each answer, which add up to 1, and the mean number of rounds until there is one."""

    accept: float
    reject: float
    undecided: float
    mean_rounds: float


def gate_odds(gate: Gate, bad: Fraction) -> GateOdds:
    """What `gate` says about a candidate of which the share `bad` of the rounds fails, each for itself.

    Raises ValueError for a share outside [0, 1].
    """
    if not 0 <= bad <= 1:
        message = f"a share of failing rounds lies in [0, 1], not {bad}"
        raise ValueError(message)
    failing = float(bad)
    chance = {GateDecision.ACCEPT: 0.0, GateDecision.REJECT: 0.0, GateDecision.UNDECIDED: 0.0}
    rounds, mean = 0, 0.0
    going_on = {0: 1.0}
    while going_on:
        rounds += 1
        after: dict[int, float] = {}
        for failures, mass in going_on.items():
            for more, share in ((0, 1 - failing), (1, failing)):
                if share:
                    after[failures + more] = after.get(failures + more, 0.0) + mass * share
        going_on = {}
        for failures, mass in after.items():
            decision = gate.decide(failures, rounds)
            if decision is GateDecision.CONTINUE:
                going_on[failures] = mass
            else:
                chance[decision] += mass
                mean += mass * rounds
    return GateOdds(chance[GateDecision.ACCEPT], chance[GateDecision.REJECT], chance[GateDecision.UNDECIDED], mean)
