"""Asks a probe of another region to look at once, when a journey whose line can page fails for the first time.

What it finds is more evidence and enters no denominator: only attempt 0 is scored. One region is asked once in an outage of a
scenario, whatever the number of collectors, and no more than so many times an hour. Refuses to wait for the answer: the record
goes its usual way. Called by the wiring as a companion of the collector; without the fleet's key nobody can be asked.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, Protocol

import structlog

from collector.alerting.model import AlertEvent, EventKind
from collector.alerting.worries import last_heard_at
from collector.score_upkeep import ObjectiveSource
from collector.store import Store, StoreError
from collector.store_alerts import add_event
from collector.store_runs import RunSummary
from collector.store_session import Session, StoreRefusedError
from probes.clock import Clock
from probes.errors import FleetError
from probes.records import Outcome
from slo.burn_tiers import Severity
from slo.objective import Objective
from slo.objective_set import ObjectiveSet

__all__ = ["Asker", "Confirmer", "outage_key", "scenario_of"]

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
LOOKED_BACK: Final = timedelta(minutes=3)
OVER_AFTER: Final = timedelta(minutes=10)
"""A failure after so long without one is the first of another outage."""
HEARD_WITHIN: Final = timedelta(minutes=2)
HOUR: Final = timedelta(hours=1)
MOST_PER_HOUR: Final = 20
MOST_RUNS: Final = 200


class Asker(Protocol):
    """Whoever can ask the probes of a region to run a scenario now."""

    async def ask(self, region: str, scenario: str, request_id: str) -> None:
        """Ask; returns when the broker has it. Raises FleetError."""
        ...


class Confirmer:
    """Watches for first failures; `run` until cancelled."""

    def __init__(self, store: Store, objectives: ObjectiveSource, asker: Asker, *, fleet: str, clock: Clock) -> None:
        self._store = store
        self._objectives = objectives
        self._asker = asker
        self._fleet = fleet
        self._clock = clock
        self._outages: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self._asked_at: deque[datetime] = deque(maxlen=MOST_PER_HOUR)

    async def run(self) -> None:
        """Look every few seconds. What is away is waited for; a bug of ours is logged."""
        while True:
            try:
                await self.look()
            except (StoreError, StoreRefusedError) as error:
                log.warning("confirm.put_off", error=str(error))
            except Exception:
                log.exception("confirm.failed")
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask about each outage that is new. Raises StoreError."""
        now = self._clock.now()
        failures = await self._failures(now)
        for (target, scenario), failed in failures.items():
            first_at = self._outage(target, scenario, failed)
            region = await self._region_to_ask({one.identity.region for one in failed}, now)
            if region:
                await self._ask(outage_key(self._fleet, target, scenario, first_at), region, scenario, now)

    async def _failures(self, now: datetime) -> Mapping[tuple[str, str], Sequence[RunSummary]]:
        """The latest failures of journeys that can page, by target and scenario."""
        globs = _critical_globs(self._objectives.current, now)
        found: dict[tuple[str, str], list[RunSummary]] = {}
        for one in await self._store.runs(now - LOOKED_BACK, now, outcomes=(Outcome.FAIL,), limit=MOST_RUNS):
            identity = one.identity
            is_ours = identity.fleet == self._fleet and identity.attempt == 0 and not one.is_unfit
            if is_ours and any(fnmatchcase(identity.scenario, glob) for glob in globs):
                found.setdefault((one.target, identity.scenario), []).append(one)
        return found

    def _outage(self, target: str, scenario: str, failed: Sequence[RunSummary]) -> datetime:
        """When the outage of a scenario began: failures that are close together are one."""
        slots = sorted(one.identity.slot_at for one in failed)
        first_at, last_at = self._outages.get((target, scenario), (slots[0], slots[0]))
        if slots[-1] - last_at > OVER_AFTER:
            first_at = slots[0]
        self._outages[target, scenario] = (first_at, max(last_at, slots[-1]))
        return first_at

    async def _region_to_ask(self, failing: set[str], now: datetime) -> str:
        """A region that is heard and has not seen it itself; empty: there is none."""
        heard = {
            one.address.region
            for one in await self._store.probes()
            if one.address.fleet == self._fleet and now - last_heard_at(one) <= HEARD_WITHIN
        }
        return min(heard - failing, default="")

    async def _ask(self, outage: str, region: str, scenario: str, now: datetime) -> None:
        if len(self._asked_at) == MOST_PER_HOUR and now - self._asked_at[0] < HOUR:
            return
        request_id = secrets.token_hex(16)
        if not await self._store.alerts.note_asked(outage, region, request_id, now=now):
            return
        self._asked_at.append(now)
        try:
            await self._asker.ask(region, scenario, request_id)
        except FleetError as error:
            log.warning("confirm.not_asked", region=region, scenario=scenario, error=str(error))
            return
        log.info("confirm.asked", region=region, scenario=scenario, request_id=request_id)
        note = f"{region} was asked to run {scenario} at once (request {request_id})"
        event = AlertEvent(0, f"{outage}/asked", 0, 0, EventKind.ASKED, Severity.REPORT, now, note=note)

        async def work(session: Session) -> None:
            await add_event(session, event)

        await self._store.alerts.change(work)


def outage_key(fleet: str, target: str, scenario: str, first_at: datetime) -> str:
    """An outage of a scenario, by the slot of its first failure; it is no other outage's."""
    return f"{fleet}/{target}/{scenario}/{first_at.isoformat()}"


def scenario_of(outage: str, fleet: str, target: str) -> str:
    """The scenario that an outage of this fleet's target is of; empty for one of another."""
    mine = f"{fleet}/{target}/"
    return outage.removeprefix(mine).rpartition("/")[0] if outage.startswith(mine) else ""


def _critical_globs(known: ObjectiveSet, now: datetime) -> Sequence[str]:
    """The scenarios of lines with a critical tier; a line about every scenario tells nobody which one matters."""
    return tuple(glob for one in known.objectives_at(now) if _can_page(known, one) for glob in _named(one))


def _can_page(known: ObjectiveSet, objective: Objective) -> bool:
    preset = known.presets.get(objective.alerts)
    return preset is not None and any(tier.severity is Severity.CRITICAL for tier in preset.tiers)


def _named(objective: Objective) -> Iterator[str]:
    return iter(() if objective.selector.is_of_all else objective.selector.scenarios)
