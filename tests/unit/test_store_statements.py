"""No value of a statement goes to PostgreSQL as a narrower number than the column that it meets can hold.

SQLite asks nobody for the type of a number. PostgreSQL gets it from SQLAlchemy, which takes a place with a default to be an
INTEGER, and an instant in milliseconds does not fit into one.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import pytest
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Integer,
    MetaData,
    Table,
    bindparam,
    case,
    insert,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement, Delete, Insert, Select, Update, visitors
from sqlalchemy.sql.elements import BinaryExpression

import collector
from collector.store_cells import Place

STORES: Final = [
    import_module(f"collector.{one.name}")
    for one in pkgutil.iter_modules(collector.__path__)
    if one.name.startswith("store")
]
ARGUMENTS: Final[dict[str, tuple[object, ...]]] = {
    "_days_query": (Place((1, 2), 3, "fleet"), (4, 5)),
    "_events_query": (Place((1, 2), 3, "fleet"), (4, 5)),
    "_first_conclusive_run": ((1, 2),),
    "_sums_query": (Place((1, 2), 3, "fleet"), (4, 5)),
}
"""What makes a statement out of each function that remembers the statements it made."""
REMEMBERING: Final[type[Any]] = type(lru_cache(lambda: None))
Statement = Select[Any] | Insert | Update | Delete


def statements_of(module: ModuleType) -> Iterator[tuple[str, Statement]]:
    """The statements of a module, by its own names for them."""
    for name, found in vars(module).items():
        if isinstance(found, Select | Insert | Update | Delete):
            yield f"{module.__name__}.{name}", found
        elif isinstance(found, REMEMBERING) and name in ARGUMENTS:
            yield f"{module.__name__}.{name}", found(*ARGUMENTS[name])


EVERY: Final = dict(pair for module in STORES for pair in statements_of(module))
NUMBERS: Final = Table("numbers", MetaData(), Column("wide", BigInteger), Column("narrow", Integer))


def places_in(value: ClauseElement) -> Iterator[BindParameter[Any]]:
    """The places of values that a clause is made of, but for those of comparisons and sums, which have a width of their own."""
    if isinstance(value, BindParameter):
        yield value
    elif not isinstance(value, BinaryExpression):
        for child in value.get_children():
            yield from places_in(child)


def narrow_places(statement: Statement) -> list[str]:
    """The names of values that are narrower than the wide column that they are compared with or written to."""
    pairs: list[tuple[ClauseElement, ClauseElement]] = []
    for one in visitors.iterate(statement):
        if isinstance(one, BinaryExpression):
            pairs += [(one.left, one.right), (one.right, one.left)]
    if isinstance(statement, Insert | Update):
        columns = statement.table.c
        pairs += [
            (columns[str(getattr(column, "key", column))], value) for column, value in (statement._values or {}).items()
        ]
    return [
        one.key
        for column, value in pairs
        if isinstance(getattr(column, "type", None), BigInteger)
        for one in places_in(value)
        if isinstance(one.type, Integer) and not isinstance(one.type, BigInteger)
    ]


def test_every_function_that_remembers_statements_is_looked_at() -> None:
    """One that is new needs arguments here."""
    remembering = {
        name
        for module in STORES
        for name, found in vars(module).items()
        if isinstance(found, REMEMBERING) and found.__annotations__.get("return") == "Select[Any]"
    }
    assert remembering == ARGUMENTS.keys()


def test_the_statements_are_found() -> None:
    """All kinds of them, of modules and of functions that remember."""
    assert len(EVERY) > 40
    assert "collector.store_statements.COUNT" in EVERY
    assert {name.rpartition(".")[2] for name in EVERY} > ARGUMENTS.keys()


@pytest.mark.parametrize("name", EVERY)
def test_no_value_is_narrower_than_its_column(name: str) -> None:
    """An instant that is sent as an INTEGER is refused by the driver, each time."""
    assert narrow_places(EVERY[name]) == []


@pytest.mark.parametrize(
    "statement",
    [
        select(NUMBERS).where(NUMBERS.c.wide >= bindparam("at", 0)),
        select(NUMBERS).where(bindparam("at", 0) < NUMBERS.c.wide),
        select(NUMBERS).where(NUMBERS.c.wide.between(bindparam("at", 0), bindparam("until"))),
        select(NUMBERS).where(NUMBERS.c.wide - NUMBERS.c.wide % 7 == bindparam("at", 0)),
        insert(NUMBERS).values(wide=bindparam("at", 0), narrow=bindparam("few", 0)),
        update(NUMBERS).values(wide=case((NUMBERS.c.narrow > 0, NUMBERS.c.wide), else_=bindparam("at", 0))),
    ],
    ids=["beside a column", "before a column", "in a range", "beside a sum", "inserted", "written over"],
)
def test_a_narrow_value_is_seen(statement: Statement) -> None:
    """Wherever it stands."""
    assert narrow_places(statement) == ["at"]


def test_a_value_of_the_right_width_is_left_in_peace() -> None:
    """One without a default takes the type of its column, and a narrow column takes a narrow one."""
    good = (NUMBERS.c.wide >= bindparam("at"), NUMBERS.c.wide < bindparam("until", 0, BigInteger))
    assert narrow_places(select(NUMBERS).where(*good, NUMBERS.c.narrow == bindparam("few", 0))) == []
