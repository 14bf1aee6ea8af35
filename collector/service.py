"""The collector as a service: the ingest, the upkeep of its store beside it, and what it says about itself.

Ready means that results sent now would be committed: connected to the broker, and the database took the last group. Upkeep
deletes what is too old or too much and packs what is not fresh any more, a bounded piece at a time, so that ingest never waits.

Refuses to choose a broker, a database or a port (the wiring does). Called by the command `collector`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import structlog
from pydantic import JsonValue

from collector.ingest import Ingest
from collector.store import Retention, Store, StoreError
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from probes.health import Health
from probes.mqtt import BrokerAddress

__all__ = ["CollectorService"]

log = structlog.get_logger(__name__)

UPKEEP_EVERY_S: Final = 60.0
PAUSE_BETWEEN_PIECES_S: Final = 0.05
MOST_PIECES_AT_ONCE: Final = 200


class CollectorService:
    """One collector; `run` until cancelled."""

    def __init__(
        self, store: Store, broker: BrokerAddress, *, fleet: str, name: str, clock: Clock, retention: Retention
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._about: dict[str, JsonValue] = {
            "fleet": fleet,
            "collector": name,
            "broker": broker.url,
            "store": store.where,
        }
        self.ingest = Ingest(store, broker, fleet=fleet, name=name, clock=clock)
        self.health = Health(lambda: self.is_ready, self.status)

    @property
    def is_ready(self) -> bool:
        """True when what a probe sends now would be committed and acknowledged."""
        return self.ingest.state.connected and self.ingest.state.storing

    def status(self) -> Mapping[str, JsonValue]:
        """Who this is, whether it is ready, and its counts since the start of the process."""
        return {**self._about, "ready": self.is_ready, "ingest": asdict(self.ingest.state)}

    async def run(self) -> None:
        """Take in and tidy up. Ends when cancelled; what was not committed by then the probes send again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ingest.run(), name="ingest")
            group.create_task(self._keep_tidy(), name="upkeep")

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
