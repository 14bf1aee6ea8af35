"""`report` on a stored morning: the same figures in every format, readable at every width, honest exit codes."""

from __future__ import annotations

import asyncio
import html
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from collector.scoring import Scorer
from collector.store import open_store
from console.objectives import load_set
from probes.browser import find_browser
from probes.browser_chromium import FLAGS
from slo.window import Span, month_span
from tests.report_kit import file_all, morning_of
from tests.runner_kit import Runner

MARCH = month_span("2025-03")
TWO_HOURS = Span("hours", MARCH.from_minute, MARCH.from_minute + 120)
OUTAGE = """
[[statement]]
minutes = [[10, 70]]
what = "fail"
kind = "connect"
"""
SOME = ("--objective", "api-uptime", "--objective", "api-errors", "--objective", "backup-daily")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two hours of March 2025, one of them an outage."""
    folder = tmp_path_factory.mktemp("report")
    file = folder / "march.db"

    async def fill() -> None:
        async with open_store(str(file)) as store:
            await store.scores.begin(Scorer.of(load_set()))
            await file_all(store, morning_of(folder, OUTAGE, TWO_HOURS))

    asyncio.run(fill())
    return str(file)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The command."""
    return Runner(tmp_path, monkeypatch, capsys)


def words(text: str) -> str:
    """`text` with every stretch of white space as one blank."""
    return " ".join(text.split())


def test_every_format_says_the_same_figures(run: Runner, database: str) -> None:
    """Each short cell and each fact of each line, word for word; and the numbers behind them are exact."""
    asked = ("report", "--window", "2025-03", "--database", database, *SOME)
    as_json = run(*asked, "--format", "json")
    assert as_json.code == 1
    document = json.loads(as_json.out)
    assert (document["schema"], document["schema_version"]) == ("probe-fleet/report", 1)
    assert document["breached"] == ["api-uptime", "api-errors", "backup-daily"]
    table = run(*asked, "--format", "table")
    markdown = run(*asked, "--format", "md")
    page = run(*asked, "--format", "html")
    assert {table.code, markdown.code, page.code} == {1}
    as_texts = {
        "table": words(table.out),
        "md": words(html.unescape(re.sub(r"\\([\\`*_\[\]|~#])", r"\1", markdown.out))),
        "html": words(html.unescape(re.sub(r"<[^>]*>", " ", page.out))),
    }
    for line in document["lines"]:
        texts = line["texts"]
        cells = [texts[name] for name in ("verdict", "sli", "left", "coverage")]
        for told in (*cells, *(fact["text"] for fact in texts["facts"]), *texts["notes"]):
            for form, whole in as_texts.items():
                if (
                    form != "table" or len(told) < 100
                ):  # longer ones are wrapped beside their labels, which changes no word
                    assert words(told) in whole, (form, told)
    assert document["headline"] in as_texts["html"]
    (uptime,) = [line for line in document["lines"] if line["name"] == "api-uptime"]
    budget = uptime["score"]["budget"]
    assert (budget["bad"], budget["allowed"]["exact"], budget["left"]["exact"]) == (60, "1116/25", "-384/25")
    assert uptime["texts"]["left"] == "15.36 min over"
    assert uptime["score"]["counts"]["bad"] == 60
    assert (uptime["verdict"], uptime["phase"], uptime["window"]["minutes"]) == ("breached", "final", 44_640)


def test_a_report_leaves_a_revision_and_the_next_one_finds_it(run: Runner, database: str) -> None:
    """The same score has the same revision."""
    asked = ("report", "--window", "2025-03", "--database", database, *SOME, "--json", "-")
    first, second = (json.loads(run(*asked).out) for _ in range(2))
    made = [[one["made_at"] for one in line["revisions"]] for line in first["lines"]]
    assert made == [[one["made_at"] for one in line["revisions"]] for line in second["lines"]]
    assert [len(one) for one in made] == [1, 1, 1]


def test_all_lines_of_the_document_are_there(run: Runner, database: str) -> None:
    """Promised ones first, stretch ones under a heading of their own, and those without a score with their reason."""
    found = run("report", "--window", "2025-03", "--database", database)
    assert found.code == 1
    contract, _, stretch = found.out.partition("Stretch lines")
    for number in range(1, 25):
        assert re.search(rf"^ ?{number} ", contract, re.MULTILINE), number
    for number in range(25, 30):
        assert re.search(rf"^ ?{number} ", stretch, re.MULTILINE), number
    assert "not measured: no collector has decided alerts here yet" in found.said
    assert found.said.count("it needs failover without people") == 1


