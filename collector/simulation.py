"""A month of records from a written plan, the same bytes each time, on the way that every record takes into the store.

Each slot of each scenario and region becomes what the plan says: a run with steps, requests and page loads as the scenario makes
them, an inconclusive run, nothing, or a slot under maintenance. Times are log-normal around medians of a healthy platform, drawn
from the plan's seed and the slot alone. Results go through `collector.store.Store.file` as messages of the probes.

Refuses to touch a network, and to be taken for a measurement: the fleet and the target are called what the plan calls them, by
default `simulated`. Called by the command `simulate`, by tests and benches.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collector.simulation_journeys import JOURNEYS, SimulatedStep
from collector.simulation_plan import Effect, Plan, Statement, decide
from collector.store import Delivery
from probes.ledger_entries import OwedSlots, SlotEnd, SlotReason, render_entry
from probes.messages import Address, RawEntry, render_batch
from probes.outbox import EntryKind
from probes.records import (
    Attribute,
    Exchange,
    Failure,
    FailureKind,
    Fitness,
    Outcome,
    PageLoad,
    Phases,
    Run,
    RunIdentity,
    Step,
)
from probes.schedule import Schedule, schedule_for
from probes.wire import render_run
from slo.window import Span

__all__ = ["PROBE", "SimulatedOutbox", "deliveries_of", "run_of", "slots_of"]

PROBE: Final = "simulated"
VERSION: Final = "simulated"
MS: Final = 1_000_000
BATCH: Final = 200
SPREAD: Final = 0.18
TIMEOUT_MS: Final = 30_000
ARRIVES_AFTER: Final = timedelta(seconds=2)
UNFIT: Final = Fitness(loop_lag_ns=900 * MS, steal_ratio=0.4, reasons=("simulated: the host was not fit to measure",))


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One slot that a region owes; ordered by time."""

    slot_at: datetime
    region_index: int
    scenario: str


def slots_of(plan: Plan, span: Span) -> Iterator[Slot]:
    """Every slot of the span, by time."""
    series = [
        _slots_of_series(schedule_of(plan, scenario, region), span, index)
        for scenario in plan.every_s
        for index, region in enumerate(plan.regions)
    ]
    return heapq.merge(*series)


def schedule_of(plan: Plan, scenario: str, region: str) -> Schedule:
    """The schedule by which a region owes a scenario, as real probes would have it."""
    return schedule_for(scenario, interval_s=plan.every_s[scenario], region=region, regions=plan.regions)


def _slots_of_series(schedule: Schedule, span: Span, region_index: int) -> Iterator[Slot]:
    for slot_at in schedule.slots_between(span.from_at, span.until_at):
        yield Slot(slot_at, region_index, schedule.scenario)


def deliveries_of(plan: Plan, span: Span) -> Iterator[Delivery]:
    """The messages of a span's probes, by time; each probe's numbers begin at 1, and first it says what it owes."""
    senders = [Address(plan.fleet, region, PROBE) for region in plan.regions]
    outboxes = [SimulatedOutbox(sender, span) for sender in senders]
    for outbox, region in zip(outboxes, plan.regions, strict=True):
        for scenario in plan.every_s:
            outbox.put(EntryKind.SCHEDULE, owed_entry(schedule_of(plan, scenario, region), span))
    rulings = {
        (scenario, index): plan.statements_about(scenario, region)
        for scenario in plan.every_s
        for index, region in enumerate(plan.regions)
    }
    for slot in slots_of(plan, span):
        outbox = outboxes[slot.region_index]
        statement = decide(rulings[slot.scenario, slot.region_index], slot.slot_at, span, slot.region_index)
        entry = entry_of(plan, slot, statement)
        if entry is None:
            continue
        outbox.put(*entry)
        if len(outbox.entries) >= BATCH:
            yield outbox.sent(slot.slot_at + ARRIVES_AFTER)
    for outbox in outboxes:
        if outbox.entries:
            yield outbox.sent(span.until_at)


class SimulatedOutbox:
    """What one simulated probe has not sent yet."""

    def __init__(self, sender: Address, span: Span) -> None:
        self.entries: list[RawEntry] = []
        self._sender = sender
        self._epoch = span.from_minute * 60_000_000
        self._seq = 0

    def put(self, kind: EntryKind, body: bytes) -> None:
        """One more entry, under the next number."""
        self._seq += 1
        self.entries.append(RawEntry(self._seq, kind.value, body))

    def sent(self, received_at: datetime) -> Delivery:
        """Everything as one message."""
        payload = render_batch(self._sender, self._epoch, self.entries)
        self.entries = []
        return Delivery(self._sender.topic("results"), payload, received_at)


def owed_entry(schedule: Schedule, span: Span) -> bytes:
    """That a probe owes the slots of a schedule in a span."""
    return render_entry(
        OwedSlots(
            scenario=schedule.scenario,
            interval_ms=schedule.interval_ms,
            phase_ms=schedule.phase_ms,
            tolerance_ms=schedule.tolerance_ms,
            timeout_ms=TIMEOUT_MS,
            from_at=span.from_at,
            until_at=span.until_at,
        )
    )


def entry_of(plan: Plan, slot: Slot, statement: Statement | None) -> tuple[EntryKind, bytes] | None:
    """What a probe would say of a slot; None: it says nothing, ever."""
    effect = statement.what if statement else Effect.PASS
    if effect is Effect.MISSING:
        return None
    if effect is Effect.MAINTENANCE:
        end = SlotEnd(scenario=slot.scenario, slot_at=slot.slot_at, reason=SlotReason.MAINTENANCE)
        return EntryKind.SLOT, render_entry(end)
    return EntryKind.RUN, render_run(run_of(plan, slot, statement))


