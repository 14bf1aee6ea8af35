"""The queue of messages in the database: one row for each notice and channel, from the decision to say it until it is delivered.

Rows are put in by the transaction that records what happened, so nothing is recorded and not said. Whoever sends takes a
lease first: of several collectors one sends, and one that dies leaves its message to the others when the lease ends. Within an
incident a channel hears things in the order in which they happened. Refuses to send (`collector.alerting.dispatcher`) and to
decide how long is waited. Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from collector.alerting.notice import Notice, NoticeKind
from collector.alerting.notice_text import parse_notice, render_notice
from collector.store_alert_tables import alert_incidents
from collector.store_message_tables import message_keys, messages
from collector.store_rows import kept_text
from collector.store_session import Row, Session, Work
from collector.store_tables import instant_of_us, microseconds_of
from slo.burn_tiers import Severity

__all__ = ["MessageState", "Messages", "StoredMessage", "Told", "Waiting", "add_messages"]

Doing = Callable[[Work[Any]], Any]
MOST_ERROR: Final = 500


class MessageState(StrEnum):
    """How far a message has come; one that is given up was not delivered and will not be."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the queue. `attempts` are those that failed; `earlier` is what became of the incident's earlier ones here."""

    message_id: int
    channel: str
    notice: Notice
    made_at: datetime
    attempts: int = 0
    earlier: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel was told of an incident before, or was not: `severity` as it was then."""

    kind: NoticeKind
    severity: Severity
    state: MessageState


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a channel: how many, since when the oldest of these severities, and why the last one failed."""

    channel: str
    severity: Severity
    count: int
    oldest_at: datetime
    last_error: str


_M: Final = messages.c
_EARLIER: Final = messages.alias("earlier")
_WHOLE: Final = (_M.message_id, _M.channel, _M.notice, _M.made_us, _M.attempts)
_IS_WAITING: Final = _M.state == MessageState.WAITING.value

