"""The worker: one supervisor over one HTTP lane and one browser lane, each a process of its own, and the stream beside them.

Chromium cannot stretch an HTTP timing that is taken in another process. A lane that dies is started again, with back-off, and its
open slots are recorded as aborted: a fault of ours, never the platform's. At the end no new slot is started, runs end or are
abandoned within a deadline, the stream sends what the broker takes, and what stays in the outbox is said.

Refuses to know scenarios, settings and the broker: the wiring names a lane factory and opens the stream. Called by the console.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import BaseModel, JsonValue

from probes.clock import Clock
from probes.errors import DependencyError, OperatorError
from probes.fitness import FitnessLimits
from probes.outbox import Durability, Outbox, OutboxDepth, OutboxLimits
from probes.worker_intents import aborted_because
from probes.worker_lock import hold_lock
from probes.worker_pipe import Beat, ClockOrder, LaneOrder, Live, MaintenanceOrder, Put, Ready, RunOrder, StopOrder
from probes.worker_process import LaneEvent, LaneProcess
from probes.worker_runs import CLEANUP_S

__all__ = ["LanePlan", "LaneState", "Worker", "WorkerPlan", "WorkerReport", "WorkerStream"]

log = structlog.get_logger(__name__)

# Three steps of a lane's own end (deadline, clean-up, last moment) and its closing of engines come before this.
KILL_GRACE_S = 2 * CLEANUP_S + 5.0
MAX_MAINTENANCE = 100


class WorkerStream(Protocol):
    """What the worker needs of `probes.stream.Stream`."""

    def wake(self) -> None:
        """There is something new in the outbox."""

    async def run(self) -> None:
        """Carry the outbox until cancelled."""

    async def flush(self, deadline_s: float) -> bool:
        """Wait until the outbox is empty; True when it is."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """A lane: its name, which its factory knows, and how many runs may go at once."""

    name: str
    places: int


HTTP_LANE = LanePlan("http", 4)
BROWSER_LANE = LanePlan("browser", 1)
DEFAULT_OUTBOX_LIMITS = OutboxLimits()
DEFAULT_FITNESS_LIMITS = FitnessLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """Everything that a worker is told. Times in seconds.

    `factory` is `module:function` (see `probes.worker_kit`), `options` the wiring's words to it. `silent_limit_s`: a lane that
    shows no life for so long is killed. `stop_deadline_s` is for the runs, `flush_deadline_s` for the stream after them.
    """

    fleet: str
    region: str
    probe: str
    outbox_path: Path
    factory: str
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    lanes: tuple[LanePlan, ...] = (HTTP_LANE, BROWSER_LANE)
    outbox_limits: OutboxLimits = DEFAULT_OUTBOX_LIMITS
    durability: Durability = Durability.NORMAL
    fitness_limits: FitnessLimits = DEFAULT_FITNESS_LIMITS
    control_url: str = ""
    stop_deadline_s: float = 20.0
    flush_deadline_s: float = 10.0
    lock_patience_s: float = 15.0
    silent_limit_s: float = 60.0
    restart_first_s: float = 0.5
    restart_most_s: float = 60.0

    def order_for(self, lane: LanePlan) -> LaneOrder:
        """What the lane's process is told."""
        return LaneOrder(
            name=lane.name,
            fleet=self.fleet,
            region=self.region,
            probe=self.probe,
            outbox_path=self.outbox_path,
            outbox_limits=self.outbox_limits,
            durability=self.durability,
            factory=self.factory,
            options=self.options,
            places=lane.places,
            fitness_limits=self.fitness_limits,
            control_url=self.control_url,
        )


