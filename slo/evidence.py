"""What k bad events of n allow us to claim: exact one-sided bounds and the four words of a verdict.

Clopper-Pearson and not Wilson or Jeffreys: at the small rates of service levels both of those make a false claim more often
than the 5 % they promise. The bounds are quantiles of the beta distribution, found with Halley's steps on the regularised
incomplete beta function; a design effect shrinks the counts when failures come in clusters. Refuses: an answer for no events.
Called by `slo.judgement` and `slo.event_score`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from slo.percentile import CONFIDENCE, clean_events_needed

__all__ = [
    "Bounds",
    "Verdict",
    "bad_rate_bounds",
    "clean_events_to_claim",
    "contract_holds",
    "evidence_verdict",
    "incomplete_beta",
    "log_incomplete_beta",
]

_ONE_SIDED = float(1 - CONFIDENCE)
_FRACTION_TERMS = 10_000
_FRACTION_TOLERANCE = 1e-15
_TINY = 1e-300
_STEPS = 200
_STEP_TOLERANCE = 1e-8
_LEAST_BEND = 0.1
# Source: the 95 % quantile of the normal distribution; only to begin near the root.
_ONE_SIDED_NORMAL = 1.6448536269514722
_MOST_EXPONENT = 700


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
    return math.exp(_log_front(a, b, x)) * _beta_fraction(a, b, x)


def log_incomplete_beta(a: float, b: float, x: float) -> float:
    """The natural logarithm of I_x(a, b) for 0 < x < 1, also where the function itself is smaller than any float."""
    if x > (a + 1) / (a + b + 2):
        return math.log1p(-incomplete_beta(b, a, 1 - x))
    return _log_front(a, b, x) + math.log(_beta_fraction(a, b, x))


def _log_front(a: float, b: float, x: float) -> float:
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction. Two terms a turn, written out: calls in here took a tenth of a scorecard's time."""
    upper, lower = 1.0, 1 - (a + b) * x / (a + 1)
    lower = 1 / (lower if abs(lower) > _TINY else _TINY)
    value = lower
    for m in range(1, _FRACTION_TERMS):
        at = a + 2 * m
        even = m * (b - m) * x / ((a + 2 * m - 1) * at)
        lower = 1 + even * lower
        lower = 1 / (lower if abs(lower) > _TINY else _TINY)
        upper = 1 + even / upper
        upper = upper if abs(upper) > _TINY else _TINY
        value *= lower * upper
        odd = -(a + m) * (a + b + m) * x / (at * (at + 1))
        lower = 1 + odd * lower
        lower = 1 / (lower if abs(lower) > _TINY else _TINY)
        upper = 1 + odd / upper
        upper = upper if abs(upper) > _TINY else _TINY
        change = lower * upper
        value *= change
        if abs(change - 1) < _FRACTION_TOLERANCE:
            return value
    message = f"the incomplete beta function did not converge for a={a}, b={b}, x={x}"
    raise ArithmeticError(message)


def _quantile(a: float, b: float, level: float) -> float:
    """The x with I_x(a, b) = level: Halley's steps, and halving wherever one would leave what is known to hold the root.

    A step of a hundred-millionth leaves less than any float can hold, for each has three times the places of the one before.
    """
    low, high, x = 0.0, 1.0, _near_quantile(a, b, level)
    log_scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    for _ in range(_STEPS):
        miss = incomplete_beta(a, b, x) - level
        low, high = (x, high) if miss < 0 else (low, x)
        log_density = log_scale + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)
        # A density that no float holds is a place where the function is flat, and no help.
        step = miss / math.exp(log_density) if abs(log_density) < _MOST_EXPONENT else math.inf
        bend = 1 - step / 2 * ((a - 1) / x - (b - 1) / (1 - x))
        after = x - (step / bend if _LEAST_BEND < bend < math.inf else step)
        if not low < after < high:
            after = (low + high) / 2
            if after in (low, high):
                return after
        elif abs(after - x) <= _STEP_TOLERANCE * x:
            return after
        x = after
    return x


