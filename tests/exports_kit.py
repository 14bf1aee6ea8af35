"""What tests of exports share: metrics over a store with objectives, scrapes of them, and receivers that can misbehave.

Everything is real: store, objectives, HTTP. Used by tests named exports.
"""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from collector.exports.feed import RunQueue, StoredRun
from collector.exports.metrics import Metrics, MetricsSource
from collector.exports.pump import Export, Pump
from collector.score_upkeep import ScoreUpkeep
from collector.store import Store, open_store
from console.objectives import load_set
from probes.records import Run
from probes.wire import render_run
from slo.document_text import Problem
from slo.objective_set import ObjectiveSet
from tests.clock import JumpingClock
from tests.posted import Posted
from tests.report_kit import REGIONS

__all__ = [
    "FLEET",
    "OPENMETRICS",
    "Receiver",
    "Samples",
    "Scraped",
    "built_in",
    "metrics_over",
    "receiver",
    "running_pump",
    "scrape",
    "stored",
    "until",
]

FLEET = "simulated"
DEADLINE_S = 60.0
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Scraped:
    """A page as a scraper reads it."""

    text: str
    samples: Samples

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a series; None: there is none."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Every series of a name by the values of its labels, in the order of the labels' names."""
        return {tuple(value for _, value in key[1]): found for key, found in self.samples.items() if key[0] == name}


@dataclass(slots=True)
class Watched:
    """Metrics over a store, not running: a test looks when it wants."""

    store: Store
    metrics: Metrics
    clock: JumpingClock

    async def look(self, *, closely: bool = False) -> Scraped:
        """Have everything counted, and scrape."""
        upkeep, queue = self.metrics._upkeep, self.metrics._pump.queue
        await upkeep.look()
        if closely:
            upkeep.asked()
            await upkeep.look_closely()
        upkeep.is_ready.set()
        while len(queue):
            self.metrics.times.deliver(queue.take(500))
        self.clock.advance(3)
        return await scrape(self.metrics)


async def scrape(metrics: Metrics, accept: str = "") -> Scraped:
    """The page, read by the library's own parser."""
    page = await metrics.answer({"accept": accept})
    text = page.body.decode()
    if accept:
        return Scraped(text, {})
    families = text_string_to_metric_families(text)
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples
    }
    return Scraped(text, samples)


@cache
def built_in() -> ObjectiveSet:
    """The objectives that come with the project, read once for all tests of a process."""
    return load_set()


@dataclass
class Lines:
    """Objectives that nobody edits."""

    current: ObjectiveSet
    problems: tuple[Problem, ...] = ()

    def reload(self) -> tuple[Problem, ...]:
        """They stay as they are."""
        return self.problems


@asynccontextmanager
async def metrics_over(
    path: Path, now: datetime, *, fleet: str = FLEET, known: ObjectiveSet | None = None
) -> AsyncIterator[Watched]:
    """A store at a path (made where there is none) that scores by objectives (the built-in ones), and metrics over it."""
    clock = JumpingClock(now)
    async with open_store(str(path), survives_power_cut=False) as store:
        lines = Lines(known or built_in())
        await ScoreUpkeep(store, lines, fleet=fleet, regions=REGIONS, clock=clock).begin()
        yield Watched(store, Metrics(store, lines, MetricsSource(fleet, "one", REGIONS), clock=clock), clock)


def stored(run: Run, *, received_after_s: float = 1.0) -> StoredRun:
    """A run as a queue holds it."""
    slot_us = round(run.identity.slot_at.timestamp() * 1e6)
    return StoredRun(render_run(run), slot_us // 1000, slot_us + round(received_after_s * 1e6))


@asynccontextmanager
async def running_pump(export: Export, queue: RunQueue, clock: JumpingClock) -> AsyncIterator[Pump]:
    """A pump that runs; a clock that jumps makes its pauses short."""
    pump = Pump(export, queue, clock=clock)
    task = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(holds: Callable[[], object], what: str = "") -> None:
    """Let everything go on until it holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for happens in threads and in other processes
            await asyncio.sleep(0.005)
    assert holds(), what


@dataclass(slots=True)
class Receiver:
    """Takes everything; `status`, `delay_s` and `headers` are what it answers from now on."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[Posted] = field(default_factory=list)
    seen: int = 0


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port; what it answers with an error it has not taken."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Whatever is posted."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.seen += 1
            status, delay_s = state.status, state.delay_s
            if delay_s:
                time.sleep(delay_s)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if status == 200:
                headers = {name.lower(): value for name, value in self.headers.items()}
                state.taken.append(Posted(self.path, headers, body))
            answer = b'{"status": 1}'
            self.send_response(status)
            for name, value in {**state.headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
