"""What a comparison asks of the store, the same on SQLite and on PostgreSQL: exact times, whole hours, no unfit host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.store import Store, open_store
from collector.store_samples import Heap
from probes.ledger_entries import FitnessMinute
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome
from tests.sample_runs import MS, make_run, make_step
from tests.store_kit import NOW, OTHER, PROBE, deliver, other_entry, run_at, run_entry, runs_from

ALL = Heap("fleet", "stand-in", NOW - timedelta(days=1), NOW + timedelta(days=1))
HOUR = int(NOW.timestamp()) // 3600


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """Twenty good runs of two probes; an hour later a failed and an inconclusive one of a release."""
    async with open_store(url) as opened:
        await opened.file([deliver(runs_from(20)), deliver(runs_from(20, probe=OTHER), probe=OTHER)])
        later = [
            replace(
                make_run(
                    make_step("sign-in", 3 * MS), make_step("quote", 9 * MS, kind=kind), scenario="quote", number=number
                ),
                identity=run_at(NOW + timedelta(hours=1, minutes=number)).identity,
                target_release="2.0",
            )
            for number, kind in ((50, FailureKind.TIMEOUT), (51, FailureKind.INTERNAL), (52, None))
        ]
        await opened.file([deliver([run_entry(one) for one in later], first_seq=100)])
        yield opened


async def test_a_heap_is_all_its_decided_runs_by_the_hour(store: Store) -> None:
    """Passed, failed and inconclusive ones are told apart; only passed steps of decided runs have times."""
    found = await store.samples.of(replace(ALL, region=PROBE.region))
    assert found.outcomes == {Outcome.PASS: 21, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 1}
    assert found.kinds == {FailureKind.TIMEOUT: 1}
    assert found.failed_steps == {"quote": 1}
    assert found.hours == {HOUR: (0, 20), HOUR + 1: (1, 2)}
    assert {step: len(times) for step, times in found.steps.items()} == {
        "sign-in": 22,
        "upload": 20,
        "analyse": 20,
        "quote": 21,
    }
    assert max(found.steps["quote"]) == (HOUR + 1, 9 * MS)
    assert not found.is_cut


async def test_releases_are_told_with_their_runs(store: Store) -> None:
    """The newest first; runs that found none are one of their own."""
    found = await store.samples.releases(ALL)
    assert [(one.release, one.runs) for one in found] == [("2.0", 3), ("", 40)]
    assert found[0].last_at == NOW + timedelta(hours=1, minutes=52)
    assert (await store.samples.of(replace(ALL, release="2.0"))).outcomes[Outcome.FAIL] == 1
    assert (await store.samples.of(replace(ALL, release=""))).outcomes == {Outcome.PASS: 40}
    assert (await store.samples.of(replace(ALL, release="never"))).outcomes == {}


@pytest.mark.parametrize("change", [{"target": "other"}, {"fleet": "other"}, {"scenario": "other"}, {"region": "x"}])
async def test_another_heap_is_empty(store: Store, change: dict[str, str]) -> None:
    """Nothing of one target, fleet, scenario or region is counted for another."""
    found = await store.samples.of(replace(ALL, **change))  # type: ignore[arg-type]
    assert (found.outcomes, found.steps) == ({}, {})


async def test_what_an_unfit_host_found_is_left_out(store: Store) -> None:
    """All runs of that probe in that minute, and of no other probe."""
    minute = other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=NOW, reasons=["steal"]))
    await store.file([deliver([minute], first_seq=200)])
    found = await store.samples.of(ALL)
    assert found.outcomes[Outcome.PASS] == 41 - 4
    assert (await store.samples.of(replace(ALL, region=OTHER.region))).outcomes[Outcome.PASS] == 20
