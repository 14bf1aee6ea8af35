"""Tiers of burn-rate alerts as data, and which of them make sense for a line.

A tier fires when a share of the whole budget goes within its long window and is still going within its short one. As a
multiple of the even pace that is the burn rate B = share x period / long window; in bad shares it is B x b, where b is what
the line allows. A line that allows much cannot burn fast: B x b >= 1 can never be exceeded. Refuses such tiers in words.
Called by `slo.burn` and whoever checks objective files. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

__all__ = [
    "DEFAULT_PRESET",
    "PERIOD_MINUTES",
    "AlertPreset",
    "AlertTier",
    "Counting",
    "FireRule",
    "Severity",
    "TierFit",
    "burn_rate_of",
    "fit_tiers",
]

PERIOD_MINUTES: Final = 43_200
"""Thirty days: burn rates of calendar months are said on this one, so that a threshold does not change on the first."""

COARSE: Final = Fraction(1, 20)
MOST_SHARE_OF_COARSE: Final = Fraction(1, 2)
FEW_ALLOWED: Final = Fraction(1, 1000)
FEWEST_ALLOWED: Final = Fraction(1, 10_000)
LEAST_BAD_OF_A_PAGE: Final = 2


class Severity(StrEnum):
    """How urgent an alert is; `report` wakes nobody."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    REPORT = "report"

    @property
    def is_page(self) -> bool:
        """Whether somebody is fetched for it at night."""
        return self in (Severity.CRITICAL, Severity.HIGH)


class Counting(StrEnum):
    """What a line counts: minutes, or events."""

    SLICES = "slices"
    EVENTS = "events"


class FireRule(StrEnum):
    """What makes a tier fire: the burn rates of both windows, or two bad minutes in a row."""

    RATES = "rates"
    TWO_IN_A_ROW = "two_in_a_row"


@dataclass(frozen=True, slots=True)
class AlertTier:
    """Fires when more than the share `budget` of the budget goes in `long_minutes`, at a pace that `short_minutes` confirm."""

    severity: Severity
    long_minutes: int
    short_minutes: int
    budget: Fraction


@dataclass(frozen=True, slots=True)
class AlertPreset:
    """Tiers under a name that objectives refer to."""

    name: str
    tiers: tuple[AlertTier, ...]


DEFAULT_PRESET: Final = AlertPreset(
    "standard",
    (
        AlertTier(Severity.CRITICAL, 60, 5, Fraction(2, 100)),
        AlertTier(Severity.HIGH, 360, 30, Fraction(5, 100)),
        AlertTier(Severity.MEDIUM, 1440, 120, Fraction(10, 100)),
        AlertTier(Severity.REPORT, 4320, 360, Fraction(10, 100)),
    ),
)
"""Burn rates 14.4, 6, 3 and 1 on thirty days. Source: the project's design, after chapter 5 of The Site Reliability Workbook."""


@dataclass(frozen=True, slots=True)
class TierFit:
    """A tier beside one line: its burn rate, the share of bad that it wants exceeded, and how it fires there.

    `refused` says why the tier is not used for this line; empty: it is.
    """

    tier: AlertTier
    allowed_bad: Fraction
    counting: Counting
    burn: Fraction
    rule: FireRule = FireRule.RATES
    refused: str = ""

    @property
    def share(self) -> Fraction:
        """Both windows must have more than this share of bad."""
        return self.burn * self.allowed_bad

    @property
    def is_usable(self) -> bool:
        """Whether the tier is used for the line."""
        return not self.refused

    @property
    def least_bad(self) -> int:
        """So many must be bad in the long window whatever the shares say: one failure alone pages nobody."""
        is_guarded = self.tier.severity.is_page and self.allowed_bad <= FEW_ALLOWED
        return LEAST_BAD_OF_A_PAGE if is_guarded else 1


def burn_rate_of(tier: AlertTier, *, period_minutes: int = PERIOD_MINUTES) -> Fraction:
    """How many times faster than evenly the budget of `period_minutes` goes when the tier fires: 14.4 for 2 % in an hour."""
    return tier.budget * period_minutes / tier.long_minutes


def fit_tiers(
    tiers: Sequence[AlertTier], allowed_bad: Fraction, counting: Counting, *, period_minutes: int = PERIOD_MINUTES
) -> tuple[TierFit, ...]:
    """Each tier for a line that allows the share `allowed_bad`: how it fires, or why it is refused.

    Raises ValueError for a share outside (0, 1): a line that allows nothing has no budget to burn.
    """
    if not 0 < allowed_bad < 1:
        message = f"burn rates need an allowed share of bad in (0, 1), not {allowed_bad}"
        raise ValueError(message)
    soonest = min(tiers, key=lambda tier: tier.long_minutes, default=None)
    return tuple(
        _fit(tier, allowed_bad, counting, burn_rate_of(tier, period_minutes=period_minutes), is_first=tier == soonest)
        for tier in tiers
    )


def _fit(tier: AlertTier, allowed_bad: Fraction, counting: Counting, burn: Fraction, *, is_first: bool) -> TierFit:
    share = burn * allowed_bad
    rates, refused = FireRule.RATES, ""
    if allowed_bad <= FEWEST_ALLOWED:
        if counting is Counting.SLICES and is_first:
            return TierFit(tier, allowed_bad, counting, burn, FireRule.TWO_IN_A_ROW)
        instead = (
            "two bad minutes in a row alert instead" if counting is Counting.SLICES else "it has no burn-rate alerts"
        )
        refused = f"a line that allows {_percent(allowed_bad)} is spent by its first failures: {instead}"
    elif share >= 1:
        refused = f"it can never fire: it wants more than {_percent(share)} bad"
    elif allowed_bad >= COARSE and share > MOST_SHARE_OF_COARSE:
        refused = f"it fires only when more than {_percent(share)} are bad; slower tiers see that line better"
    return TierFit(tier, allowed_bad, counting, burn, rates, refused)


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):g} %"
