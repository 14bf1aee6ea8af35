"""When so many bad events can no longer be chance: the exact upper tail of the binomial distribution.

A handful of events says little: three bad ones of sixty are a burn of fifty, and yet one of sixty is what a healthy line
does now and then. Refuses to round: where floats cannot tell a tail from the limit, whole numbers decide. Called by
`slo.burn` and `slo.prometheus_rules`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from slo.evidence import incomplete_beta

__all__ = ["MOST_CHANCE", "fewest_beyond_chance", "is_beyond_chance"]

MOST_CHANCE: Final = Fraction(1, 1000)
"""A count that a line at its limit would reach no more often than this is no chance."""

_CLOSE: Final = 1e-9
_MOST_EXACT: Final = 10_000
"""So many events at most are summed in whole numbers, which takes longer than a second beyond; floats are good to 1e-9."""


def is_beyond_chance(bad: int, total: int, allowed_bad: Fraction) -> bool:
    """Whether P(X >= bad) <= 1/1000 for X binomial with `total` events, of which the share `allowed_bad` is bad.

    Raises ValueError for a share outside (0, 1) and for impossible counts.
    """
    if not 0 < allowed_bad < 1:
        message = f"an allowed share of bad events must lie in (0, 1), not {allowed_bad}"
        raise ValueError(message)
    if not 0 <= bad <= total:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    if bad <= total * allowed_bad:
        return False
    limit = float(MOST_CHANCE)
    if math.exp(-_divergence(bad, total, float(allowed_bad))) < limit - _CLOSE:
        return True
    if math.exp(_log_chance_of(bad, total, float(allowed_bad))) > limit + _CLOSE:
        return False
    tail = incomplete_beta(bad, total - bad + 1, float(allowed_bad))
    if abs(tail - limit) > _CLOSE or total > _MOST_EXACT:
        return tail <= limit
    return _is_exactly_beyond(bad, total, allowed_bad)


def _divergence(bad: int, total: int, allowed: float) -> float:
    """The tail above the mean is at most exp(-this). Source: Chernoff (1952), in the form of Hoeffding (1963), theorem 1."""
    good = total - bad
    against = good * math.log(good / (total * (1 - allowed))) if good else 0.0
    return bad * math.log(bad / (total * allowed)) + against


def _log_chance_of(bad: int, total: int, allowed: float) -> float:
    """Ln P(X = bad), which no tail is smaller than."""
    ways = math.lgamma(total + 1) - math.lgamma(bad + 1) - math.lgamma(total - bad + 1)
    return ways + bad * math.log(allowed) + (total - bad) * math.log1p(-allowed)


def _is_exactly_beyond(bad: int, total: int, allowed_bad: Fraction) -> bool:
    part, whole = allowed_bad.numerator, allowed_bad.denominator
    below = sum(math.comb(total, k) * part**k * (whole - part) ** (total - k) for k in range(bad))
    return Fraction(below, whole**total) >= 1 - MOST_CHANCE


def fewest_beyond_chance(total: int, allowed_bad: Fraction) -> int | None:
    """The smallest number of bad events of `total` that is beyond chance; None: not even all of them would be."""
    if not is_beyond_chance(total, total, allowed_bad):
        return None
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_beyond_chance(middle, total, allowed_bad) else (middle, high)
    return high
