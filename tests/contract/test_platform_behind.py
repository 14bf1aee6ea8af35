"""What stands behind the stand-in: its bucket of backups, its service address and standby, its telemetry."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from urllib.parse import quote

import pytest

from probes.s3_signer import S3Signer
from tests.platform_kit import Answer, StandIn, start_stand_in, until

KEY_ID, SECRET_KEY = "STANDINBACKUPREADER", "stand-in-backup-reader-key"
READER = {"Authorization": "Bearer stand-in-telemetry-reader"}
KEYS = re.compile(r"<Key>(daily/backup-(\d{4}-\d{2}-\d{2})\.sql\.gz)</Key>")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One stand-in for all tests of this file."""
    with start_stand_in("--warm", "0") as running:
        yield running


def ask(stand_in: StandIn, path: str, *, key: str = SECRET_KEY, key_id: str = KEY_ID, **headers: str) -> Answer:
    """A signed request to the bucket."""
    signer = S3Signer(key_id, key, "us-east-1")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    signed = signer.headers("GET", stand_in.urls["backups"] + path, named)
    return stand_in.call("GET", "backups", path, headers=signed)


def newest(stand_in: StandIn) -> str:
    """The path of today's backup."""
    return f"/stand-in-backups/{KEYS.findall(ask(stand_in, '/stand-in-backups/?list-type=2').body.decode())[-1][0]}"


def test_a_platform_that_just_started_has_thirty_days_of_backups(stand_in: StandIn) -> None:
    """One a day up to today, each written at midnight."""
    body = ask(stand_in, f"/stand-in-backups/?list-type=2&prefix={quote('daily/backup-', safe='')}").body.decode()
    days = [date.fromisoformat(day) for _, day in KEYS.findall(body)]
    assert len(days) == 30
    assert all(after - before == timedelta(days=1) for before, after in pairwise(days))
    assert datetime.now(UTC).date() - days[-1] <= timedelta(days=1)
    assert f"<LastModified>{days[0]}T00:00:00.000Z</LastModified>" in body


def test_a_listing_comes_in_pages(stand_in: StandIn) -> None:
    """As long as there is more it names where to go on; together the pages are the whole."""
    path, keys, token = "/stand-in-backups/?list-type=2&max-keys=7", [], ""
    while True:
        more = f"&continuation-token={quote(token, safe='')}" if token else ""
        body = ask(stand_in, path + more).body.decode()
        page = [key for key, _ in KEYS.findall(body)]
        keys += page
        if "<IsTruncated>false</IsTruncated>" in body:
            break
        token = re.findall(r"<NextContinuationToken>(.*)</NextContinuationToken>", body)[0]
        assert len(page) == 7
    assert len(keys) == len(set(keys)) == 30


def test_a_backup_is_what_pg_dump_would_write(stand_in: StandIn) -> None:
    """Head, tables, rows, end; the quote of a minute ago is in a backup that is made now, and no token of a session is."""
    upload = stand_in.uploaded(b"0" * 100, "later.step")
    token = stand_in.token()
    assert stand_in.call("POST", "control", "/backups").status == 200
    text = gzip.decompress(ask(stand_in, newest(stand_in)).body).decode()
    assert text.startswith("--\n-- PostgreSQL database dump\n--\n")
    assert text.endswith("--\n-- PostgreSQL database dump complete\n--\n\n")
    assert upload in text
    assert token not in text


def test_ranges_are_answered_as_long_as_it_is_the_same_object(stand_in: StandIn) -> None:
    """206 with the bytes that were asked for; 412 once it is another object, 416 beyond its end."""
    path = newest(stand_in)
    whole = ask(stand_in, path)
    etag = whole.headers["etag"]
    part = ask(stand_in, path, Range="bytes=10-19", If_Match=etag)
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    assert ask(stand_in, path, Range="bytes=-8").body == whole.body[-8:]
    assert ask(stand_in, path, If_Match='"another"').status == 412
    assert ask(stand_in, path, Range=f"bytes={len(whole.body)}-").status == 416
    assert ask(stand_in, "/stand-in-backups/daily/backup-2020-01-01.sql.gz").status == 404
    assert ask(stand_in, "/another-bucket/x").status == 404


def test_only_what_is_signed_with_the_right_key_is_answered(stand_in: StandIn) -> None:
    """A wrong key, a wrong id, another path than the signed one, no signature: 403 with the reason."""
    path = "/stand-in-backups/?list-type=2"
    assert b"SignatureDoesNotMatch" in ask(stand_in, path, key="wrong").body
    assert b"InvalidAccessKeyId" in ask(stand_in, path, key_id="WRONG").body
    signed = S3Signer(KEY_ID, SECRET_KEY, "us-east-1").headers("GET", stand_in.urls["backups"] + path, {})
    changed = stand_in.call("GET", "backups", path + "&max-keys=1", headers=signed)
    assert (changed.status, b"SignatureDoesNotMatch" in changed.body) == (403, True)
    assert stand_in.call("GET", "backups", path).status == 403


