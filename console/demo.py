"""`demo`: a fleet of all regions with its pages and an incident, then every scenario twice, then one fault on demand, caught.

Ends with 0 only when everything was as it should be: the incident was seen and its alert fired, the fleet's books are in order,
all runs passed, the fault was caught at the step that it breaks, and the journey passed again without it. Refuses any target but
a stand-in of its own. What its parts log is kept in a file, so that nothing stands between the lines of the story.

Called by `console.app`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.padding import Padding
from rich.text import Text

from collector.texts.figures import count_text, duration_text, printable
from console.choices import Choice, ChosenTarget, choose_scenarios, open_stand_in
from console.demo_incident import DemoIncident
from console.desk import Desk
from console.fleet_command import show_fleet
from console.fleet_places import EMBEDDED
from console.logs import logs_in_file
from console.objectives import load_objectives
from console.progress import Progress
from console.report import Report, print_summary
from console.rounds import Rounds
from console.run_loop import RunLoop
from console.run_store import RunStore
from console.stand_in_faults import set_faults
from console.verdict import ExitCode
from console.wiring import load_scenarios, open_environment
from probes.execute import RunEnvironment
from probes.records import FailureKind, Outcome, Run
from probes.registry import Registry, ScenarioSpec
from slo.judgement import judge_lines

__all__ = ["Lesson", "run_demo"]

_LOG = "demo.log"
_FLEET_SCENARIOS = ("api-health", "web-health", "sign-in")
_FLEET_EVERY_S = 10.0
_ROUNDS = 2
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Lesson:
    """One fault to show: what it does, the scenario that meets it, and where it must be caught."""

    fault: str
    promise: str
    scenario: str
    step: str
    kind: FailureKind


_LESSON = Lesson(
    fault="zero-price",
    promise="the platform answers 201 to every price and quote, and every amount is 0",
    scenario="quote",
    step="price",
    kind=FailureKind.ASSERTION,
)


async def run_demo(desk: Desk) -> ExitCode:
    """Show what the fleet does on a machine that has nothing else; 0 when everything was as it should be."""
    registry = load_scenarios(desk.arguments, desk.settings)
    desk.say("Probing a stand-in that is started for the demo")
    log_file = _log_file(desk)
    with logs_in_file(log_file):
        desk.say(f"what its parts log is in {log_file}")
        return await _play(desk, registry)


def _log_file(desk: Desk) -> Path:
    return desk.settings.state_dir / _LOG


async def _play(desk: Desk, registry: Registry) -> ExitCode:
    async with open_stand_in(desk.settings, registry, say=desk.say) as chosen:
        choice = choose_scenarios(["*"], registry, chosen.target)
        in_order = await _show_fleet(desk, chosen)
        if desk.stop.asked():
            return ExitCode.INCONCLUSIVE
        return await _show(desk, chosen, choice, registry, in_order=in_order)


async def _show_fleet(desk: Desk, chosen: ChosenTarget) -> bool:
    """A whole fleet and an incident, in files and on ports of its own; True when it was caught and the books were in order."""
    regions = ", ".join(desk.settings.regions)
    title = Text(f"\n1. A fleet: a worker in each region ({regions}), a broker, a collector", style="bold")
    desk.console.print(title, soft_wrap=True)
    arguments = replace(desk.arguments, scenarios=_FLEET_SCENARIOS, every_s=_FLEET_EVERY_S, for_s=None, broker=EMBEDDED)
    settings = replace(desk.settings, broker=replace(desk.settings.broker, port=0))
    with tempfile.TemporaryDirectory(prefix="probe-fleet-demo-") as folder:
        of_fleet = replace(desk, arguments=arguments, settings=settings)
        incident = DemoIncident(of_fleet, chosen.target.base("control"))
        code = await show_fleet(of_fleet, chosen, Path(folder), incident.play)
        return code is ExitCode.PASSED and incident.incident is not None


async def _show(desk: Desk, chosen: ChosenTarget, choice: Choice, registry: Registry, *, in_order: bool) -> ExitCode:
    console, clock = desk.console, desk.clock
    console.print(Text(f"\n2. Every journey of a customer, {_ROUNDS} times", style="bold"))
    with Progress(console.file, clock, quiet=desk.arguments.quiet, each_step=False) as progress:
        async with open_environment(
            desk.arguments, desk.settings, chosen.target, choice.specs, clock=clock, progress=progress
        ) as environment:
            stage = _Stage(desk, environment, progress, chosen.target.base("control"))
            healthy = await stage.run(choice.specs, rounds=_ROUNDS)
            healthy += await stage.run_again(choice.specs, healthy)
            progress.say(f"\n3. One fault: {_LESSON.promise}")
            faulty, again = await stage.teach(_LESSON, registry.get(_LESSON.scenario))
            desk.stop.leave_be()
    left_out = (*(f"{name}: {reason}" for name, reason in choice.left_out), *map(str, registry.problems))
    report = Report(healthy, judge_lines(load_objectives(), healthy), left_out=left_out, interrupted=desk.stop.asked())
    print_summary(report, console)
    return _conclude(desk, healthy, faulty, again, in_order=in_order)


class _Stage:
    """Runs scenarios against the demo's stand-in and switches its faults."""

    def __init__(self, desk: Desk, environment: RunEnvironment, progress: Progress, control_url: str) -> None:
        self._desk = desk
        self._environment = environment
        self._progress = progress
        self._control_url = control_url
        self._store = RunStore(desk.settings.state_dir)

    async def run(self, specs: Sequence[ScenarioSpec], *, rounds: int = 1) -> tuple[Run, ...]:
        """That many rounds of `specs`; fewer when somebody asks to stop."""
        loop = RunLoop(
            specs,
            environment=self._environment,
            stop=self._desk.stop,
            progress=self._progress,
            store=self._store,
            seed=self._desk.arguments.seed,
        )
        await loop.run_rounds(Rounds(self._desk.clock, repeat=rounds, every_s=None))
        return tuple(loop.runs)

    async def run_again(self, specs: Sequence[ScenarioSpec], runs: Sequence[Run]) -> tuple[Run, ...]:
        """Another run for each one that a busy machine kept from being measured."""
        unclear = [run.identity.scenario for run in runs if run.outcome is Outcome.INCONCLUSIVE]
        again = [spec for spec in specs for _ in range(unclear.count(spec.name))]
        if not again or self._desk.stop.asked():
            return ()
        self._progress.say(f"   {count_text(len(again), 'run')} could not be measured; once more")
        return await self.run(again)

    async def teach(self, lesson: Lesson, spec: ScenarioSpec) -> tuple[Run | None, Run | None]:
        """The run with the fault and the one after it; None for what was not run any more."""
        await set_faults(self._control_url, [lesson.fault])
        faulty = await self._one_conclusive(spec)
        await set_faults(self._control_url, [])
        self._progress.say("   and without it again")
        return faulty, await self._one_conclusive(spec)

    async def _one_conclusive(self, spec: ScenarioSpec) -> Run | None:
        """A run that says something, if one of a few does; None when somebody asked to stop first."""
        runs: tuple[Run, ...] = ()
        for _ in range(_TRIES):
            runs = await self.run([spec])
            if not runs or runs[0].outcome is not Outcome.INCONCLUSIVE:
                break
        return runs[0] if runs else None


