"""The API: what it answers is what the pages say, its description is true, and nothing that is sent to it ends in a 5xx."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from collector.texts.scorecard_rows import Tone
from collector.web.routes_badges import draw_badge
from tests.web_kit import READ, WRITE, Pages, ServedApart, open_filled, served_apart

STRANGER = "status.example"


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    """Pages over some runs and an incident."""
    async with open_filled(tmp_path, read_tokens={"desk": READ}, operate_tokens={"oncall": WRITE}) as opened:
        yield opened.pages


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApart]:
    """The same, served by a thread of its own, for clients that block."""
    with served_apart(tmp_path_factory.mktemp("api")) as found:
        yield found


async def test_the_api_says_what_the_pages_say(pages: Pages) -> None:
    """The same headline, and the same share of the same line."""
    told = json.loads((await pages.ask("/api/v1/levels")).text)
    page = await pages.read("/")
    assert told["headline"] in page.text
    level = next(one for one in told["levels"] if one["name"] == "quote-p95")
    assert (level["sli"], level["verdict"], level["unit"]) == (1.0, "not_enough_data", "events")
    detail = json.loads((await pages.ask("/api/v1/levels/quote-p95")).text)
    assert detail["level"]["sli"] == 1.0
    assert {one["region"] for one in detail["times"]} == {"eu-west", "us-east"}
    board = json.loads((await pages.ask("/api/v1/board")).text)
    assert {(one["scenario"], one["region"]) for one in board["cells"]} == {("quote", "eu-west"), ("quote", "us-east")}


async def test_an_alert_is_acknowledged_with_a_token_that_operates(pages: Pages) -> None:
    """A token that reads may not; on loopback the proof of a form is wanted, for a browser might have been made to send it."""
    (told,) = json.loads((await pages.ask("/api/v1/alerts")).text)["incidents"]
    path = f"/api/v1/alerts/{told['number']}/acknowledge"
    body = {"by": "Ada", "note": "on it"}
    assert (await pages.ask(path, "POST", json=body)).status == 403
    reads = {"Authorization": f"Bearer {READ}"}
    assert (await pages.ask(path, "POST", json=body, headers=reads)).status == 403
    operates = {"Authorization": f"Bearer {WRITE}"}
    done = json.loads((await pages.ask(path, "POST", json=body, headers=operates)).text)
    assert (done["acknowledged_by"], done["number"]) == ("Ada", told["number"])
    again = json.loads((await pages.ask(path, "POST", json={"by": "Bob"}, headers=operates)).text)
    assert again["acknowledged_by"] == "Ada"


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"by": 1}', '{"by": "x", "more": 1}', f'{{"note": "{"x" * 501}"}}', "\xff"]
)
async def test_a_body_that_is_none_is_refused_in_words(pages: Pages, body: str) -> None:
    """400, and what is wrong where."""
    headers = {"Authorization": f"Bearer {WRITE}", "Content-Type": "application/json"}
    answer = await pages.ask("/api/v1/alerts/1/acknowledge", "POST", data=body.encode("latin-1"), headers=headers)
    assert answer.status == 400
    assert json.loads(answer.text)["detail"]


async def test_strangers_get_nothing(pages: Pages) -> None:
    """401 in JSON on every path of the description, but for the one that says itself public."""
    paths = json.loads((await pages.ask("/api/v1/openapi.json")).text)["paths"]
    assert len(paths) >= 12
    public = {path for path, methods in paths.items() if any(one["x-scope"] == "public" for one in methods.values())}
    assert public == {"/api/v1/status"}
    for path, methods in [*paths.items(), ("/api/v1/openapi.json", {"get": {}})]:
        if path in public:
            continue
        asked = re.sub(r"{number}", "1", re.sub(r"{(name|run_id|day|run|file)}", "x", path))
        for method in methods:
            answer = await pages.ask(asked, method.upper(), host=STRANGER)
            assert answer.status == 401, path
            assert set(json.loads(answer.text)) == {"error", "detail", "status"}
    assert (await pages.ask("/badges/quote-p95.svg", host=STRANGER)).status == 303


async def test_a_badge_says_how_a_level_stands(pages: Pages) -> None:
    """As a picture that is well formed."""
    badge = await pages.ask("/badges/quote-p95.svg")
    assert badge.status == 200
    assert badge.headers["Content-Type"].startswith("image/svg+xml")
    assert "not enough data" in badge.text
    ET.fromstring(badge.text)  # noqa: S314 - made a moment ago by the code under test
    assert (await pages.ask("/badges/nope.svg")).status == 404


def test_a_badge_escapes_its_words() -> None:
    """Whatever a title holds."""
    drawn = draw_badge('<script>"&', "x" * 200, Tone.BAD)
    ET.fromstring(drawn)  # noqa: S314 - the same
    assert "<script>" not in drawn


def wait_for_status(url: str) -> None:
    """Until the public figures are there: before, whoever asks is told to come back, with a 503."""
    give_up_s = time.monotonic() + 60
    while status_of(f"{url}/api/v1/status") == 503:
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def status_of(url: str) -> int:
    """The number that it answers with."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_nothing_that_the_description_allows_ends_in_a_server_error(served: ServedApart) -> None:
    """Thousands of requests, sensible and not; each answer is one that the description has."""
    described = schemathesis.openapi.from_url(f"{served.url}/api/v1/openapi.json")
    wait_for_status(served.url)
    tried = 0
    for result in described.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        strategy = operation.as_strategy()

        @hypothesis.given(case=strategy)
        @hypothesis.settings(max_examples=30, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
        def send_one(case: Any) -> None:  # noqa: ANN401 - the same
            nonlocal tried
            tried += 1
            case.call_and_validate(
                headers={"Authorization": f"Bearer {WRITE}"},
                checks=[not_a_server_error, response_schema_conformance, status_code_conformance],
            )

        send_one()
    assert tried > 60
