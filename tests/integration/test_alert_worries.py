"""The fleet's own worries: what makes each of them, what ends it, and that the platform is charged with none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.alerting.model import AlertKind, Incident, Origin
from collector.alerting.reading import alert_history
from collector.scoring import Scorer
from collector.simulation_plan import Statement
from collector.store import Store, open_store
from probes.messages import Address
from slo.burn_tiers import Severity
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, engine_of, plan_of, play, some_lines
from tests.alert_kit import KeptNotices
from tests.clock import JumpingClock
from tests.sample_runs import make_exchange, make_run, make_step
from tests.store_kit import deliver, run_entry

START = month_span("2026-09").from_minute + 600
UPTIME = some_lines("api-uptime", "metrics-every-minute")
EVERY_MINUTE = {"api-health": 60.0}


def at(minute: float) -> datetime:
    """An instant of the play."""
    return instant_of_minute(START) + timedelta(minutes=minute)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store that scores line 1."""
    async with open_store(str(tmp_path / "store.db"), survives_power_cut=False) as opened:
        await opened.scores.begin(Scorer.of(UPTIME))
        yield opened


def missing(from_minute: int, until_minute: int, regions: Sequence[str]) -> Statement:
    """Nothing is heard of these regions."""
    return Statement.model_validate(
        {"from": at(from_minute), "until": at(until_minute), "what": "missing", "regions": list(regions)}
    )


async def kinds_of(store: Store, until_at: datetime) -> list[tuple[AlertKind, str, bool]]:
    """Kind, subject and openness of the worries that were recorded."""
    found = await alert_history(store, at(0), until_at)
    return sorted(
        (one.kind, one.subject, one.is_open)
        for incident in found
        for one in incident.alerts
        if one.kind not in (AlertKind.BURN, AlertKind.NO_DATA)
    )


async def test_a_silent_probe_is_told_and_its_return_ends_it(store: Store) -> None:
    """Five minutes after its last word; the others see the platform, which is charged with nothing."""
    plan = plan_of(missing(62, 75, ["us-east"]), every_s=EVERY_MINUTE)
    outbox, clock = KeptNotices(), JumpingClock(at(58))
    engine, feed = engine_of(store, UPTIME, plan, clock, outbox), Feed(plan, Span("play", START, START + 90))
    await play(store, feed, [engine], clock, at(66))
    assert await kinds_of(store, clock.now()) == []
    await play(store, feed, [engine], clock, at(70))
    assert (AlertKind.SILENT, "us-east/simulated", True) in await kinds_of(store, clock.now())
    await play(store, feed, [engine], clock, at(80))
    (incident,) = await alert_history(store, at(0), clock.now())
    assert (incident.origin, incident.severity, incident.is_open) == (Origin.FLEET, Severity.HIGH, False)
    assert [one.kind.value for one in outbox.notices] == ["fired", "resolved"]


async def test_a_fleet_that_goes_dark_is_one_incident_of_its_own(store: Store) -> None:
    """Silent probes, minutes without a sample and minutes that nobody can tell about have one cause."""
    plan = plan_of(missing(62, 400, ["*"]), every_s=EVERY_MINUTE)
    outbox, clock = KeptNotices(), JumpingClock(at(58))
    engine, feed = engine_of(store, UPTIME, plan, clock, outbox), Feed(plan, Span("play", START, START + 130))
    await play(store, feed, [engine], clock, at(100))
    found = await alert_history(store, at(0), clock.now())
    assert len(found) == 1
    incident: Incident = found[0]
    assert incident.origin is Origin.FLEET
    assert {one.kind for one in incident.alerts} >= {AlertKind.SILENT, AlertKind.NO_DATA, AlertKind.BURN}
    assert {one.subject for one in incident.alerts if one.kind is AlertKind.BURN} == {"metrics-every-minute"}
    assert [one.kind.value for one in outbox.notices].count("fired") == 1


async def test_a_fleet_that_is_blind_from_its_beginning_becomes_a_page_after_half_an_hour(store: Store) -> None:
    """Its first minutes are half of a window of their own, which wakes nobody."""
    blind = Statement.model_validate({"what": "inconclusive"})
    plan = plan_of(blind, every_s=EVERY_MINUTE)
    outbox, clock = KeptNotices(), JumpingClock(at(0))
    engine, feed = (
        engine_of(store, some_lines("api-uptime"), plan, clock, outbox),
        Feed(plan, Span("play", START, START + 60)),
    )
    await play(store, feed, [engine], clock, at(20))
    (early,) = await alert_history(store, at(0), clock.now())
    await play(store, feed, [engine], clock, at(35))
    (late,) = await alert_history(store, at(0), clock.now())
    assert (early.severity, late.severity) == (Severity.REPORT, Severity.HIGH)
    assert {one.kind for one in late.alerts} == {AlertKind.NO_DATA}
    assert [(one.kind.value, one.severity.value) for one in outbox.notices] == [
        ("fired", "report"),
        ("upgraded", "high"),
    ]


