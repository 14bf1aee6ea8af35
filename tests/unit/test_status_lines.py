"""What `status` makes of what is stored: conditions, notes, and texts that promise no more than is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector.ledger import SlotCounts
from collector.store_queries import ProbeState
from console.fleet_board import coverage_text
from console.status_command import ProbeLine, clock_text, notes_of, said_by
from probes.messages import Address

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def line_of(*, age_s: float = 1, missing: int = 0, conflicts: int = 0, **said: object) -> ProbeLine:
    """A probe that was heard so long ago and said this."""
    heard_at = NOW - timedelta(seconds=age_s)
    state = ProbeState(
        address=Address("local", "eu", "p1"),
        first_seen_at=heard_at,
        last_seen_at=heard_at,
        epoch=1,
        entries=1,
        duplicates=0,
        conflicts=conflicts,
        quarantined=0,
        missing=missing,
        lost=0,
        status=json.dumps(said) if said else "",
        status_at=heard_at if said else None,
    )
    return ProbeLine(state, said_by(state), SlotCounts(), 0)


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        (line_of(online=True, ready=True), "up"),
        (line_of(online=True, ready=False), "starting"),
        (line_of(online=False, ready=True), "down"),
        (line_of(online=True, ready=True, age_s=61), "silent"),
        (line_of(), "starting"),
        (line_of(online="perhaps"), "starting"),
    ],
)
def test_a_probe_is_up_only_when_it_said_so_lately(line: ProbeLine, condition: str) -> None:
    """A goodbye, a long silence and a word that is not understood are no `up`."""
    assert line.condition(NOW) == condition
    assert line.is_well(NOW) is (condition == "up")


def test_a_gap_or_a_conflict_is_not_well_whatever_the_probe_says() -> None:
    """What is missing is missing."""
    assert not line_of(online=True, ready=True, missing=1).is_well(NOW)
    line = line_of(online=True, ready=True, conflicts=2)
    assert not line.is_well(NOW)
    assert "do two probes share this name?" in notes_of(line)[0]


def test_what_a_lane_says_against_its_host_is_told() -> None:
    """So are restarts and entries that an outbox had to drop."""
    lanes = {"http": {"ready": True, "restarts": 2, "beat": {"unfit": ["busy"], "running": 1}}}
    notes = notes_of(line_of(online=True, ready=True, lanes=lanes, outbox={"entries": 1, "lost": 3}))
    assert len(notes) == 3
    assert "3 entries were dropped" in notes[0]
    assert "busy" in notes[2]


def test_a_clock_is_told_with_its_bound() -> None:
    """Unknown is a dash, not a zero."""
    assert clock_text(line_of(clock={"offset_ns": -20_000_000, "bound_ns": 1_500_000}).said) == "-20.0 ± 1.5 ms"
    assert clock_text(line_of(online=True).said) == "-"


def test_coverage_is_never_rounded_up() -> None:
    """9,999 of 10,000 is not all; maintenance and what may still end do not count."""
    assert coverage_text(SlotCounts(on_time=9_999, missing=1)) == "99.9 %"
    assert coverage_text(SlotCounts(on_time=1, late=1, maintenance=5, pending=3)) == "100.0 %"
    assert coverage_text(SlotCounts(pending=3)) == "-"
