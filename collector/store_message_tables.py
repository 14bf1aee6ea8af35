"""The tables of messages, described once for both databases: what is to be said to whom, and how far that has come.

Instants are microseconds, 0 stands for none. Refuses to hold any rule (`collector.store_messages` has them). Called by
`collector.store_messages` and `collector.store_migrations`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, Table, Text

__all__ = ["MESSAGE_TABLES", "message_keys", "messages"]

_metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


# One notice for one channel; `notice` is JSON, `state` is waiting, delivered or given_up.
messages = Table(
    "messages",
    _metadata,
    Column("message_id", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
    _text("notice_key"),
    _text("channel"),
    _number("incident_id"),
    _text("kind"),
    _text("severity"),
    _text("notice"),
    _number("made_us"),
    _text("state"),
    _number("attempts"),
    _number("next_try_us"),
    _number("lease_until_us"),
    _text("lease_by"),
    _number("ended_us"),
    _text("last_error"),
    Index("messages_key", "notice_key", "channel", unique=True),
    Index("messages_due", "state", "channel", "next_try_us"),
    Index("messages_incident", "incident_id", "channel"),
)

# Keys that all collectors of a database share: the one that signs links.
message_keys = Table("message_keys", _metadata, Column("name", Text, primary_key=True), _text("content"))

MESSAGE_TABLES: Final = (messages, message_keys)
