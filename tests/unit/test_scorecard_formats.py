"""What a line is called is text in every format, whatever it holds."""

from __future__ import annotations

import io
from html import unescape
from html.parser import HTMLParser

import pytest
from rich.console import Console

from collector.texts.scorecard_page import ReportPage, Section
from collector.texts.scorecard_rows import Fact, RegionRow, Row, Tone
from console.scorecard_html import render_html
from console.scorecard_markdown import escaped, render_markdown
from console.scorecard_table import print_page
from slo.objective import Tier

HOSTILE = "a <script>alert(1)</script> | *b* [c](http://d) & \"e\" 'f' \x1b[31m`g` [bold]h[/bold]"
REGION = RegionRow(HOSTILE, "met", Tone.GOOD, "100 %", "0", "1 min", "5 of 5 min")


def page_with(title: str) -> ReportPage:
    """A page with one line that says `title` everywhere."""
    row = Row(
        "1",
        "name",
        title,
        Tier.CONTRACT,
        "breached",
        Tone.BAD,
        sli="99 %",
        left="1 min over",
        burn="2x",
        coverage="100 %",
        facts=(Fact("SLI", title),),
        regions=(REGION, REGION),
        notes=(title,),
        is_told=True,
        regions_differ=True,
    )
    return ReportPage(
        "Service levels", (Fact("target", title),), title, title, (Section("Contract lines", (row,)),), (title,)
    )


class Elements(HTMLParser):
    """Which elements there are, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; none may carry a handler."""
        self.names.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def test_a_hostile_name_is_text_in_html() -> None:
    """No element, no handler, no control character comes of it, and it reads as it is."""
    found = Elements()
    found.feed(render_html(page_with(HOSTILE)))
    assert "script" not in found.names
    assert "\x1b" not in found.text
    assert found.text.count("<script>alert(1)</script> | *b* [c](http://d) & \"e\" 'f'") >= 6


def test_a_hostile_name_is_text_in_markdown() -> None:
    """No cell ends early, no raw HTML, no link."""
    text = render_markdown(page_with(HOSTILE), in_full=True)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "[c](" not in text.replace(r"\[c\](", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert row.replace(r"\|", "").count("|") == 8
    assert unescape(escaped("1 < 2 & 3")) == "1 < 2 & 3"


@pytest.mark.parametrize("width", [40, 50, 80, 200])
def test_a_hostile_name_is_text_in_a_terminal(width: int) -> None:
    """No markup is read from it, no line is wider than the terminal."""
    file = io.StringIO()
    print_page(page_with(HOSTILE), Console(file=file, width=width, highlight=False), in_full=True)
    said = file.getvalue()
    assert max(map(len, said.splitlines())) <= width
    assert "\x1b" not in said
    assert "[bold]h[/bold]" in " ".join(said.split())


def test_what_is_not_told_in_short_is_told_in_full() -> None:
    """A line that is simply met needs no facts in a terminal or a mail, but has them on request and on the page."""
    page = page_with("title")
    section = page.sections[0]
    quiet = Row(
        "2", "quiet", "Quiet", Tier.CONTRACT, "met", Tone.GOOD, facts=(Fact("SLI", "a quiet fact"),), notes=("a note",)
    )
    loud = Row("3", "loud", "Loud", Tier.CONTRACT, "met", Tone.GOOD, notes=("a note",))
    page = ReportPage(page.title, page.about, page.headline, "", (Section(section.title, (quiet, loud)),), ())
    assert "a quiet fact" not in render_markdown(page, in_full=False)
    assert "Lines 2, 3**: a note" in render_markdown(page, in_full=False)
    assert "a quiet fact" in render_markdown(page, in_full=True)
    assert "a quiet fact" in render_html(page)
