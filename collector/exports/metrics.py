"""`/metrics`: what the collector knows, for Prometheus; classic text, or OpenMetrics with exemplars where the scraper takes it.

A scrape is answered from memory: the text is made at most every two seconds for each format, whoever asks and however often, in
pieces of a few milliseconds, so that results are taken in meanwhile. Refuses to read the database for a scrape
(`collector.exports.metrics_upkeep` does, beside the ingest). Needs the extra `prometheus`. Called by the wiring, by the health
pages and by the web pages.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE

from collector.exports.families import Families
from collector.exports.feed import RunQueue
from collector.exports.fleet_view import FleetView
from collector.exports.line_counts import LineCounters, Lines
from collector.exports.line_gauges import LineGauges
from collector.exports.metrics_fleet import add_fleet, add_ingest
from collector.exports.metrics_runs import add_exports, add_lines, add_runs
from collector.exports.metrics_upkeep import MetricsUpkeep
from collector.exports.pump import Pump
from collector.exports.run_counts import RunCounts
from collector.exports.run_times import RunTimes
from collector.ingest import IngestState
from collector.store import Store
from probes.clock import Clock
from probes.health import Page
from probes.version import VERSION

__all__ = ["Metrics", "MetricsSource"]

CLASSIC_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
RENDER_EVERY_S: Final = 2.0
MOST_CPU_SHARE: Final = 0.05
"""The text of a fleet at all bounds takes a good part of a second: then it is made more rarely, however often it is asked for."""
FIRST_LOOK_S: Final = 3.0
GZIP_LEVEL: Final = 1
"""Text this repetitive is a tenth of its size at the quickest level too."""
TIMES_CPU_SHARE: Final = 0.2
HOLD_S: Final = 0.002
"""After so much of the loop's time whatever else is due comes first."""


@dataclass(frozen=True, slots=True)
class MetricsSource:
    """Whose numbers: `regions` and `scenarios` are names that are sure of a label, `target` is preferred where runs name it."""

    fleet: str
    collector: str
    regions: tuple[str, ...]
    target: str = ""
    scenarios: tuple[str, ...] = ()


@dataclass(slots=True)
class _Rendered:
    """One format as it was last made."""

    made_ns: int = 0
    good_for_s: float = 0.0
    plain: bytes = b""
    zipped: bytes = b""


class Metrics:
    """Everything behind the page. `run` beside the ingest, `answer` scrapes."""

    def __init__(self, store: Store, lines: Lines, source: MetricsSource, *, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self.counts = RunCounts(source.regions, source.scenarios)
        self.times = RunTimes(self.counts.scenario, self.counts.region)
        queue = RunQueue()
        self._pump = Pump(self.times, queue, clock=clock, most_cpu_share=TIMES_CPU_SHARE)
        self.pumps: list[Pump] = [self._pump]
        self._ingest: IngestState | None = None
        fleet, regions = source.fleet, source.regions
        self._upkeep = MetricsUpkeep(
            store,
            clock,
            fleet,
            source.target,
            self.counts,
            LineCounters(store, lines, fleet=fleet, regions=regions, clock=clock),
            LineGauges(store, lines, fleet=fleet, regions=regions, clock=clock),
            FleetView(store, clock, fleet, self.counts.scenario, self.counts.region),
        )
        self._rendered = {CLASSIC_TYPE: _Rendered(), OPENMETRICS_TYPE: _Rendered()}
        self._rendering = asyncio.Lock()
        store.listen(self.counts.add)
        store.listen(queue.put)

    def watch(self, ingest: IngestState) -> None:
        """Show the counters of this ingest too."""
        self._ingest = ingest

    async def run(self) -> None:
        """Keep everything fresh, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump.run(), name="metrics-times")
            group.create_task(self._upkeep.run(), name="metrics-upkeep")

    async def answer(self, headers: Mapping[str, str]) -> Page:
        """The page for a request with these headers (names in lower case); the first may wait for the first count."""
        self._upkeep.asked()
        if not self._upkeep.is_ready.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._upkeep.is_ready.wait(), FIRST_LOOK_S)
        is_open = "application/openmetrics-text" in headers.get("accept", "")
        content_type = OPENMETRICS_TYPE if is_open else CLASSIC_TYPE
        rendered = await self._render(content_type)
        more = {"Vary": "Accept, Accept-Encoding"}
        if "gzip" in headers.get("accept-encoding", ""):
            return Page(200, content_type, rendered.zipped, {**more, "Content-Encoding": "gzip"})
        return Page(200, content_type, rendered.plain, more)

    async def _render(self, content_type: str) -> _Rendered:
        async with self._rendering:
            rendered = self._rendered[content_type]
            now_ns = self._clock.monotonic_ns()
            if not rendered.plain or now_ns - rendered.made_ns >= rendered.good_for_s * 1e9:
                rendered = await self._text(content_type)
                rendered.made_ns = now_ns
                self._rendered[content_type] = rendered
            return rendered

    async def _text(self, content_type: str) -> _Rendered:
        """In pieces, for the loop is that of the ingest: each holds it for a few milliseconds. Packing needs no interpreter."""
        pieces: list[bytes] = []
        cost_s, began_s = 0.0, time.thread_time()
        for piece in self._pieces(is_open=content_type == OPENMETRICS_TYPE):
            pieces.append(piece)
            held_s = time.thread_time() - began_s
            if held_s >= HOLD_S:
                cost_s += held_s
                await asyncio.sleep(0)
                began_s = time.thread_time()
        plain, zipped, packing_s = await asyncio.to_thread(_packed, pieces)
        cost_s += time.thread_time() - began_s + packing_s
        return _Rendered(0, max(RENDER_EVERY_S, cost_s / MOST_CPU_SHARE), plain, zipped)

    def _pieces(self, *, is_open: bool) -> Iterator[bytes]:
        """Every family, from memory; what is small is gathered in some steps, and then all of it is written."""
        families, source, upkeep = Families(), self._source, self._upkeep
        families.add_info("fleet_collector_info", VERSION, source.collector, source.fleet, upkeep.target)
        add_runs(families, self.counts, self.times)
        yield b""
        add_lines(families, upkeep.counters, upkeep.fresh_gauges())
        yield b""
        add_fleet(families, upkeep.view)
        yield b""
        if self._ingest is not None:
            add_ingest(families, self._ingest)
        add_exports(families, self.pumps)
        families.add("fleet_metrics_refresh_failures_total", upkeep.failures)
        yield from families.pieces(is_open=is_open)


def _packed(pieces: Sequence[bytes]) -> tuple[bytes, bytes, float]:
    """The whole text, plain and zipped, and the CPU time that it took."""
    began_s = time.thread_time()
    plain = b"".join(pieces)
    return plain, gzip.compress(plain, GZIP_LEVEL), time.thread_time() - began_s
