"""Keeping alerts in bounds: an incident goes with the runs that it is about, whole, and never before its month.

What is over goes with its alerts, what happened to it, the answers to it and its messages, once all runs of the calendar month in
which it ended are gone: so whoever can still be asked how soon alerts of a month were answered finds all of them. What is
not over, what still has an alert that is on, and what has a message that waits to be sent stays, however old it is. Nothing of
the newest two weeks goes, whatever the settings say: links in messages and the engine look back as far.

Refuses to choose how long runs are kept. Called by `collector.store_upkeep`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, delete, exists, select

from collector.store_alert_rows import OPEN
from collector.store_alert_tables import alert_asked, alert_events, alert_incidents, alerts
from collector.store_message_tables import messages
from collector.store_messages import MessageState
from collector.store_session import Session
from collector.store_tables import microseconds_of

__all__ = ["INCIDENTS_AT_ONCE", "kept_from", "prune_alerts"]

INCIDENTS_AT_ONCE: Final = 500
KEPT_AT_LEAST: Final = timedelta(days=14)
_ZONES: Final = timedelta(days=1)
"""A month may begin so much earlier than the one of UTC."""
_I: Final = alert_incidents.c
_IS_WAITING: Final = messages.c.state == MessageState.WAITING.value

# Locked where the database knows that: an acknowledgement that comes now waits, and then finds no incident any more.
OVER: Final = (
    select(_I.incident_id)
    .where(
        _I.resolved_us != OPEN,
        _I.resolved_us < bindparam("before_us"),
        ~exists().where(alerts.c.incident_id == _I.incident_id, alerts.c.resolved_us == OPEN),
        ~exists().where(messages.c.incident_id == _I.incident_id, _IS_WAITING),
    )
    .order_by(_I.resolved_us)
    .limit(INCIDENTS_AT_ONCE)
    .with_for_update()
)
_NO_INCIDENT: Final = ~exists().where(_I.incident_id == alert_events.c.incident_id)
EVENTS_OF_NOTHING: Final = delete(alert_events).where(alert_events.c.at_us < bindparam("before_us"), _NO_INCIDENT)
ASKED: Final = delete(alert_asked).where(alert_asked.c.asked_us < bindparam("before_us"))


def kept_from(limit: datetime, now: datetime) -> datetime:
    """What ended at or after this instant is kept, where runs of before `limit` are gone."""
    newest = min(limit, now - KEPT_AT_LEAST)
    return newest.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - _ZONES


async def prune_alerts(session: Session, limit: datetime, now: datetime) -> int:
    """Delete the oldest incidents that nothing keeps, where runs of before `limit` are gone; how many."""
    before_us = microseconds_of(kept_from(limit, now))
    over = [row[0] for row in await session.fetch(OVER, before_us=before_us)]
    if over:
        # Looked at again now that they are locked: somebody may have answered while we waited for one.
        waits = select(messages.c.incident_id).where(messages.c.incident_id.in_(over), _IS_WAITING)
        kept = {row[0] for row in await session.fetch(waits)}
        over = [one for one in over if one not in kept]
    if over:
        await session.execute(delete(messages).where(messages.c.incident_id.in_(over), ~_IS_WAITING))
        for table in (alerts, alert_events, alert_incidents):
            await session.execute(delete(table).where(table.c.incident_id.in_(over)))
    await session.execute(EVENTS_OF_NOTHING, before_us=before_us)
    await session.execute(ASKED, before_us=before_us)
    return len(over)