TOLD_CHANNELS: Final = select(_M.channel).where(_M.incident_id == bindparam("incident")).distinct()
NEW: Final = (
    insert(messages)
    .on_conflict_do_nothing()
    .values(
        notice_key=bindparam("name"),
        channel=bindparam("place"),
        incident_id=bindparam("incident"),
        kind=bindparam("what"),
        severity=bindparam("level"),
        notice=bindparam("content"),
        made_us=bindparam("now_us"),
        next_try_us=0,  # at once, whatever the clock of whoever recorded it says
        state=MessageState.WAITING.value,
    )
)
_IS_DUE: Final = and_(
    _IS_WAITING,
    _M.channel == bindparam("place"),
    _M.next_try_us <= bindparam("now_us"),
    _M.lease_until_us <= bindparam("now_us"),
    ~exists().where(
        _EARLIER.c.incident_id == _M.incident_id,
        _EARLIER.c.channel == _M.channel,
        _EARLIER.c.state == MessageState.WAITING.value,
        _EARLIER.c.message_id < _M.message_id,
    ),
)
ANY_DUE: Final = select(_M.message_id).where(_IS_DUE).limit(1)
DUE: Final = select(*_WHOLE, _M.incident_id).where(_IS_DUE).order_by(_M.message_id).limit(bindparam("most"))
LEASE: Final = (
    update(messages)
    .where(_M.message_id == bindparam("number"), _IS_WAITING, _M.lease_until_us <= bindparam("now_us"))
    .values(lease_until_us=bindparam("until_us"), lease_by=bindparam("who"))
)
EARLIER: Final = (
    select(_M.kind, _M.severity, _M.state)
    .where(
        _M.incident_id == bindparam("incident"), _M.channel == bindparam("place"), _M.message_id < bindparam("number")
    )
    .order_by(_M.message_id)
)
# Delivered is delivered, whoever has the lease by now; a failure counts only while it is ours.
DELIVERED: Final = (
    update(messages)
    .where(_M.message_id == bindparam("number"), _M.state != MessageState.DELIVERED.value)
    .values(state=MessageState.DELIVERED.value, ended_us=bindparam("now_us"), lease_until_us=0, last_error="")
)
FAILED: Final = (
    update(messages)
    .where(_M.message_id == bindparam("number"), _IS_WAITING, _M.lease_by == bindparam("who"))
    .values(
        attempts=_M.attempts + 1, next_try_us=bindparam("next_us"), lease_until_us=0, last_error=bindparam("content")
    )
)
# Further ahead than anybody puts one off: the clock of whoever did was ahead, or has been set back.
HASTEN: Final = (
    update(messages)
    .where(_IS_WAITING, or_(_M.next_try_us > bindparam("latest_us"), _M.lease_until_us > bindparam("latest_us")))
    .values(next_try_us=0, lease_until_us=0)
)
RELEASE: Final = update(messages).where(_IS_WAITING, _M.lease_by == bindparam("who")).values(lease_until_us=0)
GIVE_UP: Final = (
    update(messages)
    .where(
        _IS_WAITING,
        _M.severity == bindparam("level"),
        _M.made_us < bindparam("before_us"),
        _M.lease_until_us <= bindparam("now_us"),
    )
    .values(state=MessageState.GIVEN_UP.value, ended_us=bindparam("now_us"))
)
WAITING: Final = (
    select(_M.channel, _M.severity, func.count(), func.min(_M.made_us), func.max(_M.last_error))
    .where(_IS_WAITING)
    .group_by(_M.channel, _M.severity)
    .order_by(_M.channel, _M.severity)
)
RUNNING: Final = (
    select(*_WHOLE, _M.incident_id)
    .select_from(messages.join(alert_incidents, alert_incidents.c.incident_id == _M.incident_id))
    .where(
        _M.channel == bindparam("place"),
        _M.state == MessageState.DELIVERED.value,
        alert_incidents.c.resolved_us == 0,
    )
    .order_by(_M.message_id)
)
PRUNE: Final = delete(messages).where(
    ~_IS_WAITING,
    _M.ended_us < bindparam("before_us"),
    ~exists().where(alert_incidents.c.incident_id == _M.incident_id, alert_incidents.c.resolved_us == 0),
)
NEW_KEY: Final = (
    insert(message_keys).on_conflict_do_nothing().values(name=bindparam("place"), content=bindparam("words"))
)
KEY: Final = select(message_keys.c.content).where(message_keys.c.name == bindparam("place"))


async def add_messages(session: Session, notice: Notice, channels: Mapping[str, AbstractSet[str]]) -> None:
    """Queue a notice for the channels that are to hear it, by their names and severities; the same key again changes nothing.

    A channel hears of an incident from the first notice with a severity that it takes, and from then on all of it.
    """
    told = {name for (name,) in await session.fetch(TOLD_CHANNELS, incident=notice.incident_id)}
    begins = notice.kind in (NoticeKind.FIRED, NoticeKind.UPGRADED)
    for name, severities in channels.items():
        if name not in told and not (begins and notice.severity.value in severities):
            continue
        await session.execute(
            NEW,
            name=notice.key,
            place=name,
            incident=notice.incident_id,
            what=notice.kind.value,
            level=notice.severity.value,
            content=render_notice(notice),
            now_us=microseconds_of(notice.at),
        )