def run_of(plan: Plan, slot: Slot, statement: Statement | None) -> Run:
    """The run of a slot, as the statement that rules it says; None: a good one."""
    region = plan.regions[slot.region_index]
    name = f"{plan.seed}/{slot.scenario}/{region}/{slot.slot_at.isoformat()}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    dice = random.Random(digest)  # noqa: S311 - the same month each time is what is wanted
    effect = statement.what if statement else Effect.PASS
    steps = tuple(steps_of(JOURNEYS[slot.scenario], statement, dice))
    broken = next((step for step in steps if step.failure is not None), None)
    is_ours = effect is Effect.INCONCLUSIVE
    return Run(
        identity=RunIdentity(plan.fleet, region, PROBE, slot.scenario, slot.slot_at),
        run_id=digest[:26],
        trace_id=digest[26:58],
        target=plan.target,
        scenario_version=VERSION,
        scheduled_at=slot.slot_at,
        started_at=slot.slot_at + timedelta(milliseconds=2),
        duration_ns=steps[-1].started_ns + steps[-1].duration_ns,
        outcome=Outcome.INCONCLUSIVE if is_ours else Outcome.FAIL if broken else Outcome.PASS,
        steps=steps,
        schedule_lag_ns=2 * MS,
        failure=broken.failure if broken else None,
        failed_step=broken.name if broken else "",
        fitness=UNFIT if is_ours else Fitness(loop_lag_ns=MS, steal_ratio=0.0),
    )


def steps_of(journey: Sequence[SimulatedStep], statement: Statement | None, dice: random.Random) -> Iterator[Step]:
    """The steps of a journey, up to the one that fails."""
    effect = statement.what if statement else Effect.PASS
    fails_at = failing_step(journey, statement) if statement and effect is Effect.FAIL else ""
    started_ns = 0
    for plan in journey:
        is_meant = statement is not None and effect is Effect.SLOW and statement.step in ("", plan.name)
        duration_ns = time_of(plan, statement if is_meant else None, dice)
        step = step_of(plan, started_ns, duration_ns)
        if plan.name == fails_at and statement is not None:
            yield failed(step, statement.kind)
            return
        yield step
        started_ns += duration_ns


def failing_step(journey: Sequence[SimulatedStep], statement: Statement) -> str:
    """The step that a statement lets fail; the first one where it names none that the journey has."""
    names = [step.name for step in journey]
    return statement.step if statement.step in names else names[0]


def time_of(plan: SimulatedStep, slow: Statement | None, dice: random.Random) -> int:
    """A log-normal time in nanoseconds."""
    draw = dice.lognormvariate(0, SPREAD if slow is None or slow.median_ms is None else slow.sigma)
    median_ms = plan.median_ms
    if slow is not None:
        median_ms = slow.median_ms if slow.median_ms is not None else median_ms * (slow.times or 1.0)
    return max(1, round(median_ms * draw * MS))


def step_of(plan: SimulatedStep, started_ns: int, duration_ns: int) -> Step:
    """A step that passed, with what the real one would have measured in it."""
    attributes: dict[str, Attribute] = {}
    if plan.part:
        attributes = {"cad.part": plan.part, "cad.bytes": plan.part_bytes}
    exchanges: tuple[Exchange, ...] = ()
    if plan.requests:
        each_ns = duration_ns // plan.requests
        exchanges = tuple(
            exchange_of(started_ns + number * each_ns, each_ns, plan.part_bytes if plan.name == "upload" else 300)
            for number in range(plan.requests)
        )
    pages = (PageLoad("https://simulated.test/widget", ready_ns=duration_ns),) if plan.is_page else ()
    return Step(plan.name, started_ns, duration_ns, Outcome.PASS, None, exchanges, pages, (), attributes)


def exchange_of(started_ns: int, total_ns: int, request_bytes: int) -> Exchange:
    """A request that was answered; most of its time is the wait."""
    connect_ns, receive_ns = total_ns // 10, total_ns // 20
    phases = Phases(connect_ns=connect_ns, wait_ns=total_ns - connect_ns - receive_ns, receive_ns=receive_ns)
    url = "https://simulated.test/api"
    return Exchange("POST", url, started_ns, phases, status=200, request_bytes=request_bytes, response_bytes=400)


def phases_until(kind: FailureKind, phases: Phases) -> Phases:
    """The same time in the phases that such a failure lets a request come to; what it never came to stays at zero."""
    total_ns, connect_ns = phases.total_ns, phases.connect_ns
    match kind:
        case FailureKind.DNS:
            return Phases(dns_ns=total_ns)
        case FailureKind.CONNECT:
            return Phases(connect_ns=total_ns)
        case FailureKind.TLS:
            return Phases(connect_ns=connect_ns, tls_ns=total_ns - connect_ns)
        case FailureKind.TIMEOUT:
            return Phases(connect_ns=connect_ns, wait_ns=total_ns - connect_ns)
        case _:
            return phases


def failed(step: Step, kind: FailureKind) -> Step:
    """The same step, failed: its last request is the one that broke."""
    failure = Failure(kind, f"simulated: {kind.value}", kind.value)
    status = {FailureKind.STATUS: 503, FailureKind.RATE_LIMITED: 429, FailureKind.ASSERTION: 200}.get(kind, 0)
    broken = None if status else failure
    exchanges = tuple(
        Exchange(one.method, one.url, one.started_ns, phases_until(kind, one.phases), status=status, failure=broken)
        for one in step.exchanges[-1:]
    )
    pages = step.pages
    if kind is FailureKind.BROWSER:
        pages = tuple(PageLoad(page.url, uncaught_errors=("simulated",)) for page in step.pages)
    return Step(
        step.name, step.started_ns, step.duration_ns, Outcome.FAIL, failure, exchanges, pages, (), step.attributes
    )
