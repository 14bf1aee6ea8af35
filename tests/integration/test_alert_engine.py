"""The alert engine on a fleet that is played to it: when it fires, what belongs together, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.alert_log import alerts_of
from collector.alerting.model import Alert, EventKind, Origin
from collector.alerting.notice import Notice
from collector.alerting.reading import alert_events, alert_history
from collector.score_reader import Asked, render_maintenance
from collector.scoring import Scorer
from collector.simulation_plan import Statement
from collector.store import Store, open_store
from collector.store_session import Session
from console.objectives import load_set
from slo.burn_tiers import Severity
from slo.maintenance import MaintenanceWindow
from slo.objective_set import ObjectiveSet
from slo.window import Span, instant_of_minute, minute_of, month_span
from tests.alert_feed import Feed, engine_of, plan_of, play, some_lines
from tests.alert_kit import KeptNotices
from tests.clock import JumpingClock

START = month_span("2026-09").from_minute + 600
KNOWN = load_set()


def outage(from_minute: int, minutes: int, **more: object) -> Statement:
    """Everything fails in so many minutes, counted from the start of the play."""
    begin = instant_of_minute(START + from_minute)
    fields = {"from": begin, "until": begin + timedelta(minutes=minutes), "what": "fail", "kind": "timeout", **more}
    return Statement.model_validate(fields)


def span_of_play(minutes: int) -> Span:
    """So many minutes from the start."""
    return Span("play", START, START + minutes)


@asynccontextmanager
async def scored_store(url: str | Path, known: ObjectiveSet = KNOWN) -> AsyncIterator[Store]:
    """A store that scores the built-in lines."""
    async with open_store(str(url), survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(known))
        yield store


def clock_at(minute: int) -> JumpingClock:
    """A clock that shows a minute of the play."""
    return JumpingClock(instant_of_minute(START + minute))


UPTIME = some_lines("api-uptime")


async def alerts_in(store: Store, clock: JumpingClock) -> list[Alert]:
    """Every alert that was recorded."""
    found = await alert_history(store, instant_of_minute(START), clock.now())
    return sorted((one for incident in found for one in incident.alerts), key=lambda one: one.alert_id)


async def test_a_total_outage_is_one_incident_told_once_and_resolved_with_its_cost(tmp_path: Path) -> None:
    """Many lines and tiers fire for twenty dark minutes: one page, one all-clear, and what it cost."""
    plan = plan_of(outage(62, 20))
    outbox, clock = KeptNotices(), clock_at(58)
    async with scored_store(tmp_path / "store.db") as store:
        engine = engine_of(store, KNOWN, plan, clock, outbox)
        await play(store, Feed(plan, span_of_play(100)), [engine], clock, instant_of_minute(START + 92))
        found = await alert_history(store, instant_of_minute(START), clock.now())
        events = await alert_events(store, instant_of_minute(START), clock.now())
    (incident,) = found
    assert incident.origin is Origin.PLATFORM
    assert incident.severity is Severity.CRITICAL
    assert incident.first_bad_at == instant_of_minute(START + 62)
    assert incident.last_bad_at == instant_of_minute(START + 81)
    assert incident.duration(clock.now()) == timedelta(minutes=20)
    assert incident.resolved_at is not None
    told = [one.kind.value for one in outbox.notices if one.severity is Severity.CRITICAL]
    assert told == ["upgraded", "resolved"]
    assert len({one.key for one in outbox.notices}) == len(outbox.notices)
    uptime = next(one for one in incident.alerts if one.subject == "api-uptime" and one.tier is Severity.CRITICAL)
    assert (uptime.facts.cost, uptime.facts.unit) == (20, "minutes")
    assert uptime.facts.cost_ratio is not None
    assert abs(uptime.facts.cost_ratio - 20 / 43.2) < 1e-9
    assert uptime.facts.failure_kind == "timeout"
    assert uptime.facts.regions == ("ap-south", "eu-west", "us-east")
    assert uptime.facts.run_ids
    assert {one.what for one in events} >= {EventKind.FIRED, EventKind.JOINED, EventKind.UPGRADED, EventKind.RESOLVED}


async def test_alerts_of_a_line_that_is_taken_away_end_with_it(tmp_path: Path) -> None:
    """Nobody is left with an alert that nothing can resolve; those of the lines that stay go on."""
    before, after = some_lines("api-uptime", "widget-availability"), some_lines("widget-availability")
    plan, clock = plan_of(outage(62, 40)), clock_at(58)
    async with scored_store(tmp_path / "store.db", before) as store:
        feed = Feed(plan, span_of_play(80))
        await play(store, feed, [engine_of(store, before, plan, clock)], clock, instant_of_minute(START + 70))
        is_open = {one.subject: one.is_open for one in await alerts_in(store, clock)}
        assert is_open == {"api-uptime": True, "widget-availability": True}
        await play(store, feed, [engine_of(store, after, plan, clock)], clock, instant_of_minute(START + 74))
        found = await alerts_in(store, clock)
    assert {one.is_open for one in found if one.subject == "api-uptime"} == {False}
    assert any(one.is_open for one in found if one.subject == "widget-availability")


async def test_alerts_have_the_minutes_that_slo_alerts_says(tmp_path: Path) -> None:
    """Decided one by one as they settled, or looked up afterwards: each tier was on in the same minutes."""
    names = ("api-uptime", "widget-availability", "quote-errors", "api-errors")
    known = some_lines(*names)
    plan = plan_of(outage(62, 3), outage(74, 1, regions=["eu-west"]), outage(80, 8))
    clock = clock_at(58)
    async with scored_store(tmp_path / "store.db", known) as store:
        engine = engine_of(store, known, plan, clock)
        await play(store, Feed(plan, span_of_play(110)), [engine], clock, instant_of_minute(START + 105))
        recorded = {
            (one.subject, one.tier.value, one.kind.value, minute_of(one.fired_at), minute_or_none(one.resolved_at))
            for one in await alerts_in(store, clock)
            if not one.region
        }
        asked = Asked(plan.target, plan.fleet, plan.regions, clock.now(), "2026-09")
        lines = await alerts_of(store, known, asked)
    said = {
        (
            line.objective.name,
            tier.fit.tier.severity.value,
            one.cause.value,
            one.fired_at_minute,
            one.resolved_at_minute,
        )
        for line in lines
        for tier in line.tiers
        for one in tier.episodes
    }
    assert len(recorded) > 10
    assert recorded == said


def minute_or_none(instant: datetime | None) -> int | None:
    """The minute of an instant, if there is one."""
    return None if instant is None else minute_of(instant)


async def test_after_a_restart_nothing_fires_twice_and_what_came_and_went_is_only_logged(tmp_path: Path) -> None:
    """A collector is away during one outage and as another one begins; the first is history, the second is told."""
    plan = plan_of(outage(62, 3), outage(80, 4), outage(100, 60), every_s={"api-health": 60.0})
    outbox, clock = KeptNotices(), clock_at(58)
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        feed = Feed(plan, span_of_play(130))
        first = engine_of(store, UPTIME, plan, clock, outbox)
        await play(store, feed, [first], clock, instant_of_minute(START + 72))
        before = [one.key for one in await alerts_in(store, clock)]
        told = len(outbox.notices)
        await play(store, feed, [], clock, instant_of_minute(START + 110))
        second = engine_of(store, UPTIME, plan, clock, outbox)
        await play(store, feed, [second], clock, instant_of_minute(START + 112))
        after = await alerts_in(store, clock)
        events = await alert_events(store, instant_of_minute(START), clock.now())
    assert before
    critical = [one for one in after if one.tier is Severity.CRITICAL]
    assert [minute_of(one.fired_at) - START for one in critical] == [63, 100]
    assert critical[0].resolved_at is not None
    assert critical[1].recorded_at >= instant_of_minute(START + 110)
    missed = [one for one in events if one.what is EventKind.WOULD_HAVE_FIRED]
    assert any("critical" in one.key and "T11:20Z" in one.key for one in missed)
    assert "fired" in [one.kind.value for one in outbox.notices[told:]]
    assert len({one.key for one in outbox.notices}) == len(outbox.notices)


async def test_late_results_fire_nothing_and_say_what_would_have_fired(tmp_path: Path) -> None:
    """An outage that is known half an hour late corrects the score and wakes nobody."""
    dark = Statement.model_validate(
        {
            "from": instant_of_minute(START + 65),
            "until": instant_of_minute(START + 70),
            "what": "missing",
            "regions": ["us-east", "ap-south", "eu-west"],
        }
    )
    plan = plan_of(dark, every_s={"api-health": 60.0})
    late = plan_of(outage(65, 5), every_s={"api-health": 60.0})
    outbox, clock = KeptNotices(), clock_at(58)
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        engine = engine_of(store, UPTIME, plan, clock, outbox)
        feed = Feed(plan, span_of_play(120))
        await play(store, feed, [engine], clock, instant_of_minute(START + 100))
        hidden = Feed(late, Span("dark", START + 65, START + 70), epoch=2)
        await store.file(hidden.until(clock.now()))
        await play(store, feed, [engine], clock, instant_of_minute(START + 103))
        critical = [one for one in await alerts_in(store, clock) if one.tier is Severity.CRITICAL]
        events = await alert_events(store, instant_of_minute(START), clock.now())
    assert critical == []
    assert any(one.what is EventKind.WOULD_HAVE_FIRED and "critical" in one.key for one in events)


async def test_announced_works_silence_an_alert_until_they_are_over(tmp_path: Path) -> None:
    """Works that count because they were announced late still wake nobody; what goes on after them does."""
    plan = plan_of(outage(62, 40), every_s={"api-health": 60.0})
    outbox, clock = KeptNotices(), clock_at(58)
    begin = instant_of_minute(START + 60)
    works = MaintenanceWindow("moving", begin, 20, begin - timedelta(hours=1), "moving the database")
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        await store.scores.add_maintenance(works.name, render_maintenance(works), now=works.announced_at)
        engine = engine_of(store, UPTIME, plan, clock, outbox)
        feed = Feed(plan, span_of_play(120))
        await play(store, feed, [engine], clock, instant_of_minute(START + 78))
        (quiet,) = await alert_history(store, instant_of_minute(START), clock.now())
        silenced = list(outbox.notices)
        await play(store, feed, [engine], clock, instant_of_minute(START + 85))
        (loud,) = await alert_history(store, instant_of_minute(START), clock.now())
    assert silenced == []
    assert quiet.silenced_by == "moving"
    assert {one.silenced_by for one in quiet.alerts} == {"moving"}
    assert loud.silenced_by == ""
    assert [one.kind.value for one in outbox.notices] == ["fired"]


async def test_a_decision_that_is_not_committed_is_made_again(tmp_path: Path) -> None:
    """Killed between deciding and committing: nothing is recorded, and the next collector records it once."""

    class Dying:
        """An outbox in whose hands the process dies."""

        async def put(self, session: Session, notice: Notice) -> None:  # noqa: ARG002 - the outbox's own form
            raise KeyboardInterrupt

    plan = plan_of(outage(62, 20), every_s={"api-health": 60.0})
    outbox, clock = KeptNotices(), clock_at(58)
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        feed = Feed(plan, span_of_play(120))
        dying = engine_of(store, UPTIME, plan, clock, Dying())
        with pytest.raises(KeyboardInterrupt):
            await play(store, feed, [dying], clock, instant_of_minute(START + 70))
        assert await alerts_in(store, clock) == []
        heir = engine_of(store, UPTIME, plan, clock, outbox)
        await play(store, feed, [heir], clock, instant_of_minute(START + 70))
        found = await alert_history(store, instant_of_minute(START), clock.now())
    assert len(found) == 1
    assert outbox.notices[0].kind.value == "fired"
    assert len({one.key for one in outbox.notices}) == len(outbox.notices)


async def test_a_second_outage_soon_after_the_first_is_an_incident_of_its_own(tmp_path: Path) -> None:
    """Slow tiers that are still on because of the first hide nothing."""
    plan = plan_of(outage(62, 6), outage(90, 6), every_s={"api-health": 60.0})
    outbox, clock = KeptNotices(), clock_at(58)
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        engine = engine_of(store, UPTIME, plan, clock, outbox)
        await play(store, Feed(plan, span_of_play(120)), [engine], clock, instant_of_minute(START + 110))
        found = await alert_history(store, instant_of_minute(START), clock.now())
    assert [(one.severity, one.is_open) for one in found] == [(Severity.CRITICAL, False)] * 2
    assert [one.duration(clock.now()) for one in found] == [timedelta(minutes=6)] * 2


async def test_an_outage_in_one_region_wakes_nobody_and_is_on_record(tmp_path: Path) -> None:
    """The minute is good by the votes of the others; the region has an alert that is a report."""
    plan = plan_of(outage(62, 20, regions=["eu-west"]), every_s={"api-health": 60.0})
    clock = clock_at(58)
    async with scored_store(tmp_path / "store.db", UPTIME) as store:
        engine = engine_of(store, UPTIME, plan, clock)
        await play(store, Feed(plan, span_of_play(90)), [engine], clock, instant_of_minute(START + 85))
        (incident,) = await alert_history(store, instant_of_minute(START), clock.now())
    assert incident.severity is Severity.REPORT
    assert [one.region for one in incident.alerts] == ["eu-west"]
    assert incident.regions == ("eu-west",)
