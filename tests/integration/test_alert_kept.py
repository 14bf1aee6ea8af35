"""What is kept from minute to minute decides as everything read and counted anew does, over random fleets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from collector.alerting.kept_histories import KeptEvents, KeptHistories
from collector.alerting.model import AlertKind
from collector.alerting.tiers import TierState, tier_states
from collector.burn_history import BurnHistories
from collector.score_reader import Asked, Reader
from collector.scoring import Scorer
from collector.simulation_plan import Plan, Statement
from collector.store import open_store
from slo.burn import Cause, alert_episodes, burn_now, settled_minute
from slo.burn_tiers import AlertPreset, AlertTier
from slo.objective_set import ObjectiveSet
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, plan_of, some_lines

START = month_span("2026-09").from_minute + 600
MINUTES = 45
LOOKED_BACK = 12
NAMES = ("api-uptime", "metrics-every-minute", "api-errors", "api-p99", "quote-errors")


def quick(tier: AlertTier) -> AlertTier:
    """The same tier on minutes for hours, so that three quarters of an hour show everything."""
    long_minutes, short_minutes = max(tier.long_minutes // 48, 5), max(tier.short_minutes // 48, 2)
    return AlertTier(tier.severity, long_minutes, short_minutes, tier.budget / 48)


def lines() -> ObjectiveSet:
    """Lines of minutes and of events; three of the same events, which look back less far and further."""
    known = some_lines(*NAMES)
    presets = {name: AlertPreset(name, tuple(map(quick, one.tiers))) for name, one in known.presets.items()}
    shorter = AlertPreset("shorter", presets["standard"].tiers[:2])
    (twin,) = known.objectives["api-errors"]
    objectives = {
        "shorter": (replace(twin, name="shorter", alerts="shorter"),),
        **known.objectives,
        "shorter-still": (replace(twin, name="shorter-still", alerts="shorter"),),
    }
    return replace(known, objectives=objectives, presets={**presets, "shorter": shorter})


def random_plan(dice: Random) -> Plan:
    """Outages, slow answers and silence in some regions, and single failures everywhere."""
    singles = [(minute, minute + 1) for minute in sorted(dice.sample(range(600, 600 + MINUTES), 6))]
    statements = [Statement.model_validate({"what": "fail", "minutes": singles, "regions": ["us-east"]})]
    for _ in range(4):
        begin = instant_of_minute(START + dice.randrange(MINUTES))
        effects: list[dict[str, object]] = [{"what": "fail"}, {"what": "missing"}, {"what": "slow", "times": 50.0}]
        what = dice.choice(effects)
        until = begin + timedelta(minutes=dice.randrange(1, 12))
        regions = dice.sample(["eu-west", "us-east", "ap-south"], dice.randrange(1, 4))
        statements.append(Statement.model_validate({**what, "from": begin, "until": until, "regions": regions}))
    return plan_of(*statements, every_s={"api-health": 60.0, "quote": 60.0})


def decided(one: TierState) -> object:
    """Everything about a tier that an alert is made of."""
    kinds = (AlertKind.BURN, AlertKind.NO_DATA)
    windows = (one.fit.tier.short_minutes, one.fit.tier.long_minutes)
    looks = [(kind, one.severity(kind), one.costs(kind, minutes)) for kind in kinds for minutes in windows]
    return one.name, one.episodes, one.burn, looks, [one.counts(minutes) for minutes in windows]


def decided_plainly(one: TierState, span: Span, now: datetime) -> object:
    """The same, by every minute of the history, counted for each question anew."""
    ((_, whole),) = alert_episodes(one.history, (one.fit,), one.history.span)
    reach = [each for each in whole if each.resolved_at_minute is None or each.resolved_at_minute > span.from_minute]
    kept = tuple(each for each in reach if not (one.region and each.cause is Cause.NO_DATA))
    (burn,) = burn_now(one.history, (one.fit,), now)
    return decided(replace(one, episodes=kept, burn=burn))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_is_kept_decides_as_what_is_read_anew(tmp_path: Path, seed: int) -> None:
    """Minute by minute, with results that come up to eight minutes late: episodes, rates, costs and severities are equal."""
    dice, known, kept = Random(seed), lines(), KeptEvents()
    plan = random_plan(dice)
    feed = Feed(plan, Span("play", START, START + MINUTES))
    seen: set[Cause] = set()
    async with open_store(str(tmp_path / "store.db"), survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(known))
        for place in range(4, MINUTES):
            now = instant_of_minute(START + place)
            arrived = feed.until(now - timedelta(minutes=dice.randrange(9)))
            if arrived:
                await store.file(arrived)
            minute = settled_minute(now)
            span = Span("alerts", minute - LOOKED_BACK, minute + 1)
            asked = Asked(plan.target, plan.fleet, plan.regions, now)
            quickly, plainly = (Reader(store, asked, ()) for _ in range(2))
            found = await tier_states(quickly, KeptHistories(quickly, known.presets, kept), known, span)
            others = await tier_states(plainly, BurnHistories(plainly, known.presets), known, span)
            assert [decided(one) for one in found] == [decided_plainly(one, span, now) for one in others]
            seen |= {each.cause for one in found for each in one.episodes}
    assert seen == set(Cause)
    assert len(kept.lines) >= 3
