"""`show`: the latest runs, or one run in full: its waterfall, its phases, what was checked, and where its evidence is.

Reads what sessions kept on this machine and nothing else (`console.show_stored` reads a database). Called by `console.app`.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from collector.texts.figures import duration_text, printable
from console.desk import Desk
from console.objectives import load_objectives
from console.report import print_run
from console.run_store import RunStore
from console.step_rows import MARKS
from console.step_table import OUTCOME_STYLES
from console.verdict import ExitCode, failure_text
from console.waterfall import LEGEND, waterfall
from probes.records import Run
from slo.judgement import judge_lines

__all__ = ["print_waterfall", "print_whole_run", "show_runs"]

_LISTED = 20


async def show_runs(desk: Desk) -> ExitCode:
    """Print the run that the argument names, else a list of the latest; always 0: it shows, it does not judge again."""
    store = RunStore(desk.settings.state_dir)
    if not desk.arguments.rest:
        _print_latest(store, desk.console)
        return ExitCode.PASSED
    print_whole_run(store.find(desk.arguments.rest[0]), desk)
    return ExitCode.PASSED


def print_whole_run(run: Run, desk: Desk) -> None:
    """Everything that a record says of a run, judged by the lines that were in force."""
    _print_identity(run, desk.console)
    objectives = load_objectives(desk.settings.slo_dir, at=run.started_at)
    print_run(run, judge_lines(objectives, [run]), desk.console)
    desk.console.print()
    print_waterfall(run, desk.console)
    _print_checks(run, desk.console)


def _print_latest(store: RunStore, console: Console) -> None:
    runs = store.latest(_LISTED)
    if not runs:
        console.print("No run was kept yet. Try: runner.py --scenario cad-large")
    for run in runs:
        line = Text.assemble(
            (f"{MARKS[run.outcome]} ", OUTCOME_STYLES[run.outcome]),
            f"{run.run_id}  {run.started_at:%Y-%m-%d %H:%M:%S}  {run.identity.scenario}",
            f"  {duration_text(run.duration_ns)}  {run.target}",
        )
        if run.failure is not None:
            line.append(f"  {failure_text(run)}", style="dim")
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _print_identity(run: Run, console: Console) -> None:
    identity = run.identity
    facts = {
        "target": " ".join(filter(None, (run.target, run.target_release))),
        "started": f"{run.started_at:%Y-%m-%d %H:%M:%S.%f} UTC, {duration_text(run.schedule_lag_ns)} after its slot",
        "probe": f"{identity.fleet} / {identity.region} / {identity.probe}",
        "trace id": run.trace_id,
        "scenario version": run.scenario_version,
    }
    for name, value in facts.items():
        console.print(Text.assemble((f"{name:<17}", "dim"), value))


def print_waterfall(run: Run, console: Console) -> None:
    """The waterfall of one run, as wide as the console."""
    for line in waterfall(run, console.width):
        style = OUTCOME_STYLES[line.step.outcome] if line.is_step else "dim"
        console.print(Text.assemble((line.label, style), " ", line.bar, " ", line.time), no_wrap=True, crop=True)
    console.print(Text(f"bars: {LEGEND}", style="dim"))


def _print_checks(run: Run, console: Console) -> None:
    checks = [(step, check) for step in run.steps for check in step.expectations]
    if not checks:
        return
    console.print(Text("\nChecked", style="bold"))
    for step, check in checks:
        mark = "✓" if check.ok else "✗"
        wanted = "" if check.ok else f", expected {check.expected}"
        text = printable(f"{step.name}: {check.name}: {check.found}{wanted}")
        console.print(Text.assemble((f"{mark} ", "green" if check.ok else "bold red"), text))