def _conclude(
    desk: Desk, healthy: tuple[Run, ...], faulty: Run | None, again: Run | None, *, in_order: bool
) -> ExitCode:
    """Explain the fault, then say whether the demo went as it should."""
    console = desk.console
    console.print(Text(f"\nThe fault {_LESSON.fault!r}: {_LESSON.promise}", style="bold"))
    if faulty is not None:
        for line in _explanation(faulty):
            console.print(Padding(Text(line), (0, 0, 0, 2)))
    caught = faulty is not None and _is_caught(faulty)
    recovered = again is not None and again.outcome is Outcome.PASS
    if caught and recovered:
        console.print(f"  Without the fault the same journey passed again: run {again.run_id if again else ''}.")
    if not in_order:
        console.print(Text("\nThe fleet did not do as it should; see the first part.", style="bold red"))
    if in_order and _is_healthy(healthy) and caught and recovered and not desk.stop.asked():
        console.print(
            Text(
                "\nThe demo went as it should: the incident and the fault were caught, and all else passed.",
                "bold green",
            )
        )
        console.print(Text("Next: runner.py list, runner.py --scenario cad-large, runner.py show", style="dim"))
        return ExitCode.PASSED
    if desk.stop.asked():
        return ExitCode.INCONCLUSIVE
    console.print(Text("\nThe demo did not go as it should; see above.", style="bold red"))
    console.print(f"What its parts logged may say why: {_log_file(desk)}", markup=False, soft_wrap=True)
    return ExitCode.PLATFORM_FAILED if any(run.outcome is Outcome.FAIL for run in healthy) else ExitCode.INCONCLUSIVE


def _is_healthy(runs: Sequence[Run]) -> bool:
    """True when no run failed and every scenario passed as often as it was to be run."""
    passed = Counter(run.identity.scenario for run in runs if run.outcome is Outcome.PASS)
    scenarios = {run.identity.scenario for run in runs}
    failed = any(run.outcome is Outcome.FAIL for run in runs)
    return bool(runs) and not failed and all(passed[scenario] >= _ROUNDS for scenario in scenarios)


def _is_caught(run: Run) -> bool:
    """True when the run failed for the fault's own reason, not for another."""
    reason = run.failure
    return (
        run.outcome is Outcome.FAIL
        and run.failed_step == _LESSON.step
        and reason is not None
        and reason.kind is _LESSON.kind
    )


def _explanation(run: Run) -> list[str]:
    """What the probe saw and what a check of status codes would have seen."""
    if run.failure is None:
        return [f"was not caught: {run.identity.scenario} passed. That is a fault of this fleet."]
    lines = [
        f"Caught by {run.identity.scenario!r} in the step {run.failed_step!r} ({run.failure.kind.value}):",
        f"  {printable(run.failure.message)}",
    ]
    unmet = [check for step in run.steps for check in step.expectations if not check.ok]
    shown = run.failure.message
    lines += [
        printable(f"  {check.name}: expected {check.expected}, found {check.found}")
        for check in unmet
        if f"{check.name}: expected" not in shown
    ]
    exchanges = [exchange for step in run.steps if not step.cleanup for exchange in step.exchanges]
    good = sum(200 <= exchange.status < 300 for exchange in exchanges)
    slowest_ns = max((exchange.phases.total_ns for exchange in exchanges), default=0)
    lines.append(
        f"A check of status codes would have said: all is well. {good} of {count_text(len(exchanges), 'request')} were "
        f"answered with a 2xx, the slowest in {duration_text(slowest_ns)}."
    )
    lines.append(f"See where the time went: runner.py show {run.run_id}")
    return lines
