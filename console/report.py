"""The report after the runs: tables, failures explained, service levels, and the plain verdict.

Composes what the other modules draw; prints to the console it is given. Refuses: computing. Called by `console.session` and
`console.show`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text, duration_text, printable
from console.level_table import draw_levels
from console.repeat_table import draw_repeats, step_times
from console.step_rows import MARKS, step_rows
from console.step_table import OUTCOME_STYLES, draw_steps, indented
from console.verdict import failure_text, outcome_sentences, sureness_sentences
from probes.records import Outcome, Run
from slo.judgement import LineJudgement

__all__ = ["Report", "print_levels", "print_report", "print_run", "print_summary", "print_verdict"]

_DETAILED_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What a session has to tell: its runs in order, the lines they bear on, and what else to know."""

    runs: tuple[Run, ...]
    judgements: tuple[LineJudgement, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False


def print_report(report: Report, console: Console) -> None:
    """Everything, scenario by scenario in the order in which they first ran."""
    scenarios = tuple(dict.fromkeys(run.identity.scenario for run in report.runs))
    for scenario in scenarios:
        runs = [run for run in report.runs if run.identity.scenario == scenario]
        console.print()
        if len(runs) == 1:
            print_run(runs[0], report.judgements, console)
        else:
            _print_repeats(runs, report.judgements, console, in_full=len(scenarios) == 1)
    print_levels(report, console)
    console.print()
    print_verdict(report, console)


def print_summary(report: Report, console: Console) -> None:
    """One line per scenario instead of its steps; runs that did not pass are still told in full."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in ("", "scenario"):
        table.add_column(heading, no_wrap=True)
    for heading in ("runs", "passed", "steps", "fastest", "slowest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scenario in dict.fromkeys(run.identity.scenario for run in report.runs):
        runs = [run for run in report.runs if run.identity.scenario == scenario]
        worst = _worst(runs)
        passed = sum(run.outcome is Outcome.PASS for run in runs)
        steps = max(sum(not step.cleanup for step in run.steps) for run in runs)
        times = sorted(run.duration_ns for run in runs)
        mark = Text(MARKS[worst], style=OUTCOME_STYLES[worst])
        figures = (len(runs), passed, steps, duration_text(times[0]), duration_text(times[-1]))
        table.add_row(mark, scenario, *map(str, figures))
    console.print()
    console.print(table)
    for run in report.runs:
        if run.outcome is not Outcome.PASS:
            print_run(run, report.judgements, console)
    print_levels(report, console)
    console.print()
    print_verdict(report, console)


def _worst(runs: Sequence[Run]) -> Outcome:
    outcomes = {run.outcome for run in runs}
    return next(outcome for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if outcome in outcomes)


def print_levels(report: Report, console: Console) -> None:
    """The service levels that the runs bear on, if there are any."""
    if report.judgements:
        console.print(Text("\nService levels", style="bold"))
        for piece in draw_levels(report.judgements, console):
            console.print(piece)


def print_run(run: Run, judgements: tuple[LineJudgement, ...], console: Console) -> None:
    """One run: heading, steps, why it failed, what it made, where its evidence is."""
    heading = Text.assemble(
        (f"{MARKS[run.outcome]} {run.identity.scenario}", OUTCOME_STYLES[run.outcome]),
        f"  {run.outcome.value} in {duration_text(run.duration_ns)}",
        (f"  run {run.run_id}", "dim"),
    )
    console.print(heading)
    for piece in draw_steps(step_rows(run, judgements), console):
        console.print(piece)
    _print_failures(run, console)
    _print_footnotes(run, console)


def _print_repeats(
    runs: Sequence[Run], judgements: tuple[LineJudgement, ...], console: Console, *, in_full: bool
) -> None:
    counts = {outcome: sum(run.outcome is outcome for run in runs) for outcome in Outcome}
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    worst = _worst(runs)
    name = Text(f"{MARKS[worst]} {runs[0].identity.scenario}", style=OUTCOME_STYLES[worst])
    console.print(Text.assemble(name, f"  {count_text(len(runs), 'run')}: {told}"))
    for piece in draw_repeats(step_times(runs), console):
        console.print(piece)
    bad = [run for run in runs if run.outcome is not Outcome.PASS]
    for run in bad[:_DETAILED_FAILURES]:
        console.print()
        print_run(run, judgements, console)
    if len(bad) > _DETAILED_FAILURES:
        console.print(f"  and {len(bad) - _DETAILED_FAILURES} more that did not pass")
    if not bad and in_full:
        slowest = max(runs, key=lambda run: run.duration_ns)
        console.print(Text("the slowest of them:", style="dim"))
        print_run(slowest, judgements, console)


def _print_failures(run: Run, console: Console) -> None:
    """Each failed step with its reason, then every expectation that did not hold."""
    for step in run.steps:
        if step.failure is not None:
            style = OUTCOME_STYLES[step.outcome]
            reason = f"{step.failure.kind.value}: {printable(step.failure.message)}"
            _print_indented(Text.assemble((f"{MARKS[step.outcome]} {step.name} ", style), reason), console)
        message = step.failure.message if step.failure else ""
        for check in step.expectations:
            if not check.ok and f"{check.name}: expected" not in message:
                found = f"{check.name}: expected {check.expected}, found {check.found}"
                _print_indented(Text(f"  {printable(found)}"), console)
    unfit = run.outcome is Outcome.INCONCLUSIVE and run.fitness is not None and not run.fitness.is_fit
    if unfit or (run.outcome is not Outcome.PASS and all(step.failure is None for step in run.steps)):
        _print_indented(Text(failure_text(run), style=OUTCOME_STYLES[run.outcome]), console)


def _print_footnotes(run: Run, console: Console) -> None:
    notes = _cleanup_notes(run)
    if run.side_effects:
        fates = [effect.fate for effect in run.side_effects]
        told = ", ".join(f"{fates.count(fate)} {fate}" for fate in dict.fromkeys(fates))
        read_back = sum(effect.read_back is True for effect in run.side_effects)
        notes.append(f"made {count_text(len(fates), 'object')}: {told}; {read_back} read back intact")
    if run.evidence:
        folder = run.evidence[0].path.rpartition("/")[0]
        names = ", ".join(evidence.path.rpartition("/")[2] for evidence in run.evidence)
        notes.append(f"evidence in {folder}: {names}")
    if run.marks:
        notes.append(f"marks: {', '.join(run.marks)}")
    for note in notes:
        _print_indented(Text(note, style="dim"), console)


def _cleanup_notes(run: Run) -> list[str]:
    """One line for all of the clean-up; what failed in it is told with the failures."""
    steps = [step for step in run.steps if step.cleanup]
    if not steps:
        return []
    failed = sum(step.outcome is not Outcome.PASS for step in steps)
    took = duration_text(sum(step.duration_ns for step in steps))
    return [f"cleaned up: {count_text(len(steps), 'step')} in {took}, {failed or 'none'} failed"]


def _print_indented(text: Text, console: Console) -> None:
    console.print(indented(text))


def print_verdict(report: Report, console: Console) -> None:
    """The end of the report alone: what was found, how sure that is, and what was left out."""
    if report.interrupted:
        console.print(Text("INTERRUPTED: this is what there was so far.", style="yellow"))
    styles = {"FAILED": "bold red", "INCONC": "yellow", "PASSED": "bold green"}
    for sentence in outcome_sentences(report.runs):
        console.print(Text(sentence, style=styles.get(sentence[:6], "")))
    for run in report.runs:
        if run.outcome is not Outcome.PASS and len(report.runs) > 1:
            _print_indented(Text(f"{run.identity.scenario} {run.run_id}: {failure_text(run)}"), console)
    for sentence in sureness_sentences(report.judgements, report.runs):
        console.print(sentence)
    for reason in report.left_out:
        console.print(Text(f"Left out: {reason}", style="yellow"))
    for note in report.notes:
        console.print(Text(f"Note: {note}", style="yellow"))
