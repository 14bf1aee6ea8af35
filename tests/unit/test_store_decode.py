"""The fast reading of runs against the slow one: the same answer to whatever comes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.store_decode import decode_run
from probes.records import Run
from probes.wire import MAX_RECORD_BYTES, WireError, parse_run, render_run
from tests.fuzz_kit import INT64_END, floats, plain, runs, words
from tests.store_kit import NOW, run_at


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


@pytest.mark.parametrize("filler", [0, 1, 500, 998, 999])
@pytest.mark.parametrize("digits", [4_299, 4_300, 4_301, 9_000])
def test_a_number_too_long_for_the_slow_reader_is_taken_by_neither(digits: int, filler: int) -> None:
    """Also where the fast one only passes it over, wherever it lies."""
    body = b'%s,"new":"%s","number":%s}' % (render_run(run_at(NOW))[:-1], b" " * filler, b"7" * digits)
    answers = []
    for read in (parse_run, decode_run):
        try:
            answers.append(plain(read(body)))
        except WireError:
            answers.append(None)
    assert answers[0] == answers[1]
    assert (answers[0] is None) == (digits > 4_300)


def test_a_record_longer_than_any_honest_one_is_not_even_read() -> None:
    """The same bound as on the wire."""
    with pytest.raises(WireError, match="too many"):
        decode_run(b" " * (MAX_RECORD_BYTES + 1))


def test_another_schema_version_is_refused_in_words() -> None:
    """The slow reader has the better words."""
    body = render_run(run_at(NOW + timedelta(days=1))).replace(b'"schema_version":1', b'"schema_version":2')
    with pytest.raises(WireError, match="schema version 2"):
        decode_run(body)
