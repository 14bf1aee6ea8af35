"""The store in PostgreSQL, for several collectors at once: one writing connection, a few for reading, rows by COPY.

New rows go in by COPY in its binary form, which costs the server and the driver less than arrays do, down to a single row;
what may meet rows that exist goes as one array per column through `unnest` (docs/adr/0057). Probes are locked by row, so that
two collectors that hear the same probe write its books one after the other. A lock or an answer that does not come in time, a
lost connection, a full disk: all become a StoreError, and the connection is made anew.

Called by `collector.store` when the address says so. Needs the extra `postgres`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import BigInteger, Integer, SmallInteger, Table
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from collector.store_alert_tables import ALERT_TABLES
from collector.store_message_tables import MESSAGE_TABLES
from collector.store_release_tables import RELEASE_TABLES
from collector.store_session import Compiler, Row, StoreError, StoreRefusedError, Work, conflict_clause
from collector.store_tables import TABLES

__all__ = ["PostgresBackend"]

CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0
LOCK_TIMEOUT: Final = "10s"
READERS: Final = 4
NUMBERS_AT_ONCE: Final = 64
SAMPLED_BYTES: Final = 8 << 20
"""How much of a table is looked through to say how full it is: a thousand pages, which tell it to a few percent."""
WIDTHS: Final = ((SmallInteger, 2), (BigInteger, 8), (Integer, 4))
ROW_HEAD_BYTES: Final = 24
POINTER_BYTES: Final = 4
ALIGNED_BYTES: Final = 8
"""How a row lies on its page, each number at a multiple of its width. Source: PostgreSQL's manual, "Database Page Layout"."""
SCHEMA_LOCK: Final = 7_295_321  # any number that other programs on this database do not use
DIALECT: Final[Dialect] = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]  # it ships without types
Answer = TypeVar("Answer")


def array_text(numbers: Iterable[int]) -> str:
    """Numbers as the text of an array, for a placeholder of `::text::bigint[]`.

    The driver asks of every element of an array whether it is an array too, which took a fifth of the collector's time; the text
    of a list of numbers is made by one call, and the server reads it as quickly. Nor does it know arrays of numbers on a new
    connection: it looks each kind up, and the first records wait for that.
    """
    return f"{{{str(list(numbers))[1:-1]}}}"


class ColumnInsert:
    """Inserts whole columns of a table."""

    def __init__(self, table: Table) -> None:
        kinds = [column.type.compile(dialect=DIALECT) for column in table.columns]
        self._are_numbers = [isinstance(column.type, Integer) for column in table.columns]
        arrays = ", ".join(
            f"${number}::text::{kind}[]" if is_number else f"${number}::{kind}[]"
            for number, (kind, is_number) in enumerate(zip(kinds, self._are_numbers, strict=True), 1)
        )
        names = ", ".join(table.columns.keys())
        self.text = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our tables

    def arguments(self, rows: Sequence[Row]) -> list[object]:
        """The statement's values for these rows, one or more."""
        columns = zip(*rows, strict=True)
        return [
            array_text(column) if is_number else column
            for column, is_number in zip(columns, self._are_numbers, strict=True)
        ]


def select_of(table: Table) -> str:
    """The statement that finds the whole rows of keys, numbers that come as the text of one array per column."""
    key = table.primary_key.columns
    kinds = [column.type.compile(dialect=DIALECT) for column in key]
    arrays = ", ".join(f"${number}::text::{kind}[]" for number, kind in enumerate(kinds, 1))
    return f"SELECT * FROM {table.name} WHERE ({', '.join(key.keys())}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608 - our tables


INSERTS: Final = {table.name: ColumnInsert(table) for table in TABLES}
ALL_TABLES: Final = (*TABLES, *ALERT_TABLES, *MESSAGE_TABLES, *RELEASE_TABLES)


def width_of(table: Table) -> tuple[int, list[str]]:
    """What a row takes without its texts and bodies, and the columns of those."""
    at, others = ROW_HEAD_BYTES, []
    for column in table.columns:
        width = next((width for kind, width in WIDTHS if isinstance(column.type, kind)), 0)
        at += -at % width + width if width else 0
        if not width:
            others.append(column.name)
    return at + -at % ALIGNED_BYTES + POINTER_BYTES, others


