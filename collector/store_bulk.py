"""Days of cells into the database at once: what `collector.store_cells.add_cells` does with a mapping, for columns.

All days of one check go in together, in the order of their keys, so that the tree of a new database only ever grows at its end:
that costs half of what a day at a time does. Where nothing is stored yet, rows go in without being looked for first, and the
votes of days are packed as one array. Where something is, the counts are added in the ordinary way. Refuses to take anything
away: who wants to replace cells removes them first.

Needs numpy (extra `export`). Called by `bench.scoring` and tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from collector.column_scoring import CellColumns, DayCells, SlotPlace
from collector.columns import Numbers
from collector.store_cells import NO_TARGET, CellKey, add_cells
from collector.store_session import Row, Session
from collector.store_tables import cell_days, cells
from probes.messages import Address
from slo.cells import Cell
from slo.window import MINUTES_PER_DAY

__all__ = ["KnownNames", "add_days", "in_portions"]

PlaceIds = tuple[int, int]
"""Target, probe."""
BITS: Final = 3
CELLS_AT_ONCE: Final = 12_000_000
"""Columns of so many cells are some 600 MB; a month of twelve regions and the built-in objectives has fewer."""


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The numbers that the database gave to checks, probes and targets."""

    check_ids: Mapping[str, int]
    sender_ids: Mapping[Address, int]
    target_ids: Mapping[str, int]

    def of(self, place: SlotPlace) -> PlaceIds:
        """Where cells of this place are kept; KeyError for a probe or a target that the store has never heard of."""
        return self.target_ids[place.target] if place.target else NO_TARGET, self.sender_ids[place.sender]


def in_portions(days: Iterable[DayCells], *, cells_at_once: int = CELLS_AT_ONCE) -> Iterator[list[DayCells]]:
    """The days in lists of as many as may be held in memory together."""
    held: list[DayCells] = []
    count = 0
    for day in days:
        more = sum(len(table.minute) for table in day.cells.values())
        if held and count + more > cells_at_once:
            yield held
            held, count = [], 0
        held.append(day)
        count += more
    if held:
        yield held


async def add_days(session: Session, key: str, days: Sequence[DayCells], names: KnownNames) -> int:
    """Add one check's counts of different days, in their order, to both tables, and say how many cells they have.

    The lock of every probe among them must be held.
    """
    check_id = names.check_ids[key]
    of_places = _by_place(key, days, names)
    day_rows = [row for place in sorted(of_places) for row in _day_rows((check_id, *place), of_places[place])]
    is_new = not await session.rows_at(cell_days, [row[:4] for row in day_rows])
    count = 0
    for place in sorted(of_places):
        minutes = np.concatenate([columns[0] for columns in of_places[place]])
        counts = [
            np.concatenate(several) for several in zip(*(columns[1:] for columns in of_places[place]), strict=True)
        ]
        table = np.stack([minutes, *counts], axis=1)
        count += len(table)
        if is_new:
            await session.insert_flat(cells, (check_id, *place), table.ravel().tolist())
        else:
            await add_cells(session, dict(_cells_of((check_id, *place), table)))
    if is_new:
        await session.insert(cell_days, day_rows)
    return count


OfPlace = list[tuple[Numbers, ...]]
"""Minute, good, bad, inconclusive, runs of one place and check, day by day."""


def _by_place(key: str, days: Sequence[DayCells], names: KnownNames) -> Mapping[PlaceIds, OfPlace]:
    found: dict[PlaceIds, OfPlace] = defaultdict(list)
    for day in days:
        table = day.cells[key]
        columns = (table.minute, table.good, table.bad, table.inconclusive, table.runs)
        for number, first, end in _places_of(table):
            found[names.of(day.places[number])].append(tuple(column[first:end] for column in columns))
    return found


def _cells_of(place: tuple[int, int, int], table: Numbers) -> Iterator[tuple[CellKey, Cell]]:
    for minute, *counts in table.tolist():
        yield (*place, minute), Cell(*counts)


def _day_rows(place: tuple[int, int, int], of_place: OfPlace) -> Iterator[Row]:
    """The rows of `cell_days`: sums, and the votes by the rule of `slo.cells`: a tie is good, a minute without events is mute."""
    for minute, good, bad, inconclusive, runs in of_place:
        day = int(minute[0]) // MINUTES_PER_DAY
        is_bad = bad > good
        has_events = good + bad > 0
        votes = np.zeros((BITS, MINUTES_PER_DAY), dtype=np.bool_)
        at = minute - day * MINUTES_PER_DAY
        votes[0, at], votes[1, at], votes[2, at] = has_events & ~is_bad, is_bad, ~has_events & (inconclusive > 0)
        bits = [of_vote.tobytes() for of_vote in np.packbits(votes, axis=1, bitorder="little")]
        sums = [int(column.sum()) for column in (good, bad, inconclusive, runs)]
        yield (*place, day, *sums, *bits)


def _places_of(table: CellColumns) -> Iterator[tuple[int, int, int]]:
    """The number of each place in the table, and the rows that it has."""
    place: Numbers = table.place
    if not len(place):
        return
    edges = [0, *(np.flatnonzero(place[1:] != place[:-1]) + 1).tolist(), len(place)]
    for first, end in pairwise(edges):
        yield int(place[first]), first, end
