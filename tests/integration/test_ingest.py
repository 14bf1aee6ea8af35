"""The collector behind a real broker: what is acknowledged is committed, and what is not committed comes again."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector import store as store_module
from collector.ingest import Ingest, IngestLimits
from collector.store import Store, open_store
from collector.store_queries import ProbeState
from collector.store_sqlite import SqliteBackend
from probes.clock import SystemClock
from probes.messages import Acknowledgement, Address, parse_acknowledgement, render_batch
from probes.mqtt import Connection, open_client, payload_of, subscribe
from probes.outbox import Entry, EntryKind, Outbox
from probes.stream import Stream, StreamLimits
from probes.wire import render_run
from tests.broker_kit import DEADLINE_S, FLEET, PROBES, Broker, Iotcore, going, make_mosquitto, running, until
from tests.store_kit import NOW, run_at

PROBE = PROBES[0]
IMPATIENT = StreamLimits(ack_timeout_s=0.5, retry_first_s=0.05, retry_most_s=0.3)
QUICK = IngestLimits(retry_first_s=0.05, retry_most_s=0.2)


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers, running."""
    with running(Iotcore() if request.param == "iotcore" else make_mosquitto(tmp_path)) as started:
        yield started


@pytest.fixture
def embedded() -> Iterator[Broker]:
    """The broker that comes with the install."""
    with running(Iotcore()) as started:
        yield started


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A file that gives up early when somebody else holds it."""
    monkeypatch.setattr(
        store_module, "SqliteBackend", lambda path, **more: SqliteBackend(path, busy_timeout_s=0.1, **more)
    )
    async with open_store(str(tmp_path / "store.db")) as opened:
        yield opened


def body_of(number: int, probe: Address = PROBE) -> bytes:
    """A run's entry."""
    return render_run(run_at(NOW + timedelta(seconds=15 * number), probe=probe, number=number + 1))


def filled(path: Path, count: int) -> Outbox:
    """An outbox with so many runs."""
    outbox = Outbox(path)
    for number in range(count):
        outbox.put(EntryKind.RUN, body_of(number))
    return outbox


def make_ingest(store: Store, broker: Broker, name: str = "one", limits: IngestLimits = QUICK) -> Ingest:
    """A collector on a broker."""
    return Ingest(store, broker.as_collector(name), fleet=FLEET, name=name, clock=SystemClock(), limits=limits)


def make_stream(outbox: Outbox, broker: Broker) -> Stream:
    """A probe's stream that is quick to doubt."""
    return Stream(outbox, PROBE, broker.as_probe(PROBE), clock=SystemClock(), limits=IMPATIENT)


class Listener:
    """A probe without an outbox: sends what it is told and keeps the acknowledgements it hears."""

    def __init__(self, broker: Broker, probe: Address = PROBE) -> None:
        self._broker = broker.as_probe(probe)
        self._probe = probe
        self.heard: list[Acknowledgement] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """Listening to its own acknowledgements."""
        async with open_client(self._broker, client_id="listener") as client:
            await subscribe(client, self._broker, self._probe.topic("acks"))
            async with going(self._listen(client)):
                yield client

    def numbers(self) -> set[int]:
        """Every number that was acknowledged."""
        return {number for one in self.heard for first, last in one.ranges for number in range(first, last + 1)}

    async def _listen(self, client: Connection) -> None:
        async for message in client.messages:
            self.heard.append(parse_acknowledgement(payload_of(message)))


def batch(bodies: list[bytes], *, probe: Address = PROBE, first_seq: int = 1) -> bytes:
    """A payload."""
    return render_batch(
        probe, 7, [Entry(first_seq + place, EntryKind.RUN, NOW, body) for place, body in enumerate(bodies)]
    )


async def probe_with_status(store: Store) -> ProbeState:
    """The only probe, once what it says of itself is stored too, which is done after its results."""
    async with asyncio.timeout(DEADLINE_S):
        while not (probe := (await store.probes())[0]).status:  # noqa: ASYNC110 - it is the database that knows
            await asyncio.sleep(0.01)
    return probe


async def test_a_stream_of_runs_ends_in_the_store_and_the_outbox_empty(
    broker: Broker, store: Store, tmp_path: Path
) -> None:
    """Once each, with the probe's status and a clock offset beside; through either broker."""
    ingest = make_ingest(store, broker)
    with filled(tmp_path / "outbox", 1_500) as outbox:
        stream = make_stream(outbox, broker)
        async with going(ingest.run()), going(stream.run()):
            assert await stream.flush(DEADLINE_S)
            await until(stream.clock_offset.reading)
            probe = await probe_with_status(store)
    assert (probe.address, probe.entries, probe.conflicts, probe.missing) == (PROBE, 1_500, 0, 0)
    assert '"online": true' in probe.status
    assert (await store.totals()).quarantined == 0
    reading = stream.clock_offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns) <= reading.bound_ns


