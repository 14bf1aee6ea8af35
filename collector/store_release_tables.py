"""The table of releases, described once for both databases: what went where, when, and what the gate said.

Instants are microseconds. Refuses to hold any rule (`collector.store_releases` has them). Called by `collector.store_releases`,
`collector.store_upkeep` and `collector.store_migrations`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, Table, Text

__all__ = ["RELEASE_TABLES", "releases"]


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


# `identity` is made of name, target, environment and beginning; `received_from` is the name of the token it came with.
releases = Table(
    "releases",
    MetaData(),
    Column("release_id", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
    _text("fleet"),
    _text("identity"),
    _text("name"),
    _text("target"),
    _text("environment"),
    _text("outcome"),
    _text("cause"),
    _text("by"),
    _text("report_url"),
    _text("note"),
    _number("began_us"),
    _number("ended_us"),
    _number("received_us"),
    _text("received_from"),
    Index("releases_identity", "fleet", "identity", unique=True),
    Index("releases_began", "fleet", "began_us"),
)

RELEASE_TABLES: Final = (releases,)
