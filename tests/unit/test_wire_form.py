"""Records as bytes and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.store_decode import decode_run
from probes.masking import Mask
from probes.records import (
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
    Step,
)
from probes.steps import StepHandle, StepLog
from probes.wire import MAX_RECORD_BYTES, WireError, parse_run, render_run
from tests.clock import JumpingClock

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EXCHANGE = Exchange(
    "GET",
    "https://api.example.test/health",
    1_000,
    Phases(*[1_000_000 * n for n in range(7)]),
    status=200,
    request_bytes=200,
    response_bytes=300,
    server_address="127.0.0.1",
    server_port=443,
    tls_version="TLSv1.3",
    certificate_expires_at=NOW,
)
STEP = Step(
    "api-health",
    0,
    25_000_000,
    Outcome.PASS,
    exchanges=(EXCHANGE,),
    expectations=(Expectation("status", "healthy", "healthy", ok=True),),
    attributes={"cad.part": "bracket", "cad.bytes": 7, "ratio": 1.0, "flag": True},
)
RUN = Run(
    identity=RunIdentity("fleet", "eu", "probe-1", "api-health", NOW),
    run_id="0" * 26,
    trace_id="f" * 32,
    target="stand-in",
    scenario_version="abc",
    scheduled_at=NOW,
    started_at=NOW,
    duration_ns=30_000_000,
    outcome=Outcome.PASS,
    steps=(STEP,),
    fitness=Fitness(loop_lag_ns=0, steal_ratio=0.0),
)

st.register_type_strategy(str, st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(min_value=-(2**62), max_value=2**62))
INSTANTS = st.datetimes(timezones=st.just(UTC))
st.register_type_strategy(datetime, INSTANTS)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.from_type(Run))
def test_a_record_survives_the_wire_whatever_it_holds(run: Run) -> None:
    """Every field, every kind, any text and any number that is finite comes back equal."""
    assert parse_run(render_run(run)) == run


def test_a_run_of_one_step_fits_in_about_a_kilobyte() -> None:
    """A record is small enough to be kept by the million."""
    assert len(render_run(RUN)) < 1_200


def test_the_version_comes_first_and_the_rest_is_one_json_document() -> None:
    """Any reader can look at the version before it understands anything else."""
    data = render_run(RUN)
    assert data.startswith(b'{"schema_version":1,')
    document = json.loads(data)
    assert document["identity"]["scenario"] == "api-health"
    assert b"\n" not in data


def test_unknown_keys_are_tolerated_at_every_depth() -> None:
    """An older reader takes a newer writer's record."""
    document = json.loads(render_run(RUN))
    document["new"] = {"deep": 1}
    document["steps"][0]["new"] = 1
    document["steps"][0]["exchanges"][0]["phases"]["new_ns"] = 1
    assert parse_run(json.dumps(document).encode()) == RUN


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("duration_ns", "12", "duration_ns: Input should be a valid integer"),
        ("duration_ns", 1.5, "duration_ns"),
        ("outcome", "passed", "outcome: Input should be 'pass', 'fail' or 'inconclusive'"),
        ("run_id", 7, "run_id: Input should be a valid string"),
        ("started_at", "yesterday", "started_at"),
        ("steps", {"a": 1}, "steps: Input should be a valid array"),
        ("steps", [{"name": "x"}], "steps[0].started_ns: Field required"),
        ("schema_version", "1", "schema_version"),
        ("schema_version", True, "schema_version"),
        ("schema_version", 2, "the record has schema version 2"),
    ],
)
def test_a_known_key_of_another_type_is_refused_and_named(key: str, value: object, words: str) -> None:
    """Strict: a text is not a number, and the message leads to the key."""
    document = json.loads(render_run(RUN))
    document[key] = value
    with pytest.raises(WireError) as caught:
        parse_run(json.dumps(document).encode())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"[]", b"null", b'"text"', b'{"schema_version":1}', b"{}", b"\xff\xfe", render_run(RUN)[:-5]],
)
def test_bytes_that_are_no_record_are_refused_in_one_sentence(data: bytes) -> None:
    """Whatever arrives, the reader gets a `WireError` that a person can read."""
    with pytest.raises(WireError) as caught:
        parse_run(data)
    assert "record" in str(caught.value)
    assert len(str(caught.value)) < 500


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_in_any_other_way(data: bytes) -> None:
    """Random bytes are never a record, and never anything but a `WireError`."""
    with pytest.raises(WireError):
        parse_run(data)


def test_a_record_that_is_too_large_is_not_read() -> None:
    """A bound before parsing, so that nobody can fill our memory."""
    with pytest.raises(WireError, match="too many"):
        parse_run(b" " * (MAX_RECORD_BYTES + 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_does_not_lose_the_record(value: float) -> None:
    """An attribute becomes its text, a measurement becomes unknown; the rest arrives."""
    page = PageLoad("https://example.test", cls=value, lcp_ns=5)
    run = replace(RUN, steps=(replace(STEP, pages=(page,), attributes={"ratio": value}),), attributes={"load": value})
    back = parse_run(render_run(run))
    assert back.attributes == {"load": str(value)}
    assert back.steps[0].attributes == {"ratio": str(value)}
    assert back.steps[0].pages == (replace(page, cls=None),)
    assert back.steps[0].exchanges == STEP.exchanges


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("read", [parse_run, decode_run])
def test_a_number_that_json_has_no_spelling_for_is_refused(read: Callable[[bytes], Run], number: bytes) -> None:
    """What is taken can be written again as it was; where nobody looks at the key, nobody minds."""
    body = render_run(replace(RUN, steps=(), fitness=None))[:-1]
    with pytest.raises(WireError, match="should be a finite number"):
        read(body + b',"attributes":{"load":' + number + b"}}")
    with pytest.raises(WireError, match="should be a finite number"):
        read(body + b',"fitness":{"steal_ratio":' + number + b"}}")
    assert read(body + b',"new":' + number + b"}").run_id == RUN.run_id


def test_text_that_is_no_unicode_does_not_lose_the_record() -> None:
    """A lone surrogate out of a page's error is escaped; everything else arrives as it was."""
    failure = Failure(FailureKind.BROWSER, "TypeError: \ud83d is not a function")
    back = parse_run(render_run(replace(RUN, failure=failure)))
    assert back.failure == replace(failure, message="TypeError: \\ud83d is not a function")
    assert back.steps == RUN.steps


def test_the_largest_run_that_a_journey_can_record_can_be_read_again() -> None:
    """A script that polls without end in every one of 300 steps still makes a record below the bound."""
    log = StepLog(clock=JumpingClock(), origin_ns=0, deadline_ns=10**18, mask=Mask())
    steps = []
    for _ in range(300):
        handle = StepHandle("poll", keep_going=False, cleanup=False, attributes={})
        for _ in range(200):
            log.record_exchanges(handle, (EXCHANGE,))
            log.record_checks(handle, (Expectation("x", "y" * 300, "z" * 300, ok=True),))
        steps.append(handle.freeze())
    data = render_run(replace(RUN, steps=tuple(steps)))
    assert parse_run(data).steps == tuple(steps)
