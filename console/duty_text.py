"""Why an obligation stands as it does: its days or episodes, or the minutes of an age, as lines.

Refuses to judge. Called by `console.explain_text`.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.texts.figures import count_text, duration_text, printable
from collector.texts.utc_text import instant_text, length_text, minute_text
from console.text_line import Line
from slo.bitmaps import runs
from slo.duties import DutyScore, DutyState, SubjectState
from slo.duty_gauge import GaugeMinutes

__all__ = ["duty_lines"]

_SUBJECTS = 12
_STRETCHES = 6
_TELLING = (DutyState.VIOLATED, DutyState.RUNNING, DutyState.PENDING, DutyState.SATISFIED, DutyState.MET)


def duty_lines(score: DutyScore) -> Iterator[Line]:
    """The word, what is missing for another, and what it rests on; most telling first."""
    yield Line(f"{score.verdict.value.replace('_', ' ').capitalize()}: {_reason(score)}", style="bold")
    if score.missing:
        yield Line(f"Missing: {score.missing}")
    if score.minutes is not None:
        yield from _gauge_lines(score, score.minutes)
        return
    shown = sorted(score.subjects, key=_telling)[:_SUBJECTS]
    for one in shown:
        yield from _subject_lines(one)
    if hidden := len(score.subjects) - len(shown):
        yield Line(f"{hidden:,} more not listed")


def _reason(score: DutyScore) -> str:
    if score.minutes is not None:
        gauge = score.minutes
        bad, unknown = gauge.bad.bit_count(), gauge.unknown.bit_count()
        return f"{bad:,} bad minutes and {unknown:,} unknown ones; each minute is promised"
    counts = [f"{count} {state.value}" for state, count in score.counts.items() if count]
    return ", ".join(counts) or "nothing to judge in this window"


def _telling(one: SubjectState) -> int:
    return _TELLING.index(one.state) if one.state in _TELLING else len(_TELLING)


def _subject_lines(one: SubjectState) -> Iterator[Line]:
    value = "" if one.value_ns is None else f", {duration_text(one.value_ns)}"
    due = "" if one.due_at is None else f"; due {instant_text(one.due_at)} UTC"
    style = "red" if one.state is DutyState.VIOLATED else ""
    yield Line(f"{printable(one.subject)}: {one.state.value}, {one.reason}{value}{due}", style=style)
    if one.run_id:
        yield Line(f"run {printable(one.run_id)}", indent=4, style="dim")


def _gauge_lines(score: DutyScore, gauge: GaugeMinutes) -> Iterator[Line]:
    named = {
        "good": gauge.good,
        "bad": gauge.bad,
        "unknown": gauge.unknown,
        "left out": gauge.excluded,
        "to come": gauge.future,
    }
    yield Line(", ".join(f"{bits.bit_count():,} {name}" for name, bits in named.items()) + " minutes")
    for name in ("bad", "unknown"):
        found = list(runs(named[name]))
        for start, length in found[:_STRETCHES]:
            yield Line(
                f"{name} from {minute_text(score.span.from_minute + start)} UTC for {length_text(length)}", indent=4
            )
        if len(found) > _STRETCHES:
            yield Line(f"{len(found) - _STRETCHES:,} later {name} stretches not listed", indent=4)
    if gauge.unread:
        yield Line(f"{count_text(gauge.unread, 'observation')} named no instant and said nothing")