async def test_a_probe_that_runs_too_few_of_its_slots_is_told(store: Store) -> None:
    """Every third slot is missing in one region: coverage is low there, and nowhere else."""
    gaps = Statement.model_validate({"what": "missing", "regions": ["eu-west"], "residue": {"mod": 3, "equals": 0}})
    plan = plan_of(gaps, every_s=EVERY_MINUTE)
    clock = JumpingClock(at(58))
    engine, feed = engine_of(store, UPTIME, plan, clock), Feed(plan, Span("play", START, START + 90))
    await play(store, feed, [engine], clock, at(66))
    assert await kinds_of(store, clock.now()) == [(AlertKind.COVERAGE, "eu-west/simulated", True)]


@pytest.mark.parametrize(("offset_s", "bound_s", "is_told"), [(1.5, 0.1, True), (-2.0, 0.1, True), (1.5, 0.8, False)])
async def test_a_clock_is_off_beyond_the_error_with_which_that_is_known(
    store: Store, offset_s: float, bound_s: float, *, is_told: bool
) -> None:
    """More than a second for sure, in either direction."""
    plan, clock = plan_of(every_s=EVERY_MINUTE), JumpingClock(at(2))
    engine, feed = engine_of(store, UPTIME, plan, clock), Feed(plan, Span("play", START, START + 10))
    clock_said = {"offset_ns": round(offset_s * 1e9), "bound_ns": round(bound_s * 1e9), "age_ns": 0}
    status = json.dumps({"v": 1, "online": True, "clock": clock_said}).encode()
    await store.file(feed.until(at(2)))
    await store.note_status(Address(plan.fleet, "eu-west", "simulated"), status, at(2))
    await play(store, feed, [engine], clock, at(4))
    expected = [(AlertKind.CLOCK, "eu-west/simulated", True)] if is_told else []
    assert await kinds_of(store, clock.now()) == expected


@pytest.mark.parametrize(("days", "is_told"), [(13, True), (-1, True), (30, False)])
async def test_a_certificate_that_ends_soon_is_told(store: Store, days: int, *, is_told: bool) -> None:
    """By what connections showed, for each host once."""
    plan, clock = plan_of(every_s=EVERY_MINUTE), JumpingClock(at(2))
    engine, feed = engine_of(store, UPTIME, plan, clock), Feed(plan, Span("play", START, START + 10))
    exchange = replace(
        make_exchange(), url="https://quotes.test:8443/api", certificate_expires_at=at(2) + timedelta(days=days)
    )
    run = make_run(make_step("api-health", exchanges=(exchange, exchange)), scenario="api-health")
    probe = Address(plan.fleet, "eu-west", "another")
    identity = replace(run.identity, fleet=plan.fleet, region="eu-west", probe="another", slot_at=at(1))
    run = replace(run, identity=identity, scheduled_at=at(1), started_at=at(1), target=plan.target)
    await store.file([deliver([run_entry(run)], probe=probe, received_at=at(1.5))])
    await play(store, feed, [engine], clock, at(4))
    expected = [(AlertKind.CERTIFICATE, "quotes.test:8443", True)] if is_told else []
    assert await kinds_of(store, clock.now()) == expected


@pytest.mark.parametrize(
    "status", [b"", b"[]", b"{", b'{"clock": 7}', b'{"clock": {"offset_ns": "much"}}', b"[" * 50_000]
)
async def test_what_a_probe_says_about_itself_breaks_nothing(store: Store, status: bytes) -> None:
    """A hostile word is no word."""
    plan, clock = plan_of(every_s=EVERY_MINUTE), JumpingClock(at(2))
    engine, feed = engine_of(store, UPTIME, plan, clock), Feed(plan, Span("play", START, START + 10))
    await store.file(feed.until(at(2)))
    await store.note_status(Address(plan.fleet, "eu-west", "simulated"), status, at(2))
    await play(store, feed, [engine], clock, at(3))
    assert await kinds_of(store, clock.now()) == []
