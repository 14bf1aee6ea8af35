"""What fifty people who look cost the ingest: the same records taken in with and without live viewers, in turns.

Half of the viewers have the overview open with its stream of changes, half the page of the fleet; each page is fetched again each
half minute, as its script does. The fleet has 12 regions and 40 scenarios, and what is taken in is new to the board, so that
nearly every cell changes at every look. Collector, viewers and probes are processes of their own.

`run` is called by `bench.__main__`. `python -m bench.viewers collect STORE BROKER` and `python -m bench.viewers watch URL` are
the other processes; they end when their standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.catchup import drained
from bench.ingest import cpu_s, quiet
from bench.report import Findings, Goal, median
from collector.embedded_broker import embedded_broker
from collector.ingest import Ingest
from collector.scoring import Scorer
from collector.service import settle_process
from collector.store import open_store
from collector.web.server import open_pages
from collector.web.site import Site
from console.objectives import BUILT_IN_OBJECTIVES
from console.watched_objectives import WatchedObjectives
from probes.clock import SystemClock
from probes.ledger_entries import OwedSlots, render_entry
from probes.messages import Address
from probes.mqtt import BrokerAddress
from probes.outbox import EntryKind, Outbox
from probes.wire import render_run
from tests.store_kit import run_at

__all__ = ["run"]

FLEET: Final = "bench"
REGIONS: Final = tuple(f"region-{number:02}" for number in range(1, 13))
SCENARIOS: Final = ("api-health", "web-health", *(f"journey-{number:02}" for number in range(1, 39)))
VIEWERS: Final = 50
PAGE_AGAIN_S: Final = 30.0
SLOTS_EACH: Final = 20
"""Slots of every scenario of every region in one turn: 9,600 records."""
ROUNDS: Final = 3
MOST_SHARE: Final = 0.05
DEADLINE_S: Final = 120.0
RECORDS: Final = len(REGIONS) * len(SCENARIOS) * SLOTS_EACH


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took: time, and the collector's CPU time, pages and all."""

    wall_s: float
    cpu_s: float
    changes: int = 0
    pages: int = 0


def run() -> list[Findings]:
    """Some rounds of both, in an order that changes."""
    quiet()
    return [asyncio.run(measured())]


async def measured() -> Findings:
    """The turns, and what they come to."""
    heads = ("viewers", "records/s", "collector us CPU a record", "changes told", "pages fetched")
    findings = Findings(f"{VIEWERS} live viewers, 12 regions and 40 scenarios, SQLite", heads)
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        address = opened.enter_context(embedded_broker())
        outboxes = {
            Address(FLEET, region, "probe-1"): opened.enter_context(Outbox(Path(name) / f"{region}.outbox"))
            for region in REGIONS
        }
        started_at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2 * ROUNDS * SLOTS_EACH)
        async with process("collect", f"sqlite:///{name}/store.db", address.url) as collector:
            url = str((await said(collector))["url"])
            for sender, outbox in outboxes.items():
                outbox.put_all(owed_by(sender, started_at))
            turns: dict[bool, list[Turn]] = {False: [], True: []}
            for number in range(2 * ROUNDS):
                has_viewers = number % 4 in (1, 2)
                for sender, outbox in outboxes.items():
                    outbox.put_all(records_of(sender, started_at + timedelta(minutes=number * SLOTS_EACH)))
                turns[has_viewers].append(await turn(collector, outboxes, address, url if has_viewers else ""))
    show(findings, turns[False], turns[True])
    return findings


def show(findings: Findings, without: list[Turn], with_them: list[Turn]) -> None:
    """The rows, the share of a core that viewers took, and both ratios."""
    for count, turns in ((0, without), (VIEWERS, with_them)):
        wall_s, cpu = median([one.wall_s for one in turns]), median([one.cpu_s for one in turns])
        told = (f"{sum(one.changes for one in turns):,}", f"{sum(one.pages for one in turns):,}")
        findings.rows.append((str(count), f"{RECORDS / wall_s:,.0f}", f"{cpu / RECORDS * 1e6:.1f}", *told))
    shares = [(seen.cpu_s - alone.cpu_s) / seen.wall_s for alone, seen in zip(without, with_them, strict=True)]
    note = "(of a collector that takes in all it can: share of a core that goes to viewers)"
    findings.goals.append(
        Goal("share of ingest throughput that the viewers cost", MOST_SHARE, median(shares), note=note)
    )
    cpu = sum(one.cpu_s for one in with_them) / sum(one.cpu_s for one in without)
    rate = sum(one.wall_s for one in without) / sum(one.wall_s for one in with_them)
    findings.notes.append(f"with viewers by without: CPU a record {cpu:.3f}, records/s {rate:.3f}")


async def turn(collector: Process, outboxes: dict[Address, Outbox], address: BrokerAddress, url: str) -> Turn:
    """Take in what waits; with a `url` while people look at it."""
    if not url:
        return await taken_in(collector, outboxes, address)
    async with process("watch", url) as watchers:
        await said(watchers)
        before = await said(watchers, "counts")
        took = await taken_in(collector, outboxes, address)
        after = await said(watchers, "counts")
        return replace(took, changes=after["changes"] - before["changes"], pages=after["pages"] - before["pages"])


