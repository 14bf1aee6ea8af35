"""How many events of a run were good and bad for many checks at once: what `slo.events` says, fast for runs that passed.

Nearly every run passes, and runs of one scenario have the same steps: so which steps a check looks at is worked out once for each
sequence of step names, and a run whose steps all passed is counted with what is left, a comparison or two per step. Everything
else is counted by `slo.events`, and a property test holds the two together. Refuses to be a second opinion: where they differ,
this one is wrong. Pure; called by `collector.scoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from probes.records import Outcome, Run, Step
from slo.events import (
    PART_ATTRIBUTE,
    PART_BYTES_ATTRIBUTE,
    SERVER_ERROR,
    UNANSWERED,
    answer_ns,
    events_of,
)
from slo.objective import EventKind, EventTime, Objective

__all__ = ["Tally", "count_events"]

PASS: Final = Outcome.PASS
MOST_SHAPES: Final = 1_000
Counts = tuple[int, int]
Counter = Callable[[Sequence[Step], Sequence[int]], Counts | None]
"""Good and bad, from the steps of a run that passed and the slowest answer of each (-1: no request); None: ask `slo.events`."""
NO_EVENT: Final = (0, 0)
GOOD: Final = (1, 0)
BAD: Final = (0, 1)


def count_events(run: Run, objective: Objective) -> Counts:
    """Good and bad events of a run for one objective, whatever the run is like."""
    events = events_of(run, objective)
    bad = sum(not event.good for event in events)
    return len(events) - bad, bad


class _Shape:
    """Runs with the same steps: `fixed` are counts that need no look at the run, `counters` fill in the others' places."""

    __slots__ = ("counters", "fixed")

    def __init__(self, objectives: Sequence[Objective], names: Sequence[str]) -> None:
        found = [counter_for(objective, names) or ask_events for objective in objectives]
        self.fixed = [FIXED.get(counter, NO_EVENT) for counter in found]
        self.counters = [(place, counter) for place, counter in enumerate(found) if counter not in FIXED]


