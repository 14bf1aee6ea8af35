"""The fast reading of runs against the slow one: the same answer to whatever comes."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.store_decode import decode_run
from probes.records import (
    Evidence,
    Exchange,
    Expectation,
    Failure,
    FailureKind,
    Fitness,
    Outcome,
    PageLoad,
    Phases,
    Run,
    RunIdentity,
    SideEffect,
    Step,
    UploadFlow,
)
from probes.wire import MAX_RECORD_BYTES, WireError, parse_run, render_run
from tests.store_kit import NOW, run_at

INT64_END = 1 << 63
whole = st.integers(0, INT64_END - 1)
words = st.text(max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
instants = st.datetimes(datetime(2000, 1, 2), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
failures = st.builds(Failure, st.sampled_from(FailureKind), words, words)
attributes = st.dictionaries(words, words | whole | floats | st.booleans(), max_size=3)


def few(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A short tuple."""
    return st.lists(of, max_size=2).map(tuple)


exchanges = st.builds(
    Exchange,
    method=words,
    url=words,
    started_ns=whole,
    phases=st.builds(Phases, *[whole] * 7),
    status=st.integers(0, 599),
    request_bytes=whole,
    response_bytes=whole,
    server_address=words,
    server_port=st.integers(0, 65535),
    reused=st.booleans(),
    tls_version=words,
    certificate_expires_at=st.none() | instants,
    upload=st.none() | st.builds(UploadFlow, whole, floats, whole, whole, whole, whole),
    failure=st.none() | failures,
)
pages = st.builds(PageLoad, url=words, ready_ns=st.none() | whole, cls=st.none() | floats, failed_requests=few(words))
steps = st.builds(
    Step,
    name=words,
    started_ns=whole,
    duration_ns=whole,
    outcome=st.sampled_from(Outcome),
    failure=st.none() | failures,
    exchanges=few(exchanges),
    pages=few(pages),
    expectations=few(st.builds(Expectation, words, words, words, st.booleans())),
    attributes=attributes,
    cleanup=st.booleans(),
)
runs = st.builds(
    Run,
    identity=st.builds(RunIdentity, words, words, words, words, instants, st.integers(0, 5)),
    run_id=words,
    trace_id=words,
    target=words,
    scenario_version=words,
    scheduled_at=instants,
    started_at=instants,
    duration_ns=whole,
    outcome=st.sampled_from(Outcome),
    steps=few(steps),
    schedule_lag_ns=whole,
    failure=st.none() | failures,
    failed_step=words,
    target_release=words,
    clock_offset_ns=st.none() | st.integers(-INT64_END, INT64_END - 1),
    clock_bound_ns=st.none() | whole,
    side_effects=few(st.builds(SideEffect, words, words, words, st.none() | st.booleans(), words, words)),
    evidence=few(st.builds(Evidence, words, words, words, words, whole)),
    fitness=st.none() | st.builds(Fitness, st.none() | whole, st.none() | floats, few(words)),
    marks=few(words),
    attributes=attributes,
)


def plain(value: Any) -> Any:  # noqa: ANN401 - it takes apart whatever a record is made of
    """A record of either kind as plain values, by field."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    names = (
        [field.name for field in fields(value)] if is_dataclass(value) else getattr(value, "__struct_fields__", None)
    )
    if names is None:
        return value
    return {name: plain(getattr(value, name)) for name in names if name != "schema_version"}


@given(runs)
def test_the_fast_reader_reads_what_the_slow_one_reads(run: Run) -> None:
    """Every field of every part, whatever is in it."""
    body = render_run(run)
    assert plain(decode_run(body)) == plain(parse_run(body))


broken = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | floats | words,
    lambda inner: st.lists(inner, max_size=2),
)


@given(st.data(), broken)
def test_what_one_of_them_refuses_the_other_refuses(data: st.DataObject, value: object) -> None:
    """Any one value of a record replaced by anything: both take it, or neither does."""
    body: Any = json.loads(render_run(run_at(NOW)))
    place = body
    while isinstance(place, dict | list) and place:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        name = data.draw(st.sampled_from(names))
        if not isinstance(place[name], dict | list) or not place[name] or data.draw(st.booleans()):
            place[name] = value
            break
        place = place[name]
    changed = json.dumps(body).encode()
    try:
        slow: object = plain(parse_run(changed))
    except WireError:
        slow = None
    try:
        fast: object = plain(decode_run(changed))
    except WireError:
        fast = None
    if slow is not None and fast is None:
        assert isinstance(value, int)
        assert abs(value) >= INT64_END  # no database holds it
    else:
        assert fast == slow


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_nothing_else_happens(body: bytes) -> None:
    """Bytes of any kind end as a WireError."""
    with pytest.raises(WireError):
        decode_run(body)


def test_unknown_keys_of_a_newer_writer_are_tolerated() -> None:
    """At every level."""
    body = json.loads(render_run(run_at(NOW)))
    body["new"] = body["identity"]["new"] = body["steps"][0]["new"] = {"deep": [1]}
    assert plain(decode_run(json.dumps(body).encode())) == plain(run_at(NOW))


def test_a_record_longer_than_any_honest_one_is_not_even_read() -> None:
    """The same bound as on the wire."""
    with pytest.raises(WireError, match="too many"):
        decode_run(b" " * (MAX_RECORD_BYTES + 1))


def test_another_schema_version_is_refused_in_words() -> None:
    """The slow reader has the better words."""
    body = render_run(run_at(NOW + timedelta(days=1))).replace(b'"schema_version":1', b'"schema_version":2')
    with pytest.raises(WireError, match="schema version 2"):
        decode_run(body)
