"""Old alerts in the store, on SQLite and on PostgreSQL: they go after their runs, whole, and nothing that is open goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from collector.alerting.model import Alert, AlertEvent, EventKind, Incident
from collector.alerting.outbox import MessageOutbox
from collector.alerting.reading import acknowledge, alert_events, find_incident, open_alerts
from collector.finals import Kept, keep_finals
from collector.score_reader import Asked
from collector.scorecard import LineScore, make_scorecard
from collector.store import Pruned, Retention, Store, open_store
from collector.store_alerts import AlertBook, add_event
from collector.store_messages import MessageState
from collector.store_session import Session
from console.objectives import load_set
from probes.errors import OperatorError
from slo.burn_tiers import Severity
from slo.duties import DutyScore
from slo.window import minute_of
from tests.alert_kit import FLEET, TARGET, open_an_incident
from tests.message_kit import ALL, end_incident
from tests.store_kit import NOW, deliver, runs_from, two_stores

DAY = timedelta(days=1)
LONG_AGO = NOW - 100 * DAY
MONTH = f"{LONG_AGO:%Y-%m}"
OUTBOX = MessageOutbox({"hook": ALL})
SHORT = Retention(max_age=40 * DAY)
"""Less than the two protected months: those decide."""


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


async def prune(store: Store, retention: Retention = SHORT, *, now: datetime = NOW) -> Pruned:
    """Everything that may go; what the passes did together."""
    sums = Pruned(0, has_more=True, is_over_size=False)
    while sums.has_more:
        found = await store.prune(retention, now=now)
        sums = replace(found, slots=sums.slots + found.slots, incidents=sums.incidents + found.incidents)
    return sums


async def end_alerts(store: Store, incident: Incident, now: datetime) -> None:
    """Its alerts are off."""

    async def work(session: Session) -> None:
        for alert in incident.alerts:
            await AlertBook(session, FLEET, TARGET).set_alert(replace(alert, resolved_at=now))

    await store.alerts.change(work)


async def send_all(store: Store, now: datetime) -> None:
    """Everything that waits has been taken."""
    while found := await store.messages.claim("hook", "one", now=now, until_at=now + DAY, limit=10):
        for one in found:
            await store.messages.note_delivered(one.message_id, now=now)


async def open_one(store: Store, at: datetime, key: str) -> Incident:
    """An incident that began, with its message."""
    return await open_an_incident(store, at, key=key, outbox=OUTBOX)


async def close_one(store: Store, at: datetime, key: str, *, minutes: float = 20, sent: bool = True) -> Incident:
    """An incident that was acknowledged after five minutes, and is over, with all that was said of it."""
    made = await open_one(store, at, key)
    await acknowledge(store, made.incident_id, by="Ada", how="page", now=at + timedelta(minutes=5), outbox=OUTBOX)
    over_at = at + timedelta(minutes=minutes)
    await end_alerts(store, made, over_at)
    await end_incident(store, made, over_at, OUTBOX)
    if sent:
        await send_all(store, over_at)
    return made


async def is_there(store: Store, *incidents: Incident) -> list[bool]:
    """Which of them are there, each whole or not at all."""
    found = []
    for one in incidents:
        is_known = await find_incident(store, one.incident_id) is not None
        events = await alert_events(store, LONG_AGO - 400 * DAY, NOW + DAY, incident_id=one.incident_id)
        told = await store.messages.told(one.incident_id, "hook")
        assert bool(events) == bool(told) == is_known
        found.append(is_known)
    return found


async def test_what_is_over_goes_after_its_month_with_all_that_belongs_to_it(store: Store) -> None:
    """Alerts, answers, events and messages too; the next month's incidents, and what is new, stay."""
    await store.file([deliver(runs_from(4, start_at=LONG_AGO)), deliver(runs_from(4), first_seq=5)])
    old, late = await close_one(store, LONG_AGO, "old"), await close_one(store, NOW - 50 * DAY, "late")
    new = await close_one(store, NOW - 3 * DAY, "new")
    pruned = await prune(store)
    assert (pruned.slots, pruned.incidents) == (4, 1)
    assert await is_there(store, old, late, new) == [False, True, True]
    assert (await prune(store)).incidents == 0


async def test_what_is_open_and_what_waits_to_be_sent_is_never_dropped(store: Store) -> None:
    """An incident that is not over, one whose slow alert is still on, and one of which somebody has still to be told."""
    is_open = await open_one(store, LONG_AGO, "open")
    lasts = await open_one(store, LONG_AGO, "lasts")
    await end_incident(store, lasts, LONG_AGO + DAY, OUTBOX)
    await send_all(store, LONG_AGO + DAY)
    waits = await close_one(store, LONG_AGO, "waits", sent=False)
    assert (await prune(store)).incidents == 0
    assert await is_there(store, is_open, lasts, waits) == [True, True, True]
    assert {one.key for one in await open_alerts(store)} == {"open"}
    due = await store.messages.claim("hook", "one", now=NOW, until_at=NOW + DAY, limit=10)
    assert [one.notice.incident_id for one in due] == [waits.incident_id]
    assert [one.state for one in await store.messages.told(waits.incident_id, "hook")] == [MessageState.WAITING] * 3
    await store.messages.note_delivered(due[0].message_id, now=NOW)
    await send_all(store, NOW)
    assert (await prune(store)).incidents == 1
    await end_alerts(store, lasts, NOW - 90 * DAY)
    await end_alerts(store, is_open, NOW - 90 * DAY)
    assert (await prune(store)).incidents == 1
    assert await is_there(store, is_open, lasts, waits) == [True, False, False]


