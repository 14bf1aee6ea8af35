"""The figures of a scorecard in words: shares, budgets, windows, instants, what a line measures and what it lacks.

Rounding never turns one verdict into another: a share is rounded down (99.8999 % stays below 99.9 %), what is over a budget is
rounded up, and 100 % means all of them. Refuses layout.
Called by `collector.texts.scorecard_rows` and `collector.texts.scorecard_duties`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from collector.texts.figures import count_text
from slo.budget import Budget, Unit
from slo.burn import Cause, TierBurn
from slo.evidence import Verdict
from slo.fields import SECOND_NS
from slo.objective import EventKind, EventTime, Good, Objective, Quorum, Silence
from slo.score import Missing, Phase
from slo.window import CalendarMonths, Span, Window, instant_of_minute

__all__ = [
    "amount_text",
    "burn_cell",
    "burn_text",
    "instant_text",
    "left_cell",
    "left_text",
    "limit_text",
    "minutes_text",
    "missing_text",
    "percent_text",
    "sli_text",
    "span_text",
    "target_text",
    "verdict_word",
    "window_text",
]

DECIMALS: Final = 3
MOST_DECIMALS: Final = 9
AMOUNT_DECIMALS: Final = 2
MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 1440
_WORDS: Final = {
    Verdict.MET: "met",
    Verdict.BREACHED: "breached",
    Verdict.AT_RISK: "at risk",
    Verdict.NOT_ENOUGH_DATA: "not enough data",
}
_KINDS: Final = {
    EventKind.STEP: "steps",
    EventKind.PART: "parts",
    EventKind.RUN: "runs",
    EventKind.REQUEST: "requests",
    EventKind.SESSION: "browser sessions",
}
_GOODS: Final = {
    Good.PASSED: "that passed",
    Good.MEASURED: "that came to an end",
    Good.ANSWERED: "that were answered, and not with a server error",
    Good.NO_UNCAUGHT_ERROR: "without an uncaught error",
}
_TIMES: Final = {
    EventTime.STEP: "in",
    EventTime.RESPONSE: "with every answer in",
    EventTime.READY: "and were ready in",
    EventTime.SPAN: "and were complete in",
}


def verdict_word(verdict: Verdict) -> str:
    """The verdict as people read it."""
    return _WORDS[verdict]


def percent_text(share: Fraction | float, *, rounds_up: bool = False) -> str:
    """A share in percent, rounded down (or up) to three decimals, or to more where it would look like all of them."""
    exact = Fraction(share)
    bad_percent = (1 - exact) * 100
    decimals = DECIMALS
    while not rounds_up and 0 < bad_percent < Fraction(1, 10**decimals) and decimals < MOST_DECIMALS:
        decimals += 1
    return f"{_decimal(exact * 100, decimals, rounds_up=rounds_up)} %"


def amount_text(amount: Fraction, *, rounds_up: bool = False) -> str:
    """Minutes or events, rounded down (or up) to hundredths: `23.2`, `22,433`."""
    return _decimal(amount, AMOUNT_DECIMALS, rounds_up=rounds_up)


def _decimal(number: Fraction, decimals: int, *, rounds_up: bool) -> str:
    scaled = number * 10**decimals
    whole = math.ceil(scaled) if rounds_up else math.floor(scaled)
    text = f"{Decimal(whole).scaleb(-decimals):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def minutes_text(minutes: int) -> str:
    """How long so many minutes are: `45 min`, `3 h 20 min`, `2 d 4 h`."""
    if minutes < MINUTES_PER_HOUR:
        return f"{minutes} min"
    if minutes < 2 * MINUTES_PER_DAY:
        return _two_parts(minutes, MINUTES_PER_HOUR, "h", "min")
    return _two_parts(-(-minutes // MINUTES_PER_HOUR), MINUTES_PER_DAY // MINUTES_PER_HOUR, "d", "h")


def _two_parts(count: int, size: int, unit: str, smaller: str) -> str:
    whole, rest = divmod(count, size)
    return f"{whole:,} {unit} {rest} {smaller}" if rest else f"{whole:,} {unit}"


def instant_text(instant: datetime) -> str:
    """An instant to the minute, in UTC and saying so."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def window_text(window: Window, span: Span) -> str:
    """Which window it is, and of which kind: `2026-09 (calendar month, UTC)`, `30d (rolling)`."""
    if span.name.endswith("d"):
        return f"{span.name} (rolling)"
    return f"{span.name} (calendar month, {window.zone if isinstance(window, CalendarMonths) else 'UTC'})"


def span_text(window: Window, span: Span) -> str:
    """The same with both ends and its length."""
    ends = f"{instant_text(span.from_at)} to {instant_text(span.until_at)}"
    return f"{window_text(window, span)}: {ends}, {span.minutes:,} minutes"


def limit_text(limit_ns: int) -> str:
    """A limit as it was written: `500 ms`, `30 s`, `4 h`."""
    seconds = Fraction(limit_ns, SECOND_NS)
    if seconds < 1:
        return f"{float(seconds * 1000):g} ms"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{float(seconds):g} s"


