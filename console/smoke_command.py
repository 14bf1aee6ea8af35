"""`runner.py smoke`: may this release go out? Rounds of scenarios, one answer with stated odds of being wrong, a report.

Whatever ends the gate early (a request to stop, the time, a lost broker), what it knew is told and written, with exit code 4.
Refuses to start when a file could not be written or the terms make no test. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
import importlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from console.atomic_file import check_writable
from console.choices import ChosenTarget, choose_scenarios, open_target, own_folders
from console.circumstances import Circumstances, collect
from console.desk import Desk
from console.gate_announcement import announce, round_seconds
from console.gate_bundles import keep_bundles
from console.gate_files import write_files
from console.gate_options import GateOptions
from console.gate_release import announcement_of, tell_of_gate
from console.gate_rounds import GateLimits, GateRounds, GateRun, Sides, asking
from console.gate_story import GateStory, exit_code_of_gate, quiet_regions
from console.gate_text import GateTicker, print_story
from console.run_store import RunKeeper, RunStore
from console.verdict import ExitCode
from console.wiring import load_scenarios, open_environment
from probes.errors import FleetError, OperatorError
from probes.execute import RunEnvironment
from probes.registry import Registry, ScenarioSpec
from probes.targets import Target, load_target
from slo.release_gate import ReleaseDecision, ReleaseGate

if TYPE_CHECKING:
    # Only for types: they load the libraries of database and broker, which a gate on this machine can do without.
    from console.gate_past import PastTimes
    from console.remote_regions import Regions

__all__ = ["run_smoke"]

_SEED_BITS = 32
_GAP_S = 1.0
_OWN_GAP_S = 0.1
"""So long at least from one start of a scenario to the next: a quick one must not run into the target's rate limit, which is wide
at a stand-in of ours."""
_LOOKED_BACK = 300


@dataclass(slots=True)
class _Session:
    """What is known so far; enough for a report at any moment."""

    options: GateOptions
    seed: int
    started_at: datetime
    target: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    gate: ReleaseGate | None = None
    rounds: GateRounds | None = None
    baseline: str = ""
    plan: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    broken: str = ""
    circumstances: Circumstances | None = None


async def run_smoke(desk: Desk) -> ExitCode:
    """Run the gate and report it; raises FleetError for what is wrong before the first round."""
    options = desk.arguments.gate or GateOptions()
    _check_terms(desk, options)
    desk.stop.means(ExitCode.UNDECIDED)
    announcement = announcement_of(desk)
    seed = secrets.randbits(_SEED_BITS) if desk.arguments.seed is None else desk.arguments.seed
    session = _Session(options, seed, desk.clock.now())
    registry = load_scenarios(desk.arguments, desk.settings)
    names = [spec.name for spec in registry.select(desk.arguments.scenarios or ("*",))]
    session.notes += [str(problem) for problem in registry.problems]
    await desk.stop.guard(_guarded(desk, session, registry))
    desk.stop.leave_be()
    # Stopped before it was known what the target allows: nothing is known of any scenario.
    story = _story(desk, session, session.gate or ReleaseGate(options.terms(), names))
    story = await asyncio.to_thread(keep_bundles, story, desk, registry, session.circumstances)
    write_files(story, desk.arguments, options, generated_at=desk.clock.now())
    print_story(story, desk.console, quiet=desk.arguments.quiet)
    if announcement is not None:
        await tell_of_gate(desk, announcement, story)
    return exit_code_of_gate(story)


def _check_terms(desk: Desk, options: GateOptions) -> None:
    """Refuse what cannot be done before anything is started for it."""
    if desk.arguments.region and (options.has_baseline or desk.arguments.target or not desk.arguments.scenarios):
        raise OperatorError(
            "running regions probe their own target, with scenarios that are named, and beside no baseline",
            where="--region",
            remedy="runner.py smoke --region eu-west --scenario quote, or a gate from this machine without --region",
        )
    if desk.arguments.json_file and not desk.arguments.json_to_stdout:
        check_writable(Path(desk.arguments.json_file), argument="--json")
    for path, argument in (
        (desk.arguments.junit_file, "--junit"),
        (options.html_file, "--html"),
        (options.markdown_file, "--markdown"),
    ):
        if path is not None:
            check_writable(path, argument=argument)


async def _guarded(desk: Desk, session: _Session, registry: Registry) -> None:
    """What breaks after the first round ends the gate with a report of what it knew; before, it is an error of the command."""
    broken: list[FleetError] = []
    try:
        await _gate(desk, session, registry)
    except* FleetError as errors:
        broken += _leaves(errors)
    if not broken:
        return
    if session.rounds is None or not session.rounds.runs:
        raise broken[0]
    session.broken = str(broken[0])


def _leaves(errors: BaseExceptionGroup[FleetError]) -> Iterator[FleetError]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _gate(desk: Desk, session: _Session, registry: Registry) -> None:
    """Open what is needed and let the rounds run; cancelled, everything that was opened is closed and cleaned up."""
    arguments, options = desk.arguments, session.options
    # Before a stand-in is started beside it: a wrong name should cost nobody that.
    baseline = _baseline_target(desk, options)
    async with AsyncExitStack() as opened:
        chosen, specs = None, registry.select(arguments.scenarios or ("*",))
        if arguments.region:
            session.target = f"what is probed from {arguments.region}"
        else:
            opening = open_target(arguments.target, desk.settings, specs, say=desk.say)
            chosen = await opened.enter_async_context(opening)
            choice = choose_scenarios(arguments.scenarios or ("*",), registry, chosen.target)
            specs, session.left_out, session.target = choice.specs, choice.left_out, chosen.target.name
        store = RunStore(desk.settings.state_dir)
        gate = await _announced(desk, session, store, specs, chosen, baseline)
        ticker = opened.enter_context(GateTicker(desk, gate))
        gap_s = _GAP_S
        if chosen is None:
            sides = Sides((await _enter_regions(opened, desk, session)).ask)
        else:
            environment = await opened.enter_async_context(
                open_environment(
                    arguments, desk.settings, chosen.target, specs, clock=desk.clock, progress=ticker.progress
                )
            )
            session.circumstances = await collect(environment)
            sides, gap_s = (
                _sides(environment, baseline, options.beside),
                _OWN_GAP_S if chosen.target.is_stand_in else _GAP_S,
            )
        session.rounds = GateRounds(
            specs,
            gate=gate,
            sides=sides,
            stop=desk.stop,
            clock=desk.clock,
            seed=session.seed,
            limits=GateLimits(options.most_time_s, options.places, gap_s),
            told=_Told(await opened.enter_async_context(RunKeeper(store, session.notes.append)), ticker),
        )
        await session.rounds.run_all()
        # From here on only closing is left: a request to stop must not cut that short.
        desk.stop.leave_be()


async def _announced(
    desk: Desk,
    session: _Session,
    store: RunStore,
    specs: Sequence[ScenarioSpec],
    chosen: ChosenTarget | None,
    baseline: Target | None,
) -> ReleaseGate:
    """The gate, after its plan was said."""
    options, checks = session.options, [spec.name for spec in specs]
    past = await _past(desk, options, checks)
    session.baseline = past.name if past is not None else _baseline_name(options, baseline, chosen)
    earlier = [run for run in store.latest(_LOOKED_BACK) if run.target == session.target]
    round_s = round_seconds(earlier, checks, options.places)
    session.plan = announce(options, checks, round_s=round_s, baseline=session.baseline)
    for sentence in session.plan:
        desk.say(sentence)
    session.gate = ReleaseGate(options.terms(), checks, past=past.times_ns if past is not None else None)
    return session.gate


async def _enter_regions(opened: AsyncExitStack, desk: Desk, session: _Session) -> Regions:
    """The broker's library is loaded for running regions alone."""
    module = importlib.import_module("console.remote_regions")
    regions: Regions = await opened.enter_async_context(module.open_regions(desk, session.notes))
    return regions


