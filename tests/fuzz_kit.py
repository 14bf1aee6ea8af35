"""Records that honest probes could write, and what a hostile or broken one makes of them: values for property tests of the wire.

A mutation is made of bytes, not of parsed values, so that it can hold what no serialiser writes: NaN, numbers of a thousand
digits, half a surrogate pair, a key twice, a tower of brackets. Used by tests named fuzz and by those of the two decoders.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy, composite

from probes.ledger_entries import FitnessMinute, LedgerEntry, Loss, OwedSlots, SlotEnd, SlotReason
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

__all__ = [
    "INT64_END",
    "ODD_JSON",
    "entries",
    "floats",
    "instants",
    "mangled",
    "plain",
    "runs",
    "runs_by",
    "words",
]

INT64_END: Final = 1 << 63
FIRST_AT, LAST_AT = datetime(2000, 1, 2), datetime(2199, 1, 1)  # noqa: DTZ001 - hypothesis wants naive bounds

whole = st.integers(0, INT64_END - 1)
words = st.text(max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
instants = st.datetimes(FIRST_AT, LAST_AT, timezones=st.just(UTC))
failures = st.builds(Failure, st.sampled_from(FailureKind), words, words)
attributes = st.dictionaries(words, words | whole | floats | st.booleans(), max_size=3)


def few(of: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
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


def runs_by(identities: SearchStrategy[RunIdentity]) -> SearchStrategy[Run]:
    """Runs with everything in them that a run can hold."""
    return st.builds(
        Run,
        identity=identities,
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


runs = runs_by(st.builds(RunIdentity, words, words, words, words, instants, st.integers(0, 5)))

names = st.from_regex(r"\A[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?\Z")
reasons = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=3)
least = st.integers(1, 1 << 40)
entries: SearchStrategy[LedgerEntry] = st.one_of(
    st.builds(
        SlotEnd,
        scenario=names,
        slot_at=instants,
        reason=st.sampled_from(SlotReason),
        attempt=st.integers(0, 9),
        run_id=words,
        detail=words,
        schedule_lag_ns=whole,
    ),
    st.builds(
        OwedSlots,
        scenario=names,
        interval_ms=st.integers(1_000, 1 << 40),
        phase_ms=st.integers(0, 1 << 40),
        tolerance_ms=least,
        timeout_ms=least,
        from_at=instants,
        until_at=st.none() | instants,
    ),
    st.builds(FitnessMinute, minute_at=instants, reasons=reasons),
    st.builds(Loss, first_seq=st.just(1), last_seq=least, entries=least, reason=words),
)

ODD_JSON: Final = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"-0", b"-0.0", b"01", b"1.0", b"0.5"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809"),
    *(b"18446744073709551616", b"-1", b"1" + b"0" * 5_000, b"-1" + b"0" * 400, b"1e9223372036854775807"),
    *(
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\u0000"',
        b'"\\n1 run {}"',
        b'"' + b"\xed\xa0\x80" + b'"',
        b'"\xff"',
        b'""',
    ),
    *(b"null", b"true", b"[]", b"{}", b"[[]]", b'{"":{}}', b"[" * 3_000 + b"]" * 3_000, b"[" * 3_000),
    *(
        b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
        b'"2026-01-01"',
        b'"0001-01-01T00:00:00+23:59"',
        b'"9999-12-31T23:59:59-23:59"',
    ),
    *(b'"2026-02-30T00:00:00Z"', b'"2026-01-01T00:00:60Z"', b'"2026-01-01T00:00:00"', b"1767225600", b"1767225600.5"),
    *(
        b'"2026-01-01T00:00:00.1234567Z"',
        b'"1999-12-31T23:59:59.999999Z"',
        b'"pass"',
        b'"x"',
        b'"' + b"x" * 70_000 + b'"',
    ),
)
"""Values that no honest writer puts anywhere, or that are on a border; not all of them are JSON."""


@composite
def mangled(draw: DrawFn, documents: SearchStrategy[bytes]) -> bytes:
    """A JSON document of one line that somebody has laid hands on, up to three times."""
    body = draw(documents)
    for _ in range(draw(st.integers(1, 3))):
        body = draw(st.sampled_from(MUTATIONS))(draw, body)
    return body.replace(b"\n", b" ")


def with_odd_value(draw: DrawFn, body: bytes) -> bytes:
    """One value replaced by something odd."""
    try:
        place = document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    while isinstance(place, dict | list) and place:
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = "\x01here"
            break
        place = place[key]
    odd = draw(st.sampled_from(ODD_JSON))
    try:
        return json.dumps(document).encode().replace(b'"\\u0001here"', odd)
    except (ValueError, RecursionError):
        return body


def with_a_key_twice(draw: DrawFn, body: bytes) -> bytes:
    """A known key once more, at the end, with another value; or one that nobody knows."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict) or not document:
        return body
    key = json.dumps(draw(st.sampled_from([*sorted(document), "new", "newer"]))).encode()
    value = draw(st.sampled_from((*ODD_JSON, json.dumps(draw(st.sampled_from(list(document.values())))).encode())))
    return body.rstrip()[:-1] + b"," + key + b":" + value + b"}"


def without_a_key(draw: DrawFn, body: bytes) -> bytes:
    """A key less."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict) or not document:
        return body
    del document[draw(st.sampled_from(sorted(document)))]
    return json.dumps(document).encode()


def with_bits_flipped(draw: DrawFn, body: bytes) -> bytes:
    """Some bits the other way."""
    changed = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def cut_short(draw: DrawFn, body: bytes) -> bytes:
    """Without its end."""
    return body[: draw(st.integers(0, len(body)))]


def with_bytes_put_in(draw: DrawFn, body: bytes) -> bytes:
    """Something odd somewhere."""
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.sampled_from(ODD_JSON) | st.binary(max_size=8)) + body[at:]


MUTATIONS: Final[tuple[Callable[[DrawFn, bytes], bytes], ...]] = (
    with_odd_value,
    with_odd_value,  # the one that gets furthest
    with_a_key_twice,
    without_a_key,
    with_bits_flipped,
    cut_short,
    with_bytes_put_in,
)


def plain(value: Any) -> Any:  # noqa: ANN401 - it takes apart whatever a record is made of
    """A record of either decoder as plain values, by field."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    parts = (
        [field.name for field in fields(value)] if is_dataclass(value) else getattr(value, "__struct_fields__", None)
    )
    if parts is None:
        return value
    return {name: plain(getattr(value, name)) for name in parts if name != "schema_version"}
