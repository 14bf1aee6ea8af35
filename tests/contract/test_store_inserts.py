"""What a session promises of rows that it inserts, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from collector.store import backend_for, open_store
from collector.store_session import Row, Session, StoreRefusedError
from collector.store_tables import cells, runs, senders, steps
from tests.store_kit import NOW, OTHER, PROBE

FIRST_MS = 1_800_000_000_000
MORE_THAN_A_MESSAGE = 20_000


def run_rows(count: int) -> list[Row]:
    """Rows of runs, the first at FIRST_MS."""
    return [(FIRST_MS + number, 1, 0, *[0] * 11) for number in range(count)]


async def count_of(session: Session) -> int:
    """How many runs there are."""
    ((count,),) = await session.fetch(select(func.count()).select_from(runs))
    return int(count)


@pytest.mark.parametrize("known", [0, MORE_THAN_A_MESSAGE - 1], ids=["the first row", "the last row"])
async def test_rows_with_one_known_key_stay_out_and_the_transaction_goes_on(url: str, known: int) -> None:
    """Even when the database says so while rows are still being sent: what follows in the transaction is stored."""
    rows = run_rows(MORE_THAN_A_MESSAGE)

    async def work(session: Session) -> tuple[bool, bool, int]:
        await session.insert(runs, [rows[known]])
        was_new = await session.insert_new(runs, rows)
        rest_was_new = await session.insert_new(runs, [row for row in rows if row != rows[known]][:10])
        return was_new, rest_was_new, await count_of(session)

    async with open_store(url):
        backend = backend_for(url, survives_power_cut=False)
        await backend.open()
        assert await backend.write(work) == (False, True, 11)
        assert await backend.read(count_of) == 11
        await backend.close()


@pytest.mark.parametrize("value", [None, 1 << 70], ids=["nothing", "a number beyond 64 bits"])
async def test_a_value_that_its_column_cannot_hold_undoes_the_transaction_alone(url: str, value: object) -> None:
    """The rows are to blame, and the database serves the next transaction."""
    good, bad = run_rows(2)

    async def refused(session: Session) -> None:
        await session.insert(runs, [good])
        await session.insert(runs, [(*bad[:3], value, *bad[4:])])

    async def stored(session: Session) -> int:
        await session.insert(runs, [good, bad])
        return await count_of(session)

    async with open_store(url):
        backend = backend_for(url, survives_power_cut=False)
        await backend.open()
        for _ in range(2):
            with pytest.raises(StoreRefusedError):
                await backend.write(refused)
        assert await backend.write(stored) == 2
        await backend.close()


async def test_no_rows_are_inserted_without_a_word_and_flat_ones_become_whole(url: str) -> None:
    """Rows that share their first columns are given as numbers, one row after the other."""

    async def work(session: Session) -> tuple[list[Row], list[Row]]:
        await session.insert(steps, [])
        await session.insert_flat(cells, (1, 2, 3), [10, 1, 0, 0, 1, 11, 0, 1, 0, 1])
        return await session.fetch(select(steps)), await session.fetch(select(cells).order_by(cells.c.minute))

    async with open_store(url):
        backend = backend_for(url, survives_power_cut=False)
        await backend.open()
        assert await backend.write(work) == ([], [(1, 2, 3, 10, 1, 0, 0, 1), (1, 2, 3, 11, 0, 1, 0, 1)])
        await backend.close()


async def test_what_a_probe_says_of_itself_uses_up_no_numbers(url: str) -> None:
    """Statuses come for years: a probe that is new then must still get a number that every table can hold."""
    async with open_store(url) as store:
        for _ in range(20):
            await store.note_status(PROBE, b"{}", NOW)
        await store.note_status(OTHER, b"{}", NOW)

        async def numbers(session: Session) -> list[Row]:
            return await session.fetch(select(senders.c.sender_id).order_by(senders.c.sender_id))

        assert await store._backend.read(numbers) == [(1,), (2,)]
