"""What `status` makes of what is stored: conditions, notes, and texts that promise no more than is known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from collector.ledger import SlotCounts
from collector.probe_line import ProbeLine, said_by
from collector.store_queries import ProbeState
from collector.texts.probe_texts import books_text, clock_text, coverage_text, notes_of
from console.fleet_board import BoardRow, fitting_board
from console.status_table import draw_probes
from probes.messages import Address

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def line_of(*, age_s: float = 1, known_s: float = 0, missing: int = 0, conflicts: int = 0, **said: object) -> ProbeLine:
    """A probe that was heard so long ago, for so long, and said this."""
    heard_at = NOW - timedelta(seconds=age_s)
    state = ProbeState(
        address=Address("local", "eu", "p1"),
        first_seen_at=heard_at - timedelta(seconds=known_s),
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
        (line_of(known_s=60), "starting"),
        (line_of(known_s=61), "no status"),
        (line_of(known_s=61, online="perhaps"), "no status"),
        (line_of(known_s=61, online=True, ready=False), "starting"),
        (line_of(age_s=61), "silent"),
        (line_of(age_s=3600, known_s=61), "silent"),
    ],
)
def test_a_probe_is_up_only_when_it_said_so_lately(line: ProbeLine, condition: str) -> None:
    """A goodbye, a long silence and a word that is not understood are no `up`."""
    assert line.condition(NOW) == condition
    assert line.is_well(NOW) is (condition == "up")


DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        (line_of(online=False, goodbye=True, age_s=DAY_S + 1), "retired"),
        (line_of(online=False, goodbye=True, age_s=DAY_S - 1), "down"),
        (line_of(online=False, age_s=DAY_S + 1), "down"),
        (line_of(online=False, goodbye=True, age_s=DAY_S + 1, outbox={"entries": 1}), "down"),
        (line_of(online=True, goodbye=True, age_s=DAY_S + 1), "silent"),
        (replace(line_of(online=False, goodbye=True, age_s=DAY_S + 1), counts=SlotCounts(missing=1)), "down"),
    ],
)
def test_a_probe_that_left_in_order_is_retired_and_one_that_died_is_not(line: ProbeLine, condition: str) -> None:
    """After a day, with nothing left to send and nothing owed: a host that does not come back is noticed before that."""
    assert line.condition(NOW) == condition
    assert line.is_well(NOW) is (condition == "retired")


def test_a_probe_that_never_says_anything_about_itself_is_to_be_looked_into() -> None:
    """As long as its results come; a note says where to look."""
    (note,) = notes_of(line_of(known_s=61))
    assert "may it publish to its status topic" in note
    assert notes_of(line_of()) == []


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


def drawn(width: int, what: Callable[[Console], RenderableType]) -> list[str]:
    """The lines that a console of that width prints."""
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    console.print(what(console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def told(lines: list[str]) -> str:
    """All of it as one line."""
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", [40, 50, 80, 160])
def test_nothing_about_a_probe_is_cut_off_however_narrow_the_terminal(width: int) -> None:
    """A cell that is cut off reads as another value."""
    outbox = {"entries": 12_345, "body_bytes": 49_900_000}
    clock = {"offset_ns": 20_700_000, "bound_ns": 22_800_000}
    line = line_of(missing=3, online=True, ready=True, outbox=outbox, clock=clock)
    line.counts.add(SlotCounts(on_time=7, missed=1))
    lines = drawn(width, lambda console: draw_probes(console, [line], now=NOW))
    assert max(map(len, lines)) <= width
    text = told(lines)
    assert "…" not in text
    for fact in ("eu", "p1", "up", "1 s ago", "12345 (49.9 MB)", "3", "87.5 %", "0 min", "+20.7 ± 22.8 ms"):
        assert fact in text


@pytest.mark.parametrize("width", [40, 50, 80, 160])
def test_nothing_about_slots_is_cut_off_however_narrow_the_terminal(width: int) -> None:
    """With every class of slot there is, the table needs more than eighty columns."""
    counts = SlotCounts(on_time=1, late=2, missed=3, aborted=4, maintenance=5, missing=6, pending=7)
    rows = [BoardRow("widget-quote", region, counts, None) for region in ("ap-south", "eu-west")]
    lines = drawn(width, lambda console: fitting_board(console, rows))
    assert max(map(len, lines)) <= width
    text = told(lines)
    assert "…" not in text
    assert text.count("widget-quote") == 1
    assert text.count("18.7 %") == 2
    if width <= 80:
        assert "1 on time, 2 late, 3 missed, 4 aborted, 5 maintenance, 6 missing, 7 pending" in text


def test_what_was_counted_is_told_also_when_it_is_nothing() -> None:
    """Nobody should have to guess whether a missing word means none."""
    assert books_text([line_of(missing=2), line_of(conflicts=1)]) == (
        "2 entries stored, 2 missing in their numbers, 1 in conflict, 0 set aside"
    )
