"""How often each scenario runs in each region, as the probes said themselves; for whoever tells others when to expect a word.

Refuses to guess: what no probe owes has no interval. Called by the wiring as a companion of the collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from collector.ledger import Debt, in_force
from collector.store import Store, StoreError
from collector.store_session import StoreRefusedError
from probes.clock import Clock

__all__ = ["Schedules", "intervals_of"]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 60.0


class Schedules:
    """The intervals of a fleet; `run` keeps them fresh until it is cancelled."""

    def __init__(self, store: Store, *, fleet: str, clock: Clock) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._intervals_s: dict[tuple[str, str], float] = {}

    def every_s(self, scenario: str, region: str) -> float | None:
        """Seconds between two slots; None: nobody owes any."""
        return self._intervals_s.get((scenario, region))

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                now = self._clock.now()
                ours = [one for one in await self._store.debts(now) if one.series.address.fleet == self._fleet]
                self._intervals_s = intervals_of(
                    debt for debt, until_at in in_force(ours) if until_at is None or until_at > now
                )
            except (StoreError, StoreRefusedError) as error:
                log.warning("schedules.put_off", error=str(error))
            await self._clock.sleep(LOOK_EVERY_S)


def intervals_of(debts: Iterable[Debt]) -> dict[tuple[str, str], float]:
    """The shortest interval of each scenario and region: its probes share the slots of a region."""
    found: dict[tuple[str, str], float] = {}
    for debt in debts:
        key = (debt.series.scenario, debt.series.address.region)
        every_s = debt.schedule.interval_ms / 1000
        found[key] = min(every_s, found.get(key, every_s))
    return found