def row_bytes_of(table: Table) -> str:
    """The sum of what the rows on a share ($1, in percent) of a table's pages take, the same pages each time."""
    width, others = width_of(table)
    parts = " + ".join((str(width), *(f"coalesce(pg_column_size({name}), 0)" for name in others)))
    return f"SELECT coalesce(sum({parts}), 0) FROM {table.name} TABLESAMPLE SYSTEM ($1) REPEATABLE (1)"  # noqa: S608 - our tables


class BatchNumbers:
    """Numbers for batches, fetched a few at a time; those that are never used leave holes that nobody minds."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    async def next_one(self, db: asyncpg.Connection) -> int:
        """A number that nobody else has."""
        if not self._numbers:
            query = "SELECT nextval(pg_get_serial_sequence('batches', 'batch_no')) FROM generate_series(1, $1::integer)"
            self._numbers = [row[0] for row in await db.fetch(query, NUMBERS_AT_ONCE)][::-1]
        return self._numbers.pop()


class PostgresSession:
    """A transaction on a connection of asyncpg."""

    def __init__(self, db: asyncpg.Connection, compiler: Compiler, numbers: BatchNumbers) -> None:
        self._db = db
        self._compiler = compiler
        self._numbers = numbers

    async def fetch(self, statement: ClauseElement, **values: object) -> list[Row]:
        """The rows of a query."""
        text = self._compiler.text_of(statement)
        return [tuple(record) for record in await self._db.fetch(text.text, *text.arguments(values))]

    async def execute(self, statement: ClauseElement, **values: object) -> int:
        """Run a statement that changes something."""
        text = self._compiler.text_of(statement)
        tag = await self._db.execute(text.text, *text.arguments(values))
        count = str(tag).rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def script(self, statements: Sequence[str]) -> None:
        """Run statements as they stand."""
        for statement in statements:
            await self._db.execute(statement)

    async def has_table(self, name: str) -> bool:
        """Whether there is a table of that name where unqualified names are looked for."""
        return await self._db.fetchval("SELECT to_regclass($1::text) IS NOT NULL", name) is True

    async def lock_schema(self) -> None:
        """Keep other collectors from migrating until the transaction ends."""
        await self._db.execute(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert whole rows; raises StoreRefusedError for a value that its column cannot hold."""
        if rows:
            await self._copy(table, rows)

    async def insert_flat(self, table: Table, same: Row, values: list[int]) -> None:
        """Insert rows with the same first columns; they are made one at a time, while the first are on their way."""
        width = len(table.columns) - len(same)
        if values:
            await self._copy(table, ((*same, *values[at : at + width]) for at in range(0, len(values), width)))

    async def _copy(self, table: Table, rows: Iterable[Row]) -> None:
        try:
            await self._db.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())
        except UNFIT as error:
            raise StoreRefusedError(f"the driver refuses the rows: {error}", where=table.name) from error

    async def insert_new(self, table: Table, rows: Sequence[Row]) -> bool:
        """Insert whole rows, all or nothing."""
        try:
            async with self._db.transaction():
                await self.insert(table, rows)
        except asyncpg.UniqueViolationError:
            return False
        return True

    async def add_up(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Insert or add, in one statement."""
        if not rows:
            return []
        one = INSERTS[table.name]
        text = f"{one.text} {conflict_clause(table, adds=True)} RETURNING *"
        return [tuple(record) for record in await self._db.fetch(text, *one.arguments(rows))]

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert or replace, in one statement."""
        if rows:
            one = INSERTS[table.name]
            await self._db.execute(f"{one.text} {conflict_clause(table, adds=False)}", *one.arguments(rows))

    async def rows_at(self, table: Table, keys: Sequence[Row]) -> list[Row]:
        """The rows with these keys."""
        if not keys:
            return []
        columns = map(array_text, zip(*keys, strict=True))
        return [tuple(record) for record in await self._db.fetch(select_of(table), *columns)]

    async def lock_senders(self, sender_ids: Sequence[int]) -> None:
        """Lock the probes' rows in ascending order."""
        query = "SELECT 1 FROM senders WHERE sender_id = ANY($1::text::bigint[]) ORDER BY sender_id FOR UPDATE"
        await self._db.execute(query, array_text(sender_ids))

    async def next_batch_no(self) -> int:
        """A number from the database's own counter."""
        return await self._numbers.next_one(self._db)

    async def size_bytes(self) -> int:
        """Tables with their indexes, and with the room that deleted rows have left in them: a server keeps it."""
        query = "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest($1::text[]) AS name"
        return int(await self._db.fetchval(query, [table.name for table in ALL_TABLES]))

    async def used_bytes(self) -> int:
        """The same without that room: of each table and its indexes the share that its rows take, by a sample of its pages."""
        query = (
            "SELECT pg_relation_size(name), pg_table_size(name), pg_total_relation_size(name) "
            "FROM CAST($1::text AS regclass) AS name"
        )
        used = 0.0
        for table in ALL_TABLES:
            of_rows, with_bodies, with_indexes = await self._db.fetchrow(query, table.name)
            if not of_rows:
                continue
            share = min(1.0, SAMPLED_BYTES / of_rows)
            of_sample = await self._db.fetchval(row_bytes_of(table), 100 * share)
            used += with_indexes * min(1.0, of_sample / share / with_bodies)
        return int(used)


class PostgresBackend:
    """One database. Writing goes one transaction at a time, on a connection of its own; reading goes beside it."""

    dialect: Dialect = DIALECT

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.only_reads = False
        self.where = f"postgresql://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._url = url
        self._compiler = Compiler(DIALECT)
        self._numbers = BatchNumbers()
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="store-judge")
        self._turn = asyncio.Lock()
        self._readers = asyncio.Semaphore(READERS)
        self._idle: list[asyncpg.Connection] = []
        self._writer: asyncpg.Connection | None = None

    @property
    def groups_at_once(self) -> int:
        """Two: while the server writes one, the next is judged."""
        return 2

    async def compute(self, work: Callable[[], Answer]) -> Answer:
        """In a thread, so that the loop goes on; one after the other, or all groups would be ready late and together."""
        return await asyncio.get_running_loop().run_in_executor(self._judge, work)

    async def open(self) -> None:
        """Connect; raises StoreError."""
        with self._translated():
            self._writer = await self._connect()

    async def close(self) -> None:
        """Disconnect, politely as far as the server still listens."""
        connections = [*self._idle, *([self._writer] if self._writer else [])]
        self._idle, self._writer = [], None
        self._judge.shutdown()
        for connection in connections:
            try:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def write(self, work: Work[Answer]) -> Answer:
        """Run the work in one transaction and commit it."""
        async with self._turn:
            with self._translated():
                if self._writer is None or self._writer.is_closed():
                    self._writer = await self._connect()
                try:
                    async with self._writer.transaction():
                        return await work(PostgresSession(self._writer, self._compiler, self._numbers))
                except BROKEN:
                    self._writer.terminate()
                    raise

    async def read(self, work: Work[Answer]) -> Answer:
        """Run queries on one state of the database."""
        async with self._readers:
            with self._translated():
                connection = self._idle.pop() if self._idle else await self._connect()
                try:
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        answer = await work(PostgresSession(connection, self._compiler, self._numbers))
                except BaseException:
                    connection.terminate()
                    raise
                self._idle.append(connection)
                return answer

    async def _connect(self) -> asyncpg.Connection:
        settings = {"application_name": "probe-fleet", "lock_timeout": LOCK_TIMEOUT, "jit": "off", "timezone": "UTC"}
        return await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, server_settings=settings
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except REFUSALS as error:
            raise StoreRefusedError(f"the database refuses the rows: {error}", where=self.where) from error
        except (*BROKEN, asyncpg.PostgresError) as error:
            remedy = (
                "What was under way is undone as a whole; check that the server runs, that it has room on its disk, and that "
                "user name and password are right"
            )
            text = str(error) or type(error).__name__
            raise StoreError(f"the database cannot be used: {text}", where=self.where, remedy=remedy) from error


# What the rows themselves are to blame for; every other error is the server's, the disk's or the network's.
REFUSALS: Final[tuple[type[Exception], ...]] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.exceptions.UntranslatableCharacterError,
)
# What the driver says of a value before the server has seen it: too large, of another type, not to be encoded.
UNFIT: Final = (OverflowError, TypeError, ValueError)
# After these a connection is not used again.
BROKEN: Final[tuple[type[Exception], ...]] = (OSError, TimeoutError, asyncpg.InterfaceError)