async def card_of(store: Store, now: datetime = NOW) -> tuple[LineScore, dict[str, Kept]]:
    """How soon somebody answered in the old month, and what is on record of it."""
    asked = Asked(TARGET, FLEET, ("eu",), now, window=MONTH, names=("critical-answered",))
    card = await make_scorecard(store, load_set(), asked)
    return card.lines[0], await keep_finals(store, card)


async def decide_something(store: Store) -> None:
    """Somebody decides alerts here."""

    async def nothing(book: AlertBook) -> None:
        """All is well."""

    await store.alerts.decide(FLEET, TARGET, None, minute_of(LONG_AGO), nothing)


async def test_answers_stay_as_long_as_any_run_of_their_month(store: Store) -> None:
    """A score says the same while its month is partly there; when all of it is gone nothing is revised."""
    first_day = LONG_AGO.replace(day=1, hour=1)
    await decide_something(store)
    await store.file([deliver(runs_from(4, start_at=first_day)), deliver(runs_from(4, start_at=LONG_AGO), first_seq=5)])
    await store.file([deliver(runs_from(4), first_seq=9)])
    one, two = await close_one(store, first_day, "one"), await close_one(store, LONG_AGO, "two")
    before, kept = await card_of(store)
    assert isinstance(before.score, DutyScore)
    assert len(before.score.subjects) == 2
    # All runs of the first day go, and the two protected months do not protect the old one.
    age = Retention(max_age=NOW - LONG_AGO + DAY)
    assert (await prune(store, age)).slots == 4
    assert await is_there(store, one, two) == [True, True]
    again, kept_again = await card_of(store)
    assert again.score == before.score
    assert kept_again["critical-answered"].revisions == kept["critical-answered"].revisions
    assert (await prune(store)).incidents == 2
    _, outlived = await card_of(store)
    assert outlived["critical-answered"].revisions == kept["critical-answered"].revisions
    assert outlived["critical-answered"].is_outlived


async def test_by_size_alerts_go_with_the_runs_and_are_counted(store: Store) -> None:
    """What they take is part of the size; the protected months keep theirs, and the newest two weeks whatever is set."""
    await store.file([deliver(runs_from(4, start_at=LONG_AGO)), deliver(runs_from(4), first_seq=5)])
    empty = (await store.totals()).size_bytes
    old, late = await close_one(store, LONG_AGO, "old"), await close_one(store, NOW - 3 * DAY, "late")

    async def fill(session: Session) -> None:
        for number in range(200):
            event = AlertEvent(0, f"much/{number}", late.incident_id, 0, EventKind.JOINED, Severity.REPORT, NOW)
            await add_event(session, replace(event, note="x" * 2_000))

    await store.alerts.change(fill)
    # PostgreSQL packs long texts; their keys and rows are counted at least.
    assert (await store.totals()).size_bytes - empty >= 16_384
    pruned = await prune(store, Retention(max_bytes=1))
    assert (pruned.slots, pruned.incidents, pruned.is_over_size) == (4, 1, True)
    assert await is_there(store, old, late) == [False, True]
    gone = await prune(store, Retention(max_age=timedelta(hours=1), keeps_two_months=False))
    assert gone.incidents == 0
    assert await is_there(store, late) == [True]


async def test_what_belongs_to_no_incident_goes_by_age_alone(store: Store) -> None:
    """What would have fired, and who was asked to look; a message of no incident is the dispatcher's."""

    async def work(session: Session) -> None:
        for at, key in ((LONG_AGO, "old"), (NOW - DAY, "new")):
            await add_event(session, AlertEvent(0, key, 0, 0, EventKind.WOULD_HAVE_FIRED, Severity.HIGH, at))

    await store.alerts.change(work)
    for at, outage in ((LONG_AGO, "old"), (NOW - DAY, "new")):
        assert await store.alerts.note_asked(outage, "eu-west", "1", now=at)
    await prune(store)
    assert [one.key for one in await alert_events(store, LONG_AGO - DAY, NOW)] == ["new"]
    assert await store.alerts.note_asked("old", "eu-west", "2", now=NOW)
    assert not await store.alerts.note_asked("new", "eu-west", "2", now=NOW)


async def test_an_answer_that_comes_while_its_incident_goes_is_whole_or_refused(url: str) -> None:
    """Two collectors: nothing is left of an incident that is gone, whoever is first."""
    async with two_stores(url) as (one, other):
        made = []
        for number in range(6):
            incident = await open_one(one, LONG_AGO, f"k{number}")
            await end_alerts(one, incident, LONG_AGO + DAY)
            await end_incident(one, incident, LONG_AGO + DAY, OUTBOX)
            made.append(incident)
        await send_all(one, LONG_AGO + DAY)

        async def answer(incident: Incident) -> None:
            await acknowledge(other, incident.incident_id, by="Ada", how="page", now=NOW, outbox=OUTBOX)

        ended = await asyncio.gather(prune(one), *map(answer, made), return_exceptions=True)
        assert all(one is None or isinstance(one, Pruned | OperatorError) for one in ended), ended
        await send_all(one, NOW)
        await prune(one)
        assert await is_there(one, *made) == [False] * len(made)


async def test_an_alert_keeps_its_key_while_the_engine_looks_back(store: Store) -> None:
    """However short results are kept: what was on in the last days is not decided anew."""
    made = await close_one(store, NOW - 2 * DAY, "recent")
    await prune(store, Retention(max_age=timedelta(hours=1), keeps_two_months=False))
    alerts, incidents = await store.alerts.look(FLEET, TARGET, NOW - 3 * DAY)
    assert [one.key for one in alerts] == ["recent"]
    assert [one.incident_id for one in incidents] == [made.incident_id]
    assert all(isinstance(one, Alert) for one in alerts)
