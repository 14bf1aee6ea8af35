"""The report as Markdown, for a pull request or a mail.

Tables hold the short cells, lists whatever is not simply met. Refuses raw HTML: what a line is called is text, whatever it holds.
Called by `console.report_command`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from collector.texts.figures import printable
from collector.texts.scorecard_page import ReportPage, Section
from collector.texts.scorecard_rows import Fact, Row

__all__ = ["escaped", "render_markdown"]

_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~#])")


def render_markdown(page: ReportPage, *, in_full: bool) -> str:
    """All of it; `in_full` tells everything about each line, else only about those that are not simply met."""
    return "\n".join(_lines(page, in_full=in_full)) + "\n"


def escaped(text: str) -> str:
    """`text` so that it reads as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", printable(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(page: ReportPage, *, in_full: bool) -> Iterator[str]:
    yield f"# {escaped(page.title)}"
    yield ""
    yield from _facts(page.about)
    yield ""
    if page.what_if:
        yield f"**{escaped(page.what_if)}**"
        yield ""
    yield escaped(page.headline)
    for section in page.sections:
        yield ""
        yield f"## {escaped(section.title)}"
        yield ""
        yield from _table(section)
        for row in section.rows:
            if in_full or row.is_told:
                yield from _details(row, in_full=in_full)
        asides = [] if in_full else [f"- **{escaped(lines)}**: {escaped(note)}" for lines, note in section.asides]
        if asides:
            yield ""
            yield from asides
    for note in page.notes:
        yield ""
        yield f"> {escaped(note)}"


def _facts(facts: Sequence[Fact]) -> Iterator[str]:
    for fact in facts:
        yield f"- **{escaped(fact.label)}**: {escaped(fact.text)}"


def _table(section: Section) -> Iterator[str]:
    has_burn = any(row.burn for row in section.rows)
    headings = ["line", "service level", "verdict", "SLI", "budget left", "coverage", *(["burn"] if has_burn else [])]
    yield _table_row(headings)
    yield _table_row(["---:", "---", "---", *["---:"] * (len(headings) - 3)])
    for row in section.rows:
        cells = [row.line, row.title, row.verdict, row.sli, row.left, row.coverage, *([row.burn] if has_burn else [])]
        yield _table_row([escaped(cell) for cell in cells])


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _details(row: Row, *, in_full: bool) -> Iterator[str]:
    yield ""
    yield f"### {escaped(row.heading)}: {escaped(row.verdict)}"
    yield ""
    yield from _facts(row.told_facts(in_full=in_full))
    if row.regions and (in_full or row.regions_differ):
        yield ""
        yield _table_row(["region alone", "verdict", "SLI", "bad", "left", "conclusive"])
        yield _table_row(["---", "---", "---:", "---:", "---:", "---:"])
        for one in row.regions:
            cells = (one.region, one.verdict, one.sli, one.bad, one.left, one.coverage)
            yield _table_row([escaped(cell) for cell in cells])
