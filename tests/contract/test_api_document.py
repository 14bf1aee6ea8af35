"""The document of the API is true: whatever an operation answers is what the document says, no more and no less."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from tests.store_kit import NOW
from tests.web_kit import READ, WRITE, Pages, QuickClock, Told, open_filled, open_site
from tests.web_runs_kit import DAY, failed_run, store_run

REFERENCE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
SLOT: Final = "at=2026-03-01T12:00:00%2B00:00&scenario=quote&region=eu-west&probe=probe-1"
ASKED: Final = {
    "/targets": ("/targets",),
    "/levels": ("/levels", "/levels?window=2026-03", "/levels?window=7d&target=stand-in"),
    "/levels/{name}": ("/levels/quote-p95", "/levels/api-uptime"),
    "/board": ("/board",),
    "/alerts": ("/alerts", "/alerts?days=1"),
    "/alerts/{number}": ("/alerts/1",),
    "/releases": ("/releases", "/releases?days=1&target=stand-in"),
    "/fleet": ("/fleet",),
    "/status": ("/status",),
    "/compare": (
        "/compare",
        "/compare?by=region",
        "/compare?by=announced",
        "/compare?by=region&a=eu-west&b=us-east&days=1&scenario=quote",
    ),
    "/runs": ("/runs", "/runs?outcome=fail&hours=168", "/runs?until=2026-03-01T12:01:00%2B00:00&region=eu-west"),
    "/runs/{run_id}": ("/runs/run00001", "/runs/run00099"),
    "/slots": (f"/slots?{SLOT}",),
}
"""What is asked of each operation that only tells."""
REFUSED: Final = {
    "/levels?window=yesterday": 400,
    "/levels?target=other": 404,
    "/levels/nothing": 404,
    "/alerts?days=0": 400,
    "/alerts/999": 404,
    "/releases?target=%00": 400,
    f"/releases?target={'x' * 121}": 400,
    "/compare?by=colour": 400,
    "/compare?by=region&a=eu-west&b=nowhere": 404,
    "/runs?hours=5": 400,
    "/runs?outcome=good": 400,
    "/runs?until=yesterday": 400,
    "/runs?until=0001-01-01T00:00:00Z": 400,
    "/runs?until=9999-12-31T23:59:59-14:00": 400,
    "/runs?after=1.2": 400,
    "/runs?after=99999999999999999.1.1": 400,
    "/runs?scenario=%00": 400,
    "/runs/none": 404,
    "/slots": 404,
    "/slots?at=9999-12-31T23:59:59.999999Z": 400,
}
asking = pytest.mark.asyncio(loop_scope="module")
TOKENS: Final[dict[str, Any]] = {"read_tokens": {"desk": READ}, "operate_tokens": {"oncall": WRITE}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    """Pages over some runs, one of which failed with all that a record can hold, and an incident."""
    async with open_filled(tmp_path_factory.mktemp("api"), clock=QuickClock(), **TOKENS) as opened:
        await store_run(opened, failed_run(NOW + timedelta(minutes=40)))
        await opened.pages.read("/status")
        yield opened.pages


async def document_of(pages: Pages) -> dict[str, Any]:
    """The document that the API has of itself."""
    told: dict[str, Any] = json.loads((await pages.ask("/api/v1/openapi.json")).text)
    return told


def trouble_of(document: dict[str, Any], path: str, told: Told, *, method: str = "get") -> list[str]:
    """What is not as the document says, in words."""
    described = document["paths"][f"/api/v1{path}"][method]["responses"].get(str(told.status))
    if described is None:
        return [f"{told.status} is not described"]
    schema = {"components": document["components"], **described["content"]["application/json"]["schema"]}
    errors = Draft202012Validator(schema).iter_errors(json.loads(told.text))
    return [*(f"{error.json_path}: {error.message}" for error in errors), *zoneless(json.loads(told.text))]


def zoneless(value: object, name: str = "") -> Iterator[str]:
    """Names of instants that say no zone."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from zoneless(one, str(key))
    elif isinstance(value, list):
        for one in value:
            yield from zoneless(one, name)
    elif isinstance(value, str) and (name.endswith("_at") or name in {"at", "as_of"}):
        yield from [] if datetime.fromisoformat(value).tzinfo else [f"{name}: {value} has no zone"]


