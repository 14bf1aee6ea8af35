"""The probes of a fleet on a screen: condition, outbox, gaps, coverage, fitness and clock.

Refuses to read the store and to judge (`console.status_command` does both). Called by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from collector.probe_line import ProbeLine
from collector.texts.probe_texts import age_text, clock_text, coverage_text, waiting_text
from console.narrow import Entry, fitting

__all__ = ["draw_probes"]

_HEADINGS: Final = ("region", "probe", "is", "heard", "waiting", "gaps", "covered", "unfit", "clock")


def draw_probes(console: Console, probes: Sequence[ProbeLine], *, now: datetime) -> RenderableType:
    """A row for each probe, or a few lines where that does not fit."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=True)
    entries = []
    for line in probes:
        address, condition, waiting = line.state.address, _condition_text(line, now), waiting_text(line.said)
        heard, gaps = f"{age_text(now - line.last_heard_at())} ago", _gaps_text(line.state.missing)
        covered, unfit = coverage_text(line.counts), f"{line.unfit_minutes} min"
        table.add_row(
            *(address.region, address.probe, condition, heard, waiting, gaps, covered, unfit, clock_text(line.said))
        )
        title = Text(f"{address.region}/{address.probe} ").append_text(condition).append(f", heard {heard}")
        facts = [f"waiting {waiting}", f"covered {covered}", f"unfit {unfit}", f"clock {clock_text(line.said)}"]
        entries.append(Entry(title, [Text("gaps ").append_text(gaps), *map(Text, facts)]))
    return fitting(console, table, entries)


def _condition_text(line: ProbeLine, now: datetime) -> Text:
    condition = line.condition(now)
    return Text(condition, style={"up": "green", "retired": "dim"}.get(condition, "yellow"))


def _gaps_text(missing: int) -> Text:
    return Text(str(missing), style="bold red" if missing else "")
