"""The release gate in a terminal: a line now and then while it goes on, and the report; wide as a table, narrow as lines.

Refuses to judge and to word: `console.gate_story` does. Called by `console.smoke_command`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text, duration_text, printable
from console.desk import Desk
from console.gate_rounds import GateRun
from console.gate_story import (
    GateStory,
    check_text,
    failing_runs,
    headline,
    made_texts,
    step_text,
    subject,
    why_different,
)
from console.narrow import Entry, fitting
from console.progress import Progress
from console.step_table import indented
from console.verdict import failure_text
from probes.records import Outcome
from slo.gate import GateDecision
from slo.release_gate import CheckState, ReleaseDecision, ReleaseGate

__all__ = ["GateTicker", "print_story"]

_TICK_NS: Final = 15_000_000_000
_MOST_FAILURES_TOLD: Final = 20
_MOST_DETAILED: Final = 3
_STYLES: Final = {
    ReleaseDecision.PASS: "bold green",
    ReleaseDecision.FAIL: "bold red",
    ReleaseDecision.UNDECIDED: "bold yellow",
    ReleaseDecision.INCONCLUSIVE: "bold yellow",
}


class GateTicker:
    """Tells how the gate goes: each run that did not pass, up to a number, and every quarter of a minute where it stands."""

    def __init__(self, desk: Desk, gate: ReleaseGate) -> None:
        self._clock = desk.clock
        self._gate = gate
        self._said_ns = desk.clock.monotonic_ns()
        self._failures = 0
        self.progress = Progress(desk.console.file, desk.clock, quiet=desk.arguments.quiet, each_step=False)

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)

    def told(self, found: GateRun) -> None:
        """A run is over."""
        if found.run.outcome is not Outcome.PASS:
            self._failures += 1
            if self._failures <= _MOST_FAILURES_TOLD:
                whose = "baseline " if found.is_baseline else ""
                self.progress.say(
                    f"  round {found.number}: {whose}{found.run.identity.scenario}: {failure_text(found.run)}"
                )
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._said_ns >= _TICK_NS:
            self._said_ns = now_ns
            self.progress.say(self._standing(found.number))

    def _standing(self, number: int) -> str:
        states = list(self._gate.checks.values())
        done = sum(state.decision is GateDecision.ACCEPT for state in states)
        least = min(
            (state for state in states), key=lambda state: (state.decision is GateDecision.ACCEPT, state.rounds)
        )
        needed = least.gate.passes_to_accept(least.failures) + least.failures
        return (
            f"round {number}: {done} of {count_text(len(states), 'check')} passed; "
            f"{least.name} has {least.rounds} of the {needed} rounds that a pass takes from here"
        )


def print_story(story: GateStory, console: Console, *, quiet: bool) -> None:
    """The whole report; quiet: the first line alone. The first line is the answer and its cause."""
    if not quiet:
        console.print()
    console.print(Text(headline(story), style=_STYLES[story.answer]), soft_wrap=False)
    if quiet:
        return
    console.print(Text(printable(subject(story)), style="dim"))
    _print_checks(story, console)
    _print_steps(story, console)
    _print_failures(story, console)
    for line in made_texts(story):
        console.print(Text(line))
    for name, reason in story.left_out:
        console.print(Text(f"Left out: {name}: {reason}", style="yellow"))
    for note in story.notes:
        console.print(Text(f"Note: {note}", style="yellow"))
    for path in story.bundles:
        console.print(Text(f"bundle: {path} (runner.py replay makes the run again)", style="dim"))
    if story.evidence_folder:
        console.print(Text(f"evidence is kept in {story.evidence_folder}", style="dim"))
    runs = count_text(len(story.runs), "run")
    console.print(
        Text(
            f"{count_text(story.rounds, 'round')}, {runs} in {duration_text(int(story.elapsed_s * 1e9))}; their steps sum up to "
            f"{duration_text(int(story.steps_s * 1e9))}. Seed {story.seed}.",
            style="dim",
        )
    )


def _print_checks(story: GateStory, console: Console) -> None:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    for heading in ("rounds", "failed", "unmeasured", "evidence", "pass at", "fail at"):
        table.add_column(heading, justify="right", no_wrap=True)
    entries = []
    for state in story.gate.checks.values():
        table.add_row(state.name, *_cells(state))
        entries.append(Entry(Text(state.name), [Text(check_text(state))]))
    console.print(fitting(console, table, entries))


def _cells(state: CheckState) -> Sequence[str]:
    words = {GateDecision.ACCEPT: "pass", GateDecision.REJECT: "FAIL"}
    evidence = state.path[-1] if state.path else 0.0
    return (
        words.get(state.decision, "open"),
        str(state.rounds),
        str(state.failures),
        str(state.unmeasured),
        f"{evidence:+.2f}",
        f"{state.gate.accept_to:+.2f}",
        f"{state.gate.reject_from:+.2f}",
    )


def _print_steps(story: GateStory, console: Console) -> None:
    """The timed steps that are not simply within the margin, and how many are."""
    steps = [state for own in story.gate.steps.values() for state in own.values()]
    within = sum(state.decision is GateDecision.ACCEPT for state in steps)
    if not steps:
        return
    console.print(Text(f"{within} of {count_text(len(steps), 'timed step')} are within the margin of {story.baseline}"))
    for state in steps:
        if state.decision is not GateDecision.ACCEPT:
            word = "slower: " if state.decision is GateDecision.REJECT else "open: "
            console.print(indented(Text(word + step_text(state))))


def _print_failures(story: GateStory, console: Console) -> None:
    """Failing runs of the checks that failed, or of those still open: each with its difference to the nearest passing run."""
    names = [state.name for state in story.gate.checks.values() if state.failures]
    runs = failing_runs(story, names)
    for run in runs[:_MOST_DETAILED]:
        console.print(Text(f"{run.identity.scenario} run {run.run_id}: {failure_text(run)}", style="red"))
        for line in why_different(story, run):
            console.print(indented(Text(printable(line), style="dim"), 4))
    if len(runs) > _MOST_DETAILED:
        console.print(f"  and {len(runs) - _MOST_DETAILED} more runs that failed, in the JSON report")
