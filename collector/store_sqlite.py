"""The store in one SQLite file: a writer thread of its own, a reader thread of its own, commits that survive a power cut.

WAL, so that readers never wait for the writer; `synchronous=FULL`, because a probe forgets what is acknowledged. Another
process that holds the file is waited for, for a bounded time. Whatever the disk, the file or the lock refuses becomes
a StoreError, and then nothing of the transaction is stored.

Called by `collector.store`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from collector.store_session import Compiler, Row, StoreError, StoreRefusedError, Work, conflict_clause
from collector.store_tables import TABLES

__all__ = ["SqliteBackend", "may_be_written"]

BUSY_TIMEOUT_S: Final = 5.0
CACHE_KIB: Final = 65_536
WAL_LIMIT_BYTES: Final = 64 << 20
CHECKPOINT_PAGES: Final = (
    4_000  # a lone record touches some ten pages: rare enough that its p99 does not meet a checkpoint
)
ROWS_AT_ONCE: Final = 50
VALUES_AT_ONCE: Final = 2_400
"""Of flat rows; SQLite takes 32,766 in one statement, and more than this is no faster."""


def insert_of(table: Table, count: int) -> str:
    """The statement that inserts so many whole rows."""
    row = f"({', '.join('?' for _ in table.columns)})"
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES {', '.join([row] * count)}"  # noqa: S608 - our tables


@lru_cache(maxsize=64)
def flat_insert_of(table: Table, same: int, count: int) -> str:
    """The statement that inserts so many rows whose first columns are given once, before the others of all rows."""
    firsts = [f"?{number}" for number in range(1, same + 1)]
    width = len(table.columns) - same
    starts = range(same + 1, same + 1 + count * width, width)
    rows = (f"({', '.join([*firsts, *(f'?{start + at}' for at in range(width))])})" for start in starts)
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES {', '.join(rows)}"  # noqa: S608 - our tables


def select_of(table: Table, count: int) -> str:
    """The statement that finds the whole rows of so many keys."""
    names = table.primary_key.columns.keys()
    key = f"({', '.join('?' for _ in names)})"
    wanted = ", ".join([key] * count)
    return f"SELECT * FROM {table.name} WHERE ({', '.join(names)}) IN (VALUES {wanted})"  # noqa: S608 - our tables


INSERTS: Final = {table.name: (insert_of(table, 1), insert_of(table, ROWS_AT_ONCE)) for table in TABLES}
# What the rows themselves are to blame for; every other error is the file's, the disk's or the lock's.
REFUSALS: Final = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError)
Answer = TypeVar("Answer")


class SqliteSession:
    """A transaction on a connection of the standard library; none of its methods ever waits for the loop."""

    def __init__(self, db: sqlite3.Connection, compiler: Compiler) -> None:
        self._db = db
        self._compiler = compiler
        self._last_batch_no = 0

    async def fetch(self, statement: ClauseElement, **values: object) -> list[Row]:
        """The rows of a query."""
        text = self._compiler.text_of(statement)
        return self._db.execute(text.text, text.arguments(values)).fetchall()

    async def execute(self, statement: ClauseElement, **values: object) -> int:
        """Run a statement that changes something."""
        text = self._compiler.text_of(statement)
        return self._db.execute(text.text, text.arguments(values)).rowcount

    async def script(self, statements: Sequence[str]) -> None:
        """Run statements as they stand."""
        for statement in statements:
            self._db.execute(statement)

    async def has_table(self, name: str) -> bool:
        """Whether there is a table of that name."""
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self._db.execute(query, (name,)).fetchone()[0])

    async def lock_schema(self) -> None:
        """The whole file is locked already."""

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert whole rows, many by one statement: a third faster, and the interpreter's lock is given away less often."""
        single, many = INSERTS[table.name]
        whole = len(rows) - len(rows) % ROWS_AT_ONCE
        starts = range(0, whole, ROWS_AT_ONCE)
        self._db.executemany(many, (list(chain.from_iterable(rows[at : at + ROWS_AT_ONCE])) for at in starts))
        self._db.executemany(single, rows[whole:])

    async def insert_flat(self, table: Table, same: Row, values: list[int]) -> None:
        """Insert rows with the same first columns: fewer values to hand over, and no row is ever a tuple."""
        width = len(table.columns) - len(same)
        at_once = VALUES_AT_ONCE // width
        whole = len(values) - len(values) % (at_once * width)
        first = list(same)
        many, single = (flat_insert_of(table, len(same), count) for count in (at_once, 1))
        step = at_once * width
        self._db.executemany(many, (first + values[at : at + step] for at in range(0, whole, step)))
        self._db.executemany(single, (first + values[at : at + width] for at in range(whole, len(values), width)))

    async def insert_new(self, table: Table, rows: Sequence[Row]) -> bool:
        """Insert whole rows, all or nothing."""
        self._db.execute("SAVEPOINT new_rows")
        try:
            await self.insert(table, rows)
        except sqlite3.IntegrityError:
            self._db.execute("ROLLBACK TO new_rows")
            return False
        finally:
            if self._db.in_transaction:  # a full disk ends the whole transaction by itself
                self._db.execute("RELEASE new_rows")
        return True

    async def add_up(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Insert or add, many rows by one statement."""
        tail = f" {conflict_clause(table, adds=True)} RETURNING *"
        return [
            row for some in pieces(rows) for row in self._db.execute(insert_of(table, len(some)) + tail, flat(some))
        ]

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert or replace."""
        tail = f" {conflict_clause(table, adds=False)}"
        for some in pieces(rows):
            self._db.execute(insert_of(table, len(some)) + tail, flat(some))

    async def rows_at(self, table: Table, keys: Sequence[Row]) -> list[Row]:
        """The rows with these keys."""
        return [row for some in pieces(keys) for row in self._db.execute(select_of(table, len(some)), flat(some))]

    async def lock_senders(self, sender_ids: Sequence[int]) -> None:
        """The whole file is locked already."""

    async def next_batch_no(self) -> int:
        """One more than the highest, which nobody else can give: the file is locked."""
        if not self._last_batch_no:
            ((self._last_batch_no,),) = self._db.execute("SELECT coalesce(max(batch_no), 0) FROM batches")
        self._last_batch_no += 1
        return self._last_batch_no

    async def size_bytes(self) -> int:
        """Pages in use."""
        pages, free, page_bytes = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    async def used_bytes(self) -> int:
        """The same: what deleted rows leave is known here."""
        return await self.size_bytes()


def pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in portions, full ones first and the rest one by one: few different statements, each prepared once."""
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    for at in range(0, whole, ROWS_AT_ONCE):
        yield rows[at : at + ROWS_AT_ONCE]
    for at in range(whole, len(rows)):
        yield rows[at : at + 1]


def flat(rows: Sequence[Row]) -> list[Any]:
    """The values of rows, one after the other."""
    return list(chain.from_iterable(rows))


class SqliteBackend:
    """One file, two connections: writing and reading each have a thread, and go one at a time there."""

    dialect: Dialect = sqlite.dialect()

    def __init__(
        self,
        path: Path,
        *,
        survives_power_cut: bool = True,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        only_reads: bool = False,
    ) -> None:
        """`only_reads`: for a file that may not be written."""
        self.where = str(path)
        self.only_reads = only_reads
        self._path = path
        self._synchronous = "FULL" if survives_power_cut else "NORMAL"
        self._busy_timeout_s = busy_timeout_s
        self._compiler = Compiler(self.dialect)
        self._read_compiler = Compiler(self.dialect)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._write_db: sqlite3.Connection | None = None
        self._read_db: sqlite3.Connection | None = None

    @property
    def groups_at_once(self) -> int:
        """One: a second would only make both smaller, and wait for the disk twice."""
        return 1

    async def compute(self, work: Callable[[], Answer]) -> Answer:
        """In the writer's thread, which has nothing else to do until the result is there."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def open(self) -> None:
        """Open or make the file; raises StoreError."""
        loop = asyncio.get_running_loop()
        self._write_db = await loop.run_in_executor(self._writer, self._connect)
        self._read_db = await loop.run_in_executor(self._reader, self._connect)

    async def close(self) -> None:
        """Finish what was begun and give the file back; the reader first, so that the last one out folds the log in."""
        loop = asyncio.get_running_loop()
        for executor, db in ((self._reader, self._read_db), (self._writer, self._write_db)):
            if db is not None:
                await loop.run_in_executor(executor, db.close)
            executor.shutdown()

    async def write(self, work: Work[Answer]) -> Answer:
        """Run the work in one transaction and commit it."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write_in_thread, work)

    async def read(self, work: Work[Answer]) -> Answer:
        """Run queries on one state of the database."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read_in_thread, work)

    def _write_in_thread(self, work: Work[Answer]) -> Answer:
        with self._translated():
            return in_transaction(opened(self._write_db), "BEGIN IMMEDIATE", work, self._compiler)

    def _read_in_thread(self, work: Work[Answer]) -> Answer:
        with self._translated():
            return in_transaction(opened(self._read_db), "BEGIN", work, self._read_compiler)

    def _connect(self) -> sqlite3.Connection:
        with self._translated():
            if self.only_reads:
                return connect_to_read(self._path, self._busy_timeout_s)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(f"PRAGMA synchronous = {self._synchronous}")
                db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
                db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            except sqlite3.Error:
                db.close()
                raise
            return db

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except REFUSALS as error:
            raise StoreRefusedError(f"the database refuses the rows: {error}", where=self.where) from error
        except (sqlite3.Error, OSError) as error:
            remedy = (
                "What was under way is undone as a whole; check the disk's free space and the permissions of the file and its "
                "folder, and that no other program holds the file. A damaged file must be replaced by a copy"
            )
            raise StoreError(f"the database cannot be used: {error}", where=self.where, remedy=remedy) from error


def may_be_written(path: Path) -> bool:
    """Whether this user can write the file and its folder, both of which SQLite does even to read a file with a log of writes."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def connect_to_read(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that changes nothing, also on a disk that takes no writes.

    Such a file cannot be locked. On a disk that is mounted so that nothing is written, and without a log of writes beside the
    file, nobody has it open here, and it is read as what never changes. Otherwise it is read beside whoever writes it, which
    needs the log and its index to be there: SQLite refuses to guess what is in a log without one. Source: sqlite.org/wal.html,
    section "Read-Only Databases".
    """
    never_changes = bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not Path(f"{path}-wal").exists()
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if never_changes else ''}"
    db = sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM sqlite_master")  # the file is looked at only now
    except sqlite3.Error:
        db.close()
        raise
    return db


def opened(db: sqlite3.Connection | None) -> sqlite3.Connection:
    """The connection; raises StoreError when there is none."""
    if db is None:
        raise StoreError("the database is not open")
    return db


def in_transaction(db: sqlite3.Connection, begin: str, work: Work[Answer], compiler: Compiler) -> Answer:
    """Run the work between `begin` and a commit; whatever it raises, the transaction is undone."""
    db.execute(begin)
    try:
        answer = run_at_once(work(SqliteSession(db, compiler)))
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error says more; a connection that cannot roll back has nothing open
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
    return answer


def run_at_once(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a coroutine that never waits: the rules are written once, for a driver that waits and one that does not."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    coroutine.close()
    raise StoreError("a transaction on a file waited for something else")
