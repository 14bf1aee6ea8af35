"""What breaks around a collector and a probe: what is recorded meanwhile, and that nothing is lost and nothing comes twice."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.mosquitto import probe_username
from collector.store import open_store
from probes.clock import SystemClock
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream, StreamLimits
from probes.wire import render_run
from tests.broker_kit import PROBES, Broker, Iotcore, going, make_certificates, make_mosquitto, running, until
from tests.collector_kit import CollectorProcess, running_collector
from tests.store_kit import NOW, run_at

PROBE = PROBES[0]
LIMITS = StreamLimits(ack_timeout_s=1.0, retry_first_s=0.1, retry_most_s=0.5)
FIRST, ALL = 300, 3_000
SMALL_DISK = 1 << 20
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A place of a megabyte. `before` is what a program that writes there must be started with; `mount` is empty without one."""

    folder: Path
    before: tuple[str, ...]
    is_mounted: bool

    def make_room(self, pid: int) -> None:
        """For the program with this process id."""
        if self.is_mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(self.folder)], check=True)
        else:
            subprocess.run(["prlimit", f"--fsize={1 << 30}:unlimited", "--pid", str(pid)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A file system of its own where we may mount one; else a limit on the size of a file, which a full disk resembles."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        yield SmallDisk(folder, ("prlimit", f"--fsize={SMALL_DISK}:unlimited"), is_mounted=False)
        return
    try:
        yield SmallDisk(folder, (), is_mounted=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def embedded() -> Iterator[Broker]:
    """The broker that comes with the install."""
    with running(Iotcore()) as started:
        yield started


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """A probe's own."""
    with Outbox(tmp_path / "outbox") as opened:
        yield opened


def measure(outbox: Outbox, from_number: int, until_number: int) -> None:
    """Runs of so many slots."""
    for number in range(from_number, until_number):
        run = run_at(NOW + timedelta(seconds=15 * number), probe=PROBE, number=number + 1)
        outbox.put(EntryKind.RUN, render_run(run))


def make_stream(outbox: Outbox, broker: Broker) -> Stream:
    """The probe's stream, which is quick to try again."""
    return Stream(outbox, PROBE, broker.as_probe(PROBE), clock=SystemClock(), limits=LIMITS)


async def stored_once(database: Path, count: int) -> bool:
    """Whether every run is there, once, and nothing is missing or contradicts anything."""
    async with open_store(str(database)) as store:
        (probe,) = await store.probes()
        runs = await store.runs(NOW, NOW + timedelta(days=30), limit=100_000)
    slots = sorted(run.identity.slot_at for run in runs)
    books = (probe.entries, probe.conflicts, probe.quarantined, probe.missing)
    return books == (count, 0, 0, 0) and slots == [NOW + timedelta(seconds=15 * number) for number in range(count)]


def is_told(collector: CollectorProcess, words: str) -> bool:
    """Whether the collector says that it stores nothing, and why."""
    state = collector.ingest()
    return bool(state) and not collector.is_ready() and state["commit_failures"] > 0 and words in state["last_error"]


async def test_a_collector_whose_disk_is_full_says_so_and_has_everything_when_there_is_room_again(
    embedded: Broker, outbox: Outbox, tmp_path: Path
) -> None:
    """Not ready, with the reason; what it cannot store stays in the probe's outbox; not one run is lost or comes twice."""
    with (
        small_disk(tmp_path / "small") as disk,
        running_collector(
            tmp_path / "collector", embedded, database=disk.folder / "store.db", before=disk.before
        ) as collector,
    ):
        stream = make_stream(outbox, embedded)
        async with going(stream.run()):
            measure(outbox, 0, ALL)
            stream.wake()
            await until(lambda: is_told(collector, "full" if disk.is_mounted else "disk"), PATIENCE_S)
            assert outbox.depth().entries > 0
            disk.make_room(collector.process.pid)
            assert await stream.flush(PATIENCE_S)
            await until(collector.is_ready, PATIENCE_S)
        assert collector.stop() == 0
        assert await stored_once(collector.database, ALL)


async def test_a_collector_whose_database_another_program_holds_says_so_and_goes_on_afterwards(
    embedded: Broker, outbox: Outbox, tmp_path: Path
) -> None:
    """A lock that outlasts every patience: not ready, with the reason; then everything is stored, once."""
    with running_collector(tmp_path / "collector", embedded) as collector:
        stream = make_stream(outbox, embedded)
        async with going(stream.run()):
            measure(outbox, 0, FIRST)
            assert await stream.flush(PATIENCE_S)
            with contextlib.closing(
                sqlite3.connect(collector.database, timeout=PATIENCE_S, isolation_level=None)
            ) as other:
                other.execute("BEGIN IMMEDIATE")
                measure(outbox, FIRST, ALL)
                stream.wake()
                await until(lambda: is_told(collector, "locked"), PATIENCE_S)
                assert outbox.depth().entries == ALL - FIRST
                other.execute("ROLLBACK")
            assert await stream.flush(PATIENCE_S)
            await until(collector.is_ready, PATIENCE_S)
        assert collector.stop() == 0
        assert await stored_once(collector.database, ALL)


async def test_results_wait_while_the_brokers_certificate_has_expired_and_arrive_after_its_renewal(
    outbox: Outbox, tmp_path: Path
) -> None:
    """Neither side speaks to a broker that it cannot trust, both say why, and both find it again by themselves."""
    broker = make_mosquitto(tmp_path)
    valid, expired = tmp_path / "tls", tmp_path / "expired"
    make_certificates(expired, expired=True)
    both = (valid / "ca.pem").read_bytes() + (expired / "ca.pem").read_bytes()
    broker.ca_file = tmp_path / "both.pem"
    broker.ca_file.write_bytes(both)
    current = {name: (valid / name).read_bytes() for name in ("broker.pem", "broker.key")}

    def use(certificate: dict[str, bytes]) -> None:
        for name, content in certificate.items():
            (valid / name).write_bytes(content)

    with running(broker), running_collector(tmp_path / "collector", broker) as collector:
        stream = make_stream(outbox, broker)
        async with going(stream.run()):
            measure(outbox, 0, FIRST)
            assert await stream.flush(PATIENCE_S)
            broker.stop()
            use({name: (expired / name).read_bytes() for name in current})
            broker.start()
            measure(outbox, FIRST, ALL)
            await until(lambda: "certificate has expired" in stream.state.last_error, PATIENCE_S)
            await until(lambda: "certificate has expired" in collector.ingest().get("last_error", ""), PATIENCE_S)
            assert not collector.is_ready()
            assert not stream.state.connected
            assert outbox.depth().entries == ALL - FIRST
            broker.stop()
            use(current)
            broker.start()
            assert await stream.flush(PATIENCE_S)
            await until(collector.is_ready, PATIENCE_S)
        assert collector.stop() == 0
        assert await stored_once(collector.database, ALL)


async def test_results_wait_while_the_broker_refuses_the_probe_and_arrive_when_it_is_let_in(
    outbox: Outbox, tmp_path: Path
) -> None:
    """A broker that knows the probe no more: the stream says who is refused, the outbox keeps all, the collector is well."""
    broker = make_mosquitto(tmp_path)
    with running(broker), running_collector(tmp_path / "collector", broker) as collector:
        stream = make_stream(outbox, broker)
        async with going(stream.run()):
            measure(outbox, 0, FIRST)
            assert await stream.flush(PATIENCE_S)
            plan, password = broker.plan, broker.passwords[probe_username(PROBE)]
            broker.stop()
            broker.plan = replace(plan, probes=PROBES[1:])
            broker.start()
            measure(outbox, FIRST, ALL)
            await until(lambda: "refuses eu-west/probe-1" in stream.state.last_error, PATIENCE_S)
            await until(collector.is_ready, PATIENCE_S)
            assert outbox.depth().entries == ALL - FIRST
            broker.stop()
            broker.plan = plan
            broker.start()
            assert broker.passwords[probe_username(PROBE)] == password
            assert await stream.flush(PATIENCE_S)
        assert collector.stop() == 0
        assert await stored_once(collector.database, ALL)
