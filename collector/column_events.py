"""What `slo.events` says of one run, said of all runs of a row group at once: each kind of event as arrays.

The definition is `slo.events`; this is the same in other words, held to it by a test on thousands of random runs. An array of
events does not know the limit: lines that differ in nothing else share it. Refuses kinds of events that it has no words for.

Called by `collector.column_scoring`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from collector.columns import NOTHING_NS, Bits, Numbers, Steps
from slo.objective import EventKind, EventTime, Good, Objective

__all__ = ["Events", "events_of_steps"]

ALWAYS_NS: Final = NOTHING_NS
"""A time below every limit."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of their runs: the cell and the run of each, whether it passed, the time to compare with a limit.

    `weights`, good and bad, where an entry stands for several events.
    """

    cell: Numbers
    run: Numbers
    passed: Bits
    time_ns: Numbers | None = None
    weights: tuple[Numbers, Numbers] | None = None


def events_of_steps(steps: Steps, objective: Objective) -> Events:
    """The valid events of one objective."""
    rows = _chosen(steps, objective)
    match objective.selector.event:
        case EventKind.STEP:
            return _step_events(steps, objective, rows)
        case EventKind.PART:
            part, parts = steps.part
            group = steps.run[rows].astype(np.int64) * parts + part[rows]
            order = np.argsort(group, kind="stable")
            return _chain_events(steps, objective, rows[order], group[order], None)
        case EventKind.RUN:
            return _run_events(steps, objective, rows)
        case EventKind.REQUEST:
            weights = steps.numbers("good_requests")[rows], steps.numbers("bad_requests")[rows]
            return Events(steps.cell[rows], steps.run[rows], steps.passed[rows], None, weights)
        case EventKind.SESSION:
            return _session_events(steps, rows)


def _chosen(steps: Steps, objective: Objective) -> Numbers:
    """The rows that a line looks at: its steps in its scenarios, of small enough parts, not inconclusive."""
    selector = objective.selector
    wanted = [
        name in selector.steps and any(fnmatchcase(scenario, glob) for glob in selector.scenarios)
        for scenario, name in steps.shapes
    ]
    rows = _rows_of_shapes(steps, wanted)
    rows = rows[steps.conclusive[rows]]
    if selector.part_bytes_below is not None:
        part_bytes = steps.numbers("part_bytes")[rows]
        rows = rows[(part_bytes != NOTHING_NS) & (part_bytes < selector.part_bytes_below)]
    return rows


def _rows_of_shapes(steps: Steps, wanted: list[bool]) -> Numbers:
    """The rows of some shapes; the last place of the table is for rows that nobody looks at, whose shape is -1."""
    if not any(wanted):
        return np.zeros(0, dtype=np.int64)
    table = np.array([*wanted, False], dtype=np.bool_)
    return np.flatnonzero(table.take(steps.shape))


def _step_events(steps: Steps, objective: Objective, rows: Numbers) -> Events:
    """One event per step. No request is no response, and a pass without the time asked for was not measured."""
    if objective.time is EventTime.RESPONSE:
        time_ns = steps.numbers("answer_ns")[rows]
        keep: Bits | None = time_ns != NOTHING_NS
    elif objective.time is EventTime.READY:
        time_ns = steps.numbers("ready_ns")[rows]
        keep = (time_ns != NOTHING_NS) | ~steps.passed[rows] if objective.limit_ns is not None else None
    else:
        time_ns, keep = steps.numbers("duration_ns")[rows], None
    if keep is not None and not keep.all():
        rows, time_ns = rows[keep], time_ns[keep]
    return Events(steps.cell[rows], steps.run[rows], steps.passed[rows], time_ns)


def _run_events(steps: Steps, objective: Objective, rows: Numbers) -> Events:
    """At most one event per run, from the end of `after` on where the line names it."""
    after = objective.selector.after
    if not after:
        return _chain_events(steps, objective, rows, steps.run[rows], None)
    gates = _rows_of_shapes(steps, [name == after for _, name in steps.shapes])
    last_gate = np.full(int(steps.run[-1]) + 1, -1, dtype=np.int64)
    last_gate[steps.run[gates]] = gates  # of several, numpy keeps the last
    shut = np.zeros(len(last_gate), dtype=np.bool_)
    shut[steps.run[gates[~steps.passed[gates]]]] = True
    gate = last_gate[steps.run[rows]]
    rows = rows[(gate >= 0) & (rows > gate) & ~shut[steps.run[rows]]]
    return _chain_events(steps, objective, rows, steps.run[rows], last_gate)


def _chain_events(
    steps: Steps, objective: Objective, rows: Numbers, group: Numbers, last_gate: Numbers | None
) -> Events:
    """One event per group of rows that stand together: bad when one failed, good when the last one completes it, else none."""
    if not len(rows):
        return Events(steps.cell[rows], steps.run[rows], steps.passed[rows], np.zeros(0, dtype=np.int64))
    ends = np.append(np.flatnonzero(group[1:] != group[:-1]), len(rows) - 1)
    last = rows[ends]
    passed = np.ones(len(ends), dtype=np.bool_)
    failures = np.flatnonzero(~steps.passed[rows])
    passed[np.searchsorted(ends, failures)] = False
    final = np.array([name == objective.selector.steps[-1] for _, name in steps.shapes], dtype=np.bool_)
    keep = ~passed | final[steps.shape[last]]
    last, passed = last[keep], passed[keep]
    time_ns = steps.end_ns[last]
    if last_gate is not None:
        time_ns = time_ns - steps.end_ns[last_gate[steps.run[last]]]
    if objective.good is Good.MEASURED:
        time_ns = np.where(passed, time_ns, ALWAYS_NS)
        passed = np.ones(len(last), dtype=np.bool_)
    return Events(steps.cell[last], steps.run[last], passed, time_ns)


def _session_events(steps: Steps, rows: Numbers) -> Events:
    """One event per run that opened a page: good when no page of it threw an error that nothing caught."""
    rows = rows[steps.numbers("pages")[rows] > 0]
    run = steps.run[rows]
    if not len(rows):
        return Events(steps.cell[rows], run, steps.passed[rows])
    ends = np.append(np.flatnonzero(run[1:] != run[:-1]), len(rows) - 1)
    thrown = np.flatnonzero(steps.numbers("thrown_pages")[rows] > 0)
    passed = np.ones(len(ends), dtype=np.bool_)
    passed[np.searchsorted(ends, thrown)] = False
    last = rows[ends]
    return Events(steps.cell[last], steps.run[last], passed)
