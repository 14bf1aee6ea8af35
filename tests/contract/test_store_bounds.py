"""A bound by size takes as many results as are too much and no more, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from collector.store import Retention, Store, backend_for, open_store
from collector.store_session import Session
from tests.store_kit import NOW, deliver, runs_from

LONG_AGO = NOW - timedelta(days=100)
RUNS = 2_880
AN_HOUR = 240
BATCH = 60


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


async def test_as_many_results_go_as_are_too_much(url: str) -> None:
    """Also where the files do not shrink: what is left is under the bound by no more than an hour of results."""
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
