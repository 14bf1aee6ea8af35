"""What a fleet without a terminal prints of its slots: each one, or only what changes. Read from a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.store import Store, open_store
from console.fleet_board import Board
from probes.ledger_entries import OwedSlots
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome, Run
from tests.sample_runs import make_step
from tests.store_kit import NOW, OTHER, PROBE, deliver, other_entry, run_at, run_entry

OUTCOMES = (Outcome.PASS, Outcome.PASS, Outcome.FAIL, Outcome.FAIL, Outcome.PASS)
EVERY = timedelta(seconds=10)
OWED = OwedSlots(scenario="quote", interval_ms=10_000, phase_ms=0, tolerance_ms=5_000, timeout_ms=30_000, from_at=NOW)
AFTER = NOW + len(OUTCOMES) * EVERY


def runs_of(probe: Address) -> list[Run]:
    """The probe's runs; those of the first region find the journey broken for two slots."""
    runs = [run_at(NOW + place * EVERY, probe=probe, number=place + 1) for place in range(len(OUTCOMES))]
    broken = make_step("quote", kind=FailureKind.ASSERTION).failure
    return [
        replace(run, outcome=Outcome.FAIL, failed_step="quote", failure=broken)
        if probe is PROBE and outcome is Outcome.FAIL
        else run
        for run, outcome in zip(runs, OUTCOMES, strict=True)
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """One that holds what two regions found, and forgets it when the power fails."""
    async with open_store(str(tmp_path / "collector.db"), survives_power_cut=False) as opened:
        for probe in (PROBE, OTHER):
            await opened.file(
                [deliver([other_entry(EntryKind.SCHEDULE, OWED), *map(run_entry, runs_of(probe))], probe=probe)]
            )
        yield opened


async def news_of(store: Store, *, changes_only: bool) -> list[tuple[str, str, str]]:
    """When, where and how of every line, asked for as often as there are slots."""
    board = Board(store, NOW - EVERY, changes_only=changes_only)
    lines = [line for place in range(len(OUTCOMES)) for line in await board.news(NOW + (place + 1) * EVERY)]
    lines += await board.news(AFTER)
    return [(words[0], words[1], words[5]) for words in map(str.split, lines)]


async def test_each_slot_that_ended_is_a_line(store: Store) -> None:
    """Of both regions, told once, oldest first."""
    told = await news_of(store, changes_only=False)
    instants = [f"{NOW + place * EVERY:%H:%M:%S}" for place in range(len(OUTCOMES))]
    assert [(at, where) for at, where, _ in told] == [
        (at, where) for at in instants for where in ("eu-west", "us-east")
    ]
    assert [outcome for _, where, outcome in told if where == "eu-west"] == [outcome.value for outcome in OUTCOMES]


async def test_in_a_story_only_what_ended_otherwise_than_before_is_a_line(store: Store) -> None:
    """The first slot of each region, the outage, its end; a region where nothing changed says no more."""
    told = await news_of(store, changes_only=True)
    assert told == [
        ("12:00:00", "eu-west", "pass"),
        ("12:00:00", "us-east", "pass"),
        ("12:00:20", "eu-west", "fail"),
        ("12:00:40", "eu-west", "pass"),
    ]
