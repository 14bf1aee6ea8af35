"""From one run to the events that count for one line, and whether each was good.

One place decides what is valid: an inconclusive run or step yields no event (our fault never spends the platform's budget), a
clean-up step never does, and a valid event that failed is bad and has no time, which makes it slower than any limit.
Refuses: guessing. A step without the size of its part is no event of a line that asks for small parts. Called by `slo.judgement`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from probes.records import Exchange, FailureKind, Outcome, Run, Step
from slo.objective import EventKind, EventTime, Good, Objective

__all__ = [
    "PART_ATTRIBUTE",
    "PART_BYTES_ATTRIBUTE",
    "SERVER_ERROR",
    "UNANSWERED",
    "Event",
    "answer_ns",
    "events_of",
]

PART_ATTRIBUTE = "cad.part"
PART_BYTES_ATTRIBUTE = "cad.bytes"
SERVER_ERROR = 500
UNANSWERED = (FailureKind.DNS, FailureKind.CONNECT, FailureKind.TLS, FailureKind.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Event:
    """One valid event of one line. `step_index` points at the step that decided it, in `run.steps`.

    `time_ns` is None for a failed event and for lines that compare no time.
    """

    run_id: str
    step_index: int
    good: bool
    time_ns: int | None = None


def events_of(run: Run, objective: Objective) -> tuple[Event, ...]:
    """The valid events that `run` adds to `objective`, in the order of its steps."""
    selector = objective.selector
    if run.outcome is Outcome.INCONCLUSIVE:
        return ()
    if not any(fnmatchcase(run.identity.scenario, pattern) for pattern in selector.scenarios):
        return ()
    chosen = [(index, step) for index, step in enumerate(run.steps) if _is_chosen(step, objective)]
    return tuple(_events(run, chosen, objective))


def _events(run: Run, chosen: Sequence[tuple[int, Step]], objective: Objective) -> Iterator[Event]:
    match objective.selector.event:
        case EventKind.STEP:
            return _step_events(run, chosen, objective)
        case EventKind.PART:
            return _part_events(run, chosen, objective)
        case EventKind.RUN:
            return _run_event(run, chosen, objective)
        case EventKind.REQUEST:
            return _request_events(run, chosen)
        case EventKind.SESSION:
            return _session_event(run, chosen)


def _is_chosen(step: Step, objective: Objective) -> bool:
    selector = objective.selector
    if step.cleanup or step.name not in selector.steps or step.outcome is Outcome.INCONCLUSIVE:
        return False
    if selector.part_bytes_below is None:
        return True
    part_bytes = step.attributes.get(PART_BYTES_ATTRIBUTE)
    return isinstance(part_bytes, int) and part_bytes < selector.part_bytes_below


def _judged(run: Run, index: int, *, passed: bool, time_ns: int | None, objective: Objective) -> Event:
    """Good means passed and, where there is a limit, a known time strictly below it: whole nanoseconds, no rounding."""
    if objective.limit_ns is None or not passed:
        return Event(run.run_id, index, passed)
    return Event(run.run_id, index, time_ns is not None and time_ns < objective.limit_ns, time_ns)


def _step_events(run: Run, chosen: Sequence[tuple[int, Step]], objective: Objective) -> Iterator[Event]:
    """One event per step. No request at all is no response, and a pass without the time asked for was not measured."""
    for index, step in chosen:
        passed = step.outcome is Outcome.PASS
        time_ns = _time_of(step, objective.time)
        if objective.time is EventTime.RESPONSE and not step.exchanges:
            continue
        if passed and objective.limit_ns is not None and time_ns is None:
            continue
        yield _judged(run, index, passed=passed, time_ns=time_ns, objective=objective)


def _time_of(step: Step, time: EventTime | None) -> int | None:
    match time:
        case EventTime.RESPONSE:
            return max((answer_ns(exchange) for exchange in step.exchanges), default=None)
        case EventTime.READY:
            marks = [page.ready_ns for page in step.pages if page.ready_ns is not None]
            return max(marks) if marks else None
        case EventTime.STEP | EventTime.SPAN | None:
            return step.duration_ns


def answer_ns(exchange: Exchange) -> int:
    """What the platform took: the exchange without `queue`, which is our own wait.

    Field by field and not by `total_ns`: the collector's fast decoder makes records that have no properties.
    """
    phases = exchange.phases
    return phases.dns_ns + phases.connect_ns + phases.tls_ns + phases.send_ns + phases.wait_ns + phases.receive_ns


def _part_events(run: Run, chosen: Sequence[tuple[int, Step]], objective: Objective) -> Iterator[Event]:
    """One event per part: good when its last selected step passed and none of them failed."""
    by_part: dict[object, list[tuple[int, Step]]] = {}
    for index, step in chosen:
        by_part.setdefault(step.attributes.get(PART_ATTRIBUTE, ""), []).append((index, step))
    for steps in by_part.values():
        yield from _chain_event(run, steps, objective, from_ns=0)


def _run_event(run: Run, chosen: Sequence[tuple[int, Step]], objective: Objective) -> Iterator[Event]:
    """At most one event per run: the selected steps, from `after` on when the line names one."""
    after = objective.selector.after
    if not after:
        yield from _chain_event(run, chosen, objective, from_ns=0)
        return
    gates = [(index, step) for index, step in enumerate(run.steps) if step.name == after and not step.cleanup]
    if not gates or any(step.outcome is not Outcome.PASS for _, step in gates):
        return
    last_index, last = gates[-1]
    behind = [(index, step) for index, step in chosen if index > last_index]
    yield from _chain_event(run, behind, objective, from_ns=last.started_ns + last.duration_ns)


def _chain_event(run: Run, steps: Sequence[tuple[int, Step]], objective: Objective, *, from_ns: int) -> Iterator[Event]:
    """A chain is good when it reached its last step and no step of it failed; the first failed step answers for it.

    A chain that neither failed nor reached its last step was never meant to: a scenario that only uploads says nothing
    about analyses.
    """
    failed = [index for index, step in steps if step.outcome is not Outcome.PASS]
    if failed and objective.good is Good.MEASURED:
        yield Event(run.run_id, failed[0], good=True)
    elif failed:
        yield _judged(run, failed[0], passed=False, time_ns=None, objective=objective)
    elif steps and steps[-1][1].name == objective.selector.steps[-1]:
        index, last = steps[-1]
        span_ns = last.started_ns + last.duration_ns - from_ns
        yield _judged(run, index, passed=True, time_ns=span_ns, objective=objective)


def _request_events(run: Run, chosen: Sequence[tuple[int, Step]]) -> Iterator[Event]:
    """One event per request that was sent; one that failed for a reason of ours is no event."""
    for index, step in chosen:
        for exchange in step.exchanges:
            failure = exchange.failure
            if failure is not None and failure.kind.is_ours:
                continue
            unanswered = failure is not None and failure.kind in UNANSWERED
            yield Event(run.run_id, index, not unanswered and exchange.status < SERVER_ERROR)


def _session_event(run: Run, chosen: Sequence[tuple[int, Step]]) -> Iterator[Event]:
    """One event per run that opened a page: good when no page of it threw an error that nothing caught."""
    opened = [(index, step) for index, step in chosen if step.pages]
    if not opened:
        return
    thrown = [index for index, step in opened if any(page.uncaught_errors for page in step.pages)]
    yield Event(run.run_id, thrown[0] if thrown else opened[0][0], not thrown)
