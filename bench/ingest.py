"""How much one collector takes: records a second and CPU a record, from the payload to the committed row and from the outbox.

`run` is called by `bench.__main__`. `python -m bench.ingest STORE BROKER NAME` is the collector that the end-to-end rows are
measured with: a process of its own, so that its CPU time is its own; it ends when its standard input is closed, and says then
what it used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import resource
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from bench.report import Findings, Goal, median, percentile
from collector.embedded_broker import embedded_broker
from collector.ingest import Ingest
from collector.service import settle_process
from collector.store import Delivery, open_store
from probes.clock import SystemClock
from probes.fitness import PROC_STAT, CpuTimes, parse_cpu_times, steal_ratio
from probes.mqtt import BrokerAddress
from probes.outbox import EntryKind, Outbox
from probes.records import Exchange, Fitness, Phases
from probes.stream import Stream
from probes.wire import render_run
from tests.postgres_kit import find_programs, postgres_server
from tests.sample_runs import MS, make_run, make_step
from tests.store_kit import NOW, PROBE, deliver

SQLITE = "SQLite"
POSTGRES = "PostgreSQL"
RECORDS = 10_000
LONE_RECORDS = 500
END_TO_END_RECORDS = 10_000
LONE_LATENCIES = 200
ROUNDS = 5
GROUP = 10
DEADLINE_S = 120.0
FLEET = PROBE.fleet


@dataclass(frozen=True, slots=True)
class Cost:
    """What storing took, and how large the store is then."""

    records: int
    wall_s: float
    cpu_s: float
    stored_bytes: int

    @property
    def per_s(self) -> float:
        """Records a second."""
        return self.records / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Records a second of one core."""
        return self.records / self.cpu_s


def run() -> list[Findings]:
    """Measure everything."""
    quiet()
    try:
        return asyncio.run(measured())
    finally:
        structlog.reset_defaults()


