"""Alerts where clocks are set, differ, or a database is away: none is lost for it, and none is told twice, on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import Dispatcher
from collector.alerting.engine import AlertEngine
from collector.alerting.model import AlertKind, EventKind, Incident, Origin
from collector.alerting.notice import Notice
from collector.alerting.outbox import MessageOutbox
from collector.alerting.reading import alert_events, alert_history
from collector.scoring import Scorer
from collector.simulation_plan import Plan, Statement
from collector.store import Store, StoreError, open_store
from collector.store_session import Session
from slo.burn_tiers import Severity
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, engine_of, plan_of, some_lines
from tests.alert_kit import KeptNotices, open_an_incident
from tests.clock import JumpingClock
from tests.message_kit import ALL, target

START = month_span("2026-09").from_minute + 600
UPTIME = some_lines("api-uptime")
STEP_S = 10.0


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open store that scores line 1."""
    async with open_store(url, survives_power_cut=False) as opened:
        await opened.scores.begin(Scorer.of(UPTIME))
        yield opened


def at(minute: float) -> datetime:
    """An instant of the play."""
    return instant_of_minute(START) + timedelta(minutes=minute)


def outage(from_minute: float) -> Plan:
    """One journey each minute in three regions, which fails from a minute on."""
    return plan_of(
        Statement.model_validate({"from": at(from_minute), "what": "fail", "kind": "timeout"}),
        every_s={"api-health": 60.0},
    )


def feed_of(plan: Plan, minutes: int = 90) -> Feed:
    """So many minutes of it."""
    return Feed(plan, Span("play", START, START + minutes))


async def go_on(
    store: Store, feed: Feed, engines: dict[JumpingClock, AlertEngine], true: JumpingClock, to: float
) -> None:
    """Let true time pass for everybody, to a minute of the play; each engine goes by its own clock."""
    while true.now() < at(to):
        arrived = feed.until(true.now())
        if arrived:
            await store.file(arrived)
        for engine in engines.values():
            await engine.tick()
        for clock in {true, *engines}:
            clock.advance(STEP_S)


async def pages(store: Store) -> list[Incident]:
    """The critical incidents of the platform, the oldest first."""
    found = await alert_history(store, at(-600), at(6_000))
    return [one for one in found[::-1] if one.origin is Origin.PLATFORM and one.severity is Severity.CRITICAL]


async def test_after_a_clock_was_ahead_for_a_while_outages_are_told_at_once_again(store: Store) -> None:
    """Two hours ahead for a minute: the book is taken back, and nobody waits for two hours."""
    plan = outage(70)
    clock, true, outbox = JumpingClock(at(58)), JumpingClock(at(58)), KeptNotices()
    engine, feed = engine_of(store, UPTIME, plan, clock, outbox), feed_of(plan)
    await go_on(store, feed, {clock: engine}, true, 61)
    clock.step(7_200)
    await go_on(store, feed, {clock: engine}, true, 62)
    clock.step(-7_200)
    await go_on(store, feed, {clock: engine}, true, 66)
    assert engine.looked_at is not None
    await go_on(store, feed, {clock: engine}, true, 76)
    (page,) = await pages(store)
    assert page.is_open
    assert page.opened_at <= at(74)
    assert max(Counter(one.key for one in outbox.notices).values()) == 1
    open_ones = [one for one in await alert_history(store, at(0), at(80)) if one.is_open]
    assert [one.incident_id for one in open_ones] == [page.incident_id]


async def test_who_finds_the_book_ahead_is_not_well_until_it_is_decided_again(store: Store) -> None:
    """Another collector's clock runs ten minutes ahead and goes on: ours says nothing of its own, and its sign of life stops."""
    plan = outage(300)
    ahead, ours = JumpingClock(at(68)), JumpingClock(at(58))
    first, second = (engine_of(store, UPTIME, plan, clock) for clock in (ahead, ours))
    feed = feed_of(plan)
    await go_on(store, feed, {ahead: first}, ours, 59)
    ahead_at = first.looked_at
    await go_on(store, feed, {ahead: first, ours: second}, ours, 65)
    assert second.looked_at is None
    assert first.looked_at != ahead_at
    await go_on(store, feed, {ours: second}, ours, 69)
    assert second.looked_at is not None


async def test_collectors_whose_clocks_differ_by_a_minute_tell_once(store: Store, url: str) -> None:
    """One is fifty seconds ahead: what it decides too early, nobody decides again, and each notice is put once."""
    plan = outage(66)
    clocks = (JumpingClock(at(58) + timedelta(seconds=50)), JumpingClock(at(58)))
    outboxes = (KeptNotices(), KeptNotices())
    async with open_store(url) as other:
        await other.scores.begin(Scorer.of(UPTIME))
        engines = {
            clock: engine_of(one, UPTIME, plan, clock, outbox)
            for one, clock, outbox in zip((store, other), clocks, outboxes, strict=True)
        }
        await go_on(store, feed_of(plan), engines, clocks[1], 74)
        events = await alert_events(store, at(0), at(80))
        (page,) = await pages(store)
    notices = Counter(one.key for outbox in outboxes for one in outbox.notices)
    assert max(notices.values()) == 1
    assert {one.key for one in events if one.what in (EventKind.FIRED, EventKind.UPGRADED)} == set(notices)
    assert page.opened_at <= at(70)


async def test_a_worry_that_could_not_be_entered_is_entered_a_minute_later(store: Store) -> None:
    """The database was away when it was found; what is looked at every five minutes is then looked at again at once."""

    class AwayOnce(KeptNotices):
        """An outbox whose database is away when the first word about coverage is put."""

        is_away = True

        async def put(self, session: Session, notice: Notice) -> None:
            if self.is_away and "covers" in notice.title:
                self.is_away = False
                raise StoreError("the database is away")
            await super().put(session, notice)

    dark = {"from": at(20), "until": at(55), "what": "missing", "regions": ["us-east"]}
    plan = plan_of(Statement.model_validate(dark), every_s={"api-health": 60.0})
    clock, outbox = JumpingClock(at(64)), AwayOnce()
    await store.file(feed_of(plan).until(at(64)))
    engine = engine_of(store, UPTIME, plan, clock, outbox)
    with pytest.raises(StoreError):
        await engine.tick()
    clock.advance(2)
    await engine.tick()
    kinds = [alert.kind for one in await alert_history(store, at(0), at(80)) for alert in one.alerts]
    assert kinds.count(AlertKind.COVERAGE) == 1
    assert not outbox.is_away


async def test_a_message_that_waits_for_an_instant_no_clock_should_have_shown_is_due(store: Store) -> None:
    """It was tried while the clock was a day ahead; after that it is sent within the next look at the queue."""
    clock = JumpingClock(at(0))
    outbox = MessageOutbox({"hook": ALL})
    with target() as there:
        channel = Channel("hook", "webhook", sender_of("webhook", there.url, where="test"))
        sending = Dispatcher(store, [channel], name="one", clock=clock)
        await open_an_incident(store, at(0), outbox=outbox)
        clock.step(86_400)
        there.status = 500
        await sending.tick()
        assert len(there.refused) == 1
        await open_an_incident(store, at(0), key="taken", outbox=outbox)
        now = clock.now()
        assert await store.messages.claim("hook", "dead", now=now, until_at=now + timedelta(seconds=90), limit=9)
        clock.step(-86_400)
        there.status = 200
        await sending.tick()
        assert there.taken == []
        await sending.tidy()
        await sending.tick()
        assert sorted(one.key for one in there.taken) == ["api-uptime/critical/burn/1/fired", "taken/fired"]
