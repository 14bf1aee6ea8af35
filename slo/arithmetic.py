"""How a score came about, in sentences with all their numbers: so that a reader can do the sum again.

Refuses to judge a second time: the word is the score's, and the sentence says which comparison led to it. Called by the command
`slo explain`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from slo.budget import Unit
from slo.evidence import Verdict
from slo.score import EventDetail, Score, SliceDetail
from slo.slices import SliceCounts

__all__ = ["number_text", "sentences_of", "share_text"]


def number_text(number: Fraction | int) -> str:
    """`43,200`, `43.2`; `about 0.3333` where four places do not say all of it."""
    exact = Fraction(number)
    if exact.denominator == 1:
        return f"{exact.numerator:,}"
    text = f"{float(exact):,.4f}".rstrip("0").rstrip(".")
    return text if Fraction(text.replace(",", "")) == exact else f"about {text}"


def share_text(share: Fraction | float) -> str:
    """`99.9 %`, never rounded up: 99.9999 % is not all."""
    percent = share * 100
    places = 3 if percent > 99 or percent < 1 else 2
    scale = 10**places
    return f"{math.floor(percent * scale) / scale:.{places}f}".rstrip("0").rstrip(".") + " %"


def sentences_of(found: Score) -> tuple[str, ...]:
    """From what may be bad to the word, one comparison a sentence."""
    match found.detail:
        case SliceDetail():
            return tuple(_slice_sentences(found, found.detail))
        case EventDetail():
            return tuple(_event_sentences(found, found.detail))


def _percent(share: Fraction) -> str:
    """An allowed share, as exactly as it was written."""
    return f"{number_text(share * 100)} %"


# Minutes


def _slice_sentences(found: Score, detail: SliceDetail) -> Iterator[str]:
    counts, budget = detail.counts, found.budget
    left_out = f", {counts.excluded:,} left out for maintenance" if counts.excluded else ""
    to_come = f" and {counts.future:,} to come" if counts.future else ""
    yield (f"The budget is a share of {counts.eligible:,} minutes: {counts.due:,} that are over{to_come}{left_out}")
    parts = [
        f"{_percent(version.allowed_bad)} of {slices.counts.eligible:,}"
        for version, (_, slices) in zip(found.versions, detail.pieces, strict=True)
    ]
    yield f"May be bad: {' + '.join(parts)} = {number_text(budget.allowed)} minutes, which is {budget.whole:,} whole ones"
    yield f"Were bad: {counts.bad:,}; {_left(found)}"
    yield _cases(counts)
    coverage = share_text(counts.coverage) if counts.coverage is not None else "none"
    least = _percent(found.objective.min_coverage)
    yield f"Decided: {counts.conclusive:,} of {counts.due:,} minutes that are over, {coverage}; a verdict needs {least}"
    yield f"{_word(found.verdict)}: {_slice_reason(found, detail)}"


def _left(found: Score) -> str:
    budget = found.budget
    unit = "minutes" if budget.unit is Unit.MINUTES else "events"
    if budget.left < 0:
        return f"the budget is overspent by {number_text(-budget.left)} {unit}"
    share = "" if budget.left_share is None else f" ({share_text(budget.left_share)} of the budget)"
    return f"{number_text(budget.left)} {unit} are left{share}"


def _cases(counts: SliceCounts) -> str:
    if not counts.unknown:
        return "No minute is unknown: best and worst case are the same"
    worst = counts.bad + counts.unknown
    return (
        f"Unknown: {counts.unknown:,}; between {counts.bad:,} (best case) and {worst:,} minutes (worst case) were bad"
    )


def _slice_reason(found: Score, detail: SliceDetail) -> str:
    counts, budget = detail.counts, found.budget
    allowed, worst = number_text(budget.allowed), counts.bad + counts.unknown
    match found.verdict:
        case Verdict.BREACHED if detail.is_gap_breach and not budget.is_spent:
            return f"{detail.longest_bad} bad minutes in a row are a breach by themselves"
        case Verdict.BREACHED:
            return f"{counts.bad:,} bad minutes are more than {allowed}, whatever the unknown ones were"
        case Verdict.MET:
            return f"even the worst case, {worst:,}, is within {allowed}"
        case Verdict.NOT_ENOUGH_DATA:
            return _too_little(counts, allowed, is_few=not budget.covers(counts.unknown))
        case Verdict.AT_RISK:
            return _risk(found, detail, worst)


def _too_little(counts: SliceCounts, allowed: str, *, is_few: bool) -> str:
    if not counts.conclusive:
        return "not one minute was decided"
    if is_few:
        return f"{counts.unknown:,} unknown minutes are too many to tell, for {allowed} may be bad"
    return f"{counts.bad:,} bad minutes are within {allowed}, but too few minutes were decided"


def _risk(found: Score, detail: SliceDetail, worst: int) -> str:
    """An open window may be at risk for what is to come, any for what is unknown."""
    budget, allowed = found.budget, number_text(found.budget.allowed)
    if not budget.covers(worst):
        return f"{budget.bad:,} bad minutes are within {allowed}, the worst case of {worst:,} is not"
    if detail.projected_bad > budget.allowed:
        return f"at the rate so far {_tenths(detail.projected_bad)} minutes will be bad at the end, more than {allowed}"
    return "less than a quarter of the budget is left, and the window is open"


def _tenths(number: Fraction) -> str:
    return f"{float(number):,.1f}"


def _hundredths(number: Fraction) -> str:
    """A number that nobody has to do sums with."""
    return number_text(Fraction(round(number * 100), 100))


# Events


def _event_sentences(found: Score, detail: EventDetail) -> Iterator[str]:
    cell, budget = detail.cell, found.budget
    yield (
        f"Valid events: {cell.total:,} from {cell.runs:,} conclusive runs, {cell.good:,} good and {cell.bad:,} bad; "
        f"{cell.inconclusive:,} slots say nothing and count for nothing"
    )
    if not cell.total or detail.bounds is None:
        yield f"{_word(found.verdict)}: no valid event was measured"
        return
    shares = " and ".join(dict.fromkeys(_percent(version.allowed_bad) for version in found.versions))
    yield f"May be bad: {shares} of them = {number_text(budget.allowed)}, which is {budget.whole:,} whole ones; {_left(found)}"
    kept = "kept" if detail.is_within else "broken"
    yield f"The count rule is {kept}: {cell.bad:,} bad of {cell.total:,} is {share_text(Fraction(cell.bad, cell.total))}"
    yield _effect_sentence(detail)
    low, high = share_text(detail.bounds.low), share_text(detail.bounds.high)
    yield f"Of events like these {low} to {high} are bad in truth (each bound is 95 % sure)"
    yield f"{_word(found.verdict)}: {_event_reason(found, detail)}"


def _effect_sentence(detail: EventDetail) -> str:
    effect, total = detail.effect, detail.cell.total
    if effect.events == 1:
        return f"Each of the {total:,} events counts as independent"
    outages = f", and outages last {_hundredths(effect.outages)} slots" if effect.outages > 1 else ""
    return (
        f"They share the fate of {detail.clusters:,} slots ({_hundredths(effect.cluster)} events each){outages}: "
        f"design effect {_hundredths(effect.events)}, so they count as {_tenths(total / effect.events)} independent ones"
    )


def _event_reason(found: Score, detail: EventDetail) -> str:
    allowed = share_text(found.budget.allowed / detail.cell.total)
    match found.verdict:
        case Verdict.BREACHED:
            return f"the lower bound is above the {allowed} that may be bad"
        case Verdict.MET:
            return f"the upper bound is below the {allowed} that may be bad"
        case Verdict.AT_RISK:
            return f"{allowed} may be bad, and the bounds lie on both sides of it"
        case Verdict.NOT_ENOUGH_DATA:
            more = f"; {found.missing.amount:,} more good ones would do" if found.missing else ""
            return f"too few independent events for a line that allows {allowed}{more}"


def _word(verdict: Verdict) -> str:
    return verdict.value.replace("_", " ").capitalize()