def quiet() -> None:
    """Log errors alone, so that tables stay tables."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


async def measured() -> list[Findings]:
    """The store alone, its size, and the way from outbox to row."""
    settle_process()
    store = Findings(
        "From payload to committed row, one collector", ("records", "in", "batch", "records/s", "per CPU s", "us CPU")
    )
    sizes = Findings("Room, SQLite, four steps a record", ("how it came", "bytes a record, fresh", "packed"))
    way = Findings(
        "From outbox to committed row",
        ("in", "records/s", "collector us CPU", "lone: median ms", "p99 ms", "CPU stolen meanwhile"),
    )
    programs = find_programs()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        places: dict[str, Callable[[], str]] = {SQLITE: lambda: f"sqlite:///{folder}/{time.monotonic_ns()}.db"}
        if programs is not None:
            places[POSTGRES] = stack.enter_context(postgres_server(programs, durable=True)).make_database
        costs = await measure_databases(store, places)
        await measure_size(sizes, folder)
        lone_ms = {title: await measure_way(way, title, make_url(), folder) for title, make_url in places.items()}
    sqlite, postgres = costs[SQLITE], costs.get(POSTGRES)
    store.goals += [
        Goal("records a CPU second, batches of 200, SQLite", 30_000, sqlite.per_cpu_s, at_least=True),
        *goals_of_postgres(sqlite, postgres),
    ]
    way.goals.append(Goal("p99 of a lone record from its end to its acknowledgement, ms", 20, lone_ms[SQLITE]))
    store.notes.append(
        "Commits wait for the disk (synchronous=FULL, fsync on); the best of five rounds for each row, databases in turns."
    )
    return [store, sizes, way]


def goals_of_postgres(sqlite: Cost, postgres: Cost | None) -> list[Goal]:
    """What PostgreSQL must reach of what SQLite does."""
    name = "PostgreSQL's rate by SQLite's"
    if postgres is None:
        return [Goal(name, 0.7, None, note="PostgreSQL is not installed")]
    per_core = postgres.per_cpu_s / sqlite.per_cpu_s
    return [
        Goal(name, 0.7, postgres.per_s / sqlite.per_s, at_least=True),
        Goal("the same a second of the collector's CPU", 0.7, per_core, at_least=True),
    ]


def bodies(count: int, step_count: int) -> list[bytes]:
    """Records as probes write them: random times in every phase, so that nothing compresses better than it would."""
    dice = random.Random(1)  # noqa: S311 - the same records each time
    made = []
    for number in range(count):
        steps, started_ns = [], 0
        for name in ("sign-in", "upload", "analyse", "quote")[:step_count]:
            phases = Phases(*(dice.randrange(low * 1000, low * 9000) for low in (20, 100, 200, 900, 10, 9_000, 20)))
            exchange = Exchange(
                "POST",
                "https://api.example.test/api/quotes/preview-multipart",
                started_ns,
                phases,
                status=200,
                request_bytes=dice.randrange(300, 500),
                response_bytes=dice.randrange(300, 500),
                server_address="127.0.0.1",
                server_port=443,
                tls_version="TLSv1.3",
            )
            duration_ns = phases.total_ns + dice.randrange(MS)
            steps.append(make_step(name, duration_ns, started_ns=started_ns, part="cube-10", exchanges=(exchange,)))
            started_ns += duration_ns
        slot_at = NOW + timedelta(seconds=15 * number)
        plain = make_run(*steps, number=number)
        made.append(
            render_run(
                replace(
                    plain,
                    identity=replace(
                        plain.identity, fleet=PROBE.fleet, region=PROBE.region, probe=PROBE.probe, slot_at=slot_at
                    ),
                    run_id=f"{dice.randrange(1 << 128):026x}"[-26:],
                    trace_id=f"{dice.randrange(1 << 128):032x}",
                    scheduled_at=slot_at,
                    started_at=slot_at + timedelta(microseconds=dice.randrange(90_000)),
                    schedule_lag_ns=dice.randrange(MS),
                    fitness=Fitness(dice.randrange(MS), 0.001),
                )
            )
        )
    return made


def deliveries_of(records: list[bytes], batch: int) -> list[Delivery]:
    """The records as they come over the wire."""
    return [
        deliver([(EntryKind.RUN, body) for body in records[start : start + batch]], first_seq=start + 1)
        for start in range(0, len(records), batch)
    ]


async def measure_databases(findings: Findings, places: Mapping[str, Callable[[], str]]) -> dict[str, Cost]:
    """Rows for batches of several sizes, the databases in turns; returns the cost of large batches of records of four steps."""
    decisive: dict[str, Cost] = {}
    for step_count, batch in ((4, 200), (4, 50), (1, 200), (4, 1)):
        records = bodies(LONE_RECORDS if batch == 1 else RECORDS, step_count)
        deliveries = deliveries_of(records, batch)
        costs: dict[str, list[Cost]] = {title: [] for title in places}
        for _ in range(ROUNDS):
            for title, make_url in places.items():
                costs[title].append(await store_all(make_url(), deliveries, len(records)))
        name = f"{step_count} step{'s' if step_count > 1 else ''}, {sum(map(len, records)) // len(records)} bytes"
        for title, found in costs.items():
            best = min(found, key=lambda cost: cost.cpu_s)
            us = f"{best.cpu_s / best.records * 1e6:.1f}"
            fastest = max(cost.per_s for cost in found)
            findings.rows.append((name, title, str(batch), f"{fastest:,.0f}", f"{best.per_cpu_s:,.0f}", us))
            decisive.setdefault(title, replace(best, wall_s=best.records / fastest))
    return decisive


async def store_all(url: str, deliveries: list[Delivery], records: int) -> Cost:
    """File the deliveries in groups into an empty store."""
    async with open_store(url) as store:
        group = 1 if len(deliveries) == records else GROUP
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        starts = iter(range(0, len(deliveries), group))

        async def work() -> None:
            for start in starts:
                await store.file(deliveries[start : start + group])

        await asyncio.gather(*(work() for _ in range(store.groups_at_once)))
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        totals = await store.totals()
        if totals.entries != records:
            message = f"{totals.entries} of {records} records were stored"
            raise RuntimeError(message)
        return Cost(records, wall_s, cpu_s, totals.size_bytes)


async def measure_size(findings: Findings, folder: Path) -> None:
    """Bytes a record, fresh and packed."""
    packed_mib = 0.0
    for title, batch, count in (("batches of 200", 200, 4_000), ("one by one", 1, 1_000)):
        async with open_store(f"sqlite:///{folder}/size{batch}.db") as store:
            for delivery in deliveries_of(bodies(count, 4), batch):
                await store.file([delivery])
            fresh = (await store.totals()).size_bytes / count
            while await store.repack(now=SystemClock().now()):
                pass
            packed = (await store.totals()).size_bytes / count
        findings.rows.append((title, f"{fresh:.0f}", f"{packed:.0f}"))
        packed_mib = packed_mib or packed * 1e6 / (1 << 20)
    findings.goals.append(Goal("MiB a million records, packed", 450, packed_mib))


async def measure_way(findings: Findings, title: str, url: str, folder: Path) -> float:
    """A row for the whole way; returns the p99 of a lone record in milliseconds."""
    records = bodies(END_TO_END_RECORDS + LONE_LATENCIES, 4)
    with embedded_broker() as address, Outbox(folder / f"{title}.outbox") as outbox:
        for body in records[:END_TO_END_RECORDS]:
            outbox.put(EntryKind.RUN, body)
        async with collector(url, address) as process, asyncio.TaskGroup() as group:
            stream = Stream(outbox, PROBE, address, clock=SystemClock())
            started_s = time.perf_counter()
            running = group.create_task(stream.run())
            if not await stream.flush(DEADLINE_S):
                raise TimeoutError("the outbox did not empty")
            wall_s = time.perf_counter() - started_s
            used = await said_by(process, "cpu")
            before = cpu_times()
            lone_ms = [await lone(outbox, stream, body) for body in records[END_TO_END_RECORDS:]]
            stolen = stolen_since(before)
            running.cancel()
    per_record_us = used / END_TO_END_RECORDS * 1e6
    p99_ms = percentile(lone_ms, 0.99)
    findings.rows.append(
        (
            title,
            f"{END_TO_END_RECORDS / wall_s:,.0f}",
            f"{per_record_us:.1f}",
            f"{median(lone_ms):.1f}",
            f"{p99_ms:.1f}",
            stolen,
        )
    )
    return p99_ms


async def lone(outbox: Outbox, stream: Stream, body: bytes) -> float:
    """Milliseconds from the end of a run to its acknowledgement, with nothing else to do."""
    started_s = time.perf_counter()
    outbox.put(EntryKind.RUN, body)
    stream.wake()
    before = stream.state.entries_acknowledged
    while stream.state.entries_acknowledged == before:  # noqa: ASYNC110 - the stream tells nobody
        await asyncio.sleep(0.0002)
    taken_s = time.perf_counter() - started_s
    await asyncio.sleep(0.01)
    return taken_s * 1000


def cpu_times() -> CpuTimes | None:
    """What this host's CPUs did since boot; None where nobody knows."""
    return parse_cpu_times(PROC_STAT.read_text()) if PROC_STAT.exists() else None


