"""Alerts in the database: incidents, what belongs to them, what happened, and how far was decided.

A decision is one transaction: whoever moves the book of a fleet and target on from the minute that it knew decides, and whoever
comes second changes nothing. So several collectors on one database fire once, and one that dies between deciding and committing
has decided nothing. Refuses to decide (`collector.alerting.engine`). Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import Select, and_, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from collector.alerting.model import Alert, AlertEvent, EventKind, Incident, Origin
from collector.store_alert_rows import MOST_TEXT, OPEN, alert_of, alert_values, event_of, incident_of, incident_values
from collector.store_alert_tables import alert_asked, alert_books, alert_events, alert_incidents, alerts
from collector.store_rows import kept_text
from collector.store_session import Row, Session, Work
from collector.store_tables import instant_of_us, microseconds_of
from slo.burn_tiers import Severity

__all__ = ["AlertBook", "Alerts", "AskedRegion", "Decision"]

Doing = Callable[[Work[Any]], Any]
MOST_LISTED: Final = 1_000
ANSWER_COLUMNS: Final = ("acknowledged_us", "acknowledged_by", "acknowledged_how", "acknowledged_note")

NEW_BOOK: Final = (
    insert(alert_books).on_conflict_do_nothing().values(place=bindparam("name"), decided_minute=bindparam("minute"))
)
MOVE_BOOK: Final = (
    update(alert_books)
    .where(alert_books.c.place == bindparam("name"), alert_books.c.decided_minute == bindparam("before"))
    .values(decided_minute=bindparam("minute"))
)
NEW_EVENT: Final = (
    insert(alert_events)
    .on_conflict_do_nothing()
    .values(
        event_key=bindparam("name"),
        incident_id=bindparam("incident"),
        alert_id=bindparam("alert"),
        what=bindparam("kind"),
        severity=bindparam("level"),
        at_us=bindparam("now_us"),
        by_whom=bindparam("who"),
        how=bindparam("manner"),
        note=bindparam("words"),
    )
)
NEW_ASKED: Final = (
    insert(alert_asked)
    .on_conflict_do_nothing()
    .values(
        outage=bindparam("name"),
        region=bindparam("place"),
        asked_us=bindparam("now_us"),
        request_id=bindparam("request"),
    )
)


@dataclass(frozen=True, slots=True)
class AskedRegion:
    """A region that was asked to look at an outage (its key, see `collector.alerting.confirm`)."""

    outage: str
    region: str
    asked_at: datetime


class Decision(Protocol):
    """What a decision does to the book."""

    async def __call__(self, book: AlertBook) -> None:
        """Do it; it may be undone and tried again: remember nothing of it."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    fleet: str
    target: str

    @property
    def name(self) -> str:
        return f"{self.fleet}|{self.target}"


class AlertBook:
    """The alerts of one fleet and target inside a transaction."""

    def __init__(self, session: Session, fleet: str, target: str) -> None:
        self.session = session
        self._place = _Place(fleet, target)

    async def open_alerts(self) -> list[Alert]:
        """The alerts that are on."""
        return await _fetch_alerts(self.session, _alerts_of(self._place).where(alerts.c.resolved_us == OPEN))

    async def alerts_since(self, instant: datetime) -> list[Alert]:
        """The alerts that were on at or after an instant."""
        is_recent = or_(alerts.c.resolved_us == OPEN, alerts.c.resolved_us >= microseconds_of(instant))
        return await _fetch_alerts(self.session, _alerts_of(self._place).where(is_recent))

    async def incidents_since(self, instant: datetime) -> list[Incident]:
        """The incidents that were not over at or after an instant, with their alerts, the oldest first."""
        found = alert_incidents.c
        is_recent = or_(found.resolved_us == OPEN, found.resolved_us >= microseconds_of(instant))
        query = (
            select(alert_incidents)
            .where(found.fleet == self._place.fleet, found.target == self._place.target, is_recent)
            .order_by(found.incident_id)
        )
        return await _with_alerts(self.session, await self.session.fetch(query))

    async def incident(self, incident_id: int) -> Incident | None:
        """The incident of this number."""
        return await fetch_incident(self.session, incident_id)

    async def add_incident(self, incident: Incident) -> Incident:
        """A new one, with its number."""
        values = incident_values(incident)
        await self.session.execute(insert(alert_incidents).values(**values))
        query = select(alert_incidents.c.incident_id).where(alert_incidents.c.incident_key == incident.key)
        ((number,),) = await self.session.fetch(query)
        return replace(incident, incident_id=number)

    async def set_incident(self, incident: Incident) -> None:
        """What it is now; its alerts are left as they are, and who knows of it: somebody may have answered since it was read."""
        chosen = alert_incidents.c.incident_id == incident.incident_id
        values = {name: value for name, value in incident_values(incident).items() if name not in ANSWER_COLUMNS}
        await self.session.execute(update(alert_incidents).where(chosen).values(**values))

    async def add_alert(self, alert: Alert) -> Alert:
        """A new one, with its number."""
        await self.session.execute(insert(alerts).values(**alert_values(alert)))
        ((number,),) = await self.session.fetch(select(alerts.c.alert_id).where(alerts.c.alert_key == alert.key))
        return replace(alert, alert_id=number)

    async def set_alert(self, alert: Alert) -> None:
        """What it is now."""
        chosen = alerts.c.alert_id == alert.alert_id
        await self.session.execute(update(alerts).where(chosen).values(**alert_values(alert)))

    async def add_event(self, event: AlertEvent) -> bool:
        """Enter what happened; False when it has happened before."""
        return await add_event(self.session, event)

    async def event_keys(self, keys: Collection[str]) -> frozenset[str]:
        """Those of the keys that have happened."""
        query = select(alert_events.c.event_key).where(alert_events.c.event_key.in_(sorted(keys)))
        return frozenset(row[0] for row in await self.session.fetch(query)) if keys else frozenset()

    async def has_key(self, key: str) -> bool:
        """Whether an alert has this key."""
        return bool(await self.session.fetch(select(alerts.c.alert_id).where(alerts.c.alert_key == key)))


