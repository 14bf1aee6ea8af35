"""Clean months page nobody: single runs fail by chance, two in ten thousand, and no alert above a report fires."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from collector.simulation import Slot as SimulatedSlot
from collector.simulation import run_of, schedule_of
from collector.simulation_plan import Effect, Plan, Statement
from console.objectives import load_set
from slo.bitmaps import ones
from slo.burn import Cause, EventHistory, History, SliceHistory, alert_episodes
from slo.burn_tiers import Counting, Severity, TierFit, fit_tiers
from slo.cells import Cell, Measured, Track
from slo.objective import Objective
from slo.slices import decide_slices
from slo.tally import Tally
from slo.window import Span, instant_of_minute, minute_of, month_span
from tests.alert_feed import plan_of

FAILING = 2e-4
PERIOD = 15
PLAN = plan_of(
    every_s={"api-health": 60, "web-health": 60, "widget-load": 60, "sign-in": 300, "quote": 300, "cad-small": 900}
)
KNOWN = load_set()
LINES = tuple(one for one in KNOWN.objectives_at(instant_of_minute(month_span("2026-09").from_minute)) if one.alerts)
Counts = tuple[int, int]


def fits_of(line: Objective) -> tuple[TierFit, ...]:
    """The usable tiers of a line."""
    counting = Counting.EVENTS if line.slices is None else Counting.SLICES
    tiers = KNOWN.presets[line.alerts].tiers
    return tuple(fit for fit in fit_tiers(tiers, line.allowed_bad, counting) if fit.is_usable)


def counts_of(plan: Plan, scenario: str, effect: Effect) -> tuple[Counts, ...]:
    """What a run that ends so says to each line, as the scorer counts it."""
    statement = Statement.model_validate({"what": effect.value, "kind": "timeout"})
    slot = SimulatedSlot(instant_of_minute(month_span("2026-09").from_minute), 0, scenario)
    return tuple(Tally(LINES).count(run_of(plan, slot, statement)))


@dataclass
class Month:
    """What each line saw: the events of a clean minute by its place in a quarter of an hour, and what failures changed."""

    span: Span
    clean: dict[str, dict[int, Counts]]
    changes: dict[str, dict[tuple[str, int], Counts]]

    def history(self, line: Objective) -> History:
        """What the tiers of a line look back on."""
        clean, changes, span = self.clean[line.name], self.changes[line.name], self.span
        if line.slices is not None:
            tracks = []
            for region in PLAN.regions:
                bad = sum(
                    1 << (at - span.from_minute)
                    for (place, at), (_, more) in changes.items()
                    if place == region and more
                )
                tracks.append(Track(region, "one", Cell(), ones(span.minutes) & ~bad, bad, 0))
            slices = decide_slices(Measured(span, tuple(tracks)), line.slices, PLAN.regions)
            return SliceHistory(span, slices.good, slices.bad, slices.excluded)
        every = range(span.from_minute, span.until_minute)
        events = {at: clean[at % PERIOD] for at in every if at % PERIOD in clean}
        for (_, at), (less, more) in changes.items():
            good, bad = events.get(at, (0, 0))
            events[at] = (good + less, bad + more)
        return EventHistory(span, events)


def month_of(span: Span, dice: random.Random, failing: float = FAILING) -> Month:
    """A month in which each run fails by itself, now and then, whatever the others do."""
    month = Month(span, {one.name: {} for one in LINES}, {one.name: {} for one in LINES})
    for scenario in PLAN.every_s:
        passed, failed = (counts_of(PLAN, scenario, effect) for effect in (Effect.PASS, Effect.FAIL))
        for region in PLAN.regions:
            schedule = schedule_of(PLAN, scenario, region)
            for slot_at in schedule.slots_between(span.from_at, span.from_at + timedelta(minutes=PERIOD)):
                for line, counts in zip(LINES, passed, strict=True):
                    add(month.clean[line.name], minute_of(slot_at) % PERIOD, counts)
            minutes = int(PLAN.every_s[scenario]) // 60
            first = minute_of(next(iter(schedule.slots_between(span.from_at, span.until_at))))
            for at in chosen(dice, range(first, span.until_minute, minutes), failing):
                for line, good, bad in zip(LINES, passed, failed, strict=True):
                    add(month.changes[line.name], (region, at), (bad[0] - good[0], bad[1] - good[1]))
    return month


def add(counts: dict[Any, Counts], key: object, more: Counts) -> None:
    """Add up, where there is something."""
    if any(more):
        good, bad = counts.get(key, (0, 0))
        counts[key] = (good + more[0], bad + more[1])


def chosen(dice: random.Random, slots: Sequence[int], share: float) -> Iterator[int]:
    """Each of them with this chance: by the length of the gaps between, for they are few among many."""
    place = -1
    while True:
        place += 1 + int(math.log(1 - dice.random()) / math.log(1 - share))
        if place >= len(slots):
            return
        yield slots[place]


def alerts_of_month(month: Month) -> Iterator[tuple[str, Severity, Cause]]:
    """Every alert of the month, but for those of its first days, before which nobody knows anything."""
    asked = Span("asked", month.span.from_minute + 4320, month.span.until_minute)
    for line in LINES:
        if not month.clean[line.name]:
            continue
        for fit, episodes in alert_episodes(month.history(line), fits_of(line), asked):
            for one in episodes:
                yield line.name, fit.tier.severity, one.cause


def told_in(months: Sequence[Span], dice: random.Random, failing: float = FAILING) -> list[tuple[str, Severity, Cause]]:
    """Everything in these months that is more than a report."""
    found = [one for span in months for one in alerts_of_month(month_of(span, dice, failing))]
    return [one for one in found if one[1] is not Severity.REPORT]


def test_ten_clean_months_tell_nobody_anything() -> None:
    """Not one page, and nothing of medium urgency."""
    dice = random.Random(4711)
    assert told_in([month_span(f"2026-{number:02d}") for number in range(1, 11)], dice) == []


def test_the_months_are_not_so_clean_that_nothing_could_fire() -> None:
    """The same machinery with one failure in ten runs pages."""
    dice = random.Random(7)
    first = month_span("2026-09").from_minute
    told = told_in([Span("days", first, first + 5 * 1440)], dice, failing=0.1)
    assert {("api-uptime", Severity.CRITICAL), ("api-errors", Severity.CRITICAL)} <= {one[:2] for one in told}
