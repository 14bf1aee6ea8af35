"""`collector`: takes results from the broker, commits and acknowledges them; starts the embedded broker where that is asked.

Refuses to run without a database that it can open: a collector that cannot store must not be subscribed. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from collector.embedded_broker import EmbeddedBroker
from collector.score_upkeep import ScoreUpkeep
from collector.service import CollectorService, settle_process
from collector.store import Retention, open_store
from console.alerting_wiring import companions_of
from console.desk import Desk
from console.exports_wiring import exports_beside
from console.fleet_places import EMBEDDED, broker_address, broker_url, database_login, database_of
from console.objectives import BUILT_IN_OBJECTIVES
from console.pages_wiring import open_pages_beside
from console.verdict import ExitCode
from console.watched_objectives import WatchedObjectives
from console.watching import until_told
from probes.clock import Clock
from probes.health import open_health
from probes.mqtt import BrokerAddress
from probes.settings import Settings
from probes.systemd import Notices, tell_systemd

__all__ = ["open_broker", "run_collector"]


async def run_collector(desk: Desk) -> ExitCode:
    """Collect until told to stop; 0 after an orderly end. Raises FleetError when it cannot begin."""
    arguments, settings = desk.arguments, desk.settings
    database, chosen = database_of(arguments.database, settings), settings.collector
    retention = Retention(max_age=timedelta(days=chosen.keep_days), max_bytes=chosen.keep_bytes)
    async with (
        open_broker(broker_url(arguments.broker, settings), settings, clock=desk.clock) as broker,
        open_store(database_login(database, settings)) as store,
    ):
        objectives = WatchedObjectives(settings.slo_dir or BUILT_IN_OBJECTIVES)
        scores = ScoreUpkeep(store, objectives, fleet=settings.fleet, regions=settings.regions, clock=desk.clock)
        await scores.begin()
        exports = exports_beside(desk, store, objectives)

        async def say(topic: str, payload: bytes) -> None:
            await service.ingest.say(topic, payload)

        service = CollectorService(
            store,
            broker,
            fleet=settings.fleet,
            name=chosen.name,
            clock=desk.clock,
            retention=retention,
            scores=scores,
            companions={**companions_of(desk, store, objectives, say, lambda: service.is_ready), **exports.companions},
        )
        service.pages |= exports.pages
        exports.watch(service.ingest.state)
        # Begun at once: what is missing for readiness, a broker or a database, systemd could not bring by starting us again.
        notices = Notices(lambda: True, service.summary, desk.stop.asked)
        async with (
            open_health(chosen.health, service.health),
            open_pages_beside(desk, store, objectives, metrics=exports.page),
            tell_systemd(settings.environ, notices, clock=desk.clock),
        ):
            desk.say(f"collecting from {broker.url} into {store.where}")
            settle_process()
            running = asyncio.create_task(service.run())
            try:
                await until_told(desk.stop, running, clock=desk.clock, arguments=arguments)
            finally:
                running.cancel()
                await asyncio.wait({running})
            if not running.cancelled():
                running.result()
    return ExitCode.PASSED


@asynccontextmanager
async def open_broker(url: str, settings: Settings, *, clock: Clock) -> AsyncIterator[BrokerAddress]:
    """The broker at the URL, or the embedded one, kept running for the length of the block."""
    if url != EMBEDDED:
        yield broker_address(url, settings)
        return
    broker = EmbeddedBroker(settings.broker.port)
    keeper: asyncio.Task[None] | None = None
    try:
        await asyncio.shield(asyncio.to_thread(broker.start))
        keeper = asyncio.create_task(broker.keep_running(clock))
        yield broker.address
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        await asyncio.shield(asyncio.to_thread(broker.stop))
