"""HAR of plain HTTP: valid by its specification, sending included, credentials hidden."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from probes.evidence_har import HarExchange, render_har
from probes.records import Exchange, Failure, FailureKind, Phases

STARTED_AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
# Source: http://www.softwareishard.com/blog/har-12-spec/, the members that are not optional.
REQUIRED = {
    "entry": {"startedDateTime", "time", "request", "response", "cache", "timings"},
    "request": {"method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize"},
    "response": {
        *("status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL", "headersSize"),
        "bodySize",
    },
    "content": {"size", "mimeType"},
    "timings": {"send", "wait", "receive"},
}
UPLOAD = Exchange(
    method="PUT",
    url="https://api.test/files?name=part.stl&token=abc",
    started_ns=1_500_000_000,
    phases=Phases(1_000_000, 2_000_000, 3_000_000, 4_000_000, 500_000_000, 6_000_000, 7_000_000),
    status=201,
    request_bytes=50_000_000,
    response_bytes=20,
    server_address="127.0.0.1",
)


def entries_of(*kept: HarExchange) -> list[dict[str, Any]]:
    """The entries of the rendered document."""
    log = json.loads(render_har(kept, started_at=STARTED_AT))["log"]
    assert (log["version"], log["creator"]["name"]) == ("1.2", "probe-fleet")
    return list(log["entries"])


def test_every_member_that_the_specification_asks_for_is_there() -> None:
    """Of an exchange with an answer and of one without."""
    refused = Exchange(
        "GET", "http://x.test/", 0, Phases(), failure=Failure(FailureKind.CONNECT, "refused", "ECONNREFUSED")
    )
    for entry in entries_of(HarExchange(UPLOAD), HarExchange(refused)):
        assert entry.keys() >= REQUIRED["entry"]
        for part in ("request", "response", "timings"):
            assert entry[part].keys() >= REQUIRED[part]
        assert entry["response"]["content"].keys() >= REQUIRED["content"]
        assert all(entry["timings"][name] >= 0 for name in ("send", "wait", "receive"))


def test_the_timings_add_up_and_sending_is_real() -> None:
    """HAR's `connect` contains `ssl`; everything else is a phase of ours."""
    [entry] = entries_of(HarExchange(UPLOAD))
    timings = entry["timings"]
    assert timings["send"] == 500.0
    assert timings["connect"] == 7.0
    assert timings["ssl"] == 4.0
    assert entry["time"] == pytest.approx(sum(value for name, value in timings.items() if name != "ssl"))
    assert datetime.fromisoformat(entry["startedDateTime"]) == datetime(2026, 3, 4, 12, 0, 1, 500_000, tzinfo=UTC)


def test_a_reused_connection_has_no_dns_and_no_connect() -> None:
    """-1 stands for what did not happen."""
    reused = Exchange("GET", "http://x.test/", 0, Phases(wait_ns=1_000_000), status=200, reused=True)
    [entry] = entries_of(HarExchange(reused))
    assert (entry["timings"]["dns"], entry["timings"]["connect"], entry["timings"]["ssl"]) == (-1, -1, -1)


def test_headers_that_carry_credentials_are_hidden_and_others_stay() -> None:
    """Whatever they hold."""
    kept = HarExchange(UPLOAD, (("Set-Cookie", "a=b"), ("Content-Type", "application/json")), b'{"ok":true}')
    [entry] = entries_of(kept)
    assert entry["response"]["headers"] == [
        {"name": "Set-Cookie", "value": "***"},
        {"name": "Content-Type", "value": "application/json"},
    ]
    assert entry["response"]["content"] == {"size": 11, "mimeType": "application/json", "text": '{"ok":true}'}


def test_a_body_that_is_no_text_is_left_out_and_a_long_one_is_cut() -> None:
    """With its size, and a word about it."""
    binary, long = entries_of(HarExchange(UPLOAD, (), b"\xff\xfe\x00"), HarExchange(UPLOAD, (), b"x" * 300_000))
    assert "text" not in binary["response"]["content"]
    assert len(long["response"]["content"]["text"]) == 256 * 1024
    assert long["response"]["content"]["size"] == 300_000