@asking
async def test_every_operation_that_tells_is_asked_here(pages: Pages) -> None:
    """One that is added and not asked would be described and never looked at."""
    document = await document_of(pages)
    tells = {
        path.removeprefix("/api/v1")
        for path, methods in document["paths"].items()
        if "application/json"
        in methods.get("get", {"responses": {"200": {"content": {}}}})["responses"]["200"]["content"]
    }
    assert tells == set(ASKED)


@asking
@pytest.mark.parametrize("path", ASKED)
async def test_an_answer_is_what_the_document_says(pages: Pages, path: str) -> None:
    """With everything that a store can hold."""
    document = await document_of(pages)
    for asked in ASKED[path]:
        told = await pages.ask(f"/api/v1{asked}")
        assert told.status == 200, asked
        assert trouble_of(document, path, told) == []


@asking
async def test_of_an_empty_store_too(tmp_path: Path) -> None:
    """With nothing in it: either an answer or that there is none."""
    async with open_site(tmp_path) as pages:
        document = await document_of(pages)
        for path, all_asked in ASKED.items():
            told = await pages.ask(f"/api/v1{all_asked[0]}")
            assert told.status in {200, 404}, path
            assert trouble_of(document, path, told) == [], path


@asking
@pytest.mark.parametrize(("asked", "status"), REFUSED.items())
async def test_a_refusal_is_one_that_the_document_has(pages: Pages, asked: str, status: int) -> None:
    """In JSON, with words."""
    document = await document_of(pages)
    told = await pages.ask(f"/api/v1{asked}")
    path = next(one for one in sorted(ASKED, key=len, reverse=True) if is_path(one, asked.partition("?")[0]))
    assert told.status == status
    assert trouble_of(document, path, told) == []
    assert json.loads(told.text)["detail"]


def is_path(pattern: str, path: str) -> bool:
    """Whether a path is of a pattern."""
    parts, given = pattern.split("/"), path.split("/")
    return len(parts) == len(given) and all(a == b or a.startswith("{") for a, b in zip(parts, given, strict=True))


@asking
async def test_the_reference_lists_every_operation_with_its_scope(pages: Pages) -> None:
    """None too many and none too few."""
    document = await document_of(pages)
    described = {
        (f"{method.upper()} {path.removeprefix('/api/v1')}", one["x-scope"])
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    }
    listed = re.findall(r"^\| `((?:GET|POST) [^`]+)` \| (\w+) \|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    assert len(listed) == len(described)
    assert set(listed) == described


@asking
async def test_acknowledging_answers_what_the_document_says(pages: Pages) -> None:
    """The only operation that changes something."""
    document = await document_of(pages)
    path = "/alerts/{number}/acknowledge"
    headers = {"Authorization": f"Bearer {WRITE}"}
    for number, status in ((1, 200), (999, 404)):
        told = await pages.ask(f"/api/v1/alerts/{number}/acknowledge", "POST", json={"by": "Ada"}, headers=headers)
        assert told.status == status
        assert trouble_of(document, path, told, method="post") == []


@asking
async def test_no_answer_has_room_for_what_the_document_does_not_say(pages: Pages) -> None:
    """Every object of an answer is closed, and every field of it is always there."""
    document = await document_of(pages)
    schemas = document["components"]["schemas"]
    sent = {
        described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for methods in document["paths"].values()
        for described in methods.values()
        if "requestBody" in described
    }
    for name, schema in schemas.items():
        if name not in sent and "properties" in schema:
            assert schema["additionalProperties"] is False, name
            assert set(schema["required"]) == set(schema["properties"]), name


@asking
@pytest.mark.parametrize("token", ["", READ, WRITE, "wrong"])
async def test_a_token_opens_what_its_scope_says(pages: Pages, token: str) -> None:
    """For every operation of the document: public ones for anybody, reading for both tokens, operating for one."""
    document = await document_of(pages)
    allowed = {"": {"public"}, "wrong": {"public"}, READ: {"public", "read"}, WRITE: {"public", "read", "operate"}}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            asked = path.format(name="quote-p95", number=1, run_id="run00001", day=DAY, run="run00001", file="a.png")
            told = await pages.ask(asked, method.upper(), host="status.example", headers=headers)
            if described["x-scope"] in allowed[token]:
                assert told.status not in {401, 403}, asked
            else:
                assert told.status == (403 if token == READ else 401), asked
                assert trouble_of(document, path.removeprefix("/api/v1"), told, method=method) == []
