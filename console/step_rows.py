"""One run's steps as rows: the text of every cell, before anybody decides how wide the table is.

Sums the phases of a step's requests; what is left of the step is `other` (waiting between polls, the browser, the script).
Refuses: judging (that is `slo`) and drawing (that is `console.step_table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.texts.figures import bytes_text
from collector.texts.step_texts import step_notes
from probes.records import Outcome, Run, Step
from slo.events import PART_ATTRIBUTE, PART_BYTES_ATTRIBUTE
from slo.judgement import LineJudgement

__all__ = ["MARKS", "PHASES", "LineMark", "StepRow", "phases_of", "step_rows", "step_subject"]

PHASES = ("queue", "dns", "connect", "tls", "send", "wait", "receive", "other")
MARKS: Mapping[Outcome, str] = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.INCONCLUSIVE: "?"}
_DAY_ATTRIBUTE = "backup.day"


@dataclass(frozen=True, slots=True)
class LineMark:
    """One service level that a step bears on: whether it was good, and the time that was compared with the limit.

    `time_ns` is not always the step's own: it may be the slowest answer in it, the page's ready mark or a span of steps.
    """

    line: str
    good: bool
    limit_ns: int | None = None
    time_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step, ready to print: `phases_ns` has one entry for each of `PHASES`, `notes` are whole lines below it."""

    step: Step
    subject: str
    phases_ns: tuple[int, ...]
    lines: tuple[LineMark, ...]
    notes: tuple[str, ...]

    @property
    def strictest(self) -> LineMark | None:
        """The line that sets this step its strictest limit."""
        limited = [mark for mark in self.lines if mark.limit_ns is not None]
        return min(limited, key=lambda mark: mark.limit_ns or 0, default=None)


def step_rows(run: Run, judgements: tuple[LineJudgement, ...]) -> tuple[StepRow, ...]:
    """Every step of the journey of `run` with what the lines in `judgements` say about it; clean-up is not part of it."""
    return tuple(
        StepRow(
            step=step,
            subject=step_subject(step),
            phases_ns=phases_of(step),
            lines=_lines_of(run, index, judgements),
            notes=tuple(step_notes(step)),
        )
        for index, step in enumerate(run.steps)
        if not step.cleanup
    )


def step_subject(step: Step) -> str:
    """What tells steps of one name apart: the part and its size, the day of a backup, or nothing."""
    if _DAY_ATTRIBUTE in step.attributes:
        return str(step.attributes[_DAY_ATTRIBUTE])
    part = step.attributes.get(PART_ATTRIBUTE, "")
    size_bytes = step.attributes.get(PART_BYTES_ATTRIBUTE)
    return f"{part} {bytes_text(size_bytes)}" if part and isinstance(size_bytes, int) else str(part)


def phases_of(step: Step) -> tuple[int, ...]:
    """The seven phases summed over the step's requests, and the rest of the step; in the order of `PHASES`."""
    phases = [exchange.phases for exchange in step.exchanges]
    sums = tuple(sum(getattr(phase, f"{name}_ns") for phase in phases) for name in PHASES[:-1])
    return (*sums, max(0, step.duration_ns - sum(sums)))


def _lines_of(run: Run, index: int, judgements: tuple[LineJudgement, ...]) -> tuple[LineMark, ...]:
    marks = []
    for judgement in judgements:
        mine = [event for event in judgement.events if event.run_id == run.run_id and event.step_index == index]
        if mine:
            times = [event.time_ns for event in mine if event.time_ns is not None]
            good = all(event.good for event in mine)
            marks.append(
                LineMark(judgement.objective.line, good, judgement.objective.limit_ns, max(times, default=None))
            )
    return tuple(marks)
