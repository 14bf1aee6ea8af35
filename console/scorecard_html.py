"""The report as one HTML file: no script, nothing from another host, for screens and phones, paper and screen readers.

A policy in the file itself forbids it to load anything. Tables keep their roles when they are stacked on a phone. Refuses to
trust a text: everything is escaped. Called by `console.report_command`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from collector.texts.figures import printable
from collector.texts.scorecard_page import ReportPage, Section
from collector.texts.scorecard_rows import Fact, RegionRow, Row, Tone
from console.scorecard_style import STYLE

__all__ = ["render_html"]

_MARKS: Final = {
    Tone.GOOD: "\N{CHECK MARK}",
    Tone.BAD: "\N{MULTIPLICATION X}",
    Tone.WARN: "!",
    Tone.NONE: "\N{EN DASH}",
}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_html(page: ReportPage) -> str:
    """All of it; every line with everything there is to say."""
    return "\n".join(_lines(page)) + "\n"


def _text(text: str) -> str:
    return escape(printable(text), quote=True)


def _lines(page: ReportPage) -> Iterator[str]:
    subject = page.about[0].text if page.about else ""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{_text(page.title)}: {_text(subject)}</title>"
    yield f"<style>{STYLE}</style>\n</head>\n<body>\n<header>"
    yield f"<h1>{_text(page.title)}</h1>"
    yield from _facts(page.about)
    yield "</header>\n<main>"
    if page.what_if:
        yield f'<p class="what-if"><strong>{_text(page.what_if)}</strong></p>'
    yield f'<p class="headline">{_text(page.headline)}</p>'
    for number, section in enumerate(page.sections):
        yield from _section(section, number)
    for note in page.notes:
        yield f'<p class="note">{_text(note)}</p>'
    yield "</main>\n</body>\n</html>"


def _section(section: Section, number: int) -> Iterator[str]:
    has_burn = any(row.burn for row in section.rows)
    headings = [
        "Line",
        "Service level",
        "Verdict",
        "SLI",
        "Budget left",
        "Coverage",
        *(["Burn rate"] if has_burn else []),
    ]
    yield f'<section aria-labelledby="section-{number}">\n<h2 id="section-{number}">{_text(section.title)}</h2>'
    yield from _table_head(headings, caption=f"{section.title}: one row a line", kind="lines")
    for row in section.rows:
        cells = [row.sli, row.left, row.coverage, *([row.burn] if has_burn else [])]
        yield '<tr role="row">'
        yield f'<td role="cell" class="number">{_text(row.line)}</td>'
        yield f'<th role="rowheader" scope="row"><a href="#{_anchor(row)}">{_text(row.title)}</a></th>'
        yield f'<td role="cell" data-label="Verdict">{_badge(row.verdict, row.tone)}</td>'
        for heading, cell in zip(headings[3:], cells, strict=True):
            yield f'<td role="cell" data-label="{heading}" class="figure">{_text(cell) or _nothing()}</td>'
        yield "</tr>"
    yield "</tbody>\n</table>"
    for row in section.rows:
        yield from _details(row)
    yield "</section>"


def _table_head(headings: Sequence[str], *, caption: str, kind: str) -> Iterator[str]:
    yield f'<table role="table" class="{kind}">\n<caption>{_text(caption)}</caption>'
    columns = "".join(f'<th role="columnheader" scope="col">{_text(heading)}</th>' for heading in headings)
    yield f'<thead role="rowgroup"><tr role="row">{columns}</tr></thead>\n<tbody role="rowgroup">'


def _nothing() -> str:
    return "\N{EN DASH}"


def _badge(word: str, tone: Tone) -> str:
    return f'<span class="badge {tone.value}"><span aria-hidden="true">{_MARKS[tone]}</span> {_text(word)}</span>'


def _anchor(row: Row) -> str:
    return f"line-{_text(row.name)}"


def _details(row: Row) -> Iterator[str]:
    yield f'<article id="{_anchor(row)}">\n<h3>{_text(row.heading)} {_badge(row.verdict, row.tone)}</h3>'
    yield f'<p class="name">{_text(row.name)}</p>'
    yield from _facts(row.facts)
    if row.regions:
        yield from _regions(row)
    if row.notes:
        items = "".join(f"<li>{_text(note)}</li>" for note in row.notes)
        yield f'<ul class="notes">{items}</ul>'
    yield "</article>"


def _facts(facts: Sequence[Fact]) -> Iterator[str]:
    pairs = "".join(f"<div><dt>{_text(fact.label)}</dt><dd>{_text(fact.text)}</dd></div>" for fact in facts)
    yield f"<dl>{pairs}</dl>"


def _regions(row: Row) -> Iterator[str]:
    headings = ["Region alone", "Verdict", "SLI", "Bad", "Budget left", "Conclusive"]
    yield from _table_head(headings, caption=f"{row.heading} by region", kind="regions")
    for one in row.regions:
        yield _region(one, headings)
    yield "</tbody>\n</table>"


def _region(one: RegionRow, headings: Sequence[str]) -> str:
    cells = (_text(one.sli) or _nothing(), _text(one.bad), _text(one.left), _text(one.coverage))
    figures = "".join(
        f'<td role="cell" data-label="{heading}" class="figure">{cell}</td>'
        for heading, cell in zip(headings[2:], cells, strict=True)
    )
    verdict = f'<td role="cell" data-label="Verdict">{_badge(one.verdict, one.tone)}</td>'
    return f'<tr role="row"><th role="rowheader" scope="row">{_text(one.region)}</th>{verdict}{figures}</tr>'
