"""What deciding alerts costs each minute: a fleet of 12 regions and 40 scenarios with three days behind it, well and down.

Half an hour each, so that all that is looked at less often is in it. What is told is CPU time of the engine alone, with reading
the database: results are filed between its turns. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.ingest import quiet
from bench.report import Findings, Goal, median
from collector.alerting.engine import AlertEngine
from collector.alerting.outbox import MessageOutbox
from collector.scoring import Scorer
from collector.simulation_plan import Plan, Statement
from collector.store import Delivery, Store, open_store
from console.objectives import load_set
from probes.ledger_entries import OwedSlots
from probes.messages import Address
from probes.outbox import EntryKind
from slo.window import MINUTES_PER_DAY, Span, instant_of_minute, month_span
from tests.alert_feed import Feed, engine_of, plan_of
from tests.clock import JumpingClock
from tests.message_kit import ALL
from tests.store_kit import deliver, other_entry, run_at, run_entry

__all__ = ["run"]

REGIONS: Final = tuple(f"region-{number:02}" for number in range(1, 13))
SCORED: Final = {
    "api-health": 60.0,
    "widget-load": 60.0,
    "web-health": 300.0,
    "sign-in": 300.0,
    "quote": 300.0,
    "cad-small": 900.0,
    "cad-large": 3600.0,
    "payment": 900.0,
}
OTHERS: Final = tuple(f"journey-{number:02}" for number in range(1, 33))
OTHERS_EVERY: Final = timedelta(minutes=5)
OTHERS_FOR: Final = timedelta(minutes=90)
BEHIND: Final = 3 * MINUTES_PER_DAY
TURN: Final = 30
MOST_S: Final = 0.3
"""Half a percent of a core, also while nothing works."""
NOISE: Final = 5_000
"""One slot of so many fails, in one region at a time."""
START: Final = month_span("2026-09").from_minute


def run() -> list[Findings]:
    """Both half hours, one after the other."""
    quiet()
    with TemporaryDirectory() as name:
        return [asyncio.run(measured(Path(name)))]


async def measured(folder: Path) -> Findings:
    """Three days, half an hour in which all is well, and half an hour in which nothing works."""
    findings = Findings(
        "Deciding alerts: 12 regions, 40 scenarios, three days behind it, SQLite",
        ("half an hour", "s CPU a minute", "median minute", "dearest minute"),
    )
    begin = START + BEHIND
    noise = Statement.model_validate({"what": "fail", "residue": {"mod": NOISE, "equals": 11, "per_region": 700}})
    outage = Statement.model_validate({"what": "fail", "kind": "timeout", "from": instant_of_minute(begin + TURN + 2)})
    plan = plan_of(noise, outage, every_s=SCORED, regions=REGIONS)
    clock, known = JumpingClock(instant_of_minute(begin)), load_set()
    async with open_store(str(folder / "store.db"), survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(known))
        feed = Feed(plan, Span("bench", START, begin + 2 * TURN + 4))
        for minute in range(START, begin, 60):
            await store.file(feed.until(instant_of_minute(minute + 60)))
        for delivery in other_runs(plan, clock.now()):
            await store.file([delivery])
        engine = engine_of(store, known, plan, clock, MessageOutbox({"hook": ALL}))
        await half_an_hour(store, feed, engine, clock, minutes=2)  # the first minute of an engine reads everything
        well = await half_an_hour(store, feed, engine, clock)
        down = await half_an_hour(store, feed, engine, clock)
    for name, costs_s in (("all is well", well), ("total outage", down)):
        mean_s = sum(costs_s) / len(costs_s)
        findings.rows.append((name, f"{mean_s:.3f}", f"{median(costs_s):.3f}", f"{max(costs_s):.3f}"))
        findings.goals.append(Goal(f"s of CPU a minute, {name}", MOST_S, mean_s))
    return findings


async def half_an_hour(
    store: Store, feed: Feed, engine: AlertEngine, clock: JumpingClock, *, minutes: int = TURN
) -> list[float]:
    """What the engine took for each minute, in seconds of CPU."""
    costs_s = []
    for _ in range(minutes):
        arrived = feed.until(clock.now())
        if arrived:
            await store.file(arrived)
        used_s = time.process_time()
        await engine.tick()
        costs_s.append(time.process_time() - used_s)
        clock.advance(60)
    return costs_s


def other_runs(plan: Plan, until_at: datetime) -> Iterator[Delivery]:
    """Scenarios that no line names, as long as coverage and certificates look back."""
    from_at = until_at - OTHERS_FOR
    for region in plan.regions:
        probe = Address(plan.fleet, region, "probe-2")
        owed = [
            other_entry(
                EntryKind.SCHEDULE,
                OwedSlots(
                    scenario=name,
                    interval_ms=OTHERS_EVERY // timedelta(milliseconds=1),
                    phase_ms=0,
                    tolerance_ms=5_000,
                    timeout_ms=30_000,
                    from_at=from_at,
                ),
            )
            for name in OTHERS
        ]
        runs = [
            run_entry(run_at(from_at + turn * OTHERS_EVERY, probe=probe, scenario=name, number=1 + turn * 100 + place))
            for turn in range(OTHERS_FOR // OTHERS_EVERY)
            for place, name in enumerate(OTHERS)
        ]
        entries = [*owed, *runs]
        for start in range(0, len(entries), 200):
            yield deliver(entries[start : start + 200], probe=probe, first_seq=start + 1, received_at=until_at)
