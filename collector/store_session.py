"""The seam between rules and databases: statements of SQLAlchemy Core in, rows out, inside one transaction.

A statement is described once and compiled once per dialect; the drivers are then called in their fast form, because
SQLAlchemy's own execution costs two thirds of the throughput (docs/adr/0024). What all of this refuses: to hold rules, and to
hide an error of the database; each back end translates its driver's errors into the three below.

Called by `collector.store_commit` and `collector.store_queries`; implemented by `collector.store_sqlite` and
`collector.store_postgres`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Table
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from probes.errors import BugError, DependencyError

__all__ = [
    "Backend",
    "Compiler",
    "Row",
    "Session",
    "SqlText",
    "StoreError",
    "StoreRefusedError",
    "Work",
    "conflict_clause",
]

Row = tuple[Any, ...]
MOST_KEPT: Final = 512
"""Compiled statements of one dialect; the program has some hundred that last."""


class StoreError(DependencyError):
    """The database cannot be used now: busy, disk full, damaged, gone. Nothing was stored; it may be tried again."""


class StoreRefusedError(BugError):
    """The database is well and refuses these very rows; trying them again would end the same way."""


Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class Session(Protocol):
    """An open transaction."""

    async def fetch(self, statement: ClauseElement, **values: object) -> list[Row]:
        """The rows of a query."""
        ...

    async def execute(self, statement: ClauseElement, **values: object) -> int:
        """Run a statement that changes something; returns how many rows it touched."""
        ...

    async def script(self, statements: Sequence[str]) -> None:
        """Run statements as they stand, one after the other."""
        ...

    async def has_table(self, name: str) -> bool:
        """Whether there is a table of that name."""
        ...

    async def lock_schema(self) -> None:
        """Keep other collectors from migrating until the transaction ends."""
        ...

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert whole rows, in the order of the table's columns."""
        ...

    async def insert_flat(self, table: Table, same: Row, values: list[int]) -> None:
        """Insert rows whose first columns are the `same` numbers in all; `values` are the other columns, row after row."""
        ...

    async def insert_new(self, table: Table, rows: Sequence[Row]) -> bool:
        """Insert whole rows, all or nothing: False, and nothing inserted, when a key exists already."""
        ...

    async def add_up(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Insert whole rows with distinct keys; where a key exists, add the numbers to it. Returns the rows as they are now."""
        ...

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert whole rows with distinct keys, in the place of those that exist."""
        ...

    async def rows_at(self, table: Table, keys: Sequence[Row]) -> list[Row]:
        """The whole rows with these keys, those that exist."""
        ...

    async def lock_senders(self, sender_ids: Sequence[int]) -> None:
        """Keep other collectors from these probes until the transaction ends; ascending, or two may wait in a circle."""
        ...

    async def next_batch_no(self) -> int:
        """A number for a batch that no other one has."""
        ...

    async def size_bytes(self) -> int:
        """What the data takes on disk, as far as it costs nothing to ask: a server counts room that it will use again."""
        ...

    async def used_bytes(self) -> int:
        """The same without room that is free to be used again: it shrinks as soon as rows are deleted."""
        ...


class Work(Protocol[Answer_co]):
    """What is done inside a transaction."""

    def __call__(self, session: Session) -> Coroutine[Any, Any, Answer_co]:
        """Do it."""
        ...


class Backend(Protocol):
    """A database: runs work in transactions and translates what the driver says."""

    where: str
    only_reads: bool

    @property
    def dialect(self) -> Dialect:
        """The words that its SQL is written in."""
        ...

    @property
    def groups_at_once(self) -> int:
        """How many groups are worth being written at the same time."""
        ...

    async def compute(self, work: Callable[[], Answer]) -> Answer:
        """Run plain work where it holds up neither the loop nor the database."""
        ...

    async def open(self) -> None:
        """Connect; raises StoreError."""
        ...

    async def close(self) -> None:
        """Finish what was begun and disconnect."""
        ...

    async def write(self, work: Work[Answer]) -> Answer:
        """Run the work in one transaction and commit it; raises StoreError or StoreRefusedError, then nothing is stored."""
        ...

    async def read(self, work: Work[Answer]) -> Answer:
        """Run queries on one state of the database; raises StoreError."""
        ...


def conflict_clause(table: Table, *, adds: bool) -> str:
    """What an insert does with keys that exist: add the other columns to what is there, or write over it.

    Both databases understand these words.
    """
    keys = ", ".join(column.name for column in table.primary_key.columns)
    others = [column.name for column in table.columns if not column.primary_key]
    news = ", ".join(f"{name} = {f'{table.name}.{name} + ' if adds else ''}excluded.{name}" for name in others)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {news}"


class SqlText:
    """A compiled statement: the driver's text and the names of its values in their order."""

    __slots__ = ("_constants", "names", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self.text = str(compiled)
        self.names: list[str] = list(compiled.positiontup or ()) if isinstance(compiled, SQLCompiler) else []
        self._constants = compiled.params or {}

    def arguments(self, values: Mapping[str, object]) -> Row:
        """The values in the statement's order; what was fixed in the statement itself needs none."""
        constants = self._constants
        return tuple(values[name] if name in values else constants[name] for name in self.names)


class Compiler:
    """Compiles for one dialect, and remembers the statements that were used last: those of modules are there again and again."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept: OrderedDict[int, tuple[ClauseElement, SqlText]] = OrderedDict()

    def text_of(self, statement: ClauseElement) -> SqlText:
        """The statement's text. Known by the object that it is: one that is described anew each time is compiled each time."""
        kept = self._kept.get(id(statement))
        if kept is None:
            # Held beside its text, so that no other statement gets its number meanwhile.
            kept = self._kept[id(statement)] = (statement, SqlText(statement, self._dialect))
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(id(statement))
        return kept[1]
