"""A sign of life for somebody else: while the collector is well an address is asked; when it is not, its keeper raises the alarm.

Made for healthchecks.io, Dead Man's Snitch and their like. Well means: results are taken and stored, alerts are decided, messages
flow. Refuses to be an outage of ours: an address that does not answer is logged and asked again. Called by the wiring as a
companion of the collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from collector.alerting.senders import DEADLINE_S, Poster, SendError
from probes.clock import Clock

__all__ = ["Heartbeat"]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
"""How soon a collector that is well again, or for the first time, says so."""


class Heartbeat:
    """Asks an address every so many seconds while `trouble` is empty; `run` until cancelled."""

    def __init__(self, url: str, every_s: float, trouble: Callable[[], str], *, clock: Clock) -> None:
        """`trouble` says in a few words why the collector is not well. Raises OperatorError for what is no address."""
        self._poster = Poster(url, where="alerts.heartbeat_url")
        self._every_s = every_s
        self._trouble = trouble
        self._clock = clock
        self._said = ""

    async def run(self) -> None:
        """Beat."""
        while True:
            is_well = await self.beat()
            await self._clock.sleep(self._every_s if is_well else min(self._every_s, LOOK_EVERY_S))

    async def beat(self) -> bool:
        """Ask the address if all is well; whether it was."""
        trouble = self._trouble()
        if trouble != self._said:
            log.warning("heartbeat.stopped", trouble=trouble) if trouble else log.info("heartbeat.goes_on")
            self._said = trouble
        if trouble:
            return False
        try:
            async with asyncio.timeout(DEADLINE_S + 5):
                await self._poster.post(b"", method="GET")
        except (SendError, TimeoutError) as error:
            log.warning("heartbeat.not_taken", error=str(error))
        except Exception:
            log.exception("heartbeat.failed")
        return True
