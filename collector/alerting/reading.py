"""What pages, messages and commands ask of alerts, and how a person says that they know of one.

Refuses to decide whether an alert is on (`collector.alerting.engine` does). Called by the pages, the console and the messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from collector.alerting.model import Alert, AlertEvent, EventKind, Incident
from collector.alerting.notice import NoOutbox, Outbox
from collector.alerting.words import notice_of
from collector.store import Store
from collector.store_alerts import add_event, fetch_incident, set_acknowledged
from collector.store_session import Session
from probes.errors import OperatorError

__all__ = [
    "Acknowledged",
    "acknowledge",
    "alert_events",
    "alert_history",
    "find_incident",
    "open_alerts",
    "open_incidents",
]

NOBODY: Final = NoOutbox()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The incident as it is now, and whether this was the first time: only that one is scored and said."""

    incident: Incident
    is_first: bool


async def open_incidents(store: Store, *, fleet: str = "", target: str = "") -> list[Incident]:
    """What is wrong now, with the alerts of each, the newest first. Raises StoreError."""
    return await store.alerts.open_incidents(fleet, target)


async def open_alerts(store: Store, *, fleet: str = "", target: str = "") -> list[Alert]:
    """The alerts that are on and whose incident is not over, the oldest first. Raises StoreError."""
    found = [one for incident in await open_incidents(store, fleet=fleet, target=target) for one in incident.alerts]
    return sorted((one for one in found if one.is_open), key=lambda one: one.alert_id)


async def alert_history(
    store: Store, from_at: datetime, until_at: datetime, *, fleet: str = "", target: str = "", limit: int = 1000
) -> list[Incident]:
    """The incidents that were not over at some instant of [from_at, until_at), the newest first. Raises StoreError."""
    return await store.alerts.incidents(from_at, until_at, fleet=fleet, target=target, limit=limit)


async def alert_events(
    store: Store, from_at: datetime, until_at: datetime, *, incident_id: int | None = None, limit: int = 1000
) -> list[AlertEvent]:
    """What happened in [from_at, until_at), the oldest first; `incident_id`: only to this one. Raises StoreError."""
    return await store.alerts.events(from_at, until_at, incident_id=incident_id, limit=limit)


async def find_incident(store: Store, incident_id: int) -> Incident | None:
    """One incident with its alerts; None when there is none of that number. Raises StoreError."""
    return await store.alerts.incident(incident_id)


async def acknowledge(
    store: Store,
    incident_id: int,
    *,
    by: str,
    how: str,
    now: datetime,
    note: str = "",
    outbox: Outbox = NOBODY,
) -> Acknowledged:
    """A person knows of the incident. Again changes nothing, nor after it is over does it anything but keep the record.

    `by` is who, `how` the way: `console`, `page`, `link`, `api`. Raises OperatorError when there is no such incident, StoreError.
    """

    async def work(session: Session) -> Acknowledged | None:
        before = await fetch_incident(session, incident_id)
        if before is None:
            return None
        is_first = await set_acknowledged(session, incident_id, now=now, by=by, how=how, note=note)
        found = await fetch_incident(session, incident_id) or before
        if not is_first:
            return Acknowledged(found, is_first=False)
        key = f"{found.key}/{EventKind.ACKNOWLEDGED.value}"
        event = AlertEvent(0, key, incident_id, 0, EventKind.ACKNOWLEDGED, found.severity, now, by, how, note)
        await add_event(session, event)
        await outbox.put(session, notice_of(found, event))
        return Acknowledged(replace(found), is_first=True)

    answer: Acknowledged | None = await store.alerts.change(work)
    if answer is None:
        raise OperatorError(
            f"there is no incident {incident_id}", where="incident", remedy="See `runner.py alerts list --all`"
        )
    return answer
