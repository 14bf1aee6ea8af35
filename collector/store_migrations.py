"""The versions of the collector's tables: an empty database is made new, an old one is brought up step by step.

A database that is newer than this program is refused, because writing into it could break what the newer one relies on.
Each step is a list of statements per dialect and runs in one transaction with the number it leads to; on PostgreSQL the first
collector that comes migrates and the others wait.

Called by `collector.store` when it opens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update
from sqlalchemy.engine import Dialect

from collector.store_alert_tables import ALERT_TABLES
from collector.store_message_tables import MESSAGE_TABLES
from collector.store_release_tables import RELEASE_TABLES
from collector.store_session import Session
from collector.store_tables import COUNT_TABLES, FIRST_TABLES, SCORE_TABLES, render_tables
from probes.errors import OperatorError

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "Migration", "checked", "migrate"]

Migration = Callable[[Dialect], list[str]]
MIGRATIONS: Final[Mapping[int, Migration]] = {
    1: lambda dialect: render_tables(dialect, FIRST_TABLES),
    2: lambda dialect: render_tables(dialect, SCORE_TABLES),
    3: lambda dialect: render_tables(dialect, ALERT_TABLES),
    4: lambda dialect: render_tables(dialect, COUNT_TABLES),
    5: lambda dialect: render_tables(dialect, MESSAGE_TABLES),
    6: lambda dialect: render_tables(dialect, RELEASE_TABLES),
}
"""Version -> the statements that lead to it from the one before. Released steps are never changed."""
SCHEMA_VERSION: Final = max(MIGRATIONS)

schema_version = Table("schema_version", MetaData(), Column("version", Integer, nullable=False))
MAKE_VERSION: Final = "CREATE TABLE schema_version (version INTEGER NOT NULL)"


async def migrate(
    session: Session, dialect: Dialect, where: str, migrations: Mapping[int, Migration] = MIGRATIONS
) -> tuple[int, int]:
    """Bring the tables to the newest version; returns the version before and after. Raises OperatorError for a newer one."""
    await session.lock_schema()
    newest = max(migrations)
    present = 0
    if await session.has_table(schema_version.name):
        ((present,),) = await session.fetch(select(schema_version.c.version))
    else:
        await session.script([MAKE_VERSION])
        await session.execute(insert(schema_version).values(version=0))
    if present > newest:
        message = f"the database has schema version {present}, and this program knows versions up to {newest}"
        raise OperatorError(message, where=where, remedy="Use the newer program that wrote it, or another database")
    for version in range(present + 1, newest + 1):
        await session.script(migrations[version](dialect))
    if present != newest:
        await session.execute(update(schema_version).values(version=newest))
    return present, newest


async def checked(session: Session, where: str) -> tuple[int, int]:
    """The version of a database that cannot be written, twice; raises OperatorError unless it is the newest."""
    present = 0
    if await session.has_table(schema_version.name):
        ((present,),) = await session.fetch(select(schema_version.c.version))
    if present != SCHEMA_VERSION:
        message = (
            f"the database has schema version {present}, this program reads {SCHEMA_VERSION}, and cannot write there"
        )
        raise OperatorError(message, where=where, remedy="Make it writable, or use the program that wrote it")
    return present, present
