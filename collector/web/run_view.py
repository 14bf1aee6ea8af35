"""One run as its page shows it: bars of a waterfall, what was checked, how fit the host was, and what differs from a good run.

Pure: records in, frozen values out. Whatever a probe or a platform wrote stays text, to be escaped by the template. Refuses to
draw. Called by `collector.web.routes_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from collector.texts.run_difference import differences, steps_by_place
from collector.texts.step_texts import path_of, step_notes
from collector.web.evidence_files import Presence
from collector.web.outcome_words import STATES
from probes.records import Exchange, Run, Step

__all__ = ["PHASES", "Bar", "Piece", "RunView", "StepBeside", "run_view_of"]

PHASES: Final = ("queue", "dns", "connect", "tls", "send", "wait", "receive")
MOST_REQUESTS_OF_A_STEP: Final = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar: `kind` is a phase or `step`; start and length in ns since the run began."""

    kind: str
    start_ns: int
    length_ns: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the waterfall. `state` is good, bad, warn or none; a request has its method, path and status as label."""

    label: str
    state: str
    length_ns: int
    pieces: tuple[Piece, ...]
    is_step: bool = False
    is_cleanup: bool = False


@dataclass(frozen=True, slots=True)
class StepBeside:
    """A step of this run beside the one of that name and turn in the good run; None: it was not reached there."""

    label: str
    this: Step | None
    good: Step | None


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything the page has. `notes` are sentences about each step, by its place.

    `presences` say of each piece of evidence, by its place, whether it can be opened here.
    """

    run: Run
    state: str
    end_ns: int
    bars: tuple[Bar, ...]
    notes: tuple[tuple[str, ...], ...]
    nearest: Run | None
    steps_beside: tuple[StepBeside, ...]
    differences: tuple[str, ...]
    is_unfit: bool
    presences: tuple[Presence, ...]


def run_view_of(
    run: Run, nearest: Run | None, *, is_unfit: bool = False, presences: Sequence[Presence] = ()
) -> RunView:
    """The view of a run beside the nearest good one."""
    ends = [step.started_ns + step.duration_ns for step in run.steps]
    return RunView(
        run=run,
        state="none" if is_unfit else STATES[run.outcome],
        end_ns=max(run.duration_ns, *ends, 1) if ends else max(run.duration_ns, 1),
        bars=tuple(bar for step in run.steps for bar in _bars_of(step)),
        notes=tuple(tuple(_notes_of(step)) for step in run.steps),
        nearest=nearest,
        steps_beside=tuple(_steps_beside(run, nearest)) if nearest is not None else (),
        differences=differences(run, nearest) if nearest is not None else (),
        is_unfit=is_unfit,
        presences=tuple(presences) or (Presence.NOT_HERE,) * len(run.evidence),
    )


def _bars_of(step: Step) -> Iterator[Bar]:
    whole = Piece("step", step.started_ns, step.duration_ns)
    yield Bar(step.name, STATES[step.outcome], step.duration_ns, (whole,), is_step=True, is_cleanup=step.cleanup)
    for exchange in step.exchanges[:MOST_REQUESTS_OF_A_STEP]:
        state = "bad" if exchange.failure is not None else "none"
        length_ns = exchange.phases.total_ns
        yield Bar(_label_of(exchange), state, length_ns, tuple(_pieces_of(exchange)), is_cleanup=step.cleanup)
    if len(hidden := step.exchanges[MOST_REQUESTS_OF_A_STEP:]):
        pieces = tuple(piece for exchange in hidden for piece in _pieces_of(exchange))
        length_ns = sum(exchange.phases.total_ns for exchange in hidden)
        yield Bar(f"and {len(hidden)} more requests", "none", length_ns, pieces, is_cleanup=step.cleanup)


def _pieces_of(exchange: Exchange) -> Iterator[Piece]:
    start_ns = exchange.started_ns
    for name in PHASES:
        length_ns: int = getattr(exchange.phases, f"{name}_ns")
        if length_ns:
            yield Piece(name, start_ns, length_ns)
        start_ns += length_ns


def _label_of(exchange: Exchange) -> str:
    return f"{exchange.status or 'no answer'} {exchange.method} {path_of(exchange.url)}"


def _notes_of(step: Step) -> Iterator[str]:
    yield from step_notes(step)
    for page in step.pages:
        yield from (f"uncaught error in the page: {error}" for error in page.uncaught_errors)
        yield from (f"a request of the page failed: {request}" for request in page.failed_requests)
    for exchange in step.exchanges:
        if exchange.failure is not None and exchange.failure != step.failure:
            yield f"{_label_of(exchange)}: {exchange.failure.kind.value}: {exchange.failure.message}"
    yield from (f"{name} = {value}" for name, value in sorted(step.attributes.items()))


def _steps_beside(run: Run, good: Run) -> Iterator[StepBeside]:
    mine, others = steps_by_place(run), steps_by_place(good)
    for place, step in mine.items():
        yield StepBeside(step.name, step, others.get(place))
    for place, step in others.items():
        if place not in mine:
            yield StepBeside(step.name, None, step)
