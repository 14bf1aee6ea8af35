"""The gate's report in every format: the first line names the cause, nothing from outside becomes markup, consumers accept it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from rich.console import Console

from console.gate_html import render_gate_html
from console.gate_json import render_gate_json
from console.gate_junit import render_gate_junit
from console.gate_markdown import render_gate_markdown
from console.gate_story import exit_code_of_gate, headline
from console.gate_text import print_story
from slo.release_gate import ReleaseDecision
from tests.gate_kit import make_story
from tests.sample_runs import STARTED_AT

HOSTILE = "<script>alert(1)</script>\x1b[31m ](http://evil) @everyone"


def test_the_first_line_is_the_answer_and_its_cause() -> None:
    """Step, kind, scenario, message and count, in that order; every format opens with it."""
    story = make_story(failures=2, message="unit price: expected above 0, found 0.0")
    line = headline(story)
    assert line == "FAIL: price (assertion) in quote: unit price: expected above 0, found 0.0; 2 of 2 rounds of quote"
    assert render_gate_markdown(story).decode().splitlines()[0].replace("\\", "") == f"## {line}"
    assert json.loads(render_gate_json(story, generated_at=STARTED_AT))["headline"] == line
    assert JUnitXml.fromstring(render_gate_junit(story)).name == line
    assert f'<h1 class="fail">{line}</h1>' in render_gate_html(story).decode()


def test_a_report_names_the_release_it_is_about() -> None:
    """In every format, where somebody named one; whoever is asked in a month what the file in hand was about finds it there."""
    story = replace(make_story(), release="2026.11.3")
    about = "Release 2026.11.3, target stand-in"
    stream = io.StringIO()
    print_story(story, Console(file=stream, width=80), quiet=False)
    assert about in stream.getvalue()
    assert about in render_gate_markdown(story).decode().replace("\\", "")
    assert about in render_gate_html(story).decode()
    assert about in render_gate_junit(story).decode()
    assert json.loads(render_gate_json(story, generated_at=STARTED_AT))["release"] == "2026.11.3"
    assert json.loads(render_gate_json(make_story(), generated_at=STARTED_AT))["release"] is None


@pytest.mark.parametrize(
    ("failures", "rounds", "answer", "code"),
    [(0, 120, "pass", 0), (2, 120, "fail", 1), (0, 30, "undecided", 4)],
)
def test_the_exit_code_is_that_of_the_answer(failures: int, rounds: int, answer: str, code: int) -> None:
    """0 pass, 1 fail, 4 undecided."""
    story = make_story(failures=failures, rounds=rounds)
    assert (story.answer.value, int(exit_code_of_gate(story))) == (answer, code)
    assert headline(story).startswith(answer.upper())


def test_junit_has_a_case_for_each_check_and_step() -> None:
    """What failed is a failure, what is open an error that holds the pipeline, what was cut short by a failure skipped."""
    passed = JUnitXml.fromstring(render_gate_junit(make_story(baseline="production")))
    assert (passed.tests, passed.failures, passed.errors) == (4, 0, 0)
    failed = JUnitXml.fromstring(render_gate_junit(make_story(failures=2)))
    results = [result for suite in failed for case in suite for result in case.result]
    assert [type(result) for result in results] == [Failure, Skipped]
    assert results[0].type == "assertion"
    undecided = JUnitXml.fromstring(render_gate_junit(make_story(rounds=30)))
    assert (undecided.tests, undecided.errors) == (2, 2)
    assert all(isinstance(case.result[0], Error) for suite in undecided for case in suite)


def test_junit_uses_only_what_the_schema_of_jenkins_knows() -> None:
    """The attributes and children that `junit-10.xsd` of the xunit plugin allows, and those that it wants."""
    suites = {"name", "tests", "failures", "errors", "time"}
    suite = suites | {"skipped", "timestamp"}
    allowed = {
        "testsuites": (suites, {"testsuite"}),
        "testsuite": (suite, {"testcase"}),
        "testcase": ({"name", "classname", "time"}, {"failure", "error", "skipped", "system-out"}),
        **dict.fromkeys(("failure", "error", "skipped"), ({"type", "message"}, set())),
        "system-out": (set(), set()),
    }
    for story in (make_story(failures=2), make_story(rounds=9), make_story(baseline="production")):
        for element in ET.fromstring(render_gate_junit(story)).iter():  # noqa: S314 - our own bytes
            attributes, children = allowed[element.tag]
            assert set(element.attrib) <= attributes
            assert {child.tag for child in element} <= children
            if element.tag == "testsuite":
                assert {"name", "tests", "failures", "errors"} <= set(element.attrib)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note every tag, and whatever could be fetched."""
        self.found.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_what_a_target_answered_becomes_no_markup_and_steers_no_terminal() -> None:
    """HTML, Markdown, XML and the terminal show it as text."""
    story = make_story(failures=2, message=HOSTILE)
    tags = _Tags()
    tags.feed(render_gate_html(story).decode())
    assert "script" not in tags.found
    assert "svg" in tags.found
    assert tags.addresses == []
    markdown = render_gate_markdown(story).decode()
    assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(|(?<!\\)@everyone", markdown)
    assert JUnitXml.fromstring(render_gate_junit(story)).failures == 1
    stream = io.StringIO()
    print_story(story, Console(file=stream, width=80), quiet=False)
    assert "\x1b[31m" not in stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_narrow_terminal_shows_the_same_facts(width: int) -> None:
    """No line is wider than the terminal, and no count is cut off."""
    stream = io.StringIO()
    print_story(make_story(failures=2, baseline="production"), Console(file=stream, width=width), quiet=False)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert "FAIL: price (assertion) in quote" in said
    assert "2 of 2 rounds" in said
    assert "open" in said


def test_the_json_has_every_count_and_every_run() -> None:
    """A program can redo the decision from it."""
    story = make_story(failures=2)
    report = json.loads(render_gate_json(story, generated_at=STARTED_AT))
    assert report["schema"] == "probe-fleet/gate"
    assert report["answer"] == ReleaseDecision.FAIL
    quote = next(check for check in report["checks"] if check["name"] == "quote")
    assert (quote["rounds"], quote["failures"], len(quote["evidence"])) == (2, 2, 2)
    assert quote["evidence"][-1] >= quote["reject_at"]
    assert len(report["runs"]) == len(story.runs)
