"""`worker`: one region's probe. Opens the outbox and the stream, starts the lanes, and stops them in order.

`RegionWorker` is the same thing for `fleet`, which has several of them in one process; the lanes are processes of their own in
both. Refuses to start a stand-in: a worker without a target is a mistake. Called by `console.app` and `console.fleet_command`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import JsonValue

from console.arguments import Arguments
from console.desk import Desk
from console.fleet_places import FLEET_KEY, broker_address, outbox_path
from console.lane_kit import BROWSER_LANE, FACTORY, HTTP_LANE, LaneOptions, Plan, make_plan
from console.stopping import Stop
from console.verdict import ExitCode
from console.watching import until_told
from probes.clock import Clock
from probes.commands import CommandGate, RunCommand, command_topic
from probes.errors import OperatorError
from probes.evidence import EvidenceMode, EvidenceStore
from probes.health import Health, open_health
from probes.messages import Address
from probes.mqtt import BrokerAddress
from probes.outbox import Outbox, OutboxLimits
from probes.settings import Settings
from probes.stream import Stream
from probes.systemd import Notices, tell_systemd
from probes.worker import LanePlan, Worker, WorkerPlan, WorkerReport
from probes.worker_pipe import ClockOrder, Live, RunOrder

__all__ = ["RegionWorker", "lane_options", "run_worker"]

log = structlog.get_logger(__name__)

_CLOCK_EVERY_S: Final = 5.0
_PRUNE_EVERY_S: Final = 3_600.0


async def run_worker(desk: Desk) -> ExitCode:
    """Probe in one region until told to stop; 0 after an orderly end, 3 when results stay behind."""
    arguments = desk.arguments
    settings = replace(desk.settings, region=arguments.region or desk.settings.region)
    target = arguments.target or settings.target
    if not target:
        remedy = "Name one with --target or the setting `target`; `runner.py fleet` starts a stand-in by itself"
        raise OperatorError("a worker needs a target", where="--target", remedy=remedy)
    broker = broker_address(arguments.broker, settings)
    options = lane_options(arguments, target)
    worker = RegionWorker(settings, broker, options, make_plan(options, settings), clock=desk.clock)
    notices = Notices(worker.has_begun, worker.summary, desk.stop.asked)
    async with (
        open_health(settings.worker.health, Health(worker.is_ready, worker.status)),
        tell_systemd(settings.environ, notices, clock=desk.clock),
    ):
        report = await worker.run(desk.stop, arguments)
    left = report.left
    desk.console.print(f"stopped; {left.entries} entries stay in the outbox, {left.lost} were ever lost")
    return ExitCode.INCONCLUSIVE if left.entries else ExitCode.PASSED


def lane_options(arguments: Arguments, target: str, *, log_level: int = logging.INFO) -> LaneOptions:
    """What the lanes of a worker are told, from the command line."""
    return LaneOptions(
        settings_file=str(arguments.settings_file.absolute()) if arguments.settings_file else "",
        target=target,
        scenarios=arguments.scenarios,
        scenario_dirs=tuple(str(folder.absolute()) for folder in arguments.scenario_dirs),
        every_s=arguments.every_s,
        log_level=log_level,
    )


class RegionWorker:
    """A worker with its stream, in the region that the settings name."""

    def __init__(
        self,
        settings: Settings,
        broker: BrokerAddress,
        options: LaneOptions,
        plan: Plan,
        *,
        clock: Clock,
        folder: Path | None = None,
        control_url: str = "",
    ) -> None:
        if settings.region not in settings.regions:
            message = f"region {settings.region!r} is not one of this fleet's ({', '.join(settings.regions)})"
            raise OperatorError(message, where="regions", remedy="Add it to the setting `regions`, or name one of them")
        self.address = Address(settings.fleet, settings.region, settings.probe)
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._stream: Stream | None = None
        self._obeying: set[asyncio.Task[None]] = set()
        self._gate: CommandGate | None = None
        if FLEET_KEY in settings.secret_sources:
            key = settings.secret(FLEET_KEY)
            self._gate = CommandGate(key, fleet=settings.fleet, region=settings.region, now=clock.now())
        places = {HTTP_LANE: settings.worker.http_places, BROWSER_LANE: settings.worker.browser_places}
        self._worker = Worker(
            WorkerPlan(
                fleet=settings.fleet,
                region=settings.region,
                probe=settings.probe,
                outbox_path=outbox_path(folder or settings.state_dir, self.address),
                factory=FACTORY,
                options=options.as_json(),
                lanes=tuple(LanePlan(lane, places[lane]) for lane in plan.lanes()),
                outbox_limits=OutboxLimits(settings.worker.outbox_bytes, timedelta(days=settings.worker.outbox_days)),
                control_url=control_url or settings.worker.control_url,
                stop_deadline_s=settings.worker.stop_s,
            ),
            clock=clock,
            open_stream=self._open_stream,
            on_live=self._tell_live,
        )

    def is_ready(self) -> bool:
        """True when every lane walks its schedules; a broker that is away does not keep a probe from measuring."""
        return self._worker.is_ready

    def has_begun(self) -> bool:
        """True once the outbox is ours, so that whatever is measured will be kept."""
        return self._worker.outbox is not None

    def summary(self) -> str:
        """How the lanes and the stream are, in a line."""
        lanes = (
            f"{name} lane {'ready' if lane.is_ready else 'not ready'}" for name, lane in self._worker.states.items()
        )
        link = "connected" if self._stream is not None and self._stream.state.connected else "waiting for the broker"
        return f"{self.address.region}/{self.address.probe}: {', '.join(lanes)}; {link}"

    def status(self) -> Mapping[str, JsonValue]:
        """Who this is and how it is."""
        address, stream = self.address, self._stream
        return {
            "fleet": address.fleet,
            "region": address.region,
            "probe": address.probe,
            "broker": self._broker.url,
            "connected": stream is not None and stream.state.connected,
            **self._worker.status(),
        }

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._worker.stop()

    async def run(self, stop: Stop, arguments: Arguments) -> WorkerReport:
        """Work until somebody asks to stop, or for as long as `--for` says; then end in order."""
        running = asyncio.create_task(self.keep_running())
        try:
            await until_told(stop, running, clock=self._clock, arguments=arguments)
        finally:
            self.stop()
        return await running

    async def keep_running(self) -> WorkerReport:
        """The worker, with the tasks that only go on beside it."""
        beside = [asyncio.create_task(self._keep_clock()), asyncio.create_task(self._keep_evidence_small())]
        try:
            return await self._worker.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    def _open_stream(self, outbox: Outbox) -> Stream:
        handlers = {}
        if self._gate is not None:
            handlers[command_topic(self.address.fleet, self.address.region)] = self._heard_command
        self._stream = Stream(
            outbox, self.address, self._broker, clock=self._clock, status=self._worker.status, handlers=handlers
        )
        return self._stream

    def _heard_command(self, payload: bytes) -> None:
        """Obey a command of the fleet; raises MessageError for any other, which the stream counts."""
        if self._gate is None:
            return
        command = self._gate.admit(payload, now=self._clock.now())
        log.info("command.heard", scenario=command.scenario, request_id=command.request_id)
        task = asyncio.create_task(self._obey(command))
        self._obeying.add(task)
        task.add_done_callback(self._obeying.discard)

    async def _obey(self, command: RunCommand) -> None:
        order = RunOrder(request_id=command.request_id, scenario=command.scenario, seed=command.seed)
        if not await self._worker.request(order):
            reason: dict[str, JsonValue] = {"reason": f"no lane of this probe has {command.scenario!r}"}
            self._tell_live(Live(request_id=command.request_id, what="refused", data=reason))

    def _tell_live(self, event: Live) -> None:
        if self._stream is not None:
            self._stream.publish_live(event.model_dump_json().encode())

    async def _keep_clock(self) -> None:
        """Tell the lanes what the stream measures of this host's clock."""
        while True:
            await self._clock.sleep(_CLOCK_EVERY_S)
            reading = self._stream.clock_offset.reading() if self._stream is not None else None
            if reading is not None:
                order = ClockOrder(offset_ns=reading.offset_ns, bound_ns=reading.bound_ns)
                await self._worker.set_clock_offset(order)

    async def _keep_evidence_small(self) -> None:
        """A lane lives for months, so that evidence is pruned from here."""
        settings = self._settings
        store = EvidenceStore(settings.evidence_dir, mode=EvidenceMode(settings.evidence_mode), clock=self._clock)
        while True:
            await self._clock.sleep(_PRUNE_EVERY_S)
            pruned = await asyncio.to_thread(
                store.prune, keep_days=settings.evidence_keep_days, keep_bytes=settings.evidence_keep_bytes
            )
            for problem in pruned.problems:
                log.warning("evidence.not_pruned", problem=problem)