def test_the_standby_takes_the_service_address_over(stand_in: StandIn) -> None:
    """Refused at once, answered by the standby afterwards on the same port, and back again."""
    assert stand_in.call("GET", "service", "/health").text("servedBy") == "primary"
    assert stand_in.call("GET", "standby", "/health").text("role") == "waiting"
    assert stand_in.call("POST", "control", "/failover", body={"after_s": 600}).status == 200
    with pytest.raises(ConnectionRefusedError):
        stand_in.call("GET", "service", "/health")
    # A later failover takes the place of the one that is on.
    assert stand_in.call("POST", "control", "/failover", body={"after_s": 0}).status == 200
    until(lambda: stand_in.call("GET", "control", "/failover").text("servedBy") == "standby", "takeover")
    until(lambda: answers(stand_in), "answer of the service address")
    assert stand_in.call("GET", "service", "/health").text("servedBy") == "standby"
    assert stand_in.call("GET", "standby", "/health").text("role") == "active"
    stand_in.call("DELETE", "control", "/failover")
    assert stand_in.call("GET", "service", "/health").text("servedBy") == "primary"


def test_a_flapping_address_goes_and_comes_until_the_plan_changes(stand_in: StandIn) -> None:
    """Both are seen again and again; afterwards it stays."""
    with stand_in.fault("flap", up_s=0.05, down_s=0.05):
        for wanted in (False, True, False, True):
            until(lambda wanted=wanted: answers(stand_in) is wanted, "the other state")  # type: ignore[misc] # bound now
    for _ in range(20):
        assert answers(stand_in)


def answers(stand_in: StandIn) -> bool:
    """True when the service address takes a connection and answers it."""
    try:
        return stand_in.call("GET", "service", "/health").status == 200
    except OSError:
        return False


def envelope(event_id: str, key: str = "0123456789abcdef0123456789abcdef") -> dict[str, object]:
    """A Sentry envelope as `call` wants it."""
    lines = f'{{"event_id":"{event_id}"}}\n{{"type":"event"}}\n{{"event_id":"{event_id}","tags":{{"a":"b"}}}}\n'
    return {"data": lines.encode(), "headers": {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}"}}


def test_telemetry_is_shown_once_it_is_visible_and_lost_telemetry_never(stand_in: StandIn) -> None:
    """Taken with 200 in every case: only reading back tells."""
    place = "/api/0/projects/o/p/events/"
    assert stand_in.call("POST", "telemetry", "/api/1/envelope/", **envelope("1" * 32)).status == 200  # type: ignore[arg-type] # see there
    assert stand_in.call("GET", "telemetry", f"{place}{'1' * 32}/", headers=READER).at("tags.0.value") == "b"
    with stand_in.fault("slow-telemetry", which="errors", ms=1000):
        sent_s = time.monotonic()
        assert stand_in.call("POST", "telemetry", "/api/1/envelope/", **envelope("2" * 32)).status == 200  # type: ignore[arg-type] # see there
        first = stand_in.call("GET", "telemetry", f"{place}{'2' * 32}/", headers=READER).status
        assert first == 404 or time.monotonic() - sent_s >= 1
        until(
            lambda: stand_in.call("GET", "telemetry", f"{place}{'2' * 32}/", headers=READER).status == 200, "visibility"
        )
        assert time.monotonic() - sent_s >= 1
    with stand_in.fault("lost-telemetry", which="errors"):
        assert stand_in.call("POST", "telemetry", "/api/1/envelope/", **envelope("3" * 32)).status == 200  # type: ignore[arg-type] # see there
    assert stand_in.call("GET", "telemetry", f"{place}{'3' * 32}/", headers=READER).status == 404


def test_telemetry_wants_its_keys(stand_in: StandIn) -> None:
    """The public key to write, the token to read, as the real services do."""
    assert stand_in.call("POST", "telemetry", "/api/1/envelope/", **envelope("4" * 32, "f" * 32)).status == 403  # type: ignore[arg-type] # see there
    assert stand_in.call("GET", "telemetry", f"/api/0/projects/o/p/events/{'4' * 32}/").status == 401
    assert stand_in.call("POST", "telemetry", "/i/v0/e/", body={"api_key": "wrong"}).status == 401
    question = {"query": {"kind": "HogQLQuery", "query": "SELECT 1"}}
    assert stand_in.call("POST", "telemetry", "/api/projects/1/query/", body=question).status == 401
    assert stand_in.call("POST", "telemetry", "/api/projects/1/query/", body=question, headers=READER).status == 400
