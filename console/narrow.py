"""What to draw where a table does not fit: the same facts as short lines under headings, wrapped and never cut off.

A cell that is cut off reads as another value: `100.…` for 100.0 %, `1…` for 12. Refuses to choose the facts. Called by
`console.fleet_board`, `console.status_table` and the commands that list service levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["Entry", "draw_entries", "fitting"]

_ANY_WIDTH: Final = 10_000
_MARK: Final = "-"
_SEPARATOR: Final = ", "


@dataclass(frozen=True, slots=True)
class Entry:
    """A heading with the facts below it; an empty heading continues the entry before."""

    heading: Text
    facts: Sequence[Text]


def draw_entries(entries: Sequence[Entry]) -> Group:
    """Each heading on a line of its own, its facts in as few lines below as the width allows."""
    lines: list[RenderableType] = []
    for entry in entries:
        if entry.heading:
            lines.append(entry.heading)
        row = Table.grid(padding=(0, 1))
        row.add_row(_MARK, Text(_SEPARATOR).join(entry.facts))
        lines.append(row)
    return Group(*lines)


def fitting(console: Console, table: Table, entries: Sequence[Entry]) -> RenderableType:
    """The table where the console is wide enough for all of it, else the entries."""
    natural = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
    return table if natural <= console.width else draw_entries(entries)
