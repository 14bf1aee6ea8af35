"""`runner.py replay BUNDLE`: makes a failed run again with its seed, and says what differs.

Against the bundle's target by name, or `--target`; a bundle from a stand-in gets a fresh one. Says first what is different about
the circumstances: another scenario version, browser, address or input can be the whole answer. Refuses to judge the old run
again. Called by `console.app`.
"""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from collector.texts.figures import printable
from collector.texts.run_difference import differences
from console.bundle import Bundle, read_bundle
from console.choices import choose_scenarios, open_stand_in, open_target
from console.circumstances import changes, collect, inputs_of
from console.desk import Desk
from console.progress import Progress
from console.report import print_run
from console.step_table import indented
from console.verdict import ExitCode, exit_code_of, failure_text
from console.wiring import load_scenarios, open_environment
from probes.execute import run_scenario
from probes.records import Outcome, Run
from probes.registry import ScenarioSpec

__all__ = ["run_replay"]


async def run_replay(desk: Desk) -> ExitCode:
    """Run it again; 0: it passes now, 1: it fails, 3: it could not be measured. Raises FleetError before it runs."""
    arguments = desk.arguments
    bundle = read_bundle(Path(arguments.rest[0]))
    head = bundle.head
    registry = load_scenarios(arguments, desk.settings)
    specs = registry.select([head.scenario])
    desk.say(f"Bundle of {head.scenario}, made {head.made_at:%Y-%m-%d %H:%M:%S} UTC: {failure_text(bundle.run)}")
    fresh = head.circumstances.is_stand_in and not arguments.target
    opened = (
        open_stand_in(desk.settings, specs, say=desk.say)
        if fresh
        else open_target(arguments.target or head.circumstances.target, desk.settings, specs, say=desk.say)
    )
    async with opened as chosen:
        (spec,) = choose_scenarios([head.scenario], registry, chosen.target).specs
        with Progress(desk.console.file, desk.clock, quiet=arguments.quiet) as progress:
            async with open_environment(
                arguments, desk.settings, chosen.target, [spec], clock=desk.clock, progress=progress
            ) as environment:
                different = [
                    *changes(await collect(environment), head.circumstances),
                    *_changed_files(desk, bundle, spec),
                ]
                run = await desk.stop.guard(
                    run_scenario(spec, environment=environment, seed=head.seed, observer=progress)
                )
                desk.stop.leave_be()
    if run is None:
        return ExitCode.INCONCLUSIVE
    _tell(desk, bundle, run, different)
    return exit_code_of([run], interrupted=desk.stop.asked())


def _changed_files(desk: Desk, bundle: Bundle, spec: ScenarioSpec) -> list[str]:
    """The scenario's file and the input files, by their hashes."""
    lines = []
    if spec.version != bundle.head.scenario_version:
        lines.append(f"scenario {spec.name}: version {spec.version} now, {bundle.head.scenario_version} then")
    now = inputs_of(bundle.run, desk.settings)
    lines += [
        f"part {name}: {now.get(name) or 'unknown'} now, {sha256 or 'unknown'} then"
        for name, sha256 in bundle.head.inputs.items()
        if now.get(name) != sha256
    ]
    return lines


def _tell(desk: Desk, bundle: Bundle, run: Run, different: list[str]) -> None:
    """The first line says whether it happened again."""
    same = (run.outcome, run.failed_step, run.failure and run.failure.kind) == (
        bundle.run.outcome,
        bundle.run.failed_step,
        bundle.run.failure and bundle.run.failure.kind,
    )
    if same:
        headline = f"AGAIN: {failure_text(run)}"
    elif run.outcome is Outcome.PASS:
        headline = f"NOT AGAIN: {run.identity.scenario} passes now"
    else:
        headline = f"OTHERWISE: {failure_text(run)}"
    desk.console.print(Text(printable(headline), style="bold"))
    _print_list(desk, "Circumstances that differ", different)
    _print_list(desk, "What differs from the failed run", list(differences(run, bundle.run)))
    if bundle.passing is not None and run.outcome is not Outcome.PASS:
        nearest = list(differences(run, bundle.passing))
        _print_list(desk, f"What differs from the run that passed then ({bundle.passing.run_id})", nearest)
    if not desk.arguments.quiet:
        print_run(run, (), desk.console)


def _print_list(desk: Desk, heading: str, lines: list[str]) -> None:
    if desk.arguments.quiet:
        return
    desk.console.print(Text(f"{heading}: {'' if lines else 'nothing'}".rstrip()))
    for line in lines:
        desk.console.print(indented(Text(printable(line))))
