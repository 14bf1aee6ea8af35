"""One run drawn: its steps with their phases, as a table when the terminal is wide enough and as stacked lines when not.

A phase that is zero in every step loses its column before the table loses its shape, and a line says so. Refuses: colour as
the only sign of anything. Called by `console.report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collector.texts.figures import duration_text, milliseconds_text
from console.step_rows import MARKS, PHASES, LineMark, StepRow
from probes.records import Outcome

__all__ = ["OUTCOME_STYLES", "draw_steps", "indented", "line_marks_text", "natural_width"]

OUTCOME_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
_UNBOUNDED = 10_000


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to lay the table out: which phases, where the part stands, and whether levels have a table of their own."""

    columns: tuple[int, ...]
    part_beside: bool = True
    levels_apart: bool = False


def draw_steps(rows: Sequence[StepRow], console: Console) -> list[RenderableType]:
    """What to print for `rows` on `console`: the widest form that fits."""
    every = tuple(range(len(PHASES)))
    used = tuple(index for index in every if any(row.phases_ns[index] for row in rows))
    forms = (
        _Form(every),
        _Form(used),
        _Form(used, part_beside=False),
        _Form(every, part_beside=False, levels_apart=True),
        _Form(used, part_beside=False, levels_apart=True),
    )
    for form in forms:
        tables = [
            _table(rows, form),
            *([_levels_table(rows)] if form.levels_apart and any(row.lines for row in rows) else []),
        ]
        if all(natural_width(table, console) <= console.width for table in tables):
            return [tables[0], *_notes(rows), *_absent_note(form.columns), *tables[1:]]
    return _stacked(rows)


def natural_width(table: Table, console: Console) -> int:
    """How wide `table` would like to be; a console's own measure never says more than it has."""
    return Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum


def _table(rows: Sequence[StepRow], form: _Form) -> Table:
    table = _bare_table()
    beside = form.part_beside and any(row.subject for row in rows)
    for heading in ("", "step", *(("part",) if beside else ())):
        table.add_column(heading, no_wrap=True)
    for heading in ("total ms", *(PHASES[column] for column in form.columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    if not form.levels_apart:
        table.add_column("limit ms", justify="right", no_wrap=True)
        table.add_column("levels", no_wrap=True)
    for row in rows:
        total = Text(milliseconds_text(row.step.duration_ns), style="bold")
        cells = [_mark(row), _name(row), *([Text(row.subject, style="dim")] if beside else []), total]
        cells += [Text(milliseconds_text(row.phases_ns[column])) for column in form.columns]
        cells += [] if form.levels_apart else [_limit_text(row), line_marks_text(row.lines)]
        table.add_row(*cells)
        if row.subject and not beside and not form.levels_apart:
            table.add_row("", Text(f"  {row.subject}", style="dim"))
    return table


def _levels_table(rows: Sequence[StepRow]) -> Table:
    """The steps once more with what they were compared with, for terminals where one table cannot hold both."""
    table = _bare_table()
    for heading in ("", "step", "part"):
        table.add_column(heading, no_wrap=True)
    table.add_column("limit ms", justify="right", no_wrap=True)
    table.add_column("levels", no_wrap=True)
    for row in rows:
        if not row.lines:
            continue
        part = Text(row.subject, style="dim")
        table.add_row(_mark(row), _name(row), part, _limit_text(row), line_marks_text(row.lines))
    return table


def _bare_table() -> Table:
    return Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)


def _mark(row: StepRow) -> Text:
    return Text(MARKS[row.step.outcome], style=OUTCOME_STYLES[row.step.outcome])


def _name(row: StepRow) -> Text:
    return Text(row.step.name)


def _limit_text(row: StepRow) -> Text:
    """What was compared with the strictest limit, as `1.4 < 500`; without a time the step had none to compare."""
    mark = row.strictest
    if mark is None or mark.limit_ns is None:
        return Text()
    limit = milliseconds_text(mark.limit_ns)
    if mark.time_ns is None:
        return Text(f"failed < {limit}", style="" if mark.good else "bold red")
    sign = "<" if mark.time_ns < mark.limit_ns else "≥"
    return Text(f"{milliseconds_text(mark.time_ns)} {sign} {limit}", style="" if mark.good else "bold red")


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
            limit = _limit_text(row)
            head.append_text(Text.assemble("  ", limit, " ms") if limit else Text())
            head.append("  levels ", style="dim")
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
