"""One run drawn: its steps with their phases, as a table when the terminal is wide enough and as stacked lines when not.

A phase that is zero in every step loses its column before the table loses its shape, and a line says so. Refuses: colour as
the only sign of anything. Called by `console.report`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.figures import duration_text, milliseconds_text
from console.step_rows import MARKS, PHASES, LineMark, StepRow
from probes.records import Outcome

__all__ = ["OUTCOME_STYLES", "draw_steps", "indented", "line_marks_text", "natural_width"]

OUTCOME_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
_UNBOUNDED = 10_000


def draw_steps(rows: Sequence[StepRow], console: Console) -> list[RenderableType]:
    """What to print for `rows` on `console`: the widest form that fits."""
    every = tuple(range(len(PHASES)))
    used = tuple(index for index in every if any(row.phases_ns[index] for row in rows))
    for columns, subject_beside in ((every, True), (used, True), (used, False)):
        table = _table(rows, columns, subject_beside=subject_beside)
        if natural_width(table, console) <= console.width:
            return [table, *_notes(rows), *_absent_note(columns)]
    return _stacked(rows)


def natural_width(table: Table, console: Console) -> int:
    """How wide `table` would like to be; a console's own measure never says more than it has."""
    return Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum


def _table(rows: Sequence[StepRow], columns: Sequence[int], *, subject_beside: bool) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    beside = subject_beside and any(row.subject for row in rows)
    for heading in ("", "step", *(("part",) if beside else ())):
        table.add_column(heading, no_wrap=True)
    for heading in ("total ms", *(PHASES[column] for column in columns), "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("levels", no_wrap=True)
    for row in rows:
        cells = [milliseconds_text(row.phases_ns[column]) for column in columns]
        total = Text(milliseconds_text(row.step.duration_ns), style="bold")
        part = [Text(row.subject, style="dim")] if beside else []
        table.add_row(_mark(row), _name(row), *part, total, *cells, _limit_text(row), line_marks_text(row.lines))
        if row.subject and not beside:
            table.add_row("", Text(f"  {row.subject}", style="dim"))
    return table


def _mark(row: StepRow) -> Text:
    return Text(MARKS[row.step.outcome], style=OUTCOME_STYLES[row.step.outcome])


def _name(row: StepRow) -> Text:
    return Text(f"{row.step.name} (clean-up)" if row.step.cleanup else row.step.name)


def _limit_text(row: StepRow) -> str:
    return "" if row.limit_ns is None else f"< {milliseconds_text(row.limit_ns)}"


def line_marks_text(marks: Sequence[LineMark]) -> Text:
    """The numbers of the lines that a step bears on; a line that it broke is marked `✗`."""
    text = Text()
    for mark in marks:
        text.append(" " if text else "")
        text.append(mark.line if mark.good else f"✗{mark.line}", style="" if mark.good else "bold red")
    return text


def indented(text: Text, columns: int = 2) -> Padding:
    """`text` set in by `columns`, its further lines too."""
    return Padding(text, (0, 0, 0, columns), expand=False)


def _notes(rows: Sequence[StepRow]) -> list[Padding]:
    return [indented(Text(f"{row.step.name}: {note}", style="dim")) for row in rows for note in row.notes]


def _absent_note(columns: Sequence[int]) -> list[Padding]:
    absent = [PHASES[index] for index in range(len(PHASES)) if index not in columns]
    return [indented(Text(f"{', '.join(absent)}: nothing in any step", style="dim"))] if absent else []


def _stacked(rows: Sequence[StepRow]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for row in rows:
        head = Text.assemble(_mark(row), " ", _name(row), "  ", (duration_text(row.step.duration_ns), "bold"))
        if row.lines:
            limit = "" if row.limit_ns is None else f" (limit {duration_text(row.limit_ns)})"
            head.append(f"{limit}  levels ", style="dim")
            head.append_text(line_marks_text(row.lines))
        lines.append(head)
        phases = [
            f"{name} {milliseconds_text(value)}"
            for name, value in zip(PHASES, row.phases_ns, strict=True)
            if value and name != "other"
        ]
        below = [row.subject, f"{', '.join(phases)} ms" if phases else "", *row.notes]
        lines += [indented(Text(line, style="dim"), 4) for line in below if line]
    return lines
