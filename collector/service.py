"""The collector as a service: the ingest, the upkeep of its store beside it, and what it says about itself.

Ready means that results sent now would be committed: connected to the broker, and the database took the last group. Upkeep
deletes what is too old or too much and packs what is not fresh any more, a bounded piece at a time, so that ingest never waits.
Objectives and scores are looked after beside that (`collector.score_upkeep`).

Refuses to choose a broker, a database or a port (the wiring does). Called by the command `collector`.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Final

import structlog
from pydantic import JsonValue

from collector.ingest import Ingest
from collector.score_upkeep import ScoreUpkeep
from collector.store import Retention, Store, StoreError
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from probes.health import Health, PageMaker
from probes.mqtt import BrokerAddress

__all__ = ["CollectorService", "Companion", "settle_process"]

log = structlog.get_logger(__name__)

UPKEEP_EVERY_S: Final = 60.0
PAUSE_BETWEEN_PIECES_S: Final = 0.05
MOST_PIECES_AT_ONCE: Final = 200
GARBAGE_EVERY: Final = (50_000, 20, 100)
TURN_S: Final = 0.000_5

Companion = Callable[[], Awaitable[None]]
"""Runs beside the ingest until it is cancelled: alerts, messages, exports. It bears its own troubles; what it raises ends us."""


def settle_process() -> None:
    """Have the interpreter work for a collector; called once, when its process is set up.

    Every record makes objects, and with each few hundred thousand of them the whole program would be searched for garbage: a
    fifth of the ingest's CPU time (docs/adr/0024). Those of a delivery are gone before they are looked for: a tenth of it.
    A thread that judges records would let the loop wait 5 ms for each answer of the database; here it is a tenth of that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_EVERY)
    sys.setswitchinterval(TURN_S)


class CollectorService:
    """One collector; `run` until cancelled. `pages` may be filled: they are served beside the health pages, by their paths."""

    def __init__(
        self,
        store: Store,
        broker: BrokerAddress,
        *,
        fleet: str,
        name: str,
        clock: Clock,
        retention: Retention,
        scores: ScoreUpkeep | None = None,
        companions: Mapping[str, Companion] | None = None,
    ) -> None:
        self._store = store
        self._scores = scores
        self._companions = dict(companions or {})
        self._clock = clock
        self._retention = retention
        self._about: dict[str, JsonValue] = {
            "fleet": fleet,
            "collector": name,
            "broker": broker.url,
            "store": store.where,
        }
        self.ingest = Ingest(store, broker, fleet=fleet, name=name, clock=clock)
        self.pages: dict[str, PageMaker] = {}
        self.health = Health(lambda: self.is_ready, self.status, self.pages)

    @property
    def is_ready(self) -> bool:
        """True when what a probe sends now would be committed and acknowledged."""
        return self.ingest.state.connected and self.ingest.state.storing

    def status(self) -> Mapping[str, JsonValue]:
        """Who this is, whether it is ready, and its counts since the start of the process."""
        return {
            **self._about,
            "ready": self.is_ready,
            **(self._scores.status() if self._scores else {}),
            "ingest": asdict(self.ingest.state),
        }

    def summary(self) -> str:
        """The same in a line, for whoever lists services."""
        state = self.ingest.state
        link = "connected" if state.connected else "waiting for the broker"
        storing = "" if state.storing else "; the database does not take anything"
        trouble = self._scores.trouble() if self._scores else ""
        return f"{link}{storing}; {state.entries} entries since the start{f'; {trouble}' if trouble else ''}"

    async def run(self) -> None:
        """Take in and tidy up. Ends when cancelled; what was not committed by then the probes send again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ingest.run(), name="ingest")
            group.create_task(self._keep_tidy(), name="upkeep")
            if self._scores is not None:
                group.create_task(self._scores.run(), name="scores")
            for name, companion in self._companions.items():
                group.create_task(_beside(companion), name=name)

    async def _keep_tidy(self) -> None:
        while True:
            await self._clock.sleep(UPKEEP_EVERY_S)
            try:
                await self._tidy_up()
            except (StoreError, StoreRefusedError) as error:
                log.warning("upkeep.put_off", error=str(error))

    async def _tidy_up(self) -> None:
        """Piece by piece; what is left over is for the next time."""
        for _ in range(MOST_PIECES_AT_ONCE):
            if not (await self._store.prune(self._retention, now=self._clock.now())).has_more:
                break
            await self._clock.sleep(PAUSE_BETWEEN_PIECES_S)
        for _ in range(MOST_PIECES_AT_ONCE):
            if not await self._store.repack(now=self._clock.now()):
                break
            await self._clock.sleep(PAUSE_BETWEEN_PIECES_S)


async def _beside(companion: Companion) -> None:
    await companion()
