"""The stream through each broker: every entry reaches a collector, and the outbox ends empty, whatever is killed in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from collector.ingest import Ingest
from collector.store import open_store
from probes.clock import SystemClock
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream, StreamLimits
from tests.broker_kit import (
    DEADLINE_S,
    FLEET,
    PROBES,
    Broker,
    Iotcore,
    SmallCollector,
    going,
    make_mosquitto,
    running,
    until,
)

PROBE = PROBES[0]
LIMITS = StreamLimits(ack_timeout_s=1.0, retry_first_s=0.05, retry_most_s=0.3)
PATIENT = replace(LIMITS, ack_timeout_s=3_600.0, ack_timeout_most_s=3_600.0)
"""For tests in which nothing is to go twice because it was late, however slow this machine is."""


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers, running."""
    with running(Iotcore() if request.param == "iotcore" else make_mosquitto(tmp_path)) as started:
        yield started


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An empty one."""
    with Outbox(tmp_path / "outbox") as opened:
        yield opened


@asynccontextmanager
async def streaming(outbox: Outbox, broker: Broker, limits: StreamLimits = LIMITS) -> AsyncIterator[Stream]:
    """A running stream."""
    stream = Stream(outbox, PROBE, broker.as_probe(PROBE), clock=SystemClock(), limits=limits)
    async with going(stream.run()):
        yield stream


def put_slots(outbox: Outbox, count: int) -> None:
    """Small entries that every collector understands."""
    for number in range(count):
        body = b'{"schema_version":1,"scenario":"api","slot_at":"2026-01-01T%02d:%02d:%02dZ","reason":"missed"}'
        outbox.put(EntryKind.SLOT, body % (number // 3600, number // 60 % 60, number % 60))


async def test_a_backlog_is_delivered_once_when_nothing_breaks(broker: Broker, outbox: Outbox) -> None:
    """A first hello that was there before the stream sends nothing twice."""
    put_slots(outbox, 3_000)
    collector = SmallCollector(broker.as_collector("one"))
    async with going(collector.run()):
        await asyncio.wait_for(collector.ready.wait(), DEADLINE_S)
        async with streaming(outbox, broker, PATIENT) as stream:
            assert await stream.flush(DEADLINE_S)
    assert collector.seen[PROBE] == list(range(1, 3_001))
    assert stream.state.entries_resent == 0


async def test_what_nobody_heard_goes_again_with_the_first_hello(broker: Broker, outbox: Outbox) -> None:
    """A collector that comes after the probe gets everything at once, long before an acknowledgement is overdue."""
    put_slots(outbox, 500)
    collector = SmallCollector(broker.as_collector("one"))
    async with streaming(outbox, broker, PATIENT) as stream:
        await until(lambda: stream.state.entries_in_flight == 200)
        async with going(collector.run()):
            assert await stream.flush(DEADLINE_S)
    assert sorted(set(collector.seen[PROBE])) == list(range(1, 501))


async def test_everything_arrives_although_the_broker_is_killed(broker: Broker, outbox: Outbox) -> None:
    """Three kills in the middle of a backlog; a collector that reconnects; nothing is missing and nothing stays."""
    put_slots(outbox, 6_000)
    collector = SmallCollector(broker.as_collector("one"))

    async def persistent() -> None:
        while True:
            try:
                await collector.run()
            except Exception:  # noqa: BLE001 - whatever breaks it, it comes back, as the real one does
                collector.boot += "x"
                await asyncio.sleep(0.05)

    async with (
        going(persistent()),
        streaming(outbox, broker, replace(LIMITS, batch_entries=20, window_entries=100)) as stream,
    ):
        for goal in (500, 1_500, 2_500):
            await until(lambda goal=goal: stream.state.entries_acknowledged > goal)  # type: ignore[misc]
            broker.kill()
            await until(lambda: not stream.state.connected)
            await asyncio.to_thread(broker.start)
        assert await stream.flush(60)
    assert set(collector.seen[PROBE]) == set(range(1, 6_001))
    assert outbox.depth().entries == 0


async def test_the_real_collector_commits_and_acknowledges(broker: Broker, outbox: Outbox, tmp_path: Path) -> None:
    """Outbox, stream, broker, ingest and database together: each slot once in the database, the outbox empty."""
    put_slots(outbox, 2_000)
    async with open_store(f"sqlite:///{tmp_path}/store.sqlite") as store:
        ingest = Ingest(store, broker.as_collector("one"), fleet=FLEET, name="one", clock=SystemClock())
        async with going(ingest.run()), streaming(outbox, broker) as stream:
            assert await stream.flush(DEADLINE_S)
        totals = await store.totals()
    assert (totals.entries, totals.conflicts, totals.quarantined) == (2_000, 0, 0)


@pytest.mark.serial
async def test_a_lone_entry_is_acknowledged_without_a_wait(broker: Broker, outbox: Outbox) -> None:
    """No timer of TCP (40 ms) and no poll of ours (250 ms) lies on the way of a record that comes alone."""
    took_s: list[float] = []
    async with going(SmallCollector(broker.as_collector("one")).run()), streaming(outbox, broker) as stream:
        await until(lambda: stream.state.connected)
        for _ in range(40):
            started_s = time.perf_counter()
            put_slots(outbox, 1)
            assert await stream.flush(DEADLINE_S)
            took_s.append(time.perf_counter() - started_s)
    assert sorted(took_s)[len(took_s) // 4] < 0.03