@dataclass(slots=True)
class LaneState:
    """How a lane is, for status pages; counts since the worker started."""

    name: str
    pid: int = 0
    is_ready: bool = False
    scenarios: tuple[str, ...] = ()
    restarts: int = 0
    aborted: int = 0
    last_exit: str = ""
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How a worker ended: what stays in the outbox (the next start sends it) and how the lanes were."""

    left: OutboxDepth
    lanes: tuple[LaneState, ...]


class Worker:
    """`run` is its whole life. `on_live` is told the steps of runs that were asked for."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        clock: Clock,
        open_stream: Callable[[Outbox], WorkerStream] | None = None,
        on_live: Callable[[Live], None] | None = None,
    ) -> None:
        self.states = {lane.name: LaneState(lane.name) for lane in plan.lanes}
        self.outbox: Outbox | None = None
        self._plan = plan
        self._clock = clock
        self._open_stream = open_stream
        self._on_live = on_live
        self._stream: WorkerStream | None = None
        self._processes: dict[str, LaneProcess] = {}
        self._clock_offset: ClockOrder | None = None
        self._maintenance: list[MaintenanceOrder] = []
        self._refusal: OperatorError | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for an orderly end; `run` returns when it is reached."""
        self._stop.set()

    @property
    def is_ready(self) -> bool:
        """True when every lane walks its schedules."""
        return all(state.is_ready for state in self.states.values())

    async def run(self) -> WorkerReport:
        """Keep the lanes and the stream going until `stop`.

        Raises DependencyError when the outbox cannot be used, and, after an orderly end, the OperatorError of a stream whose
        broker can never be reached as it is configured.
        """
        lock_path = self._plan.outbox_path.with_name(self._plan.outbox_path.name + ".lock")
        async with hold_lock(lock_path, clock=self._clock, patience_s=self._plan.lock_patience_s) as lock_fd:
            with Outbox(
                self._plan.outbox_path,
                limits=self._plan.outbox_limits,
                durability=self._plan.durability,
                clock=self._clock,
            ) as outbox:
                self.outbox = outbox
                aborted = outbox.abandon(aborted_because("the worker ended while the run was going on"))
                log.info("worker.started", region=self._plan.region, probe=self._plan.probe, aborted=aborted)
                try:
                    await self._live(outbox, lock_fd)
                    left = outbox.depth()
                finally:
                    self.outbox = None
        say = log.warning if left.entries else log.info
        say("worker.stopped", entries_left=left.entries, bytes_left=left.body_bytes, entries_lost=left.lost)
        if self._refusal is not None:
            raise self._refusal
        return WorkerReport(left, tuple(self.states.values()))

    async def request(self, order: RunOrder) -> bool:
        """Have the scenario run now by the lane that has it; False when no lane that is up has it."""
        return await self._give(order, [name for name, lane in self.states.items() if order.scenario in lane.scenarios])

    async def maintain(self, order: MaintenanceOrder) -> None:
        """Keep slots from running for a while, in every lane that is up."""
        self._maintenance = [*self._maintenance, order][-MAX_MAINTENANCE:]
        await self._give(order, list(self.states))

    async def set_clock_offset(self, order: ClockOrder) -> None:
        """What the stream has measured of this host's clock; lanes write it into every record."""
        self._clock_offset = order
        await self._give(order, list(self.states))

    def status(self) -> dict[str, JsonValue]:
        """How the worker is, for the probe's status topic and its health page."""
        lanes: dict[str, JsonValue] = {name: lane_status(state) for name, state in self.states.items()}
        status: dict[str, JsonValue] = {"ready": self.is_ready, "lanes": lanes}
        if self.outbox is not None:
            depth = self.outbox.depth()
            status["outbox"] = {
                "entries": depth.entries,
                "bytes": depth.body_bytes,
                "oldest_at": depth.oldest_at.isoformat() if depth.oldest_at else None,
                "lost": depth.lost,
                "open": depth.intents,
            }
        return status

    async def _live(self, outbox: Outbox, lock_fd: int) -> None:
        async with asyncio.TaskGroup() as group:
            streaming = None
            if self._open_stream is not None:
                self._stream = self._open_stream(outbox)
                streaming = group.create_task(self._keep_stream(self._stream), name="stream")
            keepers = [
                group.create_task(self._keep_lane(lane, outbox, lock_fd), name=lane.name) for lane in self._plan.lanes
            ]
            await self._stop.wait()
            await self._end_lanes(keepers)
            if self._stream is not None and streaming is not None and not streaming.done():
                await self._stream.flush(self._plan.flush_deadline_s)
                streaming.cancel()

    async def _end_lanes(self, keepers: list[asyncio.Task[None]]) -> None:
        """Tell the lanes to end, and see to it that they have."""
        for process in tuple(self._processes.values()):
            await process.give(StopOrder(deadline_s=self._plan.stop_deadline_s))
        if not keepers:
            return
        _, late = await asyncio.wait(keepers, timeout=self._plan.stop_deadline_s + KILL_GRACE_S)
        for process in tuple(self._processes.values()):
            log.critical("lane.killed", lane=process.order.name, pid=process.pid)
            process.kill()
        if late:
            await asyncio.wait(late)

    async def _keep_stream(self, stream: WorkerStream) -> None:
        """Run the stream; whatever ends it, it is run again."""
        while True:
            try:
                await stream.run()
            except OperatorError as error:
                # Nobody will ever answer at that address: a person must know now, not when the outbox is full.
                self._refusal = error
                self.stop()
                return
            except Exception:
                # The supervisor: the lanes measure on, and what they find waits in the outbox.
                log.exception("stream.crashed")
            await self._clock.sleep(self._plan.restart_first_s)

    async def _keep_lane(self, lane: LanePlan, outbox: Outbox, lock_fd: int) -> None:
        """One life after the other, until the worker stops."""
        state, pause_s = self.states[lane.name], self._plan.restart_first_s
        while not self._stop.is_set():
            began_ns = self._clock.monotonic_ns()
            state.last_exit = await self._one_life(lane, state, lock_fd)
            state.is_ready, state.pid, state.beat = False, 0, None
            await self._until_done(lambda: self._end_open_slots(state, outbox))
            if self._stop.is_set():
                break
            state.restarts += 1
            if (self._clock.monotonic_ns() - began_ns) / 1e9 > self._plan.restart_most_s:
                pause_s = self._plan.restart_first_s
            log.error("lane.died", lane=lane.name, ended=state.last_exit, restart_in_s=pause_s)
            await first_to_end(self._stop.wait(), self._clock.sleep(pause_s))
            pause_s = min(pause_s * 2, self._plan.restart_most_s)

    async def _one_life(self, lane: LanePlan, state: LaneState, lock_fd: int) -> str:
        """Start the lane and listen to it until it has ended; how that was."""
        try:
            process = await LaneProcess.start(self._plan.order_for(lane), lock_fd=lock_fd, clock=self._clock)
        except DependencyError as error:
            return str(error)
        self._processes[lane.name] = process
        state.pid = process.pid
        try:
            await self._tell_what_holds(process)
            code = await process.watch(
                lambda event: self._heard(state, event), silent_limit_s=self._plan.silent_limit_s
            )
        finally:
            del self._processes[lane.name]
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    async def _tell_what_holds(self, process: LaneProcess) -> None:
        """A lane that was started late gets what the others were told before."""
        orders: list[BaseModel] = [*self._maintenance]
        if self._clock_offset is not None:
            orders.append(self._clock_offset)
        if self._stop.is_set():
            orders.append(StopOrder(deadline_s=self._plan.stop_deadline_s))
        for order in orders:
            await process.give(order)

    def _heard(self, state: LaneState, event: LaneEvent) -> None:
        match event:
            case Put():
                if self._stream is not None:
                    self._stream.wake()
            case Ready(scenarios=scenarios):
                state.is_ready, state.scenarios = True, scenarios
                log.info("lane.ready", lane=state.name, scenarios=len(scenarios))
            case Beat():
                state.beat = event
            case Live():
                if self._on_live is not None:
                    self._on_live(event)

    def _end_open_slots(self, state: LaneState, outbox: Outbox) -> None:
        """What the lane's last life left open ends as aborted."""
        why = f"the {state.name} lane ended ({state.last_exit}) while the run was going on"
        if count := outbox.abandon(aborted_because(why), owner=state.name):
            state.aborted += count
            if self._stream is not None:
                self._stream.wake()

    async def _until_done(self, work: Callable[[], None]) -> None:
        """Do it; while the disk refuses, again a little later. What is not done at the end the next start does."""
        while True:
            try:
                work()
            except DependencyError as error:
                log.critical("worker.stands_still", error=str(error))
            else:
                return
            if self._stop.is_set():
                return
            await self._clock.sleep(self._plan.restart_first_s)

    async def _give(self, order: BaseModel, lanes: list[str]) -> bool:
        """Hand the order to the lanes that are up; True when there was one."""
        processes = [self._processes[name] for name in lanes if name in self._processes]
        for process in processes:
            await process.give(order)
        return bool(processes)


def lane_status(state: LaneState) -> JsonValue:
    """A lane's state as JSON."""
    beat: JsonValue = state.beat.model_dump(mode="json", exclude={"kind"}) if state.beat is not None else None
    return {
        "ready": state.is_ready,
        "pid": state.pid,
        "scenarios": len(state.scenarios),
        "restarts": state.restarts,
        "aborted": state.aborted,
        "last_exit": state.last_exit,
        "beat": beat,
    }


async def first_to_end(*waits: Coroutine[object, object, object]) -> None:
    """Wait until one of them ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
