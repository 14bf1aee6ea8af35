"""Runs one scenario once and makes the record of it: wires the journey, keeps the time limit, cleans up, judges.

The order is fixed: the script, the end of all clocks, clean-up (always, each action under its own short deadline), evidence, the
record. Whatever a script raises ends in the record; the only errors that leave are a refusal before anything ran.

Cancellation ends the script, not the record: the run comes back with kind `aborted`, cleaned up, and the task stays marked as
cancelled (`task.cancelling()`), so a caller that has stored the record must then stop. A second cancellation cuts the clean-up
short. Refuses retries, schedules and storage. Called by the runner and the worker.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from probes.admission import refusal
from probes.clock import Clock
from probes.evidence import EvidenceMode, EvidenceStore
from probes.finding import carried_failure
from probes.fitness import FitnessSampler
from probes.fitness_control import ControlTarget
from probes.http import HttpClient, HttpEngine
from probes.ids import make_run_id, make_trace_id
from probes.journey import CleanupAction, Journey, Surroundings
from probes.masking import Mask
from probes.outcome import EXCESS_MARK_NS, bounded, decide, describe_crash, timing_marks
from probes.parts import PartCatalog
from probes.records import Attribute, Failure, FailureKind, Run, RunIdentity
from probes.registry import ScenarioSpec
from probes.steps import CUT_OFF_GRACE_S, OpenStep, RunObserver, StepHandle, StepLog
from probes.targets import Target
from probes.tls import TlsSettings

if TYPE_CHECKING:
    # Only for types: it loads Playwright, which a probe that opens no browser can do without.
    from probes.browser import BrowserEngine

__all__ = ["RunEnvironment", "run_scenario"]

CLEANUP_DEADLINE_S = 5.0
CLEANUP_BUDGET_S = 30.0
SEED_BITS = 32
MOST_IN_VAIN = 500
# From here on the doubt about a phase is larger than what a timing is promised to be true to.
NO_EVIDENCE = EvidenceStore(Path("evidence"), mode=EvidenceMode.NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnvironment:
    """What a process offers to every run it makes: open engines, parts, one target, and its own names.

    The caller opens and closes what needs it (`http`, `browser`, `fitness`, `control`). Without a `fitness` sampler runs carry
    no statement about the host. `control` is for runs on demand; a lane of the worker asks its own, about minutes.
    """

    clock: Clock
    http: HttpEngine
    target: Target
    fleet: str = "local"
    region: str = "local"
    probe: str = "local"
    catalog: PartCatalog | None = None
    browser: BrowserEngine | None = None
    evidence: EvidenceStore | None = None
    platform_factory: Callable[[Journey], object] | None = None
    fitness: FitnessSampler | None = None
    control: ControlTarget | None = None


@dataclass(frozen=True, slots=True)
class RunBeginning:
    """What is known of a run before its script begins."""

    identity: RunIdentity
    run_id: str
    trace_id: str
    seed: int
    scheduled_at: datetime
    started_at: datetime
    schedule_lag_ns: int
    origin_ns: int
    fitness_from_s: float


async def run_scenario(
    spec: ScenarioSpec,
    *,
    environment: RunEnvironment,
    slot_at: datetime | None = None,
    scheduled_at: datetime | None = None,
    schedule_lag_ns: int = 0,
    attempt: int = 0,
    seed: int | None = None,
    observer: RunObserver | None = None,
) -> Run:
    """Run the scenario once and return its record, whatever happens in it; a missing slot or schedule means now.

    Raises OperatorError when the target does not allow the scenario, before anything is sent.
    """
    refused = refusal(spec, environment.target)
    if refused is not None:
        raise refused
    started_at = environment.clock.now()
    fitness = environment.fitness
    begun = RunBeginning(
        identity=identity_of(spec, environment, slot_at or scheduled_at or started_at, attempt),
        run_id=make_run_id(started_at),
        trace_id=make_trace_id(),
        seed=secrets.randbits(SEED_BITS) if seed is None else seed,
        scheduled_at=scheduled_at or started_at,
        started_at=started_at,
        schedule_lag_ns=schedule_lag_ns,
        origin_ns=environment.clock.monotonic_ns(),
        fitness_from_s=0.0 if fitness is None else fitness.time_s(),
    )
    if environment.control is None:
        return await execute(spec, environment, begun, observer)
    answer = environment.control.ask()
    return await environment.control.judged(await execute(spec, environment, begun, observer), answer)


def identity_of(spec: ScenarioSpec, environment: RunEnvironment, slot_at: datetime, attempt: int) -> RunIdentity:
    """What makes this run this run."""
    return RunIdentity(environment.fleet, environment.region, environment.probe, spec.name, slot_at, attempt)


async def execute(
    spec: ScenarioSpec, environment: RunEnvironment, begun: RunBeginning, observer: RunObserver | None
) -> Run:
    """The run itself: script, clean-up, evidence, record."""
    mask = Mask()
    log = StepLog(
        clock=environment.clock,
        origin_ns=begun.origin_ns,
        deadline_ns=begun.origin_ns + int(spec.timeout_s * 1e9),
        mask=mask,
        observer=observer,
        fitness=environment.fitness,
    )
    tls = TlsSettings(ca_file=environment.target.ca_file)
    async with environment.http.client(origin_ns=begun.origin_ns, tls=tls, reuse=spec.reuse, mask=mask) as client:
        journey = open_journey(environment, begun, log, client)
        log.tell(lambda told: told.run_started(begun.run_id, spec.name))
        ended_by = await walk(spec, journey, log)
        duration_ns = environment.clock.monotonic_ns() - begun.origin_ns
        for name in timing_marks(client.excess_ns, client.unstamped, client.in_vain):
            journey.mark(name)
        if client.in_vain:
            journey.attributes["http.addresses_in_vain"] = bounded("; ".join(client.in_vain), MOST_IN_VAIN)
        if client.excess_ns > EXCESS_MARK_NS:
            journey.attributes["http.excess_ns"] = client.excess_ns
        await clean_up(journey.cleanups, log)
    await keep_evidence(journey, log, ended_by, started_at=begun.started_at)
    return record_of(spec, environment, begun, journey, log, duration_ns=duration_ns, ended_by=ended_by)


def open_journey(environment: RunEnvironment, begun: RunBeginning, log: StepLog, client: HttpClient) -> Journey:
    """The journey that the script is handed."""
    around = Surroundings(
        client=client,
        catalog=environment.catalog,
        browser_engine=environment.browser,
        evidence=environment.evidence or NO_EVIDENCE,
        platform_factory=environment.platform_factory,
    )
    return Journey(
        run_id=begun.run_id,
        trace_id=begun.trace_id,
        target=environment.target,
        seed=begun.seed,
        log=log,
        around=around,
        region=environment.region,
    )


async def walk(spec: ScenarioSpec, journey: Journey, log: StepLog) -> Failure | None:
    """Run the script within the scenario's time limit; what ended it early, whether or not a step knows already."""
    try:
        async with asyncio.timeout(spec.timeout_s + CUT_OFF_GRACE_S) as log.run_timer:
            await spec.function(journey)
    except asyncio.CancelledError:
        return Failure(FailureKind.ABORTED, "the run was stopped", "cancelled")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the supervisor: whatever a script raises becomes its record
        if isinstance(error, TimeoutError) and log.run_timer is not None and log.run_timer.expired():
            return log.timeout_failure(of_run=True)
        return carried_failure(error) or describe_crash(error, mask=log.mask)
    return None


