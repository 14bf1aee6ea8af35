"""Days of columns into the store, the same on SQLite and on PostgreSQL: what adding cell by cell makes of them."""

from __future__ import annotations

import random

import numpy as np
from sqlalchemy import delete, select

from collector.column_scoring import CellColumns, DayCells, SlotPlace
from collector.columns import Numbers
from collector.store import backend_for, open_store
from collector.store_bulk import KnownNames, add_days, in_portions
from collector.store_cells import CellKey, add_cells
from collector.store_session import Row, Session
from collector.store_tables import cell_days, cells
from slo.cells import Cell
from tests.store_kit import OTHER, PROBE

FIRST_DAY = 20_000
CHECKS = {"fast": 1, "whole": 2, "never": 3}
NAMES = KnownNames(CHECKS, {PROBE: 1, OTHER: 2}, {"stand-in": 5})
PLACES = (SlotPlace(OTHER, "stand-in"), SlotPlace(PROBE, ""), SlotPlace(PROBE, "stand-in"))


def some_day(dice: random.Random, day: int) -> DayCells:
    """A day in which the places come in another order, some minutes are silent, and one check has nothing at all."""
    places = tuple(dice.sample(PLACES, dice.choice([1, 2, 3])))
    tables = {key: some_table(dice, day, len(places) if key != "never" else 0) for key in CHECKS}
    return DayCells(day, places, tables)


def some_table(dice: random.Random, day: int, places: int) -> CellColumns:
    """Columns of cells by place and minute, none of them empty."""
    rows = [
        (place, day * 1440 + minute, dice.choice([0, 1, 300]), dice.choice([0, 0, 2]), dice.choice([0, 1]), 1)
        for place in range(places)
        for minute in sorted(dice.sample(range(1440), dice.choice([1, 700])))
    ]
    columns: list[Numbers] = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    return CellColumns(*(columns or [np.zeros(0, dtype=np.int64)] * 6))


def cells_of(days: list[DayCells]) -> dict[CellKey, Cell]:
    """The same cells, one by one."""
    found = {}
    for day in days:
        for key, table in day.cells.items():
            columns = (table.place, table.minute, table.good, table.bad, table.inconclusive, table.runs)
            for place, minute, *counts in zip(*(column.tolist() for column in columns), strict=True):
                found[CHECKS[key], *NAMES.of(day.places[place]), minute] = Cell(*counts)
    return found


async def test_days_at_once_leave_what_cells_one_by_one_do(url: str) -> None:
    """In cells, sums and votes: into a database that has none, and on top of what is there."""
    dice = random.Random(7)
    days = [some_day(dice, FIRST_DAY + number) for number in range(5)]
    async with open_store(url):
        pass  # makes the tables
    backend = backend_for(url, survives_power_cut=False)
    await backend.open()

    async def kept(session: Session) -> list[list[Row]]:
        return [await session.fetch(select(table).order_by(*table.primary_key.columns)) for table in (cells, cell_days)]

    async def one_by_one(session: Session) -> list[list[Row]]:
        await add_cells(session, cells_of(days))
        once = await kept(session)
        await add_cells(session, cells_of(days))
        twice = await kept(session)
        for table in (cells, cell_days):
            await session.execute(delete(table))
        return once + twice

    async def at_once(session: Session) -> list[list[Row]]:
        found = []
        for _ in range(2):
            count = sum([await add_days(session, key, days, NAMES) for key in CHECKS])
            assert count == len(cells_of(days))
            found += await kept(session)
        return found

    expected = await backend.write(one_by_one)
    found = await backend.write(at_once)
    await backend.close()
    assert expected[0]
    assert found == expected


def test_no_more_days_are_held_than_memory_was_given_for() -> None:
    """A day is never cut, a day that is too large comes alone, and none is lost."""
    dice = random.Random(8)
    days = [some_day(dice, FIRST_DAY + number) for number in range(9)]
    sizes = {day.day: sum(len(table.minute) for table in day.cells.values()) for day in days}
    limit = max(sizes.values()) - 1
    portions = list(in_portions(iter(days), cells_at_once=limit))
    assert [day for portion in portions for day in portion] == days
    assert all(len(portion) == 1 or sum(sizes[day.day] for day in portion) <= limit for portion in portions)
    assert 1 < len(portions) < len(days)
