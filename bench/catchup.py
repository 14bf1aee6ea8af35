"""How long the fleet takes to catch up after a cut of a day: a hundred probes whose outboxes hold a record for every minute.

A real outbox and a real stream for each probe, through the embedded broker, into one collector in a process of its own on SQLite.
The probes share one process here, which is what limits them; in a fleet each has a machine. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.ingest import bodies, collector, quiet, said_by
from bench.report import Findings, Goal
from collector.embedded_broker import embedded_broker
from probes.clock import SystemClock
from probes.messages import Address
from probes.mqtt import BrokerAddress
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream
from tests.store_kit import PROBE

__all__ = ["outboxes_of", "run"]

PROBES = 100
RECORDS_EACH = 1_440
STEPS = 4
DEADLINE_S = 600.0


def run() -> list[Findings]:
    """Measure it once: it takes a minute."""
    quiet()
    return [asyncio.run(measured())]


async def measured() -> Findings:
    """The time until every record is committed and acknowledged, and whether each is there once."""
    heads = ("probes", "records", "caught up in, s", "records/s", "collector us CPU", "probes us CPU")
    findings = Findings("Catching up after a cut of one day, embedded broker, SQLite", heads)
    records = PROBES * RECORDS_EACH
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        database = folder / "store.db"
        outboxes = outboxes_of(folder, PROBES, bodies(RECORDS_EACH, STEPS))
        for outbox in outboxes.values():
            opened.enter_context(outbox)
        address = opened.enter_context(embedded_broker())
        async with collector(f"sqlite:///{database}", address) as process:
            cpu_s, started_s = time.process_time(), time.perf_counter()
            await drained(outboxes, address)
            wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
            used_s = await said_by(process, "cpu")
        stored, sent_again = stored_in(database)
    us = (f"{used_s / records * 1e6:.1f}", f"{cpu_s / records * 1e6:.1f}")
    findings.rows.append((str(PROBES), f"{records:,}", f"{wall_s:.1f}", f"{records / wall_s:,.0f}", *us))
    findings.goals.append(Goal("records that are missing or there twice", 0, abs(records - stored)))
    findings.notes.append(f"{sent_again:,} records came twice and were counted once")
    return findings


def outboxes_of(folder: Path, count: int, records: list[bytes]) -> dict[Address, Outbox]:
    """So many probes that have measured and could not send; the same journeys, each under the probe's own name."""
    outboxes = {}
    for number in range(1, count + 1):
        sender = Address(PROBE.fleet, PROBE.region, f"bench-{number}")
        own = [body.replace(f'"{PROBE.probe}"'.encode(), f'"{sender.probe}"'.encode(), 1) for body in records]
        outbox = Outbox(folder / f"{sender.probe}.outbox")
        outbox.put_all((EntryKind.RUN, body) for body in own)
        outboxes[sender] = outbox
    return outboxes


async def drained(outboxes: dict[Address, Outbox], address: BrokerAddress) -> None:
    """Stream every outbox until all are empty, which they are when everything is committed and acknowledged."""
    streams = [Stream(outbox, sender, address, clock=SystemClock()) for sender, outbox in outboxes.items()]
    running = [asyncio.create_task(stream.run()) for stream in streams]
    try:
        if not all(await asyncio.gather(*(stream.flush(DEADLINE_S) for stream in streams))):
            raise TimeoutError("the outboxes did not empty")
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def stored_in(database: Path) -> tuple[int, int]:
    """How many slots a closed store holds, and how many entries came more than once."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        ((slots,),) = db.execute("SELECT count(*) FROM runs")
        ((duplicates,),) = db.execute("SELECT sum(duplicates) FROM senders")
    finally:
        db.close()
    return int(slots), int(duplicates)