async def clean_up(actions: list[CleanupAction], log: StepLog) -> None:
    """Undo what the journey made, last first. Never changes the outcome; each action is a step of its own.

    The first stop of a run lets this go on, also when it comes in the middle of it; the second cuts it short.
    """
    log.open = None
    log.deadline_ns = log.clock.monotonic_ns() + int(CLEANUP_BUDGET_S * 1e9)
    if not actions:
        return
    task = asyncio.current_task()
    stops = min(task.cancelling(), 1) if task else 0
    undoing = asyncio.ensure_future(undo_all(actions, log))
    while not undoing.done():
        try:
            await asyncio.shield(undoing)
        except asyncio.CancelledError:
            stops += 1
            if stops > 1:
                undoing.cancel()
    await undo_all(actions, log, stopped=True)  # it was cut short before it had begun


async def undo_all(actions: list[CleanupAction], log: StepLog, *, stopped: bool = False) -> None:
    """Every action in turn; once this is cancelled, the others are recorded as left undone."""
    while actions:
        action = actions.pop()
        step = StepHandle(action.name, keep_going=True, cleanup=True, attributes={})
        try:
            if stopped or log.remaining_s() <= 0:
                leave_undone(step, log, "the run was stopped" if stopped else f"{CLEANUP_BUDGET_S:g} s were not enough")
            else:
                await undo(action, step, log)
        except asyncio.CancelledError:
            stopped = True
        settle(action, step)


