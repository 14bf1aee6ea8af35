"""What tests of one lane share: the lane itself on a real loop with real sockets, and a wall clock that can be stepped.

Used by tests named worker lane and by those of whole chains that begin with a lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from probes.clock import SystemClock
from probes.execute import RunEnvironment
from probes.fitness import FitnessSampler
from probes.fitness_control import ControlTarget
from probes.fitness_host import HostWatch
from probes.fitness_kernel import KernelFiles
from probes.http import HttpEngine
from probes.outbox import Outbox
from probes.schedule import Schedule
from probes.worker_kit import LaneKit, ScheduledScenario
from probes.worker_maker import RunMaker
from probes.worker_runs import Lane
from probes.worker_slots import MaintenanceRule, no_maintenance
from tests.journey_kit import SmallTarget
from tests.target_kit import target_at
from tests.worker_kit import NO_LIMITS, SPECS

__all__ = ["HOUR_S", "SECONDLY", "SteppedClock", "open_test_lane"]

HOUR_S = 3600.0
SECONDLY = Schedule("steady", 1000, 0, 400)


class SteppedClock(SystemClock):
    """The host's clock, until somebody sets the wall clock; the monotonic one does not care."""

    def __init__(self) -> None:
        self.stepped = timedelta()
        self._passed_s = 0.0

    def now(self) -> datetime:
        """The instant that the wall clock shows."""
        return super().now() + self.stepped

    def monotonic_ns(self) -> int:
        """Nanoseconds that go on whatever the wall clock shows."""
        return super().monotonic_ns() + int(self._passed_s * 1e9)

    def pass_by(self, seconds: float) -> None:
        """Let time go on for both clocks, as it does while this process waits for its disk."""
        self.step(seconds)
        self._passed_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.stepped += timedelta(seconds=seconds)


@asynccontextmanager
async def open_test_lane(
    folder: Path,
    target: SmallTarget,
    clock: SteppedClock,
    *,
    schedules: Iterable[Schedule] = (SECONDLY,),
    control_url: str = "",
    in_order: bool = True,
    maintenance: MaintenanceRule = no_maintenance,
) -> AsyncIterator[tuple[Lane, Outbox, HostWatch]]:
    """A lane that runs for the length of the block, on a host whose kernel says nothing."""
    told: list[BaseModel] = []
    files = KernelFiles(folder / "none", folder / "none", (), ())
    async with HttpEngine() as engine, FitnessSampler(limits=NO_LIMITS) as sampler:
        with Outbox(folder / "outbox.db", clock=clock) as outbox:
            async with HostWatch(sampler, clock=clock, limits=NO_LIMITS, files=files) as host:
                control = ControlTarget(control_url, engine=engine, clock=clock) if control_url else None
                environment = RunEnvironment(clock=clock, http=engine, target=target_at(target.url), fitness=sampler)
                maker = RunMaker(environment, outbox=outbox, host=host, clock=clock, tell=told.append, control=control)
                scheduled = tuple(ScheduledScenario(SPECS[one.scenario], one) for one in schedules)
                kit = LaneKit(environment=environment, scheduled=scheduled, maintenance=maintenance)
                lane = Lane(kit, maker, name="http", places=4, outbox=outbox, host=host, clock=clock, tell=told.append)
                host.on_unfit = lane.note_unfit
                task = asyncio.create_task(lane.run())
                try:
                    yield lane, outbox, host
                finally:
                    lane.stop(2.0, in_order=in_order)
                    await task
                    if control is not None:
                        await control.close()
