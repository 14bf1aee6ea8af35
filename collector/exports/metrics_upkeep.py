"""Keeps what `/metrics` shows fresh beside the ingest, so that a scrape reads memory and nothing else.

Counters of lines are counted anew when a minute has settled or late results came, probes are looked at every few seconds,
budgets, burn rates and coverage every minute for as long as somebody scrapes. Refuses to end: what goes wrong is counted,
and shown as it was before. Called by `collector.exports.metrics`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from collector.exports.fleet_view import FleetView
from collector.exports.line_counts import LineCounters
from collector.exports.line_gauges import LineGauge, LineGauges
from collector.exports.run_counts import RunCounts
from collector.store import Store, StoreError
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from slo.burn import settled_minute

__all__ = ["MetricsUpkeep"]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
SLOW_EVERY_S: Final = 60.0
LATE_EVERY_S: Final = 30.0
"""While a fleet catches up, late results come all the time: its past is not counted anew for each."""
NOBODY_ASKS_S: Final = 600.0
STALE_AFTER_S: Final = 300.0
LOOK_BACK: Final = timedelta(minutes=1)
FEW_RUNS: Final = 50


@dataclass(slots=True)
class MetricsUpkeep:
    """`run` until cancelled; `is_ready` is set once everything was counted for the first time, or could not be."""

    store: Store
    clock: Clock
    fleet: str
    preferred_target: str
    counts: RunCounts
    counters: LineCounters
    gauges: LineGauges
    view: FleetView
    target: str = ""
    failures: int = 0
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    _asked_ns: int = 0
    _gauges_ns: int = 0
    _counted_ns: int = 0
    _late_from: int | None = None

    def asked(self) -> None:
        """Somebody scrapes."""
        self._asked_ns = self.clock.monotonic_ns()

    def fresh_gauges(self) -> dict[str, LineGauge]:
        """The gauges of lines, unless they are too old to be believed."""
        is_fresh = self.clock.monotonic_ns() - self._gauges_ns < STALE_AFTER_S * 1e9
        return self.gauges.values if is_fresh else {}

    async def run(self) -> None:
        """Look again and again."""
        self.asked()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(self.look, LOOK_EVERY_S), name="metrics-counters")
            group.create_task(self._keep(self.look_closely, SLOW_EVERY_S), name="metrics-gauges")

    async def look(self) -> None:
        """Probes, and the counters of lines where something may have changed. Raises StoreError."""
        await self.view.refresh_probes()
        await self._find_target()
        earliest = self.counts.take_earliest_minute()
        if earliest is not None and earliest < self.counters.until_minute:
            self._late_from = min(earliest, self._late_from or earliest)
        if not self.target:
            return
        until = settled_minute(self.clock.now()) + 1
        is_same = until == self.counters.until_minute and self.counters.is_current
        now_ns = self.clock.monotonic_ns()
        is_late = self._late_from is not None and now_ns - self._counted_ns >= LATE_EVERY_S * 1e9
        if not is_same or is_late:
            await self.counters.refresh(self.target, late_from=self._late_from)
            self._late_from, self._counted_ns = None, now_ns

    async def look_closely(self) -> None:
        """What takes longer; nothing when nobody has asked for ten minutes. Raises StoreError."""
        if self.clock.monotonic_ns() - self._asked_ns > NOBODY_ASKS_S * 1e9:
            return
        await self.view.refresh_totals()
        await self.view.refresh_slots()
        await self._find_target()
        if self.target:
            await self.gauges.refresh(self.target)
            self._gauges_ns = self.clock.monotonic_ns()

    async def _keep(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await look()
            except (StoreError, StoreRefusedError) as error:
                self.failures += 1
                log.warning("metrics.put_off", error=str(error))
            except Exception:
                self.failures += 1
                log.exception("metrics.failed")
            finally:
                self.is_ready.set()
            await self.clock.sleep(every_s)

    async def _find_target(self) -> None:
        """The target of the settings where runs name it, else that of the newest run when somebody first looked."""
        wanted = self.preferred_target
        if wanted and self.target != wanted and await self.store.counts.knows_word(wanted):
            self.target = wanted
        if self.target:
            return
        newest_at = (await self.store.totals()).newest_slot_at
        if newest_at is None:
            return
        found = await self.store.runs(newest_at - LOOK_BACK, newest_at + LOOK_BACK, limit=FEW_RUNS)
        self.target = next((one.target for one in found if one.target and one.identity.fleet == self.fleet), "")
