"""Makes one run of a slot: measures, judges it by the host's fitness, and puts its record where its announcement was.

Whatever goes wrong here is ours: the slot then ends as `aborted`, with the reason. The fitness gate does not look at what was
found. Refuses to decide what runs when (`probes.worker_runs`). Called by the lane, one call a run, several at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from pydantic import BaseModel

from probes.clock import Clock
from probes.errors import DependencyError
from probes.execute import RunEnvironment, run_scenario
from probes.fitness_control import ControlTarget
from probes.fitness_host import HostWatch, Trouble
from probes.fitness_minutes import minute_of, tainted
from probes.outbox import EntryKind, Outbox
from probes.records import Run
from probes.registry import ScenarioSpec
from probes.wire import render_run
from probes.worker_intents import aborted_entry, intent_key
from probes.worker_live import LiveSteps
from probes.worker_pipe import ClockOrder, Put

__all__ = ["Due", "RunMaker"]

log = structlog.get_logger(__name__)

RETRY_S = 1.0
MAX_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to be made now; `request_id` when somebody asked for it and watches."""

    spec: ScenarioSpec
    slot_at: datetime
    attempt: int = 0
    lag_ns: int = 0
    seed: int | None = None
    request_id: str = ""

    @property
    def key(self) -> str:
        """The key of its announcement."""
        return intent_key(self.spec.name, self.slot_at, self.attempt)


class RunMaker:
    """What the runs of one lane share. `made` counts the records that are in the outbox."""

    def __init__(
        self,
        environment: RunEnvironment,
        *,
        outbox: Outbox,
        host: HostWatch,
        clock: Clock,
        tell: Callable[[BaseModel], None],
        control: ControlTarget | None = None,
    ) -> None:
        self.made = 0
        self.clock_offset: ClockOrder | None = None
        self._environment = environment
        self._outbox = outbox
        self._host = host
        self._clock = clock
        self._tell = tell
        self._control = control
        self._is_tainting = False
        self._ended: deque[tuple[datetime, datetime]] = deque(maxlen=MAX_REMEMBERED)

    async def make(self, due: Due) -> None:
        """One run, from its announcement to its entry; its task may be cancelled to stop it."""
        live = LiveSteps(due.request_id, self._tell, self._clock) if due.request_id else None
        try:
            run = await self._measure(due, live)
            kind, body = EntryKind.RUN, render_run(run)
        except Exception as error:
            # The supervisor of the run: its slot must end, and the lane go on.
            log.exception("run.not_made", scenario=due.spec.name, slot_at=due.slot_at.isoformat())
            why = str(error) or type(error).__name__
            kind = EntryKind.SLOT
            body = aborted_entry(due.spec.name, due.slot_at, due.attempt, lag_ns=due.lag_ns, detail=why)
            await self._keep(kind, body, due.key)
            if live is not None:
                live.refused(why)
            return
        await self._keep(kind, body, due.key)
        self._ended.append((minute_of(due.slot_at), self._clock.now()))
        tell_of(run, due.lag_ns)
        if live is not None:
            live.run_finished(run)

    def taint_runs_into(self, minute_at: datetime, reason: str) -> None:
        """Runs of earlier minutes that went on into this unfit one have left already: their own minutes become unfit, too.

        One step back and no further: what ran into those minutes is not harmed by what came after them.
        """
        if self._is_tainting:
            return
        self._is_tainting = True
        trouble = Trouble("ran_into", f"a run of this minute went on into an unfit one: {reason}")
        for slot_minute_at, ended_at in tuple(self._ended):
            if slot_minute_at < minute_at <= ended_at:
                self._host.note(slot_minute_at, slot_minute_at, trouble)
        self._is_tainting = False

    async def _measure(self, due: Due, live: LiveSteps | None) -> Run:
        answer = None if self._control is None else self._control.ask()
        run = await run_scenario(
            due.spec,
            environment=self._environment,
            slot_at=due.slot_at,
            scheduled_at=due.slot_at,
            schedule_lag_ns=due.lag_ns,
            attempt=due.attempt,
            seed=due.seed,
            observer=live,
        )
        if answer is not None and self._control is not None:
            await self._hear(answer)
            await self._hear(self._control.ask_again())
        if self.clock_offset is not None:
            offset = self.clock_offset
            run = replace(run, clock_offset_ns=offset.offset_ns, clock_bound_ns=offset.bound_ns)
        # By the least and the latest instant: the clock may have been stepped in the middle.
        instants = sorted((due.slot_at, run.started_at, self._clock.now()))
        return tainted(run, self._host.reasons_between(instants[0], instants[-1]))

    async def _hear(self, answer: asyncio.Future[str]) -> None:
        """What the control target said when the run began or ended; a run that was stopped does not wait for it."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            answer.cancel()
            return
        if reason := await answer:
            now = self._clock.now()
            self._host.note(now, now, Trouble("control", reason))

    async def _keep(self, kind: EntryKind, body: bytes, key: str) -> None:
        """Put the entry in the place of its announcement; as long as the disk refuses, hold it and try again."""
        is_told = False
        while True:
            try:
                self._outbox.put(kind, body, intent_key=key)
                break
            except DependencyError as error:
                if not is_told:
                    log.critical("run.not_written", key=key, error=str(error))
                is_told = True
            await self._clock.sleep(RETRY_S)
        self.made += kind is EntryKind.RUN
        self._tell(Put())


def tell_of(run: Run, lag_ns: int) -> None:
    """The one line of a run in the log."""
    log.info(
        "run.finished",
        scenario=run.identity.scenario,
        run_id=run.run_id,
        slot_at=run.identity.slot_at.isoformat(),
        outcome=run.outcome.value,
        failure_kind=run.failure.kind.value if run.failure else "",
        duration_ms=round(run.duration_ns / 1e6, 3),
        schedule_lag_ms=round(lag_ns / 1e6, 3),
    )
