"""Stored slots as step events: one flat row for each step of a run, with all that `slo.events` looks at and nothing else.

A run without steps, and a slot that ended without a run, is one row too (`step` -1), for their silence counts. What the requests,
pages and attributes of a step come down to is worked out here, by the rules of `slo.events`, so that a file of rows is scored by
comparing numbers. Refuses times that 64 bits cannot add up, by the run's name.

Pure; called by `collector.step_export` and whoever tests what reads the rows (`collector.columns`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from probes.errors import OperatorError
from probes.ledger_entries import SlotEnd
from probes.messages import Address
from probes.records import Attribute, Exchange, Run, Step
from slo.events import PART_ATTRIBUTE, PART_BYTES_ATTRIBUTE, SERVER_ERROR, UNANSWERED, answer_ns
from slo.window import minute_of

__all__ = [
    "COLUMNS",
    "NO_STEP",
    "NUMBERS",
    "OPTIONAL",
    "STEPS_ENDING",
    "WORDS",
    "StepRow",
    "rows_of_run",
    "rows_of_silence",
]

STEPS_ENDING: Final = ".steps.parquet"
NO_STEP: Final = -1
MOST_NS: Final = 1 << 61
"""Two of them, and their difference to a third, fit into 64 bits; it is 73 years."""
INT64_MAX: Final = (1 << 63) - 1

WORDS: Final = (
    "fleet",
    "region",
    "probe",
    "scenario",
    "target",
    "run_outcome",
    "name",
    "outcome",
    "part",
    "failure",
)
"""The columns that hold words; each is the same few again and again."""
NUMBERS: Final = {
    "minute": 32,
    "attempt": 32,
    "run": 64,
    "step": 16,
    "started_ns": 64,
    "duration_ns": 64,
    "answer_ns": 64,
    "good_requests": 32,
    "bad_requests": 32,
    "pages": 32,
    "thrown_pages": 32,
    "ready_ns": 64,
    "part_bytes": 64,
}
"""The columns that hold numbers, and their bits."""
COLUMNS: Final = (
    *("minute", "fleet", "region", "probe", "scenario", "target", "attempt", "run", "run_outcome"),
    *("step", "name", "outcome", "cleanup", "failure", "started_ns", "duration_ns", "answer_ns"),
    *("good_requests", "bad_requests", "pages", "thrown_pages", "ready_ns", "part", "part_bytes"),
)
OPTIONAL: Final = frozenset({"answer_ns", "ready_ns", "part_bytes"})
"""The columns that may be null: a step has no answer, no page that was ready, no size of a part."""
StepRow = tuple[int | str | bool | None, ...]
"""The values of a row, in the order of `COLUMNS`."""
_WITHOUT_STEP: Final[StepRow] = (NO_STEP, "", "", False, "", 0, 0, None, 0, 0, 0, 0, None, "", None)


def rows_of_run(run: Run, sender: Address, number: int) -> Iterator[StepRow]:
    """The rows of a run, which has this number in its file; OperatorError for times beyond all measure."""
    identity = run.identity
    head = (minute_of(identity.slot_at), sender.fleet, sender.region, sender.probe, identity.scenario)
    slot = (*head, run.target, identity.attempt, number, run.outcome.value)
    if not run.steps:
        yield (*slot, *_WITHOUT_STEP)
    for index, step in enumerate(run.steps):
        if max(abs(step.started_ns), abs(step.duration_ns)) > MOST_NS:
            message = f"the times of run {run.run_id} are beyond what a column of step events holds"
            remedy = "Export another --last, or the whole records (FILE.parquet)"
            raise OperatorError(message, where=f"{sender} {identity.scenario} {identity.slot_at}", remedy=remedy)
        yield (*slot, index, *_step_values(step))


def rows_of_silence(slot: SlotEnd, sender: Address, number: int) -> Iterator[StepRow]:
    """The row of a slot that ended without a run: the reason stands where a run has its outcome, and it names no target."""
    head = (minute_of(slot.slot_at), sender.fleet, sender.region, sender.probe, slot.scenario)
    yield (*head, "", slot.attempt, number, slot.reason.value, *_WITHOUT_STEP)


def _step_values(step: Step) -> StepRow:
    good, bad = _requests_of(step)
    answer = max((answer_ns(exchange) for exchange in step.exchanges), default=None)
    ready = max((page.ready_ns for page in step.pages if page.ready_ns is not None), default=None)
    part_bytes = step.attributes.get(PART_BYTES_ATTRIBUTE)
    return (
        step.name,
        step.outcome.value,
        step.cleanup,
        step.failure.kind.value if step.failure else "",
        step.started_ns,
        step.duration_ns,
        _clipped(answer),
        good,
        bad,
        len(step.pages),
        sum(bool(page.uncaught_errors) for page in step.pages),
        _clipped(ready),
        _part_word(step.attributes.get(PART_ATTRIBUTE, "")),
        _clipped(int(part_bytes)) if isinstance(part_bytes, int) else None,
    )


def _requests_of(step: Step) -> tuple[int, int]:
    """How many requests of a step were answered, and how many were not; those that failed by our fault are neither."""
    good = bad = 0
    for exchange in step.exchanges:
        if exchange.failure is not None and exchange.failure.kind.is_ours:
            continue
        if _is_answered(exchange):
            good += 1
        else:
            bad += 1
    return good, bad


def _is_answered(exchange: Exchange) -> bool:
    unanswered = exchange.failure is not None and exchange.failure.kind in UNANSWERED
    return not unanswered and exchange.status < SERVER_ERROR


def _clipped(number: int | None) -> int | None:
    """The number, or the nearest that a column holds: it is only ever compared with a limit, and every limit lies between."""
    return None if number is None else max(-INT64_MAX, min(INT64_MAX, number))


def _part_word(part: Attribute) -> str:
    """A word for a part: two have the same exactly when Python takes them for equal, as it does 1, 1.0 and true."""
    if isinstance(part, str):
        return f"\0s{part}" if part.startswith("\0") else part
    return f"\0n{int(part) if part == part // 1 else part!r}"
