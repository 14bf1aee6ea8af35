"""What the engine decides reaches a real receiver by way of the queue."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import Dispatcher
from collector.alerting.outbox import MessageOutbox
from collector.scoring import Scorer
from collector.simulation_plan import Statement
from collector.store import open_store
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, engine_of, plan_of, play, some_lines
from tests.clock import JumpingClock
from tests.message_kit import ALL, target

START = month_span("2026-09").from_minute + 600


async def test_an_outage_that_the_engine_finds_is_told_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """Each thing that happened to the incident arrives once, in order, the end with what it cost."""
    lines = some_lines("api-uptime")
    begin = instant_of_minute(START + 62)
    fails = {"from": begin, "until": begin + timedelta(minutes=6), "what": "fail", "kind": "timeout"}
    plan, clock = plan_of(Statement.model_validate(fails)), JumpingClock(instant_of_minute(START + 58))
    outbox = MessageOutbox({"hook": ALL})
    async with open_store(str(tmp_path / "store.db"), survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(lines))
        with target() as there:
            channel = Channel("hook", "webhook", sender_of("webhook", there.url, where="test"))
            sending = Dispatcher(store, [channel], name="one", clock=clock)
            engine = engine_of(store, lines, plan, clock, outbox)
            await play(
                store, Feed(plan, Span("play", START, START + 90)), [engine], clock, instant_of_minute(START + 85)
            )
            await sending.tick()
            told = [one.json for one in there.taken if one.json["origin"] == "platform"]
    assert told[0]["kind"] == "fired"
    assert told[-1]["kind"] == "resolved"
    assert len({str(one["incident_key"]) for one in told}) == 1
    assert len({str(one["key"]) for one in told}) == len(told)
    assert "Cost: 6 bad minutes" in str(told[-1]["text"])
