"""Checks that are watched for hours: e-process verdicts that may be looked at after every round, for as long as one likes.

Each check is held against the share of failing rounds that is allowed: `met` when fewer fail, `breached` when more do. With
several checks the evidence must be as many times as large (Bonferroni), so that the stated risk holds for all of them. Refuses to
take a verdict back: the first one stands. Called by whoever runs the rounds. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from slo.eprocess import EValues, e_values
from slo.evidence import Verdict

__all__ = ["SoakCheck", "SoakWatch"]

_NOTHING = EValues(0.0, 0.0)


@dataclass(slots=True)
class SoakCheck:
    """One check so far; `decided_at` is the round of its verdict, 0 as long as there is none."""

    name: str
    rounds: int = 0
    failures: int = 0
    unmeasured: int = 0
    values: EValues = _NOTHING
    verdict: Verdict = Verdict.NOT_ENOUGH_DATA
    decided_at: int = 0


class SoakWatch:
    """All checks of a soak. Raises ValueError for no checks, and for shares outside (0, 1)."""

    def __init__(self, checks: Sequence[str], allowed_bad: Fraction, false_claim: Fraction = Fraction(1, 20)) -> None:
        if not checks or not 0 < allowed_bad < 1 or not 0 < false_claim < 1:
            message = "a soak needs a check, and shares between 0 and 1"
            raise ValueError(message)
        self.allowed_bad = allowed_bad
        self.ln_decided = math.log(len(checks) / false_claim)
        self.checks = {name: SoakCheck(name) for name in checks}

    def add_round(self, check: str, *, passed: bool | None) -> bool:
        """One round of a check; None: it says nothing. True when this round brought its verdict."""
        state = self.checks[check]
        if passed is None:
            state.unmeasured += 1
            return False
        state.rounds += 1
        state.failures += not passed
        state.values = e_values(state.failures, state.rounds, self.allowed_bad)
        if state.verdict is not Verdict.NOT_ENOUGH_DATA:
            return False
        if state.values.ln_met >= self.ln_decided:
            state.verdict = Verdict.MET
        elif state.values.ln_breached >= self.ln_decided:
            state.verdict = Verdict.BREACHED
        state.decided_at = state.rounds if state.verdict is not Verdict.NOT_ENOUGH_DATA else 0
        return state.decided_at > 0