async def taken_in(collector: Process, outboxes: dict[Address, Outbox], address: BrokerAddress) -> Turn:
    """Until everything is committed and acknowledged."""
    used_s, started_s = (await said(collector, "cpu"))["cpu_s"], time.perf_counter()
    await drained(outboxes, address)
    wall_s = time.perf_counter() - started_s
    return Turn(wall_s, (await said(collector, "cpu"))["cpu_s"] - used_s)


def owed_by(sender: Address, from_at: datetime) -> Iterator[tuple[EntryKind, bytes]]:
    """That a probe owes every scenario each minute, so that there is something to count."""
    for scenario in SCENARIOS:
        owed = OwedSlots(
            scenario=scenario, interval_ms=60_000, phase_ms=0, tolerance_ms=5_000, timeout_ms=30_000, from_at=from_at
        )
        yield EntryKind.SCHEDULE, render_entry(owed)
    del sender


def records_of(sender: Address, from_at: datetime) -> Iterator[tuple[EntryKind, bytes]]:
    """A turn's records of one probe."""
    for number in range(SLOTS_EACH):
        for place, scenario in enumerate(SCENARIOS):
            slot_at = from_at + timedelta(minutes=number)
            plain = run_at(slot_at, probe=sender, scenario=scenario, number=1 + place)
            unique = f"{sender.region}-{scenario}-{int(slot_at.timestamp())}"[-26:]
            yield EntryKind.RUN, render_run(replace(plain, run_id=unique, target="bench"))


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[Process]:
    """One of the other processes; ended by closing its standard input."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.viewers", *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        yield started
    finally:
        assert started.stdin is not None  # noqa: S101 - it has a pipe
        started.stdin.close()
        await asyncio.wait_for(started.wait(), DEADLINE_S)


async def said(asked: Process, question: str = "") -> dict[str, Any]:
    """Its next word, asked for where there is a question."""
    assert asked.stdin is not None  # noqa: S101 - it has pipes
    assert asked.stdout is not None  # noqa: S101 - the same
    if question:
        asked.stdin.write(question.encode() + b"\n")
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(asked.stdout.readline(), DEADLINE_S))
    return answer


async def collect(database: str, broker_url: str) -> None:
    """Be the collector with its pages; answer every line with the CPU seconds of this process."""
    objectives = WatchedObjectives(BUILT_IN_OBJECTIVES)
    clock = SystemClock()
    async with open_store(database) as store, asyncio.TaskGroup() as group:
        await store.scores.begin(Scorer.of(objectives.current))
        site = Site(store, database, objectives, clock, FLEET, REGIONS, target="bench")
        ingest = Ingest(store, BrokerAddress(broker_url), fleet=FLEET, name="bench", clock=clock)
        running = group.create_task(ingest.run())
        async with open_pages(site, "127.0.0.1:0") as url:
            while not ingest.state.connected:  # noqa: ASYNC110 - a broker in another process
                await asyncio.sleep(0.01)
            settle_process()
            print(json.dumps({"url": url}), flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps({"cpu_s": cpu_s()}), flush=True)
        running.cancel()


@dataclass(slots=True)
class Watched:
    """What the viewers were told."""

    changes: int = 0
    pages: int = 0


async def watch(url: str) -> None:
    """Be all viewers, once every one has its page and its stream; answer every line with what they were told."""
    watched, connector = Watched(), aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        paths = [("/", "/live"), ("/fleet", "/live?only=looks")] * (VIEWERS // 2)
        open_events = [asyncio.Event() for _ in paths]
        tasks = [
            group.create_task(view(session, url, *path, watched, is_open, place / VIEWERS))
            for place, (path, is_open) in enumerate(zip(paths, open_events, strict=True))
        ]
        for is_open in open_events:
            await asyncio.wait_for(is_open.wait(), DEADLINE_S)
        print(json.dumps({"viewers": len(tasks)}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"changes": watched.changes, "pages": watched.pages}), flush=True)
        for task in tasks:
            task.cancel()


async def view(
    session: aiohttp.ClientSession,
    url: str,
    path: str,
    stream: str,
    watched: Watched,
    is_open: asyncio.Event,
    phase: float,
) -> None:
    """One viewer: a page, its stream, and the page again now and then; `phase` spreads viewers over that time."""

    async def fetch() -> None:
        async with session.get(f"{url}{path}") as answer:
            answer.raise_for_status()
            await answer.read()
            watched.pages += 1

    async def fetch_again() -> None:
        await asyncio.sleep(phase * PAGE_AGAIN_S)
        while True:
            await fetch()
            await asyncio.sleep(PAGE_AGAIN_S)

    await fetch()
    again = asyncio.create_task(fetch_again())
    try:
        async with session.get(f"{url}{stream}") as answer:
            answer.raise_for_status()
            is_open.set()
            async for line in answer.content:
                watched.changes += line.startswith(b"event: cells")
    finally:
        again.cancel()


if __name__ == "__main__":
    quiet()
    asyncio.run(collect(*sys.argv[2:4]) if sys.argv[1] == "collect" else watch(sys.argv[2]))