def stolen_since(before: CpuTimes | None) -> str:
    """The share of CPU time that went to other guests of this machine: a lone record waits for it, whatever we do."""
    after = cpu_times()
    ratio = steal_ratio(before, after) if before is not None and after is not None else None
    return "-" if ratio is None else f"{ratio:.1%}"


@asynccontextmanager
async def collector(url: str, address: BrokerAddress, name: str = "bench") -> AsyncIterator[Process]:
    """The collector in a process of its own, connected."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.ingest", url, address.url, name, stdin=PIPE, stdout=PIPE
    )
    try:
        await said_by(process, "")
        yield process
    finally:
        assert process.stdin is not None  # noqa: S101 - it has a pipe
        process.stdin.close()
        await asyncio.wait_for(process.wait(), DEADLINE_S)


async def said_by(process: Process, question: str) -> float:
    """Ask the collector; it answers with the CPU seconds it has used since it was ready."""
    assert process.stdin is not None  # noqa: S101 - it has pipes
    assert process.stdout is not None  # noqa: S101 - the same
    if question:
        process.stdin.write(question.encode() + b"\n")
    answer = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
    return float(json.loads(answer)["cpu_s"])


def cpu_s() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def serve(url: str, broker_url: str, name: str) -> None:
    """Be the collector until standard input is closed; answer every line with the CPU seconds used so far."""
    async with open_store(url) as store, asyncio.TaskGroup() as group:
        ingest = Ingest(store, BrokerAddress(broker_url), fleet=FLEET, name=name, clock=SystemClock())
        running = group.create_task(ingest.run())
        while not ingest.state.connected:  # noqa: ASYNC110 - a broker in another process
            await asyncio.sleep(0.01)
        settle_process()
        ready_s = cpu_s()
        print(json.dumps({"cpu_s": 0.0}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"cpu_s": cpu_s() - ready_s}), flush=True)
        running.cancel()


if __name__ == "__main__":
    quiet()
    asyncio.run(serve(*sys.argv[1:4]))
