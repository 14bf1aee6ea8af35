"""What a line promises, in sentences: which events count, what makes one good, how many may be bad, since when.

Refuses to say how it stands (`console.explain_text` does). Called by `console.explain_text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collector.texts.figures import bytes_text, count_text, duration_text
from collector.texts.utc_text import minute_text
from console.listing import interval_text
from slo.arithmetic import number_text
from slo.fields import SECOND_NS
from slo.objective import EVERY_SCENARIO, EventKind, EventTime, Good, Objective, Quorum, Silence
from slo.obligation import Duty, Obligation, ObservationSource
from slo.pieces import Piece

__all__ = ["duty_sentences", "objective_sentences", "version_sentences"]

_GOODS = {
    Good.PASSED: "it passed",
    Good.MEASURED: "it came to an end that says something, pass or fail",
    Good.ANSWERED: "the server answered, and not with a 5xx",
    Good.NO_UNCAUGHT_ERROR: "no page threw an error that nothing caught",
}
_TIMES = {
    EventTime.STEP: "the step took",
    EventTime.RESPONSE: "its slowest answer took",
    EventTime.READY: "the page was ready in",
    EventTime.SPAN: "from the end of the step before to its own end it took",
}


def objective_sentences(line: Objective) -> Iterator[str]:
    """What counts, what is good, what a minute is, how much may be bad."""
    selector = line.selector
    scenarios, steps = _listed(selector.scenarios), _listed(selector.steps)
    what = {
        EventKind.STEP: f"each step {steps} of {scenarios}",
        EventKind.PART: f"each part that {scenarios} sends, by all its steps {steps}",
        EventKind.RUN: f"each run of {scenarios}, by its steps {steps}",
        EventKind.REQUEST: f"each request of the steps {steps} of {scenarios}",
        EventKind.SESSION: f"each browser session of {scenarios}, by its steps {steps}",
    }[selector.event]
    after = f", from the end of {selector.after} on" if selector.after else ""
    small = "" if selector.part_bytes_below is None else f", parts below {bytes_text(selector.part_bytes_below)} only"
    yield f"An event is {what}{after}{small}; runs that say nothing about the platform are none"
    limit = ""
    if line.limit_ns is not None and line.time is not None:
        limit = f", and {_TIMES[line.time]} less than {duration_text(line.limit_ns)}"
    yield f"It is good when {_GOODS[line.good]}{limit}"
    if line.slices is not None:
        yield from _minute_sentences(line)
    where = f" in {_listed(line.regions)}" if line.regions else ""
    more = "more than " if line.strict else ""
    unit = "minutes" if line.slices is not None else "events"
    yield f"Promised: {more}{number_text(line.target_share * 100)} % of the {unit}{where} are good, in {line.window.text}"


def _minute_sentences(line: Objective) -> Iterator[str]:
    rule = line.slices
    if rule is None:
        return
    quorum = {
        Quorum.MAJORITY: "most regions that can tell say so; a tie is good",
        Quorum.ANY: "no region has a single good event",
    }[rule.quorum]
    silence = "bad" if rule.silence is Silence.BAD else "unknown"
    yield f"A minute is bad when {quorum}"
    yield f"It needs {count_text(rule.min_conclusive, 'region')} that can tell; without any it is {silence}"
    if rule.max_gap_minutes is not None:
        yield f"More than {count_text(rule.max_gap_minutes, 'bad minute')} in a row are a breach"


def version_sentences(pieces: Sequence[Piece]) -> Iterator[str]:
    """Which version was in force from when to when, where there is more than one or it began in the window."""
    for piece in pieces:
        share = number_text(piece.objective.target_share * 100)
        begin, end = minute_text(piece.span.from_minute), minute_text(piece.span.until_minute)
        yield f"Version {piece.objective.version} ({share} %) counted from {begin} to {end} UTC"


def duty_sentences(duty: Obligation) -> Iterator[str]:
    """What is owed, and who reports whether it came."""
    limit = interval_text(duty.limit_ns / SECOND_NS) if duty.limit_ns is not None else ""
    yield {
        Duty.PERIODIC: f"Owed: one for every day, {interval_text((duty.deadline_minutes or 0) * 60)} after its end at the latest",
        Duty.RETENTION: f"Owed: on every day all of the last {duty.keep_days} days are there",
        Duty.DURATION: f"Owed: each episode takes less than {limit}",
        Duty.GAUGE: f"Owed: in every minute the newest good one is younger than {limit}",
    }[duty.duty]
    selector = duty.selector
    if selector.source is ObservationSource.RUNS:
        yield f"Reported by the steps {_listed(selector.steps)} of {_listed(selector.scenarios)}"
    else:
        yield f"Reported by alerts of severity {selector.severity}"
    yield f"Version {duty.version}, in {duty.window.text}"


def _listed(words: Sequence[str]) -> str:
    if EVERY_SCENARIO in words:
        return "any scenario"
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
