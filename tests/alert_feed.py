"""A fleet played to an alert engine by a clock that jumps: each result arrives when its run would have ended, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from collector.alerting.engine import AlertEngine, Watched
from collector.alerting.notice import Outbox
from collector.alerting.worries import Limits
from collector.simulation import PROBE, entry_of, owed_entry, run_of, schedule_of, slots_of
from collector.simulation_plan import Plan, Statement, decide
from collector.store import Delivery, Store
from console.objectives import load_set
from probes.messages import Address, RawEntry, render_batch
from probes.outbox import EntryKind
from slo.document_text import Problem
from slo.objective_set import ObjectiveSet
from slo.window import Span
from tests.clock import JumpingClock

__all__ = ["LIMITS", "Feed", "FixedObjectives", "engine_of", "plan_of", "play", "some_lines"]

LIMITS = Limits(silent_minutes=5, coverage_percent=90, clock_s=1.0, certificate_days=14)
TICK_S = 2.0
BATCH = 200


@dataclass
class FixedObjectives:
    """Objectives that never change."""

    current: ObjectiveSet
    problems: tuple[Problem, ...] = ()

    def reload(self) -> tuple[Problem, ...]:
        """Nothing new."""
        return ()


def plan_of(*statements: Statement, every_s: dict[str, float] | None = None, regions: Sequence[str] = ()) -> Plan:
    """Three regions that look at the API and the widget each minute, and at quotes every five."""
    chosen = every_s or {"api-health": 60.0, "widget-load": 60.0, "quote": 300.0}
    return Plan(7, "simulated", "simulated", tuple(regions) or ("eu-west", "us-east", "ap-south"), chosen, statements)


class Feed:
    """The messages of a plan's probes in the order in which they arrive."""

    def __init__(self, plan: Plan, span: Span, *, epoch: int = 1) -> None:
        self.plan = plan
        self._epoch = span.from_minute * 60_000_000 + epoch
        self._seqs = dict.fromkeys(plan.regions, 0)
        self._waiting = sorted(self._all(span), key=lambda pair: pair[0])
        self._at = 0

    def until(self, now: datetime) -> list[Delivery]:
        """What arrives up to an instant and has not been given before."""
        by_region: dict[str, list[tuple[EntryKind, bytes]]] = {}
        first = self._at
        while self._at < len(self._waiting) and self._waiting[self._at][0] <= now:
            _, region, entries = self._waiting[self._at]
            by_region.setdefault(region, []).extend(entries)
            self._at += 1
        received_at = self._waiting[self._at - 1][0] if self._at > first else now
        return [
            self._sent(region, entries[start : start + BATCH], received_at)
            for region, entries in by_region.items()
            for start in range(0, len(entries), BATCH)
        ]

    def _all(self, span: Span) -> Iterator[tuple[datetime, str, list[tuple[EntryKind, bytes]]]]:
        plan = self.plan
        for region in plan.regions:
            owed = [(EntryKind.SCHEDULE, owed_entry(schedule_of(plan, name, region), span)) for name in plan.every_s]
            yield span.from_at, region, owed
        for slot in slots_of(plan, span):
            region = plan.regions[slot.region_index]
            ruling = decide(plan.statements_about(slot.scenario, region), slot.slot_at, span, slot.region_index)
            entry = entry_of(plan, slot, ruling)
            if entry is not None:
                took = timedelta(microseconds=run_of(plan, slot, ruling).duration_ns // 1000)
                yield slot.slot_at + took + timedelta(seconds=2), region, [entry]

    def _sent(self, region: str, entries: Sequence[tuple[EntryKind, bytes]], received_at: datetime) -> Delivery:
        sender = Address(self.plan.fleet, region, PROBE)
        raw = []
        for kind, body in entries:
            self._seqs[region] += 1
            raw.append(RawEntry(self._seqs[region], kind.value, body))
        return Delivery(sender.topic("results"), render_batch(sender, self._epoch, raw), received_at)


def engine_of(
    store: Store, known: ObjectiveSet, plan: Plan, clock: JumpingClock, outbox: Outbox | None = None
) -> AlertEngine:
    """An engine for the plan's fleet."""
    watched = Watched(plan.fleet, plan.regions, plan.target)
    return AlertEngine(store, FixedObjectives(known), watched, LIMITS, clock=clock, outbox=outbox)


def some_lines(*names: str) -> ObjectiveSet:
    """The built-in set with these objectives alone: fewer lines are decided sooner."""
    known = load_set()
    return replace(known, objectives={name: known.objectives[name] for name in names})


async def play(
    store: Store,
    feed: Feed,
    engines: Sequence[AlertEngine],
    clock: JumpingClock,
    until_at: datetime,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Let time pass until an instant, or until `stop` says so: file what arrives, then let every engine look."""
    while clock.now() < until_at and not stop():
        arrived = feed.until(clock.now())
        if arrived:
            await store.file(arrived)
        for engine in engines:
            await engine.tick()
        clock.advance(TICK_S)
