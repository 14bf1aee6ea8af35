"""The service levels that the runs bear on, each with what was seen and how sure that makes us.

Prints a percentile only when there are enough runs to claim it, else how many it takes. Refuses: a verdict of its own (that
is `slo.evidence`). Called by `console.report`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text, duration_text
from slo.evidence import Verdict
from slo.judgement import LineJudgement

__all__ = ["draw_levels", "seen_text", "verdict_text"]

_STYLES = {
    Verdict.MET: "green",
    Verdict.BREACHED: "bold red",
    Verdict.AT_RISK: "yellow",
    Verdict.NOT_ENOUGH_DATA: "",
}
_WIDE = 76


def draw_levels(judgements: Sequence[LineJudgement], console: Console) -> list[RenderableType]:
    """A table of lines: number, wording, what was seen, verdict; stacked when the terminal is narrow."""
    if console.width < _WIDE:
        return [line for judgement in judgements for line in _stacked(judgement)]
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("service level", no_wrap=True)
    table.add_column("seen")
    table.add_column("verdict")
    for judgement in judgements:
        title, line = judgement.objective.title, judgement.objective.line
        table.add_row(line, title, seen_text(judgement), Text(verdict_text(judgement), style=_style(judgement)))
    return [table]


def _stacked(judgement: LineJudgement) -> list[RenderableType]:
    head = Text.assemble(f"{judgement.objective.line:>2} {judgement.objective.title}: ", (seen_text(judgement), "dim"))
    return [head, Text(f"   {verdict_text(judgement)}", style=_style(judgement))]


def _style(judgement: LineJudgement) -> str:
    if judgement.verdict is Verdict.NOT_ENOUGH_DATA and judgement.bad:
        return "red"
    return _STYLES[judgement.verdict]


def seen_text(judgement: LineJudgement) -> str:
    """What happened: `59 good, p95 480 ms`, `1 good, 812 ms`, `2 of 3 bad, slowest 3.1 s`."""
    counted = f"{judgement.bad} of {judgement.total} bad" if judgement.bad else f"{judgement.total} good"
    return f"{counted}{_time_text(judgement)}"


def _time_text(judgement: LineJudgement) -> str:
    if judgement.objective.limit_ns is None:
        return ""
    if judgement.runs >= judgement.needed:
        time_ns = judgement.percentile_ns
        return f", {judgement.objective.percentile} {'failed' if time_ns is None else duration_text(time_ns)}"
    times = [event.time_ns for event in judgement.events if event.time_ns is not None]
    if not times:
        return ", failed"
    return f", {'slowest ' if len(times) > 1 else ''}{duration_text(max(times))}"


def verdict_text(judgement: LineJudgement) -> str:
    """The verdict in words, with what is missing for a firm one."""
    match judgement.verdict:
        case Verdict.MET:
            return "met (95 % sure)"
        case Verdict.BREACHED:
            return "breached (95 % sure)"
        case Verdict.AT_RISK:
            return "at risk: could be either"
        case Verdict.NOT_ENOUGH_DATA if judgement.bad:
            return "bad so far; too few to say more"
        case Verdict.NOT_ENOUGH_DATA:
            return f"good; needs {count_text(judgement.needed, 'run')}"
