"""What a tier of alerts stands for, in words. Pure; called by alerts, and by the commands and pages that list them."""

from __future__ import annotations

from collector.texts.utc_text import length_text
from slo.arithmetic import number_text
from slo.burn_tiers import FireRule, TierFit

__all__ = ["meaning_of"]


def meaning_of(fit: TierFit) -> str:
    """What a tier stands for on this line, in words."""
    if fit.rule is FireRule.TWO_IN_A_ROW:
        return "two bad minutes in a row"
    tier = fit.tier
    return (
        f"more than {number_text(fit.share * 100)} % bad in {length_text(tier.long_minutes)} and in "
        f"{length_text(tier.short_minutes)} (burn rate {number_text(fit.burn)}, {number_text(tier.budget * 100)} % of the budget)"
    )
