"""A session on demand: choose, open, run, then tell: tables, verdict, JSON, JUnit, exit code.

Whatever ends the session early, what there is so far is told and written. Refuses to start when its output files
could not be written or its arguments make no sense, before a stand-in or a browser is started. Called by `console.app`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from console.arguments import Arguments
from console.atomic_file import check_writable, write_atomically
from console.choices import Choice, ChosenTarget, choose_scenarios, open_target
from console.desk import Desk
from console.junit import render_junit
from console.objectives import load_objectives
from console.progress import Progress
from console.report import Report, print_report, print_verdict
from console.report_json import render_report
from console.rounds import Rounds
from console.run_loop import RunLoop
from console.run_store import RunStore
from console.verdict import ExitCode, exit_code_of
from console.wiring import load_scenarios, open_environment
from probes.records import Run
from probes.registry import Registry
from slo.judgement import judge_lines
from slo.objective import Objective

__all__ = ["run_session"]


async def run_session(desk: Desk) -> ExitCode:
    """Run what the arguments ask for and report it; raises FleetError for what is wrong before the first run."""
    arguments = desk.arguments
    _check_output_files(arguments)
    objectives = load_objectives(desk.settings.slo_dir, at=desk.clock.now())
    registry = load_scenarios(arguments, desk.settings)
    # A name that does not exist is told before a stand-in is started for it.
    specs = registry.select(arguments.scenarios)
    async with open_target(arguments.target, desk.settings, specs, say=desk.say) as chosen:
        choice = choose_scenarios(arguments.scenarios, registry, chosen.target)
        runs, notes = await _run(desk, choice, chosen)
        desk.stop.leave_be()
    return _tell(desk, chosen, objectives, runs=runs, left_out=(*choice.left_out, *_broken(registry)), notes=notes)


async def _run(desk: Desk, choice: Choice, chosen: ChosenTarget) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """The runs, and what is to be noted about them."""
    arguments = desk.arguments
    rounds = Rounds(desk.clock, repeat=arguments.repeat, every_s=arguments.every_s)
    single = rounds.planned == 1 and len(choice.specs) == 1
    with Progress(desk.console.file, desk.clock, quiet=arguments.quiet, each_step=single) as progress:
        async with open_environment(
            arguments, desk.settings, chosen.target, choice.specs, clock=desk.clock, progress=progress
        ) as environment:
            loop = RunLoop(
                choice.specs,
                environment=environment,
                stop=desk.stop,
                progress=progress,
                store=RunStore(desk.settings.state_dir),
                seed=arguments.seed,
            )
            await loop.run_rounds(rounds)
            desk.stop.leave_be()
    return tuple(loop.runs), tuple(loop.notes)


def _check_output_files(arguments: Arguments) -> None:
    if arguments.json_file and not arguments.json_to_stdout:
        check_writable(Path(arguments.json_file), argument="--json")
    if arguments.junit_file is not None:
        check_writable(arguments.junit_file, argument="--junit")


def _broken(registry: Registry) -> tuple[tuple[str, str], ...]:
    """Files that would not load, as scenarios that were left out."""
    return tuple((problem.path.stem, str(problem)) for problem in registry.problems)


def _tell(
    desk: Desk,
    chosen: ChosenTarget,
    objectives: tuple[Objective, ...],
    *,
    runs: tuple[Run, ...],
    left_out: tuple[tuple[str, str], ...],
    notes: tuple[str, ...],
) -> ExitCode:
    """Write the files, print the report (its reader may leave half-way), and say how it ended."""
    arguments = desk.arguments
    exit_code = exit_code_of(runs, interrupted=desk.stop.asked())
    if any(run.evidence for run in runs):
        notes = (*notes, f"evidence is kept in {arguments.evidence_dir or desk.settings.evidence_dir}")
    report = Report(
        runs=runs,
        judgements=judge_lines(objectives, runs),
        left_out=tuple(f"{name}: {reason}" for name, reason in left_out),
        notes=notes,
        interrupted=desk.stop.asked(),
    )
    if arguments.json_file:
        target = {"name": chosen.target.name, "chosen_by": chosen.chosen_by, "path": chosen.target.path.name}
        document = render_report(report, target=target, exit_code=exit_code, generated_at=desk.clock.now())
        _write_json(arguments, document)
    if arguments.junit_file is not None:
        write_atomically(arguments.junit_file, render_junit(runs, left_out=left_out))
    if arguments.quiet:
        print_verdict(report, desk.console)
    else:
        print_report(report, desk.console)
    return exit_code


def _write_json(arguments: Arguments, document: bytes) -> None:
    if arguments.json_to_stdout:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    else:
        write_atomically(Path(arguments.json_file), document)
