"""What keeps a store in bounds, the same on SQLite and on PostgreSQL: packing, age, size, and how much of what is bad is kept.

A bound takes as many results as are too much and no more, and never what is protected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from collector import store_aside, store_postgres
from collector.store import Retention, Store, backend_for, open_store
from collector.store_session import Session
from probes.ledger_entries import SlotEnd, SlotReason
from probes.outbox import EntryKind
from probes.wire import parse_run
from tests.store_kit import EPOCH, NOW, OTHER, PROBE, Content, count_runs, deliver, other_entry, runs_from, two_stores

DAY = timedelta(days=1)
LONG_AGO = NOW - 100 * DAY
RUNS = 2_880
AN_HOUR = 240
BATCH = 60


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


async def test_the_quarantine_of_a_probe_is_bounded_and_its_counter_is_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile probe fills neither the disk nor another probe's quarantine."""
    monkeypatch.setattr(store_aside, "KEPT_PER_SENDER", 20)
    bad: list[Content] = [(EntryKind.RUN, b"{}")] * 30
    await store.file([deliver(bad), deliver(bad[:5], probe=OTHER)])
    await store.file([deliver(bad, first_seq=31)])
    kept = await store.quarantine(limit=1000)
    assert [sum(entry.sender == probe for entry in kept) for probe in (PROBE, OTHER)] == [20, 5]
    assert [probe.quarantined for probe in await store.probes()] == [60, 5]


async def test_packing_changes_the_size_and_nothing_else(store: Store) -> None:
    """Old records are packed tighter; each is found as before, and a repeat is still recognised."""
    contents = [
        *runs_from(60),
        other_entry(EntryKind.SLOT, SlotEnd(scenario="quote", slot_at=NOW - DAY, reason=SlotReason.MISSED)),
    ]
    deliveries = [deliver([content], first_seq=number) for number, content in enumerate(contents, 1)]
    await store.file([*deliveries, deliver(runs_from(3, probe=OTHER), probe=OTHER)])
    assert await store.repack(now=NOW) == 0
    packed = [await store.repack(now=NOW + DAY) for _ in range(3)]
    assert sorted(packed) == [0, 1, 61]
    for _, body in contents[:60]:
        assert await store.record(parse_run(body).identity) == body
    again = await store.file([deliver(contents, epoch=EPOCH + 1)])
    assert (again.result.duplicates, again.result.conflicts) == (61, 0)


async def test_two_collectors_that_pack_at_once_lose_nothing(url: str) -> None:
    """The second finds the batches gone and undoes its own work."""
    contents = runs_from(50)
    async with two_stores(url) as (first, second):
        await first.file([deliver([content], first_seq=number) for number, content in enumerate(contents, 1)])
        await asyncio.gather(first.repack(now=NOW + DAY), second.repack(now=NOW + DAY))
        for _, body in contents:
            assert await second.record(parse_run(body).identity) == body


async def test_the_current_and_the_previous_month_are_never_pruned_by_default(store: Store) -> None:
    """A month's promise must be provable until the next one has been reported; only then age has its way."""
    for number, days_ago in enumerate((100, 45, 28, 1)):
        await store.file([deliver(runs_from(4, start_at=NOW - days_ago * DAY), first_seq=1 + 4 * number)])
    assert (await store.prune(Retention(max_age=DAY), now=NOW)).slots == 8
    assert await count_runs(store) == 8
    assert (await store.prune(Retention(max_age=10 * DAY, keeps_two_months=False), now=NOW)).slots == 4
    totals = await store.totals()
    assert totals.oldest_slot_at == NOW - DAY
    assert totals.entries == 16
    again = await store.file([deliver(runs_from(4, start_at=NOW - 100 * DAY))])
    assert (again.result.slots, again.result.duplicates) == (0, 4)


async def test_pruning_by_size_goes_hour_by_hour_and_says_when_it_may_not(store: Store) -> None:
    """The oldest go first, a bounded part at a time; what is protected is never sacrificed to a size."""
    await store.file([deliver(runs_from(480, start_at=NOW - 100 * DAY))])
    first = await store.prune(Retention(max_bytes=1), now=NOW)
    assert (first.slots, first.has_more) == (240, True)
    await store.file([deliver(runs_from(4), first_seq=481)])
    assert (await store.prune(Retention(max_bytes=1), now=NOW)).slots == 240
    last = await store.prune(Retention(max_bytes=1), now=NOW)
    assert (last.slots, last.has_more, last.is_over_size) == (0, False, True)
    assert await count_runs(store) == 4


async def used_bytes(url: str) -> int:
    """What the rows of the database take."""

    async def work(session: Session) -> int:
        return await session.used_bytes()

    backend = backend_for(url, survives_power_cut=False)
    await backend.open()
    try:
        return int(await backend.read(work))
    finally:
        await backend.close()


async def prune_all(store: Store, max_bytes: int) -> int:
    """Prune until there is no more to do; how many slots went."""
    gone = 0
    while True:
        pruned = await store.prune(Retention(max_bytes=max_bytes), now=NOW)
        gone += pruned.slots
        if not pruned.has_more:
            assert not pruned.is_over_size
            return gone


@pytest.mark.parametrize("sampled_bytes", [1 << 30, 1 << 18], ids=["all pages", "a sample"])
async def test_as_many_results_go_as_are_too_much(
    url: str, monkeypatch: pytest.MonkeyPatch, sampled_bytes: int
) -> None:
    """Also where the files do not shrink, and where only some pages of a table are looked at."""
    monkeypatch.setattr(store_postgres, "SAMPLED_BYTES", sampled_bytes)
    async with open_store(url) as store:
        contents = runs_from(RUNS, start_at=LONG_AGO)
        for start in range(0, RUNS, BATCH):
            await store.file([deliver(contents[start : start + BATCH], first_seq=1 + start)])
        full = await used_bytes(url)
        assert await prune_all(store, full) == 0
        gone = await prune_all(store, full * 3 // 4)
        left = await used_bytes(url)
        assert left <= full * 3 // 4
        # A quarter, and an hour more where the last one went over; tables that hold no runs take none of it away.
        assert RUNS // 4 - AN_HOUR <= gone <= RUNS // 2
        assert await prune_all(store, full * 3 // 4) == 0