async def test_two_collectors_share_one_stream(broker: Broker, store: Store, tmp_path: Path) -> None:
    """Both take part of it and every run is stored once; when one leaves, the other goes on alone."""
    first, second = make_ingest(store, broker), make_ingest(store, broker, "two")
    with filled(tmp_path / "outbox", 1_000) as outbox:
        stream = make_stream(outbox, broker)
        async with going(second.run()):
            async with going(first.run()):
                await until(lambda: first.state.connected and second.state.connected)
                async with going(stream.run()):
                    assert await stream.flush(DEADLINE_S)
            for number in range(1_000, 1_200):
                outbox.put(EntryKind.RUN, body_of(number))
            async with going(stream.run()):
                assert await stream.flush(DEADLINE_S)
    assert first.state.deliveries > 1
    assert second.state.deliveries > 1
    (probe,) = await store.probes()
    assert (probe.entries, probe.conflicts, probe.missing) == (1_200, 0, 0)


async def test_a_collector_that_comes_back_gets_what_it_missed(embedded: Broker, store: Store, tmp_path: Path) -> None:
    """Its hello has a new boot, and the probe sends again what nobody acknowledged."""
    with filled(tmp_path / "outbox", 300) as outbox:
        stream = make_stream(outbox, embedded)
        async with going(stream.run()):
            async with going(make_ingest(store, embedded).run()):
                assert await stream.flush(DEADLINE_S)
            for number in range(300, 600):
                outbox.put(EntryKind.RUN, body_of(number))
            async with going(make_ingest(store, embedded).run()):
                assert await stream.flush(DEADLINE_S)
    assert (await store.totals()).entries == 600


async def test_nothing_is_acknowledged_while_another_program_holds_the_file(
    embedded: Broker, store: Store, tmp_path: Path
) -> None:
    """The collector says that it stores nothing, keeps trying, and acknowledges after the lock is gone; nothing is lost."""
    ingest, listener = make_ingest(store, embedded), Listener(embedded)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    async with going(ingest.run()), listener.connected() as client:
        await until(lambda: ingest.state.connected)
        other.execute("BEGIN IMMEDIATE")
        client.publish_soon(PROBE.topic("results"), batch([body_of(0), body_of(1)]))
        await until(lambda: ingest.state.commit_failures >= 3)
        assert not ingest.state.storing
        assert "locked" in ingest.state.last_error
        assert listener.heard == []
        other.execute("ROLLBACK")
        await until(lambda: listener.numbers() == {1, 2} and ingest.state.storing)
    other.close()
    assert (await store.totals()).entries == 2


async def test_nothing_is_acknowledged_while_the_disk_is_full(embedded: Broker, store: Store, tmp_path: Path) -> None:
    """Runs wait in the outbox until there is room again, and then go in, once."""
    backend = store._backend
    assert isinstance(backend, SqliteBackend)
    writer = backend._write_db
    assert writer is not None
    loop = asyncio.get_running_loop()

    def limit_pages(pages: int) -> None:
        writer.execute(f"PRAGMA max_page_count = {pages}")

    ingest = make_ingest(store, embedded)
    with filled(tmp_path / "outbox", 2_000) as outbox:
        stream = make_stream(outbox, embedded)
        await loop.run_in_executor(backend._writer, limit_pages, 40)
        async with going(ingest.run()), going(stream.run()):
            await until(lambda: ingest.state.commit_failures >= 3)
            acknowledged = 2_000 - outbox.depth().entries  # looked at first: what fits in yet may be stored at any time
            stored = (await store.totals()).entries
            assert acknowledged <= stored < 2_000
            assert "full" in ingest.state.last_error
            await loop.run_in_executor(backend._writer, limit_pages, 1_000_000)
            assert await stream.flush(DEADLINE_S)
    (probe,) = await store.probes()
    assert (probe.entries, probe.conflicts, probe.missing) == (2_000, 0, 0)


async def test_a_database_that_stays_away_costs_bounded_memory(embedded: Broker, store: Store, tmp_path: Path) -> None:
    """What does not fit into the inbox is left to the probes, counted; it comes again when there is room."""
    ingest = make_ingest(store, embedded, limits=replace(QUICK, inbox_bytes=12_000, group_bytes=10_000))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    with filled(tmp_path / "outbox", 2_000) as outbox:
        stream = make_stream(outbox, embedded)
        async with going(ingest.run()):
            await until(lambda: ingest.state.connected)
            other.execute("BEGIN IMMEDIATE")
            async with going(stream.run()):
                await until(lambda: ingest.state.deliveries_shed)
                assert ingest.state.inbox_most_bytes <= 12_000
                other.execute("ROLLBACK")
                assert await stream.flush(DEADLINE_S)
    other.close()
    (probe,) = await store.probes()
    assert (probe.entries, probe.missing) == (2_000, 0)