async def undo(action: CleanupAction, step: StepHandle, log: StepLog) -> None:
    """Run one action under its own deadline; how it went stands in the step."""
    try:
        async with OpenStep(log, step, min(CLEANUP_DEADLINE_S, log.remaining_s())):
            await action.action()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - clean-up never harms the run; the step holds the failure already
        step.failure = step.failure or describe_crash(error, mask=log.mask)


def leave_undone(step: StepHandle, log: StepLog, why: str) -> None:
    """Record an action that had no time left."""
    step.started_ns = log.clock.monotonic_ns() - log.origin_ns
    step.duration_ns = 0
    step.failure = Failure(FailureKind.ABORTED, f"not cleaned up: {why}", "cancelled")
    log.handles.append(step)


def settle(action: CleanupAction, step: StepHandle) -> None:
    """What became of the thing that the action undoes, unless the action has said so itself."""
    effect = action.effect
    if effect is None:
        return
    if step.failure is None:
        effect.fate = "deleted" if effect.fate == "unknown" else effect.fate
    else:
        effect.fate = "failed"
        effect.detail = step.failure.message


async def keep_evidence(journey: Journey, log: StepLog, ended_by: Failure | None, *, started_at: datetime) -> None:
    """Write what was said over HTTP, when it is wanted; a stopped run is not held up, and the disk never harms a record."""
    failed = ended_by is not None or log.has_failed
    if journey.traffic is None or not journey.evidence.wants(failed=failed):
        return
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return
    try:
        await asyncio.to_thread(journey.traffic.write, journey.evidence, started_at=started_at)
    except asyncio.CancelledError:
        journey.evidence.note_problem("the run was stopped while its evidence was written")
    except Exception as error:  # noqa: BLE001 - the supervisor: evidence is of failed runs, so a slip here would lose outages
        journey.evidence.note_problem(f"what was said over HTTP was not kept: {describe_crash(error).message}")


def record_of(
    spec: ScenarioSpec,
    environment: RunEnvironment,
    begun: RunBeginning,
    journey: Journey,
    log: StepLog,
    *,
    duration_ns: int,
    ended_by: Failure | None,
) -> Run:
    """The record of a run that is over."""
    fitness = None
    if environment.fitness is not None:
        fitness = environment.fitness.fitness(since_s=begun.fitness_from_s, loop_lag_ns=log.worst_lag_ns)
    steps = tuple([handle.freeze() for handle in log.handles])
    verdict = decide(steps, ended_by, fitness)
    attributes: dict[str, Attribute] = {"run.seed": begun.seed, **journey.attributes}
    if verdict.raw_outcome is not verdict.outcome:
        attributes["run.raw_outcome"] = verdict.raw_outcome.value
    if journey.sink is not None and journey.sink.problems:
        attributes["evidence.problems"] = "; ".join(journey.sink.problems)
    return Run(
        identity=begun.identity,
        run_id=begun.run_id,
        trace_id=begun.trace_id,
        target=environment.target.name,
        scenario_version=spec.version,
        scheduled_at=begun.scheduled_at,
        started_at=begun.started_at,
        duration_ns=duration_ns,
        outcome=verdict.outcome,
        steps=steps,
        schedule_lag_ns=begun.schedule_lag_ns,
        failure=verdict.failure,
        failed_step=verdict.failed_step,
        target_release=journey.target_release,
        side_effects=tuple([effect.freeze() for effect in journey.side_effects]),
        evidence=() if journey.sink is None else journey.sink.items,
        fitness=fitness,
        marks=tuple(journey.marks),
        attributes=attributes,
    )
