"""One run drawn: its steps with their phases, as a table when the terminal is wide enough and as stacked lines when not.

A phase that is zero in every step loses its column before the table loses its shape, and a line says so. Refuses: colour as
the only sign of anything. Called by `console.report`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from console.figures import duration_text, milliseconds_text
from console.step_rows import MARKS, PHASES, LineMark, StepRow
from probes.records import Outcome

__all__ = ["OUTCOME_STYLES", "draw_steps", "line_marks_text"]

OUTCOME_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
_INDENT = "    "


def draw_steps(rows: Sequence[StepRow], console: Console) -> list[RenderableType]:
    """What to print for `rows` on `console`: the widest form that fits."""
    used = tuple(index for index in range(len(PHASES)) if any(row.phases_ns[index] for row in rows))
    for columns in (tuple(range(len(PHASES))), used):
        table = _table(rows, columns)
        if console.measure(table).maximum <= console.width:
            return [table, *_notes(rows), *_absent_note(columns)]
    return _stacked(rows)


def _table(rows: Sequence[StepRow], columns: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("")
    table.add_column("step", no_wrap=True)
    table.add_column("total ms", justify="right", no_wrap=True)
    for column in columns:
        table.add_column(PHASES[column], justify="right", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("levels", no_wrap=True)
    for row in rows:
        cells = [milliseconds_text(row.phases_ns[column]) for column in columns]
        total = Text(milliseconds_text(row.step.duration_ns), style="bold")
        table.add_row(_mark(row), _name(row), total, *cells, _limit_text(row), line_marks_text(row.lines))
        if row.subject:
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


def _notes(rows: Sequence[StepRow]) -> list[Text]:
    return [Text(f"  {row.step.name}: {note}", style="dim") for row in rows for note in row.notes]


def _absent_note(columns: Sequence[int]) -> list[Text]:
    absent = [PHASES[index] for index in range(len(PHASES)) if index not in columns]
    return [Text(f"  {', '.join(absent)}: nothing in any step", style="dim")] if absent else []


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
        lines += [Text(f"{_INDENT}{line}", style="dim") for line in below if line]
    return lines
