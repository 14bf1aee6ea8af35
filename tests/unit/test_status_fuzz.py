"""What a hostile probe says of itself, or of a run that somebody watches, spoils nobody's screen and ends nobody's command."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from collector.ledger import SlotCounts
from collector.probe_line import ProbeLine, said_by
from collector.store_queries import ProbeState
from collector.texts.probe_texts import clock_text, notes_of, waiting_text
from console.desk import Desk
from console.remote_command import _Asked, _show
from console.status_command import status_document
from probes.messages import Address
from probes.wire import render_run
from tests.fuzz_kit import mangled
from tests.store_kit import NOW, run_at

HERE_AT = datetime(2030, 1, 1, tzinfo=UTC)
PROBE = Address("local", "eu", "p1")
STATE = ProbeState(PROBE, HERE_AT, HERE_AT, 1, 1, 0, 0, 0, 0, 0, "", HERE_AT)
STATUS = json.dumps(
    {
        "online": True,
        "ready": True,
        "outbox": {"entries": 5, "body_bytes": 700, "oldest_at": HERE_AT.isoformat(), "lost": 1},
        "clock": {"offset_ns": -5, "bound_ns": 7},
        "stream": {"messages_refused": 3},
        "lanes": {"http": {"ready": True, "restarts": 2, "beat": {"unfit": ["busy"]}}},
    }
).encode()
REQUEST = "0" * 16
EVENTS = [
    json.dumps({"request_id": REQUEST, "what": what, "data": data}).encode()
    for what, data in (
        ("run_started", {"run_id": "r1"}),
        ("step_finished", {"step": {"name": "upload", "outcome": "pass", "duration_ns": 5_000_000}}),
        ("refused", {"reason": "no"}),
        ("run_finished", {"run": json.loads(render_run(run_at(NOW)))}),
    )
]
fuzzed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@fuzzed
@given(mangled(st.just(STATUS)))
def test_any_word_of_a_probe_about_itself_can_be_shown_or_is_not_understood(status: bytes) -> None:
    """The table, the notes and the document for programs are made, and hold nothing that steers a terminal."""
    state = replace(STATE, status=status.decode(errors="replace").replace("\0", ""))
    line = ProbeLine(state, said_by(state), SlotCounts(), 0)
    shown = [line.condition(HERE_AT), waiting_text(line.said), clock_text(line.said), *notes_of(line)]
    assert all(text.isprintable() for text in shown)
    document = status_document([line], [], from_at=HERE_AT, now=HERE_AT, where="x", strays=0)
    assert json.loads(json.dumps(document))["probes"][0]["region"] == "eu"


@pytest.mark.parametrize("digits", [19, 400])
def test_a_number_that_no_probe_can_mean_is_no_word_of_it(digits: int) -> None:
    """It is shown as a probe that said nothing; the others stand beside it as they are."""
    state = replace(STATE, status='{"clock":{"offset_ns":%s,"bound_ns":1}}' % ("9" * digits))
    assert said_by(state) is None


@fuzzed
@given(mangled(st.sampled_from(EVENTS)))
def test_any_word_about_a_run_that_was_asked_for_is_shown_or_passed_over(payload: bytes) -> None:
    """The command that waits for the run goes on."""
    console = Console(file=io.StringIO())
    desk = cast("Desk", SimpleNamespace(console=console, arguments=SimpleNamespace(quiet=False)))
    _show(desk, PROBE.topic("live"), payload, _Asked({REQUEST: ("eu", "quote")}))
    assert all(line.isprintable() for line in cast("Any", console.file).getvalue().splitlines())
