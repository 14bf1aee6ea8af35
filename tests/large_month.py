"""A month of a large fleet: 12 regions, 40 scenarios, with what a real month has in it. For pages, their tests and their bench.

The journeys that can be simulated come by a plan; the other scenarios are copies of them under other names. One scenario
runs every minute, so that each minute of the month can be judged; the others run as often as keeps the month small enough to be
made for a test (`thin` makes it smaller still).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from collector.scoring import Scorer
from collector.simulation import PROBE, SimulatedOutbox, Slot, entry_of, owed_entry, run_of, schedule_of, slots_of
from collector.simulation_journeys import JOURNEYS
from collector.simulation_plan import Effect, Plan, Residue, Statement, decide
from collector.store import Delivery, Store
from console.objectives import load_set
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import FailureKind
from probes.wire import render_run
from slo.window import Span, minute_of, month_span

__all__ = ["END", "FLEET", "REGIONS", "SCENARIOS", "TARGET", "fill_large_month", "large_plan"]

FLEET: Final = "large"
TARGET: Final = "cnc-quote"
MONTH: Final = month_span("2026-09")
END: Final = datetime(2026, 9, 30, 21, 0, 20, tzinfo=UTC)
"""When it is looked at: on the last evening, so that the month is running and its budgets can still burn."""
REGIONS: Final = (
    *("eu-west", "eu-central", "eu-north", "us-east", "us-west", "us-central"),
    *("ap-south", "ap-northeast", "ap-southeast-2", "sa-east", "af-south", "me-central"),
)
COPIES: Final = (
    *("quote-aluminium", "quote-steel-five-axis", "quote-titanium-aerospace", "quote-plastics", "quote-with-drawings"),
    *("quote-reorder", "quote-express-delivery", "quote-large-series", "quote-assembly", "quote-surface-treatment"),
    *("sign-in-partner", "sign-in-single-sign-on", "sign-in-second-factor", "sign-in-forgotten-password"),
    *("cad-small-stl", "cad-small-iges", "cad-small-thread-check", "cad-small-thin-walls", "cad-small-mesh-repair"),
    *("payment-invoice", "payment-card", "payment-transfer", "payment-refund", "payment-instalments"),
    *("web-health-docs", "web-health-shop", "web-health-status", "widget-load-partner", "widget-load-marketing"),
    *("api-health-v2", "api-health-partner", "api-health-webhooks"),
)
EACH_MINUTE: Final = "api-health"
EVERY_S: Final = {
    EACH_MINUTE: 60.0,
    "web-health": 300.0,
    "widget-load": 300.0,
    "sign-in": 900.0,
    "quote": 900.0,
    "cad-small": 3600.0,
    "cad-large": 3600.0,
    "payment": 3600.0,
}
SCENARIOS: Final = (*EVERY_S, *COPIES)
COPY_EVERY_S: Final = 3600.0
BATCH: Final = 200
GROUP: Final = 10


@dataclass(frozen=True, slots=True)
class LargeMonth:
    """What was filed."""

    runs: int


def large_plan(*, thin: float = 1.0, minute_s: float = 60.0) -> Plan:
    """The plan of the scenarios that can be simulated; `thin` times as rare as above, and the one of each minute as told."""
    every_s = {name: minute_s if name == EACH_MINUTE else s * thin for name, s in EVERY_S.items()}
    return Plan(5, FLEET, TARGET, REGIONS, every_s, statements())


def statements() -> tuple[Statement, ...]:
    """Noise everywhere, a few outages and slow hours, a region that was off, and something that is going on at the end."""
    return (
        Statement(what=Effect.FAIL, kind=FailureKind.TIMEOUT, residue=Residue(mod=1500, equals=11, per_region=700)),
        stated(_at(3, 10), _at(3, 10, 12), what=Effect.FAIL, kind=FailureKind.STATUS),
        stated(_at(8, 9), _at(8, 15), scenarios=("quote",), what=Effect.SLOW, times=3.0),
        stated(_at(10, 8), _at(10, 9, 30), regions=("ap-south",), what=Effect.FAIL),
        stated(_at(17, 12), _at(18, 2), regions=("us-east",), what=Effect.INCONCLUSIVE),
        stated(_at(22, 0), _at(23, 6), regions=("sa-east", "af-south"), what=Effect.MISSING),
        stated(_at(30, 19), _at(30, 23), regions=("me-central",), what=Effect.INCONCLUSIVE),
        stated(
            _at(30, 20, 40),
            _at(30, 23),
            scenarios=("api-health", "quote"),
            regions=("eu-*",),
            what=Effect.FAIL,
            kind=FailureKind.CONNECT,
        ),
    )


def stated(from_at: datetime, until_at: datetime, **said: object) -> Statement:
    """A statement about a stretch of the month."""
    return Statement.model_validate({"from": from_at, "until": until_at, **said})


async def fill_large_month(
    store: Store, *, until_at: datetime = END, thin: float = 1.0, minute_s: float = 60.0
) -> LargeMonth:
    """File the month up to an instant into an empty store, scored as it comes."""
    await store.scores.begin(Scorer.of(load_set()))
    span = Span(MONTH.name, MONTH.from_minute, minute_of(until_at))
    group: list[Delivery] = []
    runs = 0
    for delivery in deliveries_of(large_plan(thin=thin, minute_s=minute_s), span, thin=thin):
        group.append(delivery)
        runs += BATCH
        if len(group) >= GROUP:
            await store.file(group)
            group = []
    if group:
        await store.file(group)
    return LargeMonth(runs)


def deliveries_of(plan: Plan, span: Span, *, thin: float) -> Iterator[Delivery]:
    """The messages of all probes, by time."""
    whole = replace(plan, every_s={**plan.every_s, **dict.fromkeys(COPIES, COPY_EVERY_S * thin)})
    rulings = {name: [plan.statements_about(original(name), region) for region in plan.regions] for name in SCENARIOS}
    boxes = [SimulatedOutbox(Address(plan.fleet, region, PROBE), span) for region in plan.regions]
    for box, region in zip(boxes, plan.regions, strict=True):
        for scenario in whole.every_s:
            box.put(EntryKind.SCHEDULE, owed_entry(schedule_of(whole, scenario, region), span))
    for slot in slots_of(whole, span):
        statement = decide(rulings[slot.scenario][slot.region_index], slot.slot_at, span, slot.region_index)
        entry = told_of(plan, slot, statement)
        if entry is None:
            continue
        box = boxes[slot.region_index]
        box.put(*entry)
        if len(box.entries) >= BATCH:
            yield box.sent(slot.slot_at + timedelta(seconds=2))
    yield from (box.sent(span.until_at) for box in boxes if box.entries)


def original(scenario: str) -> str:
    """The scenario that another one is a copy of: the one whose name it begins with."""
    return scenario if scenario in JOURNEYS else next(name for name in JOURNEYS if scenario.startswith(name))


def told_of(plan: Plan, slot: Slot, statement: Statement | None) -> tuple[EntryKind, bytes] | None:
    """What a probe says of a slot; a copy's run is that of the original with another name and identity."""
    if slot.scenario in JOURNEYS:
        return entry_of(plan, slot, statement)
    if statement is not None and statement.what is Effect.MISSING:
        return None
    run = run_of(plan, replace(slot, scenario=original(slot.scenario)), statement)
    digest = hashlib.sha256(f"{slot.scenario}/{run.run_id}".encode()).hexdigest()
    identity = replace(run.identity, scenario=slot.scenario)
    return EntryKind.RUN, render_run(replace(run, identity=identity, run_id=digest[:26], trace_id=digest[26:58]))


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 9, day, hour, minute, tzinfo=UTC)
