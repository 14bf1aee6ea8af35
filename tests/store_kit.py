"""Deliveries made by hand, for tests and benches of what stores them: probes, runs, batches as they come over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from collector.store import Delivery, Store, open_store
from probes.ledger_entries import LedgerEntry, render_entry
from probes.messages import Address, render_batch
from probes.outbox import Entry, EntryKind
from probes.records import Run, RunIdentity
from probes.wire import render_run
from tests.sample_runs import MS, make_exchange, make_run, make_step

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PROBE = Address("fleet", "eu-west", "probe-1")
OTHER = Address("fleet", "us-east", "probe-2")
EPOCH = 1_700_000_000_000_000

Content = tuple[EntryKind, bytes]


def run_at(
    slot_at: datetime, *, probe: Address = PROBE, scenario: str = "quote", number: int = 1, wait_ms: int = 5
) -> Run:
    """A good run of four steps in a slot of a probe."""
    steps = [
        make_step(name, 20 * MS + number, part="cube-10", exchanges=(make_exchange(wait_ns=wait_ms * MS + number),))
        for name in ("sign-in", "upload", "analyse", "quote")
    ]
    identity = RunIdentity(probe.fleet, probe.region, probe.probe, scenario, slot_at)
    return replace(make_run(*steps, number=number), identity=identity, scheduled_at=slot_at, started_at=slot_at)


def runs_from(count: int, *, start_at: datetime = NOW, probe: Address = PROBE, every_s: int = 15) -> list[Content]:
    """The entries of so many runs, one slot after the other."""
    return [
        run_entry(run_at(start_at + timedelta(seconds=every_s * number), probe=probe, number=number + 1))
        for number in range(count)
    ]


async def count_runs(store: Store) -> int:
    """How many runs are stored."""
    span = timedelta(days=400)
    return len(await store.runs(NOW - span, NOW + span, limit=100_000))


def run_entry(run: Run) -> Content:
    """A run as an entry."""
    return EntryKind.RUN, render_run(run)


def other_entry(kind: EntryKind, entry: LedgerEntry) -> Content:
    """Anything else as an entry."""
    return kind, render_entry(entry)


def deliver(
    contents: Sequence[Content],
    *,
    probe: Address = PROBE,
    first_seq: int = 1,
    epoch: int = EPOCH,
    topic: str = "",
    received_at: datetime = NOW,
) -> Delivery:
    """One batch of entries with ascending numbers."""
    entries = [Entry(first_seq + place, kind, NOW, body) for place, (kind, body) in enumerate(contents)]
    return Delivery(topic or probe.topic("results"), render_batch(probe, epoch, entries), received_at)


@asynccontextmanager
async def two_stores(url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two collectors' view of one database. Their transactions wait for each other, and not for the disk of a busy machine."""
    async with (
        open_store(url, survives_power_cut=False) as one,
        open_store(url, survives_power_cut=False) as other,
    ):
        yield one, other
