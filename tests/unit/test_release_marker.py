"""A release as a record and as JSON: it comes back as it went, and what it must not be is refused with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import OperatorError
from probes.release_marker import (
    MOST_NAME,
    MOST_TEXT,
    ReleaseMarker,
    ReleaseOutcome,
    parse_release,
    release_of,
    render_release,
)
from tests.release_kit import release_at
from tests.store_kit import NOW

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)


@given(
    name=PRINTABLE,
    texts=st.lists(PRINTABLE, min_size=5, max_size=5),
    outcome=st.sampled_from(ReleaseOutcome),
    began_at=st.timedeltas(timedelta(0), timedelta(days=36_000)).map(
        lambda since: datetime(2001, 1, 1, tzinfo=UTC) + since
    ),
    lasted=st.timedeltas(timedelta(0), timedelta(days=1)),
)
def test_a_release_comes_back_from_json_as_it_went(
    name: str, texts: list[str], outcome: ReleaseOutcome, began_at: datetime, lasted: timedelta
) -> None:
    """Every field, and so its identity."""
    target, environment, cause, by, note = texts
    marker = ReleaseMarker(
        name, target, began_at, began_at + lasted, outcome, environment, cause, by, "https://ci.example/1?a=b", note
    )
    again = parse_release(render_release(marker), where="here")
    assert again == marker
    assert again.identity == marker.identity


def test_the_identity_is_what_where_and_since_when_and_nothing_else() -> None:
    """Another zone names the same instant; how the gate ended is no part of it."""
    marker = release_at(0)
    elsewhere = ReleaseMarker(
        marker.name,
        marker.target,
        marker.began_at.astimezone(timezone(timedelta(hours=5))),
        marker.ended_at + timedelta(hours=1),
        ReleaseOutcome.FAIL,
        note="other",
    )
    assert elsewhere.identity == marker.identity
    others = [release_at(1), release_at(0, name="x"), release_at(0, target="x"), release_at(0, environment="x")]
    assert len({marker.identity, *(one.identity for one in others)}) == 5


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "", "name"),
        ("name", "   ", "name"),
        ("name", "x" * (MOST_NAME + 1), "name"),
        ("name", "a\nb", "control characters"),
        ("name", "a\u202eb", "control characters"),
        ("target", "", "target"),
        ("note", "x" * (MOST_TEXT + 1), "note"),
        ("cause", "\x1b[31m", "control characters"),
        ("by", "\0", "control characters"),
        ("outcome", "passed", "outcome"),
        ("began_at", "2026-11-25T10:00:00", "began_at"),
        ("began_at", "1969-01-01T10:00:00Z", "this century"),
        ("ended_at", "2026-03-01T11:59:00Z", "ended before it began"),
        ("report_url", "javascript:alert(1)", "http"),
        ("report_url", "https://", "http"),
        ("report_url", "//ci.example/1", "http"),
        ("report_url", "https://user:word@ci.example/", "no user"),
        ("report_url", "https://ci.example:99999/", "report_url"),
        ("report_url", "https://ci.example/a b", "http"),
        ("schema_version", 2, "schema_version"),
        ("schema_version", None, "schema_version"),
    ],
)
def test_what_is_no_release_is_refused_with_its_place(field: str, value: object, told: str) -> None:
    """In one sentence; nothing of a traceback."""
    document = json.loads(render_release(release_at(0)))
    document[field] = value
    if value is None:
        del document[field]
    with pytest.raises(OperatorError, match=told) as caught:
        parse_release(json.dumps(document).encode(), where="unsent.json")
    assert str(caught.value).startswith("unsent.json: ")


def test_a_file_of_a_later_program_is_read_as_far_as_it_is_known() -> None:
    """Keys that nobody knows are left alone; texts lose what surrounds them."""
    document = {**json.loads(render_release(release_at(0))), "mood": "good", "name": " 2026.11.3 "}
    assert parse_release(json.dumps(document).encode(), where="f") == release_at(0)
    assert release_of({"name": "a", "target": "b", "began_at": NOW}, where="f").ended_at == NOW


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"null"])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """With where it stands."""
    with pytest.raises(OperatorError, match="f: "):
        parse_release(raw, where="f")
