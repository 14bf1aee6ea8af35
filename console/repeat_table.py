"""Many runs of one scenario as one row per step: count, failures, and nearest-rank percentiles where there are enough runs.

Enough is the number of runs that would let us claim the percentile at 95 %: 5 for p50, 29, 59 and 299 for p90, p95 and p99;
below that the cell says how many it needs. A failed step counts as slower than any other. Called by `console.report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text, duration_text
from console.step_rows import step_subject
from console.step_table import indented, natural_width
from probes.records import Outcome, Run
from slo.percentile import clean_events_needed, nearest_rank

__all__ = ["PERCENTILES", "StepTimes", "draw_repeats", "percentile_text", "step_times"]

PERCENTILES = {"p50": Fraction(1, 2), "p90": Fraction(9, 10), "p95": Fraction(19, 20), "p99": Fraction(99, 100)}


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The times of one step over all conclusive runs; None stands for a failed one."""

    name: str
    subject: str
    times_ns: tuple[int | None, ...]

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return self.times_ns.count(None)

    def percentile_ns(self, name: str) -> int | None:
        """The nearest-rank percentile, None when it falls on a failed run; ask `is_sayable` first."""
        return nearest_rank(self.times_ns, PERCENTILES[name])

    def is_sayable(self, name: str) -> bool:
        """True when there are enough runs to print this percentile."""
        return len(self.times_ns) >= clean_events_needed(1 - PERCENTILES[name])


def step_times(runs: Iterable[Run]) -> tuple[StepTimes, ...]:
    """The steps of `runs` by name and part, in the order of their first appearance; inconclusive runs and clean-up left out."""
    times: dict[tuple[str, str], list[int | None]] = {}
    for run in runs:
        if run.outcome is Outcome.INCONCLUSIVE:
            continue
        for step in run.steps:
            if not step.cleanup and step.outcome is not Outcome.INCONCLUSIVE:
                passed = step.outcome is Outcome.PASS
                times.setdefault((step.name, step_subject(step)), []).append(step.duration_ns if passed else None)
    return tuple(StepTimes(name, subject, tuple(values)) for (name, subject), values in times.items())


def percentile_text(times: StepTimes, name: str) -> str:
    """One cell: the time, `failed`, or how many runs it needs."""
    if not times.is_sayable(name):
        return f"needs {clean_events_needed(1 - PERCENTILES[name])}"
    time_ns = times.percentile_ns(name)
    return "failed" if time_ns is None else duration_text(time_ns)


def draw_repeats(rows: Sequence[StepTimes], console: Console) -> list[RenderableType]:
    """A table of percentiles, or stacked lines when the terminal is too narrow for it."""
    sayable = any(row.is_sayable("p50") for row in rows)
    figures = [_figures(row, sayable=sayable) for row in rows]
    note = [] if sayable else [indented(Text(f"percentiles: {_needs_text()}", style="dim"))]
    table = _table(rows, figures)
    if natural_width(table, console) <= console.width:
        return [table, *note]
    return [line for row, own in zip(rows, figures, strict=True) for line in _stacked(row, own)] + note


def _figures(row: StepTimes, *, sayable: bool) -> Mapping[str, str]:
    """What the columns of one row say; with too few runs for any percentile, only the extremes."""
    answered = [time_ns for time_ns in row.times_ns if time_ns is not None]
    extremes = [duration_text(time_ns) for time_ns in (min(answered), max(answered))] if answered else ["failed"] * 2
    if not sayable:
        return {"fastest": extremes[0], "slowest": extremes[1]}
    return {name: percentile_text(row, name) for name in PERCENTILES} | {"slowest": extremes[1]}


def _needs_text() -> str:
    needs = [f"{name} {clean_events_needed(1 - share)}" for name, share in PERCENTILES.items()]
    return f"{needs[0].replace(' ', ' needs ')} runs, {', '.join(needs[1:])}"


def _table(rows: Sequence[StepTimes], figures: Sequence[Mapping[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    for heading in ("runs", "failed", *(figures[0] if figures else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, own in zip(rows, figures, strict=True):
        table.add_row(_name(row), str(len(row.times_ns)), str(row.failed), *own.values())
    return table


def _stacked(row: StepTimes, figures: Mapping[str, str]) -> list[RenderableType]:
    head = f"{_name(row)}: {count_text(len(row.times_ns), 'run')}, {row.failed or 'none'} failed"
    told = ", ".join(f"{name} {figure}" for name, figure in figures.items())
    return [Text(head), indented(Text(told, style="dim"), 4)]


def _name(row: StepTimes) -> str:
    return f"{row.name} {row.subject}".strip()
