"""Evidence that may be looked at after every event: the beta-binomial mixture e-process.

An interval for a fixed number of events makes false claims when somebody watches it and stops at will. An e-process may be
stopped at any time: for a line exactly at its limit the chance that it ever reaches 20 is at most 1 in 20, however often it is
looked at. Refuses to forget: the first answer stands, `watch` stops there. Called by whoever shows running data. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from slo.evidence import Verdict, log_incomplete_beta
from slo.percentile import CONFIDENCE

__all__ = ["LN_DECIDED", "EValues", "e_values", "watch"]

LN_DECIDED: Final = -math.log(1 - CONFIDENCE)
"""ln 20: with e this large a claim is false at most once in twenty."""

_PRIOR: Final = 0.5


@dataclass(frozen=True, slots=True)
class EValues:
    """The evidence, as natural logarithms, that the true share of bad events is below the limit (`ln_met`) or above."""

    ln_met: float
    ln_breached: float

    @property
    def verdict(self) -> Verdict:
        """`met` or `breached` once either is certain enough, else `not_enough_data`."""
        if self.ln_met >= LN_DECIDED:
            return Verdict.MET
        return Verdict.BREACHED if self.ln_breached >= LN_DECIDED else Verdict.NOT_ENOUGH_DATA


def e_values(bad: int, total: int, allowed_bad: Fraction) -> EValues:
    """The evidence in `bad` of `total` independent events about a line that allows the share `allowed_bad`.

    Both are 0 for no events. Raises ValueError for impossible counts and a share outside (0, 1).

    Source: Robbins (1970), the mixture of likelihood ratios; the prior Beta(1/2, 1/2), cut at the limit on either side.
    """
    if not 0 <= bad <= total:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    if not 0 < allowed_bad < 1:
        message = f"an allowed share of bad events must lie in (0, 1), not {allowed_bad}"
        raise ValueError(message)
    limit = float(allowed_bad)
    rest = total - bad
    at_limit = bad * math.log(limit) + rest * math.log1p(-limit)
    a, b = _PRIOR + bad, _PRIOR + rest
    weight = _log_beta(a, b) - _log_beta(_PRIOR, _PRIOR) - at_limit
    return EValues(
        ln_met=weight + log_incomplete_beta(a, b, limit) - log_incomplete_beta(_PRIOR, _PRIOR, limit),
        ln_breached=weight + log_incomplete_beta(b, a, 1 - limit) - log_incomplete_beta(_PRIOR, _PRIOR, 1 - limit),
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def watch(events: Iterable[bool], allowed_bad: Fraction) -> tuple[Verdict, int]:
    """The first answer along `events` (True: good), and after how many; `not_enough_data` when they end before."""
    bad, total = 0, 0
    for total, good in enumerate(events, start=1):
        bad += not good
        verdict = e_values(bad, total, allowed_bad).verdict
        if verdict is not Verdict.NOT_ENOUGH_DATA:
            return verdict, total
    return Verdict.NOT_ENOUGH_DATA, total