def _near_quantile(a: float, b: float, level: float) -> float:
    """A place to look for a quantile from; the mean where nothing better is known.

    Source: Abramowitz and Stegun 26.5.22; for a below 1 the first term of the function's series.
    """
    mean = a / (a + b)
    if a < 1:
        log_near = (math.log(level * a) + math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)) / a
        return math.exp(log_near) if -_MOST_EXPONENT < log_near < math.log(mean) else mean
    if b < 1:
        return mean
    normal = _ONE_SIDED_NORMAL if level > 1 / 2 else -_ONE_SIDED_NORMAL
    share = (normal * normal - 3) / 6
    harmonic = 2 / (1 / (2 * a - 1) + 1 / (2 * b - 1))
    width = normal * math.sqrt(harmonic + share) / harmonic
    width -= (1 / (2 * b - 1) - 1 / (2 * a - 1)) * (share + 5 / 6 - 2 / (3 * harmonic))
    near = a / (a + b * math.exp(-2 * width)) if abs(width) < _MOST_EXPONENT / 2 else mean
    return near if 0 < near < 1 else mean


def bad_rate_bounds(bad: int, total: int, *, design_effect: Fraction = Fraction(1)) -> Bounds:
    """Exact one-sided 95 % bounds for the true share of bad events, after `bad` of `total`.

    `design_effect` >= 1 says how many correlated events count as one. Raises ValueError for impossible counts.

    Source: Clopper and Pearson (1934): Beta(k, n-k+1) at 5 % and Beta(k+1, n-k) at 95 %.
    """
    k, rest = _effective(bad, total, design_effect)
    low = 0.0 if bad == 0 else _quantile(k, rest + 1, _ONE_SIDED)
    high = 1.0 if bad == total else _quantile(k + 1, rest, 1 - _ONE_SIDED)
    return Bounds(low, high)


def evidence_verdict(bad: int, total: int, allowed_bad: Fraction, *, design_effect: Fraction = Fraction(1)) -> Verdict:
    """What `bad` of `total` events prove about a line that allows the share `allowed_bad`; no events prove nothing."""
    if total == 0:
        return Verdict.NOT_ENOUGH_DATA
    k, rest = _effective(bad, total, design_effect)
    # Which side of `allowed_bad` a bound is on needs one value of the function and no search for the bound. And one bound only:
    # the other one lies beyond the observed share, for the median of Beta(k, n-k+1) is below k/n, that of Beta(k+1, n-k) above.
    is_over = bad * allowed_bad.denominator > allowed_bad.numerator * total
    if is_over and incomplete_beta(k, rest + 1, float(allowed_bad)) < _ONE_SIDED:
        return Verdict.BREACHED
    if not is_over and _is_claimed(k, rest, allowed_bad):
        return Verdict.MET
    if total * design_effect.denominator < clean_events_needed(allowed_bad) * design_effect.numerator:
        return Verdict.NOT_ENOUGH_DATA
    return Verdict.AT_RISK


def clean_events_to_claim(bad: int, total: int, allowed_bad: Fraction, *, design_effect: Fraction = Fraction(1)) -> int:
    """How many more events, all of them good, it takes until `bad` and they prove that fewer than `allowed_bad` are bad."""
    k, rest = _effective(bad, total, design_effect) if total else (0.0, 0.0)
    if _is_claimed(k, rest, allowed_bad):
        return 0
    short, enough = 0, clean_events_needed(allowed_bad)
    while not _is_claimed(k, rest + enough, allowed_bad):
        short, enough = enough, 2 * enough
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if _is_claimed(k, rest + middle, allowed_bad) else (middle, enough)
    return math.ceil(enough * design_effect)


def _effective(bad: int, total: int, design_effect: Fraction) -> tuple[float, float]:
    """The bad and the good ones in independent events; ValueError for counts and effects that cannot be."""
    if not 0 <= bad <= total or total == 0:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    events, independent = design_effect.numerator, design_effect.denominator
    if events < independent:
        message = f"a design effect must be at least 1, not {design_effect}"
        raise ValueError(message)
    # The quotient of two whole numbers is rounded once: the float of the fraction, without making one.
    return bad * independent / events, (total - bad) * independent / events


def _is_claimed(k: float, rest: float, allowed_bad: Fraction) -> bool:
    """True when the upper bound of k bad ones beside `rest` good ones is below `allowed_bad`."""
    return rest > 0 and incomplete_beta(k + 1, rest, float(allowed_bad)) > 1 - _ONE_SIDED


def contract_holds(bad: int, total: int, allowed_bad: Fraction, *, strict: bool = False) -> bool:
    """The count rule: the observed share of bad events is within `allowed_bad`, below it when `strict`; exact.

    Raises ValueError for no events: a contract is never kept by measuring nothing.
    """
    if not 0 <= bad <= total or total == 0:
        message = f"{bad} bad of {total} events is not a count to judge"
        raise ValueError(message)
    share = Fraction(bad, total)
    return share < allowed_bad if strict else share <= allowed_bad