@pytest.mark.parametrize("width", [50, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut_off(
    run: Runner, database: str, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Where a table does not fit there are short lines."""
    monkeypatch.setenv("COLUMNS", str(width))
    found = run("report", "--window", "2025-03", "--database", database)
    assert max(map(len, found.out.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in found.out
    assert "15.36 min over" in found.said
    assert "30 days not kept" in found.said


def test_a_what_if_is_labelled_on_every_line_and_breaks_nothing(run: Runner, database: str) -> None:
    """A laxer target would have been kept; obligations have no share to try."""
    asked = ("report", "--window", "2025-03", "--database", database, *SOME, "--json", "-", "--what-if")
    for target in ("99%", "0.99"):
        found = run(*asked, target)
        assert found.code == 0
        document = json.loads(found.out)
        assert document["what_if"] == {"allowed_bad": {"exact": "1/100", "value": 0.01}, "is_verdict": False}
        for line in document["lines"]:
            assert line["is_verdict"] is False
            assert line["texts"]["verdict"].startswith("what if: ") or "a what-if" in line["reason"]
            assert line["revisions"] == []
        assert document["breached"] == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--window", "March"), "is not a month"),
        (("--window", "0d"), "is not a month"),
        (("--objective", "api-uptim"), "Did you mean 'api-uptime'?"),
        (("--what-if", "99.95"), "Write 99.95% in percent, or 0.9995 as a share"),
        (("--what-if", "100%"), "between 0 % and 100 %"),
        (("--target", "other"), "There is simulated"),
        (("--plan", "file"), "--plan goes with simulate"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Runner, database: str, more: tuple[str, ...], said: str) -> None:
    """With what to write instead, and exit code 2."""
    found = run("report", "--database", database, *more)
    assert found.code == 2
    assert said in found.said


def test_where_nothing_is_known_the_exit_code_says_so(run: Runner, database: str, tmp_path: Path) -> None:
    """A month in which nothing was measured; and a database that is not there."""
    found = run("report", "--window", "2025-02", "--objective", "api-uptime", "--database", database)
    assert found.code == 3
    assert "nothing was measured" in found.said
    missing = run("report", "--database", str(tmp_path / "none.db"))
    assert missing.code == 2
    assert "no collector has stored anything there" in missing.said


def test_json_goes_to_a_file_beside_the_table(run: Runner, database: str, tmp_path: Path) -> None:
    """And `--quiet` leaves the one sentence."""
    file = tmp_path / "report.json"
    found = run("report", "--window", "2025-03", "--database", database, *SOME, "--json", str(file), "--quiet")
    assert found.out.strip() == json.loads(file.read_text(encoding="utf-8"))["headline"]


def test_the_page_stands_alone_fits_a_phone_and_is_a_table_to_a_screen_reader(
    run: Runner, database: str, tmp_path: Path
) -> None:
    """No request but for itself, no script, no sideways scrolling, roles kept where rows are stacked."""
    file = tmp_path / "report.html"
    file.write_text(
        run("report", "--window", "2025-03", "--database", database, "--format", "html").out, encoding="utf-8"
    )
    asyncio.run(look_at(file.as_uri()))


async def look_at(url: str) -> None:
    """Open the page in a real browser, on a phone and on a desk."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_browser().path), args=["--no-sandbox", *FLAGS]
        )
        try:
            page = await browser.new_page()
            requests: list[str] = []
            trouble: list[str] = []
            page.on("request", lambda request: requests.append(request.url))
            page.on("console", lambda message: trouble.append(message.text))
            for width in (360, 1280):
                await page.set_viewport_size({"width": width, "height": 800})
                await page.goto(url)
                await check_layout(page, width)
            assert set(requests) == {url}
            assert trouble == []
        finally:
            await browser.close()


async def check_layout(page: Page, width: int) -> None:
    """Headings, roles, links, and nothing that is wider than the screen."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.get_by_role("heading", level=1).all_inner_texts() == ["Service levels"]
    assert await page.get_by_role("heading", level=2).all_inner_texts() == ["Contract lines", "Stretch lines"]
    lines = page.locator("table.lines").first
    assert await lines.get_by_role("row").count() == 1 + 27
    assert await lines.get_by_role("rowheader").first.inner_text() == "API uptime 99.9 %"
    assert await lines.get_by_role("columnheader").count() == 6
    assert await page.get_by_role("table").count() == await page.locator("table").count()
    links = await page.locator("a[href^='#']").all()
    targets = [(await link.get_attribute("href") or "")[1:] for link in links]
    assert targets
    for target in targets:
        assert await page.locator(f"[id='{target}']").count() == 1, target
    assert await page.locator("script, link, img, iframe").count() == 0