async def test_what_a_probe_said_last_is_stored_although_the_collector_ends(
    embedded: Broker, store: Store, tmp_path: Path
) -> None:
    """It says goodbye once: whoever looks afterwards must not be told that it is up."""
    an_hour = replace(QUICK, retry_first_s=3_600.0, retry_most_s=3_600.0)
    ingest = make_ingest(store, embedded, limits=an_hour)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    async with open_client(embedded.as_probe(PROBE), client_id="probe") as client, going(ingest.run()):
        await until(lambda: ingest.state.connected)
        other.execute("BEGIN IMMEDIATE")
        client.publish_soon(PROBE.topic("results"), batch([body_of(0)]))
        await until(lambda: ingest.state.commit_failures == 1)
        client.publish_soon(PROBE.topic("status"), b'{"online": false}')
        await until(lambda: ingest.state.deliveries == 2)
        other.execute("ROLLBACK")
    other.close()
    (probe,) = await store.probes()
    assert (probe.status, probe.entries) == ('{"online": false}', 0)


async def test_rubbish_on_the_wire_disturbs_nobody(embedded: Broker, store: Store) -> None:
    """Malformed, oversized in its numbers, in another's name, bombs: counted, kept apart, and the next good batch goes in."""
    ingest, listener = make_ingest(store, embedded), Listener(embedded)
    bomb = b"\x02" + zlib.compress(b" " * (64 << 20), 9, -15)
    async with going(ingest.run()), listener.connected() as client:
        await until(lambda: ingest.state.connected)
        for payload in (b"", b"\x01", b"\x09hello", bomb, batch([body_of(0, PROBES[1])], probe=PROBES[1])):
            client.publish_soon(PROBE.topic("results"), payload)
        client.publish_soon(PROBE.topic("time"), b"what time is it?", qos=0)
        client.publish_soon(PROBE.topic("status"), b"\xff\x00 no text")
        client.publish_soon(PROBE.topic("results"), batch([b"{}", body_of(0)]))
        await until(lambda: listener.numbers() == {1, 2})
        await until(lambda: ingest.state.messages_refused == 1)
    (probe,) = await store.probes()
    assert (probe.address, probe.entries, probe.quarantined) == (PROBE, 2, 6)
    assert len(await store.runs(NOW, NOW + timedelta(days=1))) == 1


async def test_the_broker_may_come_and_go(embedded: Broker, store: Store, tmp_path: Path) -> None:
    """Killed and started again in the middle: both sides find it again, and every run is stored once."""
    ingest = make_ingest(store, embedded)
    with filled(tmp_path / "outbox", 3_000) as outbox:
        stream = make_stream(outbox, embedded)
        async with going(ingest.run()), going(stream.run()):
            await until(lambda: stream.state.entries_acknowledged >= 200)
            await asyncio.to_thread(embedded.kill)
            await asyncio.to_thread(embedded.start)
            assert await stream.flush(DEADLINE_S)
            # Everything may have been in before the broker died: the collector is then still on its way back.
            await until(lambda: ingest.state.connects >= 2)
    (probe,) = await store.probes()
    assert (probe.entries, probe.conflicts, probe.missing) == (3_000, 0, 0)


async def test_a_probe_that_counts_in_leaps_gets_every_number_acknowledged(embedded: Broker, store: Store) -> None:
    """Each number a range of its own, more of them than one message may hold: the collector goes on, and says them all."""
    ingest, listener = make_ingest(store, embedded), Listener(embedded)
    numbers = [1 + 2 * number for number in range(11_000)]
    entry = b'{"schema_version":1,"minute_at":"2026-03-01T12:00:00Z","reasons":["x"]}'
    payloads = [
        render_batch(
            PROBE, 7, [Entry(number, EntryKind.FITNESS, NOW, entry) for number in numbers[start : start + 500]]
        )
        for start in range(0, len(numbers), 500)
    ]
    async with listener.connected() as client, going(ingest.run()):
        await until(lambda: ingest.state.connected)
        for payload in payloads:
            client.publish_soon(PROBE.topic("results"), payload)
        await until(lambda: listener.numbers() == set(numbers))
    assert (await store.probes())[0].entries == len(numbers)
