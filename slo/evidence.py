"""What k bad events of n allow us to claim: exact one-sided bounds and the four words of a verdict.

Clopper-Pearson and not Wilson or Jeffreys: at the small rates of service levels both of those make a false claim more often
than the 5 % they promise. The bounds are quantiles of the beta distribution, found by bisection on the regularised incomplete
beta function; a design effect shrinks the counts when failures come in clusters. Refuses: an answer for no events.
Called by `slo.judgement`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from slo.percentile import CONFIDENCE, clean_events_needed

__all__ = ["Bounds", "Verdict", "bad_rate_bounds", "contract_holds", "evidence_verdict", "incomplete_beta"]

_ONE_SIDED = float(1 - CONFIDENCE)
_FRACTION_TERMS = 10_000
_FRACTION_TOLERANCE = 1e-15
_TINY = 1e-300
_BISECTIONS = 200


class Verdict(StrEnum):
    """What the evidence says about a line."""

    MET = "met"
    BREACHED = "breached"
    AT_RISK = "at_risk"
    NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The true share of bad events is above `low` with 95 % confidence, and below `high` with 95 % confidence."""

    low: float
    high: float


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for a, b > 0: the share of Beta(a, b) below x.

    Source: DLMF 8.17.22, the continued fraction evaluated with Lentz's method.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    # The fraction converges fast only on this side of the mean; the other side is its mirror image.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1 - x)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    return math.exp(log_front) * _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    upper, lower = 1.0, _away_from_zero(1 - (a + b) * x / (a + 1))
    lower = 1 / lower
    value = lower
    for m in range(1, _FRACTION_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower = 1 / _away_from_zero(1 + term * lower)
            upper = _away_from_zero(1 + term / upper)
            change = lower * upper
            value *= change
        if abs(change - 1) < _FRACTION_TOLERANCE:
            return value
    message = f"the incomplete beta function did not converge for a={a}, b={b}, x={x}"
    raise ArithmeticError(message)


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY


def _solve(rising: Callable[[float], float], level: float) -> float:
    """The x in [0, 1] where `rising(x)` reaches `level`, by halving until the floats run out."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def bad_rate_bounds(bad: int, total: int, *, design_effect: Fraction = Fraction(1)) -> Bounds:
    """Exact one-sided 95 % bounds for the true share of bad events, after `bad` of `total`.

    `design_effect` >= 1 says how many correlated events count as one. Raises ValueError for impossible counts.

    Source: Clopper and Pearson (1934): Beta(k, n-k+1) at 5 % and Beta(k+1, n-k) at 95 %.
    """
    if not 0 <= bad <= total or total == 0:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    if design_effect < 1:
        message = f"a design effect must be at least 1, not {design_effect}"
        raise ValueError(message)
    k, n = float(bad / design_effect), float(total / design_effect)
    rest = float((total - bad) / design_effect)
    low = 0.0 if bad == 0 else _solve(lambda x: incomplete_beta(k, n - k + 1, x), _ONE_SIDED)
    high = 1.0 if bad == total else _solve(lambda x: incomplete_beta(k + 1, rest, x), 1 - _ONE_SIDED)
    return Bounds(low, high)


def evidence_verdict(bad: int, total: int, allowed_bad: Fraction, *, design_effect: Fraction = Fraction(1)) -> Verdict:
    """What `bad` of `total` events prove about a line that allows the share `allowed_bad`; no events prove nothing."""
    if total == 0:
        return Verdict.NOT_ENOUGH_DATA
    bounds = bad_rate_bounds(bad, total, design_effect=design_effect)
    if bounds.low > allowed_bad:
        return Verdict.BREACHED
    if bounds.high < allowed_bad:
        return Verdict.MET
    if total / design_effect < clean_events_needed(allowed_bad):
        return Verdict.NOT_ENOUGH_DATA
    return Verdict.AT_RISK


def contract_holds(bad: int, total: int, allowed_bad: Fraction, *, strict: bool = False) -> bool:
    """The count rule: the observed share of bad events is within `allowed_bad`, below it when `strict`; exact.

    Raises ValueError for no events: a contract is never kept by measuring nothing.
    """
    if not 0 <= bad <= total or total == 0:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    share = Fraction(bad, total)
    return share < allowed_bad if strict else share <= allowed_bad
