"""The tables of alerts, described once for both databases: incidents, their alerts, what happened to them, how far was decided.

Instants are microseconds, 0 stands for none. Refuses to hold any rule (`collector.alerting` has them). Called by
`collector.store_alerts` and `collector.store_migrations`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, Table, Text

__all__ = ["ALERT_TABLES", "alert_asked", "alert_books", "alert_events", "alert_incidents", "alerts"]

_metadata = MetaData()
_GIVEN: Final = BigInteger().with_variant(Integer(), "sqlite")


def _given(name: str) -> Column[int]:
    return Column(name, _GIVEN, Identity(), primary_key=True)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


# What somebody is fetched for. `resolved_us` and `acknowledged_us` are 0 until then; `facts` is for what later versions add.
alert_incidents = Table(
    "alert_incidents",
    _metadata,
    _given("incident_id"),
    _text("incident_key"),
    _text("fleet"),
    _text("target"),
    _text("origin"),
    _text("severity"),
    _text("title"),
    _number("opened_us"),
    _number("first_bad_us"),
    _number("last_bad_us"),
    _number("resolved_us"),
    _number("acknowledged_us"),
    _text("acknowledged_by"),
    _text("acknowledged_how"),
    _text("acknowledged_note"),
    _text("silenced_by"),
    Index("alert_incidents_key", "incident_key", unique=True),
    Index("alert_incidents_resolved", "resolved_us"),
)

# One thing that is or was on. Minutes are since the epoch; `facts` is JSON.
alerts = Table(
    "alerts",
    _metadata,
    _given("alert_id"),
    _text("alert_key"),
    _number("incident_id"),
    _text("kind"),
    _text("severity"),
    _text("tier"),
    _text("subject"),
    _text("region"),
    _text("line"),
    _text("title"),
    _number("fired_us"),
    _number("recorded_us"),
    _number("resolved_us"),
    _text("silenced_by"),
    _text("facts"),
    Index("alerts_key", "alert_key", unique=True),
    Index("alerts_incident", "incident_id"),
    Index("alerts_resolved", "resolved_us"),
)

# What happened, in order; the key keeps the same thing from happening twice.
alert_events = Table(
    "alert_events",
    _metadata,
    _given("event_id"),
    _text("event_key"),
    _number("incident_id"),
    _number("alert_id"),
    _text("what"),
    _text("severity"),
    _number("at_us"),
    _text("by_whom"),
    _text("how"),
    _text("note"),
    Index("alert_events_key", "event_key", unique=True),
    Index("alert_events_incident", "incident_id"),
)

# How far alerts of a fleet and target are decided: whoever moves this on decides, and nobody else.
alert_books = Table(
    "alert_books",
    _metadata,
    Column("place", Text, primary_key=True),
    _number("decided_minute"),
)

# Whom we asked to look again: one region is asked once in an outage of a scenario.
alert_asked = Table(
    "alert_asked",
    _metadata,
    Column("outage", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    _number("asked_us"),
    _text("request_id"),
)

ALERT_TABLES: Final = (alert_incidents, alerts, alert_events, alert_books, alert_asked)
