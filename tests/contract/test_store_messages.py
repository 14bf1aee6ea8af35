"""The queue of messages, on both databases: nothing is lost, nothing is sent by two, and nothing overtakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from collector.alerting.model import AlertEvent, EventKind
from collector.alerting.notice import NoticeKind
from collector.alerting.outbox import MessageOutbox, ack_key_of
from collector.alerting.words import notice_of
from collector.store import Store, open_store
from collector.store_messages import MessageState, StoredMessage
from collector.store_session import Session
from slo.burn_tiers import Severity
from tests.alert_kit import open_an_incident
from tests.message_kit import ALL, end_incident, know_incident, put_notice, upgrade_incident
from tests.store_kit import NOW

MINUTE = timedelta(minutes=1)
PAGES = frozenset(("critical", "high"))
OUTBOX = MessageOutbox({"pager": PAGES, "chat": ALL})


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(url) as found:
        yield found


async def claim(
    store: Store, channel: str, now: datetime = NOW, *, by: str = "one", limit: int = 10
) -> list[StoredMessage]:
    """What is due, taken for a minute."""
    return await store.messages.claim(channel, by, now=now, until_at=now + MINUTE, limit=limit)


async def kinds_due(store: Store, channel: str, now: datetime = NOW) -> list[NoticeKind]:
    """The kinds of what is due, taken."""
    return [one.notice.kind for one in await claim(store, channel, now)]


async def deliver(store: Store, channel: str, now: datetime = NOW) -> list[str]:
    """Everything of a channel, one after the other; the keys."""
    keys = []
    while found := await claim(store, channel, now):
        for one in found:
            await store.messages.note_delivered(one.message_id, now=now)
            keys.append(one.notice.key)
    return keys


async def test_what_is_not_committed_is_not_said(store: Store) -> None:
    """A transaction that fails after the notice was put leaves no message behind."""
    incident = await open_an_incident(store, NOW)
    event = AlertEvent(0, "k", incident.incident_id, 0, EventKind.FIRED, incident.severity, NOW)

    async def work(session: Session) -> None:
        await OUTBOX.put(session, notice_of(incident, event))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.alerts.change(work)
    assert await store.messages.waiting() == []


async def test_a_notice_comes_out_as_it_went_in_once_for_each_channel(store: Store) -> None:
    """Every field, in whatever letters; the same key again changes nothing."""
    incident = await open_an_incident(store, NOW)
    event = AlertEvent(0, "k", incident.incident_id, 0, EventKind.FIRED, incident.severity, NOW)
    notice = replace(notice_of(incident, event), title="Zürich\0\ud800 <b>", facts={"message": "\0 ”"})
    await put_notice(store, OUTBOX, notice)
    await put_notice(store, OUTBOX, replace(notice, title="again"))
    for channel in "pager", "chat":
        (found,) = await claim(store, channel)
        assert found.notice == notice
        assert (found.channel, found.made_at, found.attempts) == (channel, NOW, 0)


@pytest.mark.parametrize("ending", [end_incident, know_incident])
async def test_a_channel_hears_the_rest_of_what_it_heard_the_beginning_of(store: Store, ending: object) -> None:
    """Who takes pages alone hears nothing of a lesser incident; when it is upgraded it hears that, and how it ends."""
    incident = await open_an_incident(store, NOW, severity=Severity.MEDIUM, outbox=OUTBOX)
    quiet = await open_an_incident(store, NOW, severity=Severity.MEDIUM, key="other", outbox=OUTBOX)
    await upgrade_incident(store, incident, Severity.CRITICAL, NOW + MINUTE, OUTBOX)
    for one in incident, quiet:
        await ending(store, one, NOW + 2 * MINUTE, OUTBOX)  # type: ignore[operator]
    last = "resolved" if ending is end_incident else "acknowledged"
    heard = await deliver(store, "pager", NOW + 3 * MINUTE)
    assert heard == [f"{incident.key}/upgraded/critical", f"{incident.key}/{last}"]
    assert len(await deliver(store, "chat", NOW + 3 * MINUTE)) == 5


async def test_an_incidents_messages_never_overtake_one_another(store: Store) -> None:
    """The second is not due before the first is delivered, however long that takes; another incident's is."""
    incident = await open_an_incident(store, NOW, outbox=OUTBOX)
    await open_an_incident(store, NOW, key="other", outbox=OUTBOX)
    await end_incident(store, incident, NOW, OUTBOX)
    first, other = await claim(store, "pager")
    assert [first.notice.kind, other.notice.kind] == [NoticeKind.FIRED] * 2
    await store.messages.note_failed(first.message_id, "one", "no", next_try_at=NOW + 5 * MINUTE)
    await store.messages.note_delivered(other.message_id, now=NOW)
    assert await kinds_due(store, "pager", NOW + 4 * MINUTE) == []
    (again,) = await claim(store, "pager", NOW + 5 * MINUTE)
    assert (again.notice.key, again.attempts) == (first.notice.key, 1)
    await store.messages.note_delivered(again.message_id, now=NOW + 5 * MINUTE)
    assert await kinds_due(store, "pager", NOW + 5 * MINUTE) == [NoticeKind.RESOLVED]


