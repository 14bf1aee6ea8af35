"""Releases on the pages and at the API: who may tell of one, that it counts once, and where it is then seen."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collector.web.charts import Chart, Line, Moment, draw_chart
from collector.web.release_view import MOST_DRAWN
from probes.release_marker import ReleaseMarker, ReleaseOutcome, render_release
from tests.release_kit import release_at
from tests.store_kit import NOW
from tests.web_kit import READ, WRITE, Filled, Told, open_filled

API = "/api/v1/releases"
STRANGER = "status.example"
OPERATES = {"Authorization": f"Bearer {WRITE}"}
HOSTILE = "\"'><script>window.owned=1</script>{{7*7}}"


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Filled]:
    """Pages over some runs and one release, 2026.11.3, two minutes after the first run."""
    async with open_filled(tmp_path, read_tokens={"desk": READ}, operate_tokens={"gate": WRITE}) as opened:
        yield opened


async def tell(
    filled: Filled, marker: ReleaseMarker | bytes, headers: dict[str, str] | None = None, host: str = ""
) -> Told:
    """Tell the API of a release."""
    body = marker if isinstance(marker, bytes) else render_release(marker)
    return await filled.pages.ask(API, "POST", data=body, headers=OPERATES if headers is None else headers, host=host)


async def test_a_release_is_told_once_and_a_repeat_is_no_news(filled: Filled) -> None:
    """With whose token and how it ended; the list has it as it was told, the newest first."""
    marker = release_at(
        10, name="2026.11.4", outcome=ReleaseOutcome.FAIL, cause="price in quote", environment="staging"
    )
    first, again = await tell(filled, marker), await tell(filled, marker)
    assert (first.status, again.status) == (200, 200)
    told = json.loads(first.text)
    assert (told["is_new"], json.loads(again.text)["is_new"]) == (True, False)
    assert told["release"]["identity"] == marker.identity
    assert (told["release"]["outcome"], told["release"]["received_from"]) == ("fail", "gate")
    listed = json.loads((await filled.pages.ask(API)).text)["releases"]
    assert [one["name"] for one in listed] == ["2026.11.4", "2026.11.3"]
    assert listed[0] == told["release"]
    assert json.loads((await filled.pages.ask(f"{API}?target=elsewhere")).text)["releases"] == []


async def test_what_contradicts_a_known_release_is_refused(filled: Filled) -> None:
    """409, with what differs; what was told first stays."""
    await tell(filled, release_at(10))
    answer = await tell(filled, replace(release_at(10), note="other"))
    assert answer.status == 409
    assert "another note" in json.loads(answer.text)["detail"]
    assert len(json.loads((await filled.pages.ask(API)).text)["releases"]) == 2


async def test_only_who_may_operate_tells_of_releases(filled: Filled) -> None:
    """No token on this very host is not enough: a page of another site could have a browser send that."""
    marker = release_at(10)
    for headers, host, status in (
        ({}, "", 403),
        ({"Origin": "https://evil.example"}, "", 403),
        ({"Authorization": f"Bearer {READ}"}, "", 403),
        ({"Authorization": "Bearer nonsense"}, "", 401),
        ({}, STRANGER, 401),
    ):
        assert (await tell(filled, marker, headers, host=host)).status == status
    assert (await filled.pages.ask(API, host=STRANGER)).status == 401
    assert (await filled.pages.ask("/releases", host=STRANGER)).status == 303
    assert len(await filled.store.releases.heard_last("fleet", 9)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "a\u0000b"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"report_url": "javascript:alert(1)"}, "report_url"),
        ({"outcome": "great"}, "outcome"),
        ({"began_at": "2026-03-01T12:00:00"}, "began_at"),
        ({"ended_at": "2026-03-01T13:30:00Z"}, "in the future"),
        ({"began_at": "2026-03-01T12:50:00Z", "ended_at": "2026-03-01T12:49:00Z"}, "ended before it began"),
        ({"mood": "good"}, "mood"),
        ({"schema_version": 7}, "schema_version"),
    ],
)
async def test_what_is_no_release_is_refused_in_words(filled: Filled, change: dict[str, Any], told: str) -> None:
    """400 and what is wrong where; nothing is kept of it."""
    document = {**json.loads(render_release(release_at(10))), **change}
    answer = await tell(filled, json.dumps(document).encode())
    assert answer.status == 400
    assert told in json.loads(answer.text)["detail"]
    assert len(await filled.store.releases.heard_last("fleet", 9)) == 1


async def test_a_level_shows_its_targets_releases_as_lines_with_a_list_below(filled: Filled) -> None:
    """The same numbers in both plots and both lists, which need no script; one of another target is not there."""
    await filled.store.releases.add("fleet", release_at(1440 * -1, name="of-february"), now=NOW)
    await filled.store.releases.add("fleet", release_at(30, name="elsewhere", target="other"), now=NOW)
    hotfix = release_at(40, name=HOSTILE, outcome=ReleaseOutcome.NO_GATE, report_url="https://ci.example/7")
    await filled.store.releases.add("fleet", hotfix, now=NOW)
    page = (await filled.pages.read("/levels/quote-p95")).text
    for part in page.split("<figure ")[1:]:
        if 'data-chart="' in part:
            assert len(re.findall(r'<line class="moment (?:good|none)"', part)) == 2
            assert re.search(r"Lines: 1: 2026\.11\.3, gate passed; 2: .*, no gate", part)
    lists = re.findall(r'<ol class="releases">(.*?)</ol>', page, re.DOTALL)
    assert len(lists) == 2
    for one in lists:
        assert [int(number) for number in re.findall(r'<li value="(\d+)"', one)] == [1, 2]
        assert "2026.11.3" in one
        assert one.count('href="https://ci.example/7" rel="noopener noreferrer"') == 1
    assert "of-february" not in page
    assert "elsewhere" not in page
    assert "<script>window" not in page
    charts = json.loads((await filled.pages.read("/levels/quote-p95/charts.json")).text)
    for chart in charts.values():
        assert [(one["label"], one["tone"]) for one in chart["moments"]] == [("1", "good"), ("2", "none")]
        assert "script" not in json.dumps(chart["moments"])


async def test_many_releases_are_drawn_up_to_a_number_and_the_newest_are(filled: Filled) -> None:
    """A pipeline that goes wild does not make a page that nobody can load."""
    for number in range(MOST_DRAWN + 5):
        await filled.store.releases.add("fleet", release_at(3 + number / 10, name=f"build-{number}"), now=NOW)
    page = (await filled.pages.read("/levels/quote-p95")).text
    assert page.count('<li value="') == 2 * MOST_DRAWN
    assert f"build-{MOST_DRAWN + 4}<" in page
    assert "build-0<" not in page


def test_labels_that_would_run_into_each_other_are_one() -> None:
    """The first and the last of them; a line is drawn for each, and none outside of the time of the chart."""
    moments = [
        Moment(minute, str(number), "good", "words") for number, minute in enumerate((-5, 100, 101, 102, 900, 2000))
    ]
    lines = [Line("left", [(0, 1.0), (1000, 0.5)])]
    drawn = draw_chart(Chart("left", 0, 1000, lines, [], str, moments=moments))
    assert drawn.count('<line class="moment good"') == 4
    assert re.findall(r'<text class="moment-name"[^>]*>([^<]*)</text>', drawn) == ["1 to 3", "4"]


async def test_runs_and_the_overview_say_where_a_release_began(filled: Filled) -> None:
    """Among the runs it stands between those before and after it; on the overview the newest are listed."""
    runs = (await filled.pages.read("/runs")).text
    before, _, after = runs.partition("Release of stand-in: ")
    assert "12:02:00 UTC" in before
    assert "12:01:45 UTC" not in before
    assert "12:01:45 UTC" in after
    overview = (await filled.pages.read("/")).text
    assert overview.count('<li data-release="') == 1
    listed = (await filled.pages.read("/releases")).text
    assert "2026.11.3" in listed
    assert "gate passed" in listed
    assert "Nobody told" in (await filled.pages.read("/releases?target=nowhere")).text
    assert (await filled.pages.ask("/releases?days=0")).status == 400


async def test_the_times_between_releases_can_be_compared(filled: Filled) -> None:
    """Before the first, and from each to the next; every run is in one of them."""
    await filled.store.releases.add("fleet", release_at(4, name="2026.11.4"), now=NOW)
    page = (await filled.pages.read("/compare?by=announced")).text
    choices = re.findall(r'<option value="([0-9a-f]{32}|before)"[^>]*>([^<]*)</option>', page)
    keys = dict(choices)
    assert [label.partition(",")[0] for label in keys.values()] == ["2026.11.4", "2026.11.3", "before 2026.11.3"]
    counts, (newest, middle, oldest) = [], tuple(keys)
    for a, b in (newest, middle), (middle, oldest), (oldest, newest):
        compared = (await filled.pages.read(f"/compare?by=announced&a={a}&b={b}")).text
        counts.append([int(count) for count in re.findall(r'data-label="Passed" class="figure">([\d,]+)<', compared)])
    # Forty runs, two every fifteen seconds from NOW on: eight minutes' worth is before, in and after.
    assert counts == [[8, 16], [16, 16], [16, 8]]
    assert (await filled.pages.ask("/compare?by=announced&a=before&b=nope")).status == 404
    assert (await filled.pages.ask("/compare?by=nonsense")).status == 400


async def test_a_release_between_two_pages_of_runs_stands_on_one_of_them(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it falls, and whatever somebody writes into the address."""
    monkeypatch.setattr("collector.web.runs_view.MOST_LISTED", 16)
    # The newest sixteen of the runs, two every fifteen seconds, end with the slot at 12:03.
    await filled.store.releases.add("fleet", release_at(3 - 1 / 60, name="between"), now=NOW)
    first = (await filled.pages.read("/runs")).text
    (after,) = set(re.findall(r"after=([0-9.]+)", first))
    second = (await filled.pages.read(f"/runs?after={after}")).text
    assert ["between" in page for page in (first, second)] == [False, True]
    assert "2026.11.3<" in second
    for strange in "999999999999999.1.1", "0.0.0":
        assert (await filled.pages.ask(f"/runs?after={strange}")).status == 200
