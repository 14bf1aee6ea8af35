"""The way from outbox to acknowledgement: a lone entry's latency and a backlog's throughput, through both brokers.

The collector at the other end only acknowledges: what is measured is the stream and the broker, without a database
(`bench.ingest` has that). It runs in a process of its own, as in production. Called by `bench.__main__` and alone:
`python -m bench.stream`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rich.console import Console

from bench.report import Findings, Goal, median, percentile
from collector.embedded_broker import EmbeddedBroker, free_port
from probes.clock import SystemClock
from probes.messages import Acknowledgement, Address, Hello, parse_address, parse_batch, ranges_of
from probes.mqtt import BrokerAddress, open_client, payload_of, subscribe
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream, StreamLimits

__all__ = ["PROBE", "acknowledging", "main", "mosquitto", "run"]

PROBE = Address("bench", "here", "probe-1")
BACKLOG = 20_000
LONE_ENTRIES = 300
DEADLINE_S = 120.0
LONE_GOAL_MS = 20.0
LISTEN_S = 10.0
ENTRY = json.dumps(
    {"steps": [{"name": f"step-{number}", "duration_ns": 7_919 * number} for number in range(20)]}
).encode()
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 100000
"""


def main() -> int:
    """Print what was measured; 1 when a goal is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    missed = 0
    for findings in run():
        findings.show(console)
        missed += sum(goal.missed for goal in findings.goals)
    return 1 if missed else 0


def run() -> list[Findings]:
    """Both brokers, one after the other."""
    heads = ("broker", "backlog, entries/s", "CPU of the probe, us/entry", "lone, ms median", "p99", "slowest")
    findings = Findings("From outbox to acknowledgement on loopback", heads)
    for name, opened in (("iotcore", iotcore()), ("mosquitto", mosquitto())):
        with opened as address:
            if address is None:
                findings.goals.append(
                    Goal(f"lone entry through {name}, p99 ms", LONE_GOAL_MS, None, note="not installed")
                )
                continue
            per_s, cpu_us, lone_ms = asyncio.run(measured(address))
        p99 = percentile(lone_ms, 0.99)
        figures = (f"{per_s:,.0f}", f"{cpu_us:.0f}", f"{median(lone_ms):.1f}", f"{p99:.1f}", f"{max(lone_ms):.1f}")
        findings.rows.append((name, *figures))
        findings.goals.append(Goal(f"lone entry through {name}, p99 ms", LONE_GOAL_MS, p99))
    findings.notes.append(f"{BACKLOG:,} entries of {len(ENTRY)} bytes, then {LONE_ENTRIES} one after the other")
    return [findings]


@contextlib.contextmanager
def iotcore() -> Iterator[BrokerAddress | None]:
    """The embedded broker."""
    broker = EmbeddedBroker()
    broker.start()
    try:
        yield broker.address
    finally:
        broker.stop()


@contextlib.contextmanager
def mosquitto() -> Iterator[BrokerAddress | None]:
    """Debian's, without TLS, so that the two are compared at the same work; None where it is not installed."""
    program = shutil.which("mosquitto")
    if not program:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(MOSQUITTO.format(port=port), encoding="utf-8")
        process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL)
        try:
            wait_until_listening(port)
            yield BrokerAddress(f"mqtt://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def wait_until_listening(port: int) -> None:
    """Raises TimeoutError when nobody does within ten seconds."""
    give_up_at_s = time.monotonic() + LISTEN_S
    while time.monotonic() < give_up_at_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


async def measured(address: BrokerAddress) -> tuple[float, float, list[float]]:
    """Entries a second of a backlog, CPU time of each in microseconds, and the latencies of lone entries in ms."""
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox") as outbox:
        for _ in range(BACKLOG):
            outbox.put(EntryKind.RUN, ENTRY)
        stream = Stream(outbox, PROBE, address, clock=SystemClock(), limits=StreamLimits())
        async with acknowledging(address):
            started_s, cpu_s = time.perf_counter(), time.process_time()
            running = asyncio.create_task(stream.run())
            try:
                if not await stream.flush(DEADLINE_S):
                    raise TimeoutError(stream.state.last_error)
                per_s = BACKLOG / (time.perf_counter() - started_s)
                cpu_us = (time.process_time() - cpu_s) / BACKLOG * 1e6
                return per_s, cpu_us, [await lone(outbox, stream) for _ in range(LONE_ENTRIES)]
            finally:
                running.cancel()
                await asyncio.wait([running])


@contextlib.asynccontextmanager
async def acknowledging(address: BrokerAddress) -> AsyncIterator[None]:
    """A collector in a process of its own that acknowledges what it gets, and stores nothing."""
    collector = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.stream", "collect", address.url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert collector.stdout  # noqa: S101 - it was asked for
        await asyncio.wait_for(collector.stdout.readline(), LISTEN_S)
        yield
    finally:
        collector.terminate()
        await collector.wait()


async def lone(outbox: Outbox, stream: Stream) -> float:
    """Milliseconds from putting an entry until it is acknowledged."""
    started_s = time.perf_counter()
    outbox.put(EntryKind.RUN, ENTRY)
    if not await stream.flush(DEADLINE_S):
        raise TimeoutError(stream.state.last_error)
    return (time.perf_counter() - started_s) * 1e3


async def collect(url: str) -> None:
    """Acknowledge everything, without storing it."""
    address = BrokerAddress(url)
    async with open_client(address, client_id="bench-collector") as client:
        await subscribe(client, address, PROBE.topic("results"))
        hello = Hello(collector="bench", boot="1").model_dump_json().encode()
        await client.publish_soon(f"fleet/v1/{PROBE.fleet}/hello", hello, retain=True)
        print("listening", flush=True)
        async for message in client.messages:
            _, sender = parse_address(message.topic.value)
            batch = parse_batch(payload_of(message))
            ranges = ranges_of(entry.seq for entry in batch.entries)
            answer = Acknowledgement(epoch=batch.epoch, ranges=ranges, collector="bench")
            client.publish_soon(sender.topic("acks"), answer.model_dump_json().encode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        asyncio.run(collect(sys.argv[2]))
    else:
        sys.exit(main())