@dataclass(frozen=True, slots=True)
class _Told:
    """Keeps every run for `show`, and tells the person."""

    keeper: RunKeeper
    ticker: GateTicker

    def __call__(self, found: GateRun) -> None:
        self.keeper.keep(found.run)
        self.ticker.told(found)


def _baseline_target(desk: Desk, options: GateOptions) -> Target | None:
    if not options.baseline:
        return None
    return load_target(options.baseline, folders=own_folders(desk.settings.targets_dir), environ=desk.settings.environ)


def _baseline_name(options: GateOptions, baseline: Target | None, chosen: ChosenTarget | None) -> str:
    """How the baseline is called in the report: by its name, unless the candidate is called the same."""
    if baseline is None or chosen is None:
        return ""
    return baseline.name if baseline.name != chosen.target.name else options.baseline


async def _past(desk: Desk, options: GateOptions, checks: Sequence[str]) -> PastTimes | None:
    """The collector's last days, where they are the baseline; its libraries are loaded for that alone."""
    if not options.baseline_days:
        return None
    found: PastTimes = await importlib.import_module("console.gate_past").past_times(
        desk, options.baseline_days, checks
    )
    return found


def _sides(environment: RunEnvironment, baseline: Target | None, beside: int) -> Sides:
    """The candidate, and the baseline with the same engines: what this machine does to one it does to the other."""
    other = None if baseline is None else asking(replace(environment, target=baseline))
    return Sides(asking(environment), other, beside)


def _story(desk: Desk, session: _Session, gate: ReleaseGate) -> GateStory:
    rounds = session.rounds
    interrupted = desk.stop.asked()
    answer = gate.answer_at_the_end()
    if (interrupted or session.broken) and answer is ReleaseDecision.INCONCLUSIVE:
        answer = ReleaseDecision.UNDECIDED
    ended_by = ""
    if answer in (ReleaseDecision.UNDECIDED, ReleaseDecision.INCONCLUSIVE):
        ended_by = _ended_by(session, interrupted=interrupted)
    runs = tuple(rounds.runs) if rounds is not None else ()
    folder = desk.arguments.evidence_dir or desk.settings.evidence_dir
    release = desk.arguments.release
    return GateStory(
        gate=gate,
        answer=answer,
        runs=runs,
        target=session.target or desk.arguments.target or desk.settings.target or "stand-in",
        baseline=session.baseline,
        started_at=session.started_at,
        elapsed_s=rounds.elapsed_s if rounds is not None else 0.0,
        rounds=max((one.number for one in runs), default=0),
        seed=session.seed,
        plan=session.plan,
        ended_by=ended_by,
        left_out=session.left_out,
        notes=(*session.notes, *quiet_regions(runs)),
        evidence_folder=str(folder) if any(one.run.evidence for one in runs) else "",
        release=release.name if release is not None else "",
    )


def _ended_by(session: _Session, *, interrupted: bool) -> str:
    if session.broken:
        return session.broken
    if interrupted:
        return "interrupted"
    if session.rounds is not None and session.rounds.is_out_of_time:
        return f"the time of {session.options.most_time_s / 60:g} min is over"
    return f"{session.options.most_rounds} rounds did not suffice"
