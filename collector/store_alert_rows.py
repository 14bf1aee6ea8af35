"""Rows of alerts as what they stand for, and back. Pure; called by `collector.store_alerts`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from collector.alerting.facts_text import parse_facts, render_facts
from collector.alerting.model import Alert, AlertEvent, AlertKind, EventKind, Incident, Origin
from collector.store_rows import kept_text
from collector.store_session import Row
from collector.store_tables import instant_of_us, microseconds_of
from slo.burn_tiers import Severity

__all__ = ["MOST_TEXT", "OPEN", "alert_of", "alert_values", "event_of", "incident_of", "incident_values"]

OPEN: Final = 0
"""No instant: it is not over, or nobody has done it."""
MOST_TEXT: Final = 2_000


def incident_values(one: Incident) -> dict[str, object]:
    """The columns of an incident."""
    return {
        "incident_key": one.key,
        "fleet": one.fleet,
        "target": one.target,
        "origin": one.origin.value,
        "severity": one.severity.value,
        "title": kept_text(one.title, MOST_TEXT),
        "opened_us": microseconds_of(one.opened_at),
        "first_bad_us": microseconds_of(one.first_bad_at),
        "last_bad_us": microseconds_of(one.last_bad_at),
        "resolved_us": _us(one.resolved_at),
        "acknowledged_us": _us(one.acknowledged_at),
        "acknowledged_by": kept_text(one.acknowledged_by, MOST_TEXT),
        "acknowledged_how": kept_text(one.acknowledged_how, MOST_TEXT),
        "acknowledged_note": kept_text(one.acknowledged_note, MOST_TEXT),
        "silenced_by": one.silenced_by,
    }


def incident_of(row: Row, own: tuple[Alert, ...]) -> Incident:
    """An incident of a whole row."""
    number, key, fleet, target, origin, severity, title, opened, first, last, resolved, known, *words = row
    by, how, note, silenced_by = words
    return Incident(
        number,
        key,
        fleet,
        target,
        Origin(origin),
        Severity(severity),
        title,
        instant_of_us(opened),
        instant_of_us(first),
        instant_of_us(last),
        _instant(resolved),
        _instant(known),
        by,
        how,
        note,
        silenced_by,
        own,
    )


def alert_values(one: Alert) -> dict[str, object]:
    """The columns of an alert."""
    return {
        "alert_key": one.key,
        "incident_id": one.incident_id,
        "kind": one.kind.value,
        "severity": one.severity.value,
        "tier": one.tier.value,
        "subject": one.subject,
        "region": one.region,
        "line": one.line,
        "title": kept_text(one.title, MOST_TEXT),
        "fired_us": microseconds_of(one.fired_at),
        "recorded_us": microseconds_of(one.recorded_at),
        "resolved_us": _us(one.resolved_at),
        "silenced_by": one.silenced_by,
        "facts": render_facts(one.facts),
    }


def alert_of(row: Row) -> Alert:
    """An alert of a whole row."""
    number, key, incident_id, kind, severity, tier, subject, region, line, title, fired, recorded, resolved, *rest = row
    silenced_by, facts = rest
    return Alert(
        number,
        key,
        incident_id,
        AlertKind(kind),
        Severity(severity),
        Severity(tier),
        subject,
        region,
        line,
        title,
        instant_of_us(fired),
        instant_of_us(recorded),
        _instant(resolved),
        silenced_by,
        parse_facts(facts),
    )


def event_of(row: Row) -> AlertEvent:
    """What a whole row says happened."""
    number, key, incident_id, alert_id, what, severity, at_us, by, how, note = row
    return AlertEvent(
        number, key, incident_id, alert_id, EventKind(what), Severity(severity), instant_of_us(at_us), by, how, note
    )


def _us(instant: datetime | None) -> int:
    return OPEN if instant is None else microseconds_of(instant)


def _instant(microseconds: int) -> datetime | None:
    return instant_of_us(microseconds) if microseconds else None