class Messages:
    """The messages' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Doing, write: Doing) -> None:
        self._read = read
        self._write = write

    async def claim(
        self, channel: str, by: str, *, now: datetime, until_at: datetime, limit: int
    ) -> list[StoredMessage]:
        """Take the oldest messages that are due, of as many incidents: nobody else sends them before `until_at`."""
        now_us = microseconds_of(now)

        async def look(session: Session) -> bool:
            return bool(await session.fetch(ANY_DUE, place=channel, now_us=now_us))

        async def take(session: Session) -> list[StoredMessage]:
            until_us = microseconds_of(until_at)
            rows = await session.fetch(DUE, place=channel, now_us=now_us, most=limit)
            return [
                await _with_earlier(session, row)
                for row in rows
                if await session.execute(LEASE, number=row[0], now_us=now_us, until_us=until_us, who=by)
            ]

        # Looked at first, because nearly always nothing is due and only one may write.
        answer: list[StoredMessage] = await self._write(take) if await self._read(look) else []
        return answer

    async def note_delivered(self, message_id: int, *, now: datetime) -> None:
        """It has been taken by the receiver."""

        async def work(session: Session) -> None:
            await session.execute(DELIVERED, number=message_id, now_us=microseconds_of(now))

        await self._write(work)

    async def note_failed(self, message_id: int, by: str, error: str, *, next_try_at: datetime) -> None:
        """It has not, and is tried again; nothing where somebody else has taken it over."""
        text = kept_text(error, MOST_ERROR)

        async def work(session: Session) -> None:
            next_us = microseconds_of(next_try_at)
            await session.execute(FAILED, number=message_id, who=by, next_us=next_us, content=text)

        await self._write(work)

    async def release(self, by: str) -> int:
        """Give back what a sender of this name took before it died; how many."""

        async def work(session: Session) -> int:
            return await session.execute(RELEASE, who=by)

        answer: int = await self._write(work)
        return answer

    async def hasten(self, latest: datetime) -> int:
        """Make due what is put off, or taken, until after an instant; how many."""

        async def work(session: Session) -> int:
            return await session.execute(HASTEN, latest_us=microseconds_of(latest))

        answer: int = await self._write(work)
        return answer

    async def give_up(self, severity: Severity, before: datetime, *, now: datetime) -> int:
        """Stop trying those of a severity that were made before an instant; how many."""

        async def work(session: Session) -> int:
            before_us, now_us = microseconds_of(before), microseconds_of(now)
            return await session.execute(GIVE_UP, level=severity.value, before_us=before_us, now_us=now_us)

        answer: int = await self._write(work)
        return answer

    async def waiting(self) -> list[Waiting]:
        """What waits, by channel and severity, also in channels that nobody has any more."""

        async def work(session: Session) -> list[Waiting]:
            return [
                Waiting(channel, Severity(severity), count, instant_of_us(oldest_us), error)
                for channel, severity, count, oldest_us, error in await session.fetch(WAITING)
            ]

        answer: list[Waiting] = await self._read(work)
        return answer

    async def running(self, channel: str) -> list[StoredMessage]:
        """The newest delivered message of each incident that is not over, as the channel knows it."""

        async def work(session: Session) -> list[StoredMessage]:
            newest = {row[-1]: row for row in await session.fetch(RUNNING, place=channel)}
            return [await _with_earlier(session, row) for row in newest.values()]

        answer: list[StoredMessage] = await self._read(work)
        return answer

    async def told(self, incident_id: int, channel: str) -> Sequence[Told]:
        """Everything that was queued of an incident for a channel, in its order, and what became of it."""

        async def work(session: Session) -> tuple[Told, ...]:
            return await _earlier(session, incident_id, channel, 2**62)

        answer: Sequence[Told] = await self._read(work)
        return answer

    async def prune(self, before: datetime) -> int:
        """Delete what ended before an instant, but of incidents that are not over; how many."""

        async def work(session: Session) -> int:
            return await session.execute(PRUNE, before_us=microseconds_of(before))

        answer: int = await self._write(work)
        return answer

    async def key(self, name: str, fresh: str) -> str:
        """The key of this name that all collectors of the database share; `fresh` becomes it where there is none."""

        async def look(session: Session) -> list[Row]:
            return await session.fetch(KEY, place=name)

        async def work(session: Session) -> str:
            await session.execute(NEW_KEY, place=name, words=fresh)
            ((content,),) = await session.fetch(KEY, place=name)
            return str(content)

        found = await self._read(look)
        answer: str = found[0][0] if found else await self._write(work)
        return answer


async def _with_earlier(session: Session, row: Row) -> StoredMessage:
    number, channel, notice, made_us, attempts, incident = row
    earlier = await _earlier(session, incident, channel, number)
    return StoredMessage(number, channel, parse_notice(notice), instant_of_us(made_us), attempts, earlier)


async def _earlier(session: Session, incident_id: int, channel: str, before_id: int) -> tuple[Told, ...]:
    rows = await session.fetch(EARLIER, incident=incident_id, place=channel, number=before_id)
    return tuple(Told(NoticeKind(kind), Severity(severity), MessageState(state)) for kind, severity, state in rows)