class Alerts:
    """The alerts' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Doing, write: Doing) -> None:
        self._read = read
        self._write = write

    async def decided_minute(self, fleet: str, target: str) -> int | None:
        """Up to which minute alerts are decided; None: nobody has begun."""

        async def work(session: Session) -> int | None:
            query = select(alert_books.c.decided_minute).where(alert_books.c.place == _Place(fleet, target).name)
            found = await session.fetch(query)
            return int(found[0][0]) if found else None

        answer: int | None = await self._read(work)
        return answer

    async def decide(self, fleet: str, target: str, before: int | None, minute: int, decision: Decision) -> bool:
        """Move the book from `before` to `minute` and do what was decided; False, and nothing done, when another was first."""
        place = _Place(fleet, target)

        async def work(session: Session) -> bool:
            if before is None:
                moved = await session.execute(NEW_BOOK, name=place.name, minute=minute)
            else:
                moved = await session.execute(MOVE_BOOK, name=place.name, before=before, minute=minute)
            if not moved:
                return False
            await decision(AlertBook(session, fleet, target))
            return True

        answer: bool = await self._write(work)
        return answer

    async def change(self, work: Work[Any]) -> Any:  # noqa: ANN401 - whatever the work answers
        """Run work in one transaction of its own."""
        return await self._write(work)

    async def look(self, fleet: str, target: str, since: datetime) -> tuple[list[Alert], list[Incident]]:
        """The alerts and incidents that were on at or after an instant."""

        async def work(session: Session) -> tuple[list[Alert], list[Incident]]:
            book = AlertBook(session, fleet, target)
            return await book.alerts_since(since), await book.incidents_since(since)

        answer: tuple[list[Alert], list[Incident]] = await self._read(work)
        return answer

    async def open_incidents(self, fleet: str = "", target: str = "") -> list[Incident]:
        """The incidents that are not over, with their alerts, the newest first; an empty word stands for all."""

        async def work(session: Session) -> list[Incident]:
            query = _of(fleet, target).where(alert_incidents.c.resolved_us == OPEN).limit(MOST_LISTED)
            return await _with_alerts(session, await session.fetch(query))

        answer: list[Incident] = await self._read(work)
        return answer

    async def incidents(
        self, from_at: datetime, until_at: datetime, *, fleet: str = "", target: str = "", limit: int = MOST_LISTED
    ) -> list[Incident]:
        """The incidents that were not over at some instant of [from_at, until_at), with their alerts, the newest first."""

        async def work(session: Session) -> list[Incident]:
            found = alert_incidents.c
            began = found.opened_us < microseconds_of(until_at)
            is_after = or_(found.resolved_us == OPEN, found.resolved_us >= microseconds_of(from_at))
            return await _with_alerts(
                session, await session.fetch(_of(fleet, target).where(began, is_after).limit(limit))
            )

        answer: list[Incident] = await self._read(work)
        return answer

    async def incident(self, incident_id: int) -> Incident | None:
        """One incident with its alerts."""

        async def work(session: Session) -> Incident | None:
            return await fetch_incident(session, incident_id)

        answer: Incident | None = await self._read(work)
        return answer

    async def events(
        self, from_at: datetime, until_at: datetime, *, incident_id: int | None = None, limit: int = MOST_LISTED
    ) -> list[AlertEvent]:
        """What happened in [from_at, until_at), the oldest first; `incident_id`: only to this one."""

        async def work(session: Session) -> list[AlertEvent]:
            found = alert_events.c
            query = select(alert_events).where(
                found.at_us >= microseconds_of(from_at), found.at_us < microseconds_of(until_at)
            )
            if incident_id is not None:
                query = query.where(found.incident_id == incident_id)
            rows = await session.fetch(query.order_by(found.at_us, found.event_id).limit(limit))
            return [event_of(row) for row in rows]

        answer: list[AlertEvent] = await self._read(work)
        return answer

    async def answers(self, fleet: str, target: str, severity: Severity) -> list[tuple[Incident, datetime]]:
        """Every incident of the platform that ever had this severity, and since when; those that works silenced are left out."""

        async def work(session: Session) -> list[tuple[Incident, datetime]]:
            began = and_(
                alert_events.c.incident_id == alert_incidents.c.incident_id,
                alert_events.c.severity == severity.value,
                alert_events.c.what.in_((EventKind.FIRED.value, EventKind.UPGRADED.value)),
            )
            query = (
                select(alert_events.c.at_us, *alert_incidents.c)
                .select_from(alert_events.join(alert_incidents, began))
                .where(
                    alert_incidents.c.fleet == fleet,
                    alert_incidents.c.target == target,
                    alert_incidents.c.origin == Origin.PLATFORM.value,
                    alert_incidents.c.silenced_by == "",
                )
                .order_by(alert_events.c.at_us, alert_events.c.event_id)
            )
            first: dict[int, tuple[Incident, datetime]] = {}
            for at_us, *row in await session.fetch(query):
                incident = incident_of(tuple(row), ())
                first.setdefault(incident.incident_id, (incident, instant_of_us(at_us)))
            return list(first.values())

        answer: list[tuple[Incident, datetime]] = await self._read(work)
        return answer

    async def note_asked(self, outage: str, region: str, request_id: str, *, now: datetime) -> bool:
        """Keep that a region is asked to look at an outage; False when it was asked before."""

        async def work(session: Session) -> bool:
            now_us = microseconds_of(now)
            return bool(await session.execute(NEW_ASKED, name=outage, place=region, now_us=now_us, request=request_id))

        answer: bool = await self._write(work)
        return answer

    async def asked(self, from_at: datetime, until_at: datetime, *, limit: int = MOST_LISTED) -> list[AskedRegion]:
        """Who was asked in [from_at, until_at) to look at which outage, the oldest first."""

        async def work(session: Session) -> list[AskedRegion]:
            row = alert_asked.c
            query = (
                select(row.outage, row.region, row.asked_us)
                .where(row.asked_us >= microseconds_of(from_at), row.asked_us < microseconds_of(until_at))
                .order_by(row.asked_us, row.outage, row.region)
                .limit(limit)
            )
            return [
                AskedRegion(outage, region, instant_of_us(at_us))
                for outage, region, at_us in await session.fetch(query)
            ]

        answer: list[AskedRegion] = await self._read(work)
        return answer


async def add_event(session: Session, event: AlertEvent) -> bool:
    """Enter what happened; False when it has happened before."""
    return bool(
        await session.execute(
            NEW_EVENT,
            name=event.key,
            incident=event.incident_id,
            alert=event.alert_id,
            kind=event.what.value,
            level=event.severity.value,
            now_us=microseconds_of(event.at),
            who=kept_text(event.by, MOST_TEXT),
            manner=kept_text(event.how, MOST_TEXT),
            words=kept_text(event.note, MOST_TEXT),
        )
    )


async def fetch_incident(session: Session, incident_id: int) -> Incident | None:
    """One incident with its alerts."""
    rows = await session.fetch(select(alert_incidents).where(alert_incidents.c.incident_id == incident_id))
    found = await _with_alerts(session, rows)
    return found[0] if found else None


async def set_acknowledged(session: Session, incident_id: int, *, now: datetime, by: str, how: str, note: str) -> bool:
    """Note who knows of it; False when somebody did before."""
    chosen = and_(alert_incidents.c.incident_id == incident_id, alert_incidents.c.acknowledged_us == OPEN)
    values = {
        "acknowledged_us": microseconds_of(now),
        "acknowledged_by": kept_text(by, MOST_TEXT),
        "acknowledged_how": kept_text(how, MOST_TEXT),
        "acknowledged_note": kept_text(note, MOST_TEXT),
    }
    return bool(await session.execute(update(alert_incidents).where(chosen).values(**values)))


def _of(fleet: str, target: str) -> Select[Any]:
    query = select(alert_incidents).order_by(alert_incidents.c.incident_id.desc())
    if fleet:
        query = query.where(alert_incidents.c.fleet == fleet)
    return query.where(alert_incidents.c.target == target) if target else query


def _alerts_of(place: _Place) -> Select[Any]:
    incidents = alert_incidents.c
    return (
        select(alerts)
        .select_from(alerts.join(alert_incidents, incidents.incident_id == alerts.c.incident_id))
        .where(incidents.fleet == place.fleet, incidents.target == place.target)
        .order_by(alerts.c.alert_id)
    )


async def _fetch_alerts(session: Session, query: Select[Any]) -> list[Alert]:
    return [alert_of(row) for row in await session.fetch(query)]


async def _with_alerts(session: Session, rows: Sequence[Row]) -> list[Incident]:
    if not rows:
        return []
    query = select(alerts).where(alerts.c.incident_id.in_([row[0] for row in rows])).order_by(alerts.c.alert_id)
    found = await _fetch_alerts(session, query)
    return [incident_of(row, tuple(one for one in found if one.incident_id == row[0])) for row in rows]