class Tally:
    """The checks that one scenario bears on. `count` gives their counts in their order."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = tuple(objectives)
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def count(self, run: Run) -> tuple[Counts, ...]:
        """Good and bad events of a conclusive run for each check."""
        steps = run.steps
        slowest: list[int] = []
        for step in steps:
            if step.outcome is not PASS or step.cleanup:
                return tuple(count_events(run, objective) for objective in self._objectives)
            slowest.append(max(map(answer_ns, step.exchanges)) if step.exchanges else -1)
        names = tuple([step.name for step in steps])
        shape = self._shapes.get(names)
        if shape is None:
            shape = _Shape(self._objectives, names)
            if len(self._shapes) < MOST_SHAPES:
                self._shapes[names] = shape
        counts = shape.fixed.copy()
        for place, counter in shape.counters:
            counts[place] = counter(steps, slowest) or count_events(run, self._objectives[place])
        return tuple(counts)


def ask_events(_steps: Sequence[Step], _slowest: Sequence[int]) -> Counts | None:
    """No way that is faster."""
    return None


def counter_for(objective: Objective, names: Sequence[str]) -> Counter | None:
    """How a check counts steps of these names that all passed; None: as `slo.events` does it."""
    selector = objective.selector
    places = [place for place, name in enumerate(names) if name in selector.steps]
    if not places:
        return no_events
    match selector.event:
        case EventKind.STEP:
            return counter_of_steps(objective, places)
        case EventKind.REQUEST | EventKind.SESSION if selector.part_bytes_below is None:
            is_request = selector.event is EventKind.REQUEST
            return counter_of_requests(places) if is_request else counter_of_session(places)
        case EventKind.RUN if selector.part_bytes_below is None:
            return counter_of_run(objective, places, names)
        case EventKind.PART if selector.part_bytes_below is None and objective.limit_ns is None:
            return counter_of_part(places) if names[places[-1]] == selector.steps[-1] else None
    return None


def counter_of_steps(objective: Objective, places: Sequence[int]) -> Counter | None:
    """One event per step, by its slowest answer, its own time, or nothing but that it passed."""
    limit_ns = objective.limit_ns
    if objective.time is EventTime.RESPONSE and limit_ns is not None and objective.selector.part_bytes_below is None:
        return counter_of_answers(places, limit_ns)
    if objective.time is EventTime.STEP and limit_ns is not None:
        return counter_of_times(places, limit_ns, objective.selector.part_bytes_below)
    if objective.time is EventTime.READY and limit_ns is not None and objective.selector.part_bytes_below is None:
        return counter_of_ready(places, limit_ns)
    return None


def no_events(_steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
    """None of the steps is one that the check looks at."""
    return NO_EVENT


def one_good_event(_steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
    """Whatever it took, it passed."""
    return GOOD


def counter_of_answers(places: Sequence[int], limit_ns: int) -> Counter:
    """One event per step that asked something: good when its slowest answer came below the limit."""
    if len(places) == 1:
        (only,) = places

        def count_one(_steps: Sequence[Step], slowest: Sequence[int]) -> Counts:
            time_ns = slowest[only]
            if time_ns < 0:
                return NO_EVENT
            return GOOD if time_ns < limit_ns else BAD

        return count_one

    def count(_steps: Sequence[Step], slowest: Sequence[int]) -> Counts:
        good = bad = 0
        for place in places:
            time_ns = slowest[place]
            if time_ns >= limit_ns:
                bad += 1
            elif time_ns >= 0:
                good += 1
        return good, bad

    return count


def counter_of_requests(places: Sequence[int]) -> Counter:
    """One event per request; those that failed in a step that passed are counted the slow way."""

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
        good = bad = 0
        for place in places:
            for exchange in steps[place].exchanges:
                failure = exchange.failure
                if failure is not None and failure.kind.is_ours:
                    continue
                if exchange.status >= SERVER_ERROR or (failure is not None and failure.kind in UNANSWERED):
                    bad += 1
                else:
                    good += 1
        return good, bad

    return count


def counter_of_times(places: Sequence[int], limit_ns: int, part_bytes_below: int | None) -> Counter:
    """One event per step of a part that is small enough: good when the step took less than the limit."""

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
        good = bad = 0
        for place in places:
            step = steps[place]
            if part_bytes_below is not None:
                part_bytes = step.attributes.get(PART_BYTES_ATTRIBUTE)
                if not isinstance(part_bytes, int) or part_bytes >= part_bytes_below:
                    continue
            if step.duration_ns < limit_ns:
                good += 1
            else:
                bad += 1
        return good, bad

    return count


def counter_of_ready(places: Sequence[int], limit_ns: int) -> Counter:
    """One event per step with a page that said when it was ready: good when the last one was below the limit."""

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
        good = bad = 0
        for place in places:
            marks = [page.ready_ns for page in steps[place].pages if page.ready_ns is not None]
            if not marks:
                continue
            if max(marks) < limit_ns:
                good += 1
            else:
                bad += 1
        return good, bad

    return count


def counter_of_session(places: Sequence[int]) -> Counter:
    """One event per run that opened a page: good when no page threw an error that nothing caught."""

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
        found = NO_EVENT
        for place in places:
            pages = steps[place].pages
            if pages:
                found = GOOD
                for page in pages:
                    if page.uncaught_errors:
                        return BAD
        return found

    return count


def counter_of_run(objective: Objective, places: Sequence[int], names: Sequence[str]) -> Counter:
    """One event per run that reached its last step, behind the step that it starts after, where it names one."""
    selector, limit_ns = objective.selector, objective.limit_ns
    gate = -1
    if selector.after:
        gates = [place for place, name in enumerate(names) if name == selector.after]
        if not gates:
            return no_events
        gate = gates[-1]
    behind = [place for place in places if place > gate]
    if not behind or names[behind[-1]] != selector.steps[-1]:
        return no_events
    last = behind[-1]
    if limit_ns is None:
        return one_good_event

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts:
        from_ns = steps[gate].started_ns + steps[gate].duration_ns if gate >= 0 else 0
        return GOOD if steps[last].started_ns + steps[last].duration_ns - from_ns < limit_ns else BAD

    return count


def counter_of_part(places: Sequence[int]) -> Counter:
    """One event per part; the steps of a run mostly have one part, then it is one event."""
    first, others = places[0], places[1:]

    def count(steps: Sequence[Step], _slowest: Sequence[int]) -> Counts | None:
        part = steps[first].attributes.get(PART_ATTRIBUTE, "")
        for place in others:
            if steps[place].attributes.get(PART_ATTRIBUTE, "") != part:
                return None
        return GOOD

    return count


FIXED: Final[dict[Counter, Counts]] = {no_events: NO_EVENT, one_good_event: GOOD}
"""Counters that say the same of every run."""
