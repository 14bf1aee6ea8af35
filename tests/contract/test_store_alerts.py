"""Alerts in the store, the same promises on SQLite and on PostgreSQL: decided once, acknowledged once, kept as they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.alerting.model import AlertEvent, EventKind, Origin
from collector.alerting.reading import acknowledge, alert_events, alert_history, find_incident, open_alerts
from collector.store import Store, open_store
from collector.store_alerts import AlertBook
from probes.errors import OperatorError
from slo.burn_tiers import Severity
from tests.alert_kit import FLEET, TARGET, KeptNotices, open_an_incident
from tests.store_kit import NOW, two_stores

LATER = NOW + timedelta(minutes=3)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


async def test_an_incident_is_read_back_as_it_was_recorded(store: Store) -> None:
    """Every field of an incident, its alert and its facts survives the database."""
    made = await open_an_incident(store, NOW)
    assert await find_incident(store, made.incident_id) == made
    assert [one.key for one in await open_alerts(store)] == [made.key]
    assert made.alerts[0].facts.regions == ("eu-west", "us-east")
    assert await alert_history(store, NOW, LATER) == [made]
    assert await alert_history(store, NOW - timedelta(hours=1), NOW) == []


async def test_the_first_acknowledgement_counts_and_is_said_once(store: Store) -> None:
    """Who comes second changes nothing; both learn of it."""
    made = await open_an_incident(store, NOW)
    outbox = KeptNotices()
    first = await acknowledge(store, made.incident_id, by="Ada", how="console", note="on it", now=LATER, outbox=outbox)
    second = await acknowledge(
        store, made.incident_id, by="Bob", how="page", now=LATER + timedelta(minutes=1), outbox=outbox
    )
    assert (first.is_first, second.is_first) == (True, False)
    assert second.incident.acknowledged_by == "Ada"
    assert second.incident.acknowledged_at == LATER
    assert [one.kind.value for one in outbox.notices] == ["acknowledged"]
    found = await alert_events(store, NOW, LATER + timedelta(hours=1), incident_id=made.incident_id)
    assert [(one.what, one.by, one.note) for one in found] == [
        (EventKind.FIRED, "", ""),
        (EventKind.ACKNOWLEDGED, "Ada", "on it"),
    ]


async def test_a_text_with_a_character_that_no_database_keeps_is_taken_without_it(store: Store) -> None:
    """PostgreSQL knows no NUL: an answer or a title that has one must not undo what it belongs to."""
    made = await open_an_incident(store, NOW, title="upload\0 fails")
    assert made.title == "upload fails"
    await acknowledge(store, made.incident_id, by="A\0da", how="page", now=LATER, note="on\0 it")
    found = await find_incident(store, made.incident_id)
    assert found is not None
    assert (found.acknowledged_by, found.acknowledged_note) == ("Ada", "on it")
    told = await alert_events(store, NOW, LATER + timedelta(hours=1))
    assert [(one.by, one.note) for one in told] == [("", ""), ("Ada", "on it")]


async def test_an_incident_that_is_not_there_cannot_be_acknowledged(store: Store) -> None:
    """The error says what to do."""
    with pytest.raises(OperatorError, match="there is no incident 17"):
        await acknowledge(store, 17, by="Ada", how="console", now=NOW)


async def test_of_two_collectors_that_decide_a_minute_one_does(url: str) -> None:
    """Both know the same book; only one moves it on, and the other one's decision is never made."""
    made: list[str] = []

    async def decision(book: AlertBook) -> None:
        key = f"minute-8/{len(made)}"
        made.append(key)
        await book.add_event(AlertEvent(0, key, 0, 0, EventKind.JOINED, Severity.REPORT, NOW))

    async with two_stores(url) as (one, other):
        begun = await asyncio.gather(*(store.alerts.decide(FLEET, TARGET, None, 7, decision) for store in (one, other)))
        assert sorted(begun) == [False, True]
        assert await one.alerts.decided_minute(FLEET, TARGET) == 7
        moved = await asyncio.gather(*(store.alerts.decide(FLEET, TARGET, 7, 8, decision) for store in (one, other)))
        assert sorted(moved) == [False, True]
        assert len(await alert_events(one, NOW, LATER)) == 2
        assert await one.alerts.decided_minute(FLEET, "another") is None


async def test_a_decision_that_fails_has_decided_nothing(store: Store) -> None:
    """The book stays where it was, so that the next one decides that minute."""

    async def decision(book: AlertBook) -> None:
        await book.add_event(AlertEvent(0, "half", 0, 0, EventKind.JOINED, Severity.REPORT, NOW))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.alerts.decide(FLEET, TARGET, None, 7, decision)
    assert await store.alerts.decided_minute(FLEET, TARGET) is None
    assert await alert_events(store, NOW, LATER) == []


async def test_answers_know_since_when_an_incident_was_as_bad(store: Store) -> None:
    """Only incidents of the platform are answered for, from the moment at which they had that severity."""
    made = await open_an_incident(store, NOW, severity=Severity.HIGH)
    await open_an_incident(store, NOW, severity=Severity.HIGH, key="silent/1", origin=Origin.FLEET)
    found = await store.alerts.answers(FLEET, TARGET, Severity.HIGH)
    assert [(one.incident_id, began_at) for one, began_at in found] == [(made.incident_id, NOW)]
    assert await store.alerts.answers(FLEET, TARGET, Severity.CRITICAL) == []


async def test_an_answer_that_comes_while_a_minute_is_decided_is_kept(url: str) -> None:
    """The decision has read the incident before, and writes what it knows of it afterwards: the answer is not in that."""
    loop = asyncio.get_running_loop()
    async with open_store(url) as deciding, open_store(url) as answering:
        made = await open_an_incident(deciding, NOW)
        begun: list[Future[object]] = []

        async def decision(book: AlertBook) -> None:
            (known,) = await book.incidents_since(NOW)
            answer = acknowledge(answering, made.incident_id, by="Ada", how="page", now=LATER)
            begun.append(asyncio.run_coroutine_threadsafe(answer, loop))
            # SQLite lets one write at a time, in a thread of its own: there the answer waits for us.
            if url.startswith("postgresql"):
                await asyncio.wrap_future(begun[0])
            await book.set_incident(replace(known, resolved_at=LATER))

        assert await deciding.alerts.decide(FLEET, TARGET, None, 7, decision)
        await asyncio.wrap_future(begun[0])
        found = await find_incident(deciding, made.incident_id)
    assert found is not None
    assert (found.acknowledged_by, found.acknowledged_at, found.resolved_at) == ("Ada", LATER, LATER)