async def test_the_end_of_what_was_given_up_is_told_and_knows_of_it(store: Store) -> None:
    """A beginning that nobody could be told does not hold back the end."""
    incident = await open_an_incident(store, NOW, outbox=OUTBOX)
    await end_incident(store, incident, NOW, OUTBOX)
    assert await store.messages.give_up(Severity.CRITICAL, NOW + MINUTE, now=NOW + MINUTE) == 4
    late = await open_an_incident(store, NOW, key="late", outbox=OUTBOX)
    assert await store.messages.give_up(Severity.CRITICAL, NOW + MINUTE, now=NOW + MINUTE) == 2
    await end_incident(store, late, NOW + 2 * MINUTE, OUTBOX)
    (found,) = await claim(store, "pager", NOW + 2 * MINUTE)
    assert [(one.kind, one.state) for one in found.earlier] == [(NoticeKind.FIRED, MessageState.GIVEN_UP)]


async def test_two_collectors_never_take_the_same_message(store: Store, url: str) -> None:
    """What one has taken the other does not get, until the lease is over; then it does, and the first can spoil nothing."""
    async with open_store(url) as other:
        await open_an_incident(store, NOW, outbox=OUTBOX)
        (mine,) = await claim(store, "pager")
        assert await claim(other, "pager", by="two") == []
        (theirs,) = await claim(other, "pager", NOW + MINUTE, by="two")
        assert theirs.message_id == mine.message_id
        await store.messages.note_failed(mine.message_id, "one", "late", next_try_at=NOW)
        assert await claim(store, "pager", NOW + MINUTE) == []
        await other.messages.note_delivered(theirs.message_id, now=NOW)
        assert await claim(store, "pager", NOW + 10 * MINUTE) == []


async def test_what_a_dead_collector_had_taken_is_due_when_it_is_back(store: Store) -> None:
    """It waits for no lease of its own; another's it leaves alone."""
    await open_an_incident(store, NOW, outbox=OUTBOX)
    await claim(store, "pager")
    await claim(store, "chat", by="two")
    assert await store.messages.release("one") == 1
    assert len(await claim(store, "pager")) == 1
    assert await claim(store, "chat") == []


async def test_only_what_is_old_enough_and_not_under_way_is_given_up(store: Store) -> None:
    """By severity and age, and not while somebody sends it."""
    await open_an_incident(store, NOW, outbox=OUTBOX)
    await open_an_incident(store, NOW, key="m", severity=Severity.MEDIUM, outbox=OUTBOX)
    await claim(store, "pager", NOW)
    assert await store.messages.give_up(Severity.CRITICAL, NOW, now=NOW) == 0
    assert await store.messages.give_up(Severity.CRITICAL, NOW + MINUTE, now=NOW) == 1
    found = [(one.channel, one.severity, one.count, one.oldest_at) for one in await store.messages.waiting()]
    assert found == [("chat", Severity.MEDIUM, 1, NOW), ("pager", Severity.CRITICAL, 1, NOW)]


async def test_what_is_over_is_forgotten_and_what_is_on_is_not(store: Store) -> None:
    """Receivers that must be reminded depend on it."""
    over = await open_an_incident(store, NOW, outbox=OUTBOX)
    on = await open_an_incident(store, NOW, key="on", outbox=OUTBOX)
    await end_incident(store, over, NOW, OUTBOX)
    await deliver(store, "pager")
    assert await store.messages.prune(NOW + MINUTE) == 2
    assert [one.notice.incident_key for one in await store.messages.running("pager")] == [on.key]
    assert await store.messages.running("chat") == []


async def test_all_collectors_sign_with_one_key(store: Store, url: str) -> None:
    """Whoever comes first makes it; one that is chosen is used as it is."""
    async with open_store(url) as other:
        keys = {await ack_key_of(store), await ack_key_of(other), await ack_key_of(store)}
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert await ack_key_of(store, "chosen") == b"chosen"
