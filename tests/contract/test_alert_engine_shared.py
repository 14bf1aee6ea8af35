"""Several collectors decide alerts on one database: each alert once, whoever is first, and nobody twice."""

from __future__ import annotations

import asyncio
from collections import Counter

from collector.alerting.model import EventKind
from collector.alerting.reading import alert_events, alert_history
from collector.scoring import Scorer
from collector.simulation_plan import Statement
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, engine_of, plan_of, some_lines
from tests.alert_kit import KeptNotices
from tests.clock import JumpingClock
from tests.store_kit import two_stores

START = month_span("2026-09").from_minute + 600
MINUTES = 12
UPTIME = some_lines("api-uptime")


async def test_two_collectors_fire_once(url: str) -> None:
    """Both look at the same moment at the same minutes; every notice is put into one outbox, and no event happens twice."""
    plan = plan_of(
        Statement.model_validate({"from": instant_of_minute(START + 3), "what": "fail"}), every_s={"api-health": 60.0}
    )
    feed = Feed(plan, Span("play", START, START + MINUTES))
    clock = JumpingClock(instant_of_minute(START))
    outboxes = (KeptNotices(), KeptNotices())
    async with two_stores(url) as (one, other):
        for store in (one, other):
            await store.scores.begin(Scorer.of(UPTIME))
        engines = [
            engine_of(store, UPTIME, plan, clock, outbox) for store, outbox in zip((one, other), outboxes, strict=True)
        ]
        until_at = instant_of_minute(START + MINUTES)
        while clock.now() < until_at:
            arrived = feed.until(clock.now())
            if arrived:
                await one.file(arrived)
            await asyncio.gather(*(engine.tick() for engine in engines))
            clock.advance(10)
        found = await alert_history(one, instant_of_minute(START), clock.now())
        events = await alert_events(other, instant_of_minute(START), clock.now())
    notices = Counter(one.key for outbox in outboxes for one in outbox.notices)
    assert len(found) == 1
    assert max(Counter(one.key for one in events).values()) == 1
    assert notices
    assert max(notices.values()) == 1
    told = {event.key for event in events if event.what in (EventKind.FIRED, EventKind.UPGRADED)}
    assert told == set(notices)
