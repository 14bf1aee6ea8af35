"""The fleet on a screen: per scenario and region how its slots ended, and how the last run went. Read from the collector's store.

On a terminal a table is drawn over and over; elsewhere each slot that has ended is a line, or each that ended otherwise than the
one before it. What is shown is what is committed, nothing else. Refuses to draw in a process that takes times: lanes are
processes of their own. Called by `console.fleet_command` and `console.status_command`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from collector.ledger import SlotClass, SlotCounts, by_region
from collector.store import Store
from collector.store_runs import RunSummary
from collector.texts.figures import duration_text
from collector.texts.probe_texts import coverage_text
from console.narrow import Entry, fitting
from console.step_table import OUTCOME_STYLES
from probes.records import Outcome

__all__ = ["Board", "BoardRow", "draw_board", "fitting_board", "read_board", "summary_text"]

LONGEST_WINDOW: Final = timedelta(hours=1)
_ALWAYS: Final = "on_time"
_COLUMNS: Final = (_ALWAYS, "late", "missed", "aborted", "maintenance", "missing", "pending")
_WARNED: Final = frozenset({"late", "missed", "aborted", "missing"})


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One scenario in one region."""

    scenario: str
    region: str
    counts: SlotCounts
    last: RunSummary | None


async def read_board(store: Store, from_at: datetime, until_at: datetime, *, now: datetime) -> list[BoardRow]:
    """The rows of [from_at, until_at), by scenario and region; raises StoreError."""
    accounts = await store.accounts(from_at, until_at, now=now)
    last: dict[tuple[str, str], RunSummary] = {}
    for run in await store.runs(from_at, until_at):
        last.setdefault((run.identity.scenario, run.identity.region), run)
    return [BoardRow(*key, counts, last.get(key)) for key, counts in by_region(accounts).items()]


def draw_board(rows: Sequence[BoardRow]) -> Table:
    """A table with a column for each class that has slots; what asks for attention is coloured."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("scenario", no_wrap=True)
    table.add_column("region", no_wrap=True)
    shown = [name for name in _COLUMNS if name == _ALWAYS or any(getattr(row.counts, name) for row in rows)]
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    table.add_column("covered", justify="right", no_wrap=True)
    table.add_column("last run", no_wrap=True)
    previous = ""
    for row in rows:
        cells = [_count_cell(name, getattr(row.counts, name)) for name in shown]
        scenario = row.scenario if row.scenario != previous else ""
        table.add_row(scenario, row.region, *cells, coverage_text(row.counts), last_text(row.last))
        previous = row.scenario
    return table


def fitting_board(console: Console, rows: Sequence[BoardRow]) -> RenderableType:
    """The table, or where it does not fit a few lines for each row."""
    entries, previous = [], ""
    for row in rows:
        heading = Text(row.scenario if row.scenario != previous else "", style="bold")
        facts = [Text(f"{row.region}: covered {coverage_text(row.counts)}"), *_count_facts(row.counts)]
        facts.append(Text("last ").append_text(last_text(row.last)))
        entries.append(Entry(heading, facts))
        previous = row.scenario
    return fitting(console, draw_board(rows), entries)


def _count_facts(counts: SlotCounts) -> list[Text]:
    return [
        Text(f"{count} {name.replace('_', ' ')}", style="yellow" if name in _WARNED else "")
        for name in _COLUMNS
        if (count := getattr(counts, name))
    ]


def _count_cell(name: str, count: int) -> Text:
    return Text(str(count) if count else "·", style="yellow" if count and name in _WARNED else "")


def last_text(run: RunSummary | None) -> Text:
    """How the last run went."""
    if run is None:
        return Text("-", style="dim")
    outcome = _outcome_of(run)
    words = [outcome.value, duration_text(run.duration_ns)]
    if run.is_unfit:
        words.append("(host unfit)")
    elif run.kind is not None:
        words += [run.kind.value, f"in {run.failed_step}" if run.failed_step else ""]
    return Text(" ".join(word for word in words if word), style=OUTCOME_STYLES[outcome])


def _outcome_of(run: RunSummary) -> Outcome:
    return Outcome.INCONCLUSIVE if run.is_unfit else run.outcome


def summary_text(rows: Sequence[BoardRow]) -> str:
    """All rows in one sentence."""
    total = SlotCounts()
    for row in rows:
        total.add(row.counts)
    parts = [f"{count} {name.replace('_', ' ')}" for name in _COLUMNS if (count := getattr(total, name))]
    return f"{total.owed} slots were owed: {', '.join(parts) or 'none'}"


class Board:
    """The slots of a session as they end: `rows` for a table, `news` as lines.

    With `changes_only` a slot that ended as the one before it of that scenario and region is no news.
    """

    def __init__(self, store: Store, started_at: datetime, *, changes_only: bool = False) -> None:
        self._store = store
        self._started_at = started_at
        self._changes_only = changes_only
        self._told: dict[tuple[str, str, datetime], SlotClass] = {}
        self._ended: dict[tuple[str, str], tuple[SlotClass, Outcome | None]] = {}

    async def rows(self, now: datetime) -> list[BoardRow]:
        """What the table shows: the session, or its last hour."""
        return await read_board(self._store, self._from(now), now, now=now)

    async def news(self, now: datetime) -> list[str]:
        """A line for each slot that ended since the last call and is news, oldest first."""
        from_at = self._from(now)
        lines = await self._store.slots(from_at, now, now=now)
        # After them: the run of a slot that ended between the two would be missing.
        runs = {
            (run.identity.scenario, run.identity.region, run.identity.slot_at): run
            for run in await self._store.runs(from_at, now)
        }
        ended = []
        for line in lines:
            key = (line.series.scenario, line.series.address.region, line.slot_at)
            if line.slot_class is SlotClass.PENDING or self._told.get(key) is line.slot_class:
                continue
            self._told[key] = line.slot_class
            ended.append((key, line.slot_class))
        for key in [key for key in self._told if key[2] < from_at]:
            del self._told[key]
        ended.sort(key=lambda slot: (slot[0][2], slot[0]))
        news = [slot for slot in ended if self._is_news(*slot, runs.get(slot[0]))]
        return [" ".join(_words(key, slot_class, runs.get(key))) for key, slot_class in news]

    def _is_news(self, key: tuple[str, str, datetime], slot_class: SlotClass, run: RunSummary | None) -> bool:
        """Whether to tell it; called once for each, oldest first."""
        ended = (slot_class, None if run is None else _outcome_of(run))
        before, self._ended[key[:2]] = self._ended.get(key[:2]), ended
        return ended != before or not self._changes_only

    def _from(self, now: datetime) -> datetime:
        return max(self._started_at, now - LONGEST_WINDOW)


def _words(key: tuple[str, str, datetime], slot_class: SlotClass, run: RunSummary | None) -> Iterator[str]:
    scenario, region, slot_at = key
    yield f"{slot_at:%H:%M:%S} {region:<10} {scenario:<14} {slot_class.value.replace('_', ' '):<8}"
    if run is not None:
        yield last_text(run).plain
