"""One lane's work: walk the schedules, start what is due, write how each slot ended.

An announcement is in the outbox before a run starts and is replaced by the run's record in one transaction, so that each slot
ends as exactly one entry, whatever is killed in between. How many runs go at once is bounded; waiting for a place is schedule
lag, never the platform's latency. Slots come from the wall clock, waits from the monotonic one. When the disk refuses a
write the lane stands still where it is, and goes on from there when the disk takes it again.

Refuses to know processes and pipes (`probes.worker_lane`). Called by it, and by tests with a clock of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

import structlog
from pydantic import BaseModel

from probes.clock import Clock
from probes.errors import DependencyError
from probes.fitness_host import HostWatch, Trouble
from probes.ledger_entries import FitnessMinute, SlotEnd, SlotReason, render_entry
from probes.outbox import EntryKind, Outbox
from probes.worker_books import mark_name, marks_prefix, open_books
from probes.worker_intents import aborted_because, aborted_entry
from probes.worker_kit import LaneKit
from probes.worker_maker import Due, RunMaker
from probes.worker_pipe import Beat, ClockOrder, Live, MaintenanceOrder, Put, Ready, RunOrder
from probes.worker_slots import MOST_DECISIONS, Decision, Roster, SlotBook, SlotVerdict

__all__ = ["CLEANUP_S", "Lane"]

log = structlog.get_logger(__name__)

LONGEST_REST_S = 1.0
SHORTEST_REST_S = 0.0005
RETRY_S = 1.0
CLEANUP_S = 5.0
HELD_UP_S = 1.0
STEP_NOTED_S = 1.0
MAX_REQUESTS = 10
MAX_MAINTENANCE = 100
MAX_DETAIL_LENGTH = 500
ON_REQUEST_ATTEMPT = 1
"""Only attempt 0 is owed and scored; a run that was asked for is neither."""


class Lane:
    """Runs until `stop` is called; `tell` takes events for the supervisor and must not block."""

    def __init__(
        self,
        kit: LaneKit,
        maker: RunMaker,
        *,
        name: str,
        places: int,
        outbox: Outbox,
        host: HostWatch,
        clock: Clock,
        tell: Callable[[BaseModel], None],
    ) -> None:
        self.slots = 0
        self._kit = kit
        self._maker = maker
        self._name = name
        self._places = places
        self._outbox = outbox
        self._host = host
        self._clock = clock
        self._tell = tell
        self._specs = {spec.name: spec for spec in (*kit.on_request, *(one.spec for one in kit.scheduled))}
        self._roster = Roster((), maintenance=self._maintenance_of)
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._requests: list[RunOrder] = []
        self._maintenance: list[MaintenanceOrder] = []
        self._wake = asyncio.Event()
        self._stop_deadline_s: float | None = None
        self._stop_in_order = True
        self._last_turn: tuple[datetime, int] | None = None
        self._why_missed = ""
        self._has_more = False
        self._stands_still = False

    async def run(self) -> None:
        """Walk the schedules until `stop`; then let what runs end, or abandon it at the deadline."""
        async with self._group:
            await self._until_written(self._open)
            self._tell(Ready(scenarios=tuple(sorted(self._specs))))
            while self._stop_deadline_s is None:
                await self._until_written(self._turn)
                await self._rest()
            if self._stop_in_order:
                await self._until_written(self._close)
            await self._end_runs(self._stop_deadline_s)

    def stop(self, deadline_s: float, *, in_order: bool = True) -> None:
        """Start nothing more, and end within about this time. Not in order: what is owed stays owed, for the next life."""
        self._stop_deadline_s = deadline_s
        self._stop_in_order = in_order
        self._wake.set()

    def request(self, order: RunOrder) -> None:
        """Run it as soon as there is a place; refused, with the reason told, when it is unknown or too many wait."""
        why = ""
        if order.scenario not in self._specs:
            why = f"the {self._name} lane has no scenario {order.scenario!r}"
        elif len(self._requests) >= MAX_REQUESTS:
            why = f"{MAX_REQUESTS} requests wait already"
        if why:
            self._tell(Live(request_id=order.request_id, what="refused", data={"reason": why}))
            return
        self._requests.append(order)
        self._wake.set()

    def maintain(self, order: MaintenanceOrder) -> None:
        """Keep slots from running for a while; a later word about the same scenarios replaces the earlier."""
        now = self._clock.now()
        kept = [one for one in self._maintenance if one.until_at > now and one.scenarios != order.scenarios]
        self._maintenance = [*kept, order][-MAX_MAINTENANCE:]
        self._wake.set()

    def set_clock_offset(self, order: ClockOrder) -> None:
        """What the stream has measured of our clock; it goes into every record from now on."""
        self._maker.clock_offset = order
        self._host.note_clock_offset(order.offset_ns, order.bound_ns)

    def note_unfit(self, minute_at: datetime, reasons: tuple[str, ...]) -> None:
        """Something new speaks against a minute: tell the collector, which may hold runs of it already."""
        log.warning("host.unfit", lane=self._name, minute_at=minute_at.isoformat(), reasons=reasons)
        try:
            self._outbox.put(EntryKind.FITNESS, render_entry(FitnessMinute(minute_at=minute_at, reasons=list(reasons))))
        except DependencyError as error:
            log.critical("lane.minute_not_written", minute_at=minute_at.isoformat(), error=str(error))
        self._tell(Put())
        self._maker.taint_runs_into(minute_at, reasons[-1])

    def beat(self) -> Beat:
        """How the lane is."""
        now = self._clock.now()
        return Beat(
            running=len(self._running),
            runs=self._maker.made,
            slots=self.slots,
            unfit=self._host.minutes.reasons_between(now, now),
            stands_still=self._stands_still,
            next_slot_at=min((book.next_at for book in self._roster.books.values()), default=None),
        )

    async def _until_written(self, work: Callable[[], None]) -> None:
        """Do the work; when the disk refuses, again a little later as if nothing had been decided, until the lane stops."""
        while True:
            before = self._roster.saved()
            try:
                work()
            except DependencyError as error:
                self._roster.books = before
                if not self._stands_still:
                    log.critical("lane.stands_still", lane=self._name, error=str(error))
                self._stands_still = True
            else:
                self._stands_still = False
                return
            if self._stop_deadline_s is not None:
                return
            await self._clock.sleep(RETRY_S)

    def _open(self) -> None:
        """Find the place in each schedule again."""
        now = self._clock.now()
        opening = open_books(self._outbox.marks(marks_prefix(self._name)), self._name, self._kit.scheduled, now)
        self._roster.books = {book.schedule.scenario: book for book in opening.books}
        self._write(opening.missed, (), books=(*opening.books, *opening.closing))

    def _turn(self) -> None:
        """End every slot that can be ended now, and start what there is a place for."""
        now, now_ns = self._clock.now(), self._clock.monotonic_ns()
        why_missed = self._watch_clock(now, now_ns)
        if not self._has_more:
            self._why_missed = why_missed
        places = max(self._places - len(self._running), 0)
        orders = self._requests[:places]
        due = [Due(self._specs[one.scenario], now, ON_REQUEST_ATTEMPT, 0, one.seed, one.request_id) for one in orders]
        decided = self._roster.decide(now, places=places - len(orders), why_missed=self._why_missed)
        starts = [one for one in decided if one.verdict is SlotVerdict.START]
        due += [Due(self._specs[one.scenario], one.slot_at, lag_ns=one.lag_ns) for one in starts]
        touched = {one.scenario for one in decided}
        books = [book for name, book in self._roster.books.items() if name in touched or book.news]
        self._write(decided, due, books=books)
        self._last_turn = (now, now_ns)
        self._has_more = len(decided) >= MOST_DECISIONS  # the same cause: all slots of an hour are not decided at once
        del self._requests[: len(orders)]
        for one in due:
            task = self._group.create_task(self._maker.make(one), name=one.key)
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _close(self) -> None:
        """Nothing is owed from now on; what was due and waited for a place is missed."""
        now = self._clock.now()
        missed = self._roster.end_all(now, detail="the lane was stopped")
        books = tuple(self._roster.books.values())
        for book in books:
            book.close()
        self._write(missed, (), books=books)

    def _watch_clock(self, now: datetime, now_ns: int) -> str:
        """Notice a clock that was stepped; the answer is why a slot that is too late now was not started in time.

        Both clocks are read at one moment, before the turn: a turn that writes for long would else look like a step.
        """
        if self._last_turn is None:
            return "the lane was not running"
        last_at, last_ns = self._last_turn
        passed_s = (now_ns - last_ns) / 1e9
        step_s = (now - last_at).total_seconds() - passed_s
        if abs(step_s) > STEP_NOTED_S:
            way = "forward" if step_s > 0 else "back"
            reason = f"the wall clock was stepped {way} by {abs(step_s):.1f} s, or the machine slept"
            log.error("lane.clock_stepped", lane=self._name, step_s=round(step_s, 3))
            for instant in (last_at, now):
                self._host.note(instant, instant, Trouble("clock_step", reason))
            self._roster.reopen(now)
            return reason
        if passed_s > LONGEST_REST_S + HELD_UP_S:
            return f"the lane was held up for {passed_s:.1f} s"
        return f"every place of the lane was taken (it has {self._places})"

    def _write(self, decided: Iterable[Decision], due: Iterable[Due], *, books: Sequence[SlotBook]) -> None:
        """Everything that was decided, in one transaction: debts, endings, announcements, and the places in the schedules."""
        endings = [render_ending(one) for one in decided if one.verdict is not SlotVerdict.START]
        entries = [(EntryKind.SCHEDULE, render_entry(owed)) for book in books for owed in book.news]
        entries += [(EntryKind.SLOT, body) for body in endings]
        intents = {one.key: aborted_entry(one.spec.name, one.slot_at, one.attempt, lag_ns=one.lag_ns) for one in due}
        marks = {mark_name(self._name, book.schedule.scenario): book.mark() for book in books}
        if not (entries or intents or marks):
            return
        self._outbox.put_all(entries, intents=intents, owner=self._name, marks=marks)
        for book in books:
            book.news.clear()
        self.slots += len(endings)
        if entries:
            self._tell(Put())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _rest(self) -> None:
        """Until something can have changed: a slot, a place, an order; a second at most, for the clock may be stepped."""
        now = self._clock.now()
        change_at = self._roster.next_change_at(now)
        rest_s = LONGEST_REST_S if change_at is None else (change_at - now) / timedelta(seconds=1)
        sleep = asyncio.ensure_future(self._clock.sleep(min(max(rest_s, SHORTEST_REST_S), LONGEST_REST_S)))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            woken.cancel()
        self._wake.clear()

    async def _end_runs(self, deadline_s: float) -> None:
        """Let the runs end until the deadline; stop them then, and what cannot be stopped ends as aborted."""
        for patience_s in (deadline_s, CLEANUP_S, RETRY_S):
            if self._running:
                await asyncio.wait(tuple(self._running), timeout=patience_s)
            for task in tuple(self._running):
                task.cancel()
        try:
            self._outbox.abandon(aborted_because("the lane was stopped before the run ended"), owner=self._name)
        except DependencyError as error:
            log.critical("lane.runs_left_open", lane=self._name, error=str(error))  # the next life ends them

    def _maintenance_of(self, scenario: str, slot_at: datetime) -> str:
        """Why the slot is not to be run; empty when it is."""
        for order in self._maintenance:
            if slot_at < order.until_at and any(fnmatchcase(scenario, glob) for glob in order.scenarios):
                return order.detail or "maintenance"
        return self._kit.maintenance(scenario, slot_at)


def render_ending(decision: Decision) -> bytes:
    """The entry of a slot that ends without a run."""
    reason = SlotReason.MISSED if decision.verdict is SlotVerdict.MISSED else SlotReason.MAINTENANCE
    return render_entry(
        SlotEnd(
            scenario=decision.scenario,
            slot_at=decision.slot_at,
            reason=reason,
            detail=decision.detail[:MAX_DETAIL_LENGTH],
            schedule_lag_ns=decision.lag_ns,
        )
    )
