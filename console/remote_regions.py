"""Running regions, asked for runs: which of them, the signed commands, and a connection that collects what they answer.

What comes back live is for whoever asked; the records go their usual way to the collector. A region that does not answer in time,
or refuses, leaves its run out, and that is noted. When the broker goes away, whoever holds the connection hears it as an error.
Called by `console.remote_command` and `console.smoke_command`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from collector.texts.figures import printable
from console.desk import Desk
from console.fleet_places import FLEET_KEY, broker_address
from probes.commands import RunCommand, command_topic, sign_command
from probes.errors import OperatorError
from probes.messages import parse_address
from probes.mqtt import Connection, open_client, payload_of, subscribe
from probes.records import Run
from probes.registry import ScenarioSpec
from probes.wire import WireError, parse_run
from probes.worker_pipe import Live

__all__ = ["GRACE_S", "Regions", "make_command", "named_regions", "open_regions"]

_LIFE: Final = timedelta(seconds=30)
GRACE_S: Final = 30.0
"""So long after a scenario's own time limit its end may still come."""


def named_regions(desk: Desk) -> tuple[str, ...]:
    """The regions of `--region`; OperatorError for none, and for one that is not the fleet's."""
    regions = tuple(dict.fromkeys(name.strip() for name in desk.arguments.region.split(",") if name.strip()))
    if not regions:
        raise OperatorError(
            "no region is named", where="--region", remedy=f"Name some of {', '.join(desk.settings.regions)}"
        )
    for region in regions:
        if region not in desk.settings.regions:
            raise OperatorError(f"region {region!r} is not one of {', '.join(desk.settings.regions)}", where="--region")
    return regions


def make_command(fleet: str, region: str, scenario: str, seed: int | None, now: datetime) -> RunCommand:
    """A command that lives for half a minute."""
    return RunCommand(
        fleet=fleet,
        region=region,
        request_id=secrets.token_hex(16),
        scenario=scenario,
        seed=seed,
        issued_at=now,
        expires_at=now + _LIFE,
    )


class Regions:
    """The regions of a gate; `notes` says which did not answer."""

    def __init__(self, desk: Desk, regions: Sequence[str], notes: list[str]) -> None:
        self._desk = desk
        self._regions = tuple(regions)
        self._notes = notes
        self._key = desk.settings.secret(FLEET_KEY)
        self._waiting: dict[str, tuple[str, asyncio.Future[Run | None]]] = {}
        self._client: Connection | None = None
        self._is_up = asyncio.Event()

    async def ask(self, spec: ScenarioSpec, seed: int) -> Sequence[Run]:
        """One run in every region; those that were heard of in time."""
        await self._is_up.wait()
        assert self._client is not None  # noqa: S101 - it is up
        fleet, now = self._desk.settings.fleet, self._desk.clock.now()
        asked: dict[str, asyncio.Future[Run | None]] = {}
        try:
            for region in self._regions:
                command = make_command(fleet, region, spec.name, seed, now)
                asked[command.request_id] = asyncio.get_running_loop().create_future()
                self._waiting[command.request_id] = (region, asked[command.request_id])
                await self._client.publish_soon(command_topic(fleet, region), sign_command(command, self._key))
            await asyncio.wait(asked.values(), timeout=spec.timeout_s + GRACE_S)
        finally:
            silent = [self._waiting.pop(request_id)[0] for request_id in asked]
        for region, future in zip(silent, asked.values(), strict=True):
            if not future.done():
                self._note(f"{region}: no end of {spec.name} was heard; is a probe with the fleet's key up there?")
        found = [future.result() for future in asked.values() if future.done()]
        return [run for run in found if run is not None]

    async def hold(self) -> None:
        """Keep the connection and hand out what comes; raises BrokerUnavailableError when the broker cannot be had any more."""
        settings = self._desk.settings
        broker = broker_address(self._desk.arguments.broker, settings)
        async with open_client(broker, client_id=f"{settings.fleet}::gate-{secrets.token_hex(4)}") as client:
            await subscribe(client, broker, f"fleet/v1/{settings.fleet}/live/+/+")
            self._client = client
            self._is_up.set()
            async for message in client.messages:
                self._take(message.topic.value, payload_of(message))

    def _take(self, topic: str, payload: bytes) -> None:
        """One event of one probe; what is not for us, or makes no sense, is passed over."""
        try:
            _, sender = parse_address(topic)
            event = Live.model_validate_json(payload)
            region, future = self._waiting.get(event.request_id, ("", None))
            if future is None or future.done() or region != sender.region:
                return
            if event.what == "run_finished":
                future.set_result(parse_run(json.dumps(event.data["run"]).encode()))
            elif event.what == "refused":
                future.set_result(None)
                self._note(f"{region} refused: {printable(str(event.data.get('reason', '')))}")
        except (ValueError, WireError, KeyError, TypeError, ArithmeticError):
            return

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


@asynccontextmanager
async def open_regions(desk: Desk, notes: list[str]) -> AsyncIterator[Regions]:
    """The named regions for the length of the block, which is cancelled with an error when the broker goes away."""
    regions = Regions(desk, named_regions(desk), notes)
    async with asyncio.TaskGroup() as owner:
        holding = owner.create_task(regions.hold())
        try:
            yield regions
        finally:
            holding.cancel()
