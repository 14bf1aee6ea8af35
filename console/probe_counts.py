"""What each probe contributed to a number, as a table that fits the console or as short lines.

Refuses to count. Called by `console.explain_text`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collector.line_account import ProbeCount
from console.narrow import Entry, fitting

__all__ = ["draw_probe_counts"]


def draw_probe_counts(
    console: Console, probes: Mapping[tuple[str, str], ProbeCount], *, is_minutes: bool
) -> RenderableType:
    """One row for each probe; of a line of events the slots that say nothing, of one of minutes those without any word, too."""
    headings = ["good", "bad", "inconclusive", *(["silent"] if is_minutes else []), "unfit min"]
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in ("region", "probe", *headings):
        table.add_column(heading, justify="left" if heading in ("region", "probe") else "right", no_wrap=True)
    entries = []
    for (region, probe), count in probes.items():
        figures = [count.good, count.bad, count.mute, *([count.silent] if is_minutes else []), count.unfit]
        cells = [f"{figure:,}" for figure in figures]
        table.add_row(region, probe, *cells)
        facts = [Text(f"{heading} {cell}") for heading, cell in zip(headings, cells, strict=True)]
        entries.append(Entry(Text(f"{region} / {probe}"), facts))
    return Padding(fitting(console, table, entries), (0, 0, 0, 2), expand=False)
