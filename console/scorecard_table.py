"""The report in a terminal: a table where it fits, short lines where it does not, and below it whatever is not simply met.

Refuses to cut anything off: what is too wide wraps. Called by `console.report_command`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collector.texts.figures import printable
from collector.texts.scorecard_page import ReportPage, Section
from collector.texts.scorecard_rows import Fact, RegionRow, Row, Tone
from console.narrow import Entry, draw_entries

__all__ = ["print_page"]

WIDE: Final = 76
BESIDE: Final = 60
WIDEST_VERDICT: Final = len("not enough data")
STYLES: Final = {Tone.GOOD: "green", Tone.BAD: "bold red", Tone.WARN: "yellow", Tone.NONE: ""}


def print_page(page: ReportPage, console: Console, *, in_full: bool) -> None:
    """Draw all of it; `in_full` tells everything about each line, else only about those that are not simply met."""
    console.print(Text(printable(page.title), style="bold"))
    console.print(_facts(page.about, console))
    if page.what_if:
        console.print(Text(printable(page.what_if), style="bold yellow"))
    console.print(Text(printable(page.headline)))
    for section in page.sections:
        _print_section(section, console, in_full=in_full)
    for note in page.notes:
        console.print()
        console.print(Text(printable(note)))


def _print_section(section: Section, console: Console, *, in_full: bool) -> None:
    console.print()
    console.print(Text(section.title, style="bold"))
    if console.width >= WIDE:
        console.print(_table(section.rows))
    else:
        console.print(draw_entries([_entry(row) for row in section.rows]))
    for row in section.rows:
        if in_full or row.is_told:
            _print_details(row, console, in_full=in_full)
    asides = [] if in_full else list(section.asides)
    if asides:
        console.print()
    for lines, note in asides:
        console.print(Text.assemble((lines, "bold"), f": {printable(note)}"))


def _table(rows: Sequence[Row]) -> Table:
    has_burn = any(row.burn for row in rows)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("service level", overflow="fold")
    table.add_column("verdict", max_width=WIDEST_VERDICT)
    for heading in ("SLI", "left", "covered", *(["burn"] if has_burn else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = [row.sli, row.left, row.coverage, *([row.burn] if has_burn else [])]
        table.add_row(Text(row.line), Text(printable(row.title)), _verdict(row), *map(Text, cells))
    return table


def _verdict(row: Row) -> Text:
    return Text(row.verdict, style=STYLES[row.tone])


def _entry(row: Row) -> Entry:
    heading = Text.assemble(f"{printable(row.heading)}: ", (row.verdict, STYLES[row.tone]))
    named = (("SLI", row.sli), ("left", row.left), ("covered", row.coverage), ("burn", row.burn))
    facts = [Text(f"{label} {text}") for label, text in named if text]
    return Entry(heading, facts or [Text("no figures")])


def _print_details(row: Row, console: Console, *, in_full: bool) -> None:
    console.print()
    heading = Text.assemble((printable(row.heading), "bold"), (f" ({row.name}): ", ""), (row.verdict, STYLES[row.tone]))
    console.print(heading)
    console.print(Padding(_facts(row.told_facts(in_full=in_full), console), (0, 0, 0, 2)))
    if row.regions and (in_full or row.regions_differ):
        console.print(Padding(_regions(row.regions, console), (0, 0, 0, 2)))


def _facts(facts: Sequence[Fact], console: Console) -> Table:
    """Labels beside their texts, or before them where it is narrow."""
    grid = Table.grid(padding=(0, 1))
    if console.width < BESIDE:
        for fact in facts:
            grid.add_row(Text.assemble((f"{fact.label}: ", "dim"), printable(fact.text)))
        return grid
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for fact in facts:
        grid.add_row(Text(fact.label), Text(printable(fact.text)))
    return grid


def _regions(regions: Sequence[RegionRow], console: Console) -> Table:
    """Each region by itself."""
    if console.width < BESIDE:
        grid = Table.grid()
        for one in regions:
            told = (
                f"{one.verdict}, SLI {one.sli or 'unknown'}, {one.bad} bad, {one.left} left, {one.coverage} conclusive"
            )
            grid.add_row(Text.assemble((f"{printable(one.region)}: ", "dim"), told))
        return grid
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    for heading in ("region alone", "verdict", "SLI", "bad", "left", "conclusive"):
        table.add_column(heading, no_wrap=heading not in ("region alone", "conclusive"), overflow="fold")
    for one in regions:
        region, verdict = Text(printable(one.region)), Text(one.verdict, style=STYLES[one.tone])
        table.add_row(region, verdict, one.sli, one.bad, one.left, one.coverage)
    return table