def sli_text(objective: Objective) -> str:
    """What the share is a share of, and what makes one good."""
    what = _event_text(objective)
    rule = objective.slices
    if rule is None:
        return what
    if rule.quorum is Quorum.ANY:
        decided = f"minutes in which at least one region had {what}"
    else:
        decided = f"minutes in which most regions that could tell had {what}"
    return f"{decided}; silence counts as bad" if rule.silence is Silence.BAD else decided


def _event_text(objective: Objective) -> str:
    selector = objective.selector
    whose = "every scenario" if selector.is_of_all else ", ".join(selector.scenarios)
    steps = f" ({', '.join(selector.steps)})" if selector.steps and selector.event is EventKind.STEP else ""
    parts = "" if selector.part_bytes_below is None else f" with parts below {selector.part_bytes_below:,} bytes"
    after = f", after step {selector.after}" if selector.after else ""
    good = _GOODS[objective.good]
    if objective.limit_ns is not None and objective.time is not None:
        good += f" {_TIMES[objective.time]} less than {limit_text(objective.limit_ns)}"
    return f"{_KINDS[selector.event]} of {whose}{steps}{parts}{after} {good}"


def target_text(objective: Objective) -> str:
    """What the share must be."""
    word = "more than" if objective.strict else "at least"
    return f"{word} {percent_text(objective.target_share)}"


def left_cell(budget: Budget) -> str:
    """What is left of the budget, short: `23.2 min`, `22,433 events`, `6 over`."""
    unit = "min" if budget.unit is Unit.MINUTES else "events"
    if budget.left < 0:
        return f"{amount_text(-budget.left, rounds_up=True)} {unit} over"
    return f"{amount_text(budget.left)} {unit}"


def left_text(budget: Budget) -> str:
    """The same in full, with what it is left of."""
    unit, allowed = budget.unit.value, amount_text(budget.allowed)
    rule = f"fewer than {allowed} may be" if budget.is_strict else f"{allowed} may be"
    if budget.left < 0:
        return f"{amount_text(-budget.left, rounds_up=True)} {unit} over: {budget.bad:,} were bad, {rule}"
    share = budget.left_share
    rest = "" if share is None else f" ({percent_text(share)})"
    return f"{amount_text(budget.left)} {unit} left{rest}: {budget.bad:,} were bad, {rule}"


def burn_cell(burn: Sequence[TierBurn]) -> str:
    """The burn rate of the shortest long window, and whether an alert is on."""
    if not burn:
        return ""
    first = min(burn, key=lambda one: one.fit.tier.long_minutes)
    if first.long_burn is None:
        return "?"
    alarm = "!" if any(one.cause is Cause.BURN for one in burn) else ""
    return f"{_rate(first.long_burn)}{alarm}"


def burn_text(burn: Sequence[TierBurn]) -> str:
    """Every tier's rates, and which alerts are on."""
    told, widest = [], max((one.fit.tier.long_minutes for one in burn), default=0)
    if burn and all(one.long_burn is None for one in burn):
        at = instant_text(instant_of_minute(burn[0].minute))
        return f"unknown: nothing conclusive within {minutes_text(widest)}, as of {at}"
    for one in burn:
        tier = one.fit.tier
        rates = f"{_rate(one.long_burn)} over {minutes_text(tier.long_minutes)}, {_rate(one.short_burn)} over"
        state = {None: "", Cause.BURN: ": ALERT", Cause.NO_DATA: ": too little data to tell"}[one.cause]
        told.append(
            f"{tier.severity.value} {rates} {minutes_text(tier.short_minutes)} (alerts above {_rate(one.fit.burn)}){state}"
        )
    at = instant_text(instant_of_minute(burn[0].minute)) if burn else ""
    return f"{'; '.join(told)}; as of {at}" if told else ""


def _rate(rate: Fraction | None) -> str:
    return "unknown" if rate is None else f"{_decimal(rate, 1, rounds_up=True)}x"


def missing_text(missing: Missing, unit: Unit, phase: Phase, verdict: Verdict) -> str:
    """How much more it takes for a verdict, and how long that is at the present rate."""
    noun = "minute" if unit is Unit.MINUTES else "event"
    what = f"{missing.amount:,} more {count_text(missing.amount, noun).split()[-1]}, all good,"
    aim = "would prove it" if verdict is Verdict.AT_RISK else "would be enough for a verdict"
    if missing.minutes is None:
        why = "the window does not hold that many" if unit is Unit.MINUTES else "none arrive at present"
        if phase is not Phase.PROVISIONAL:
            why = "only late records can bring them"
        return f"{what} {aim}; {why}"
    when = "it would have taken" if phase is not Phase.PROVISIONAL else "at the present rate that takes"
    return f"{what} {aim}; {when} {minutes_text(missing.minutes)}{' more' if phase is not Phase.PROVISIONAL else ''}"
