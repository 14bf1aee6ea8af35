"""What pages ask of the store, the same on SQLite and on PostgreSQL: the newest endings, sums of days, times of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.store_views import LatestEnding
from probes.ledger_entries import FitnessMinute, SlotEnd, SlotReason
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome, Run
from slo.window import Span, minute_of
from tests.alert_feed import some_lines
from tests.sample_runs import MS, make_run, make_step
from tests.store_kit import NOW, OTHER, PROBE, Content, deliver, other_entry, run_at, run_entry, runs_from

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TARGET = "stand-in"
FROM, UNTIL = NOW - DAY, NOW + DAY
STRANGER = Address("another", "eu-west", "probe-1")
UPTIME = some_lines("api-uptime")
CHECK = UPTIME.objectives["api-uptime"][-1].check
NAMES = ("quote", "a-b", "ab", "a_c", "a1", "zeta")
"""Some of them come in another order where a database sorts as people do."""


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An empty store that scores one line."""
    async with open_store(url) as opened:
        await opened.scores.begin(Scorer.of(UPTIME))
        yield opened


async def file(store: Store, *contents: Content, probe: Address = PROBE, first_seq: int = 1) -> None:
    """Entries of a probe."""
    await store.file([deliver(list(contents), probe=probe, first_seq=first_seq)])


def health_at(slot_at: datetime, *, probe: Address = PROBE, number: int = 1) -> Run:
    """A good run of the scenario that the scored line is about."""
    made = make_run(make_step("api-health", 5 * MS), scenario="api-health", number=number)
    identity = run_at(slot_at, probe=probe, scenario="api-health").identity
    return replace(made, identity=identity, scheduled_at=slot_at, started_at=slot_at)


def failed(run: Run, *, attempt: int = 0) -> Run:
    """The same slot, but its last step has timed out."""
    steps = (*run.steps[:-1], make_step("quote", 30 * MS, kind=FailureKind.TIMEOUT))
    made = make_run(*steps, scenario=run.identity.scenario, number=900 + attempt)
    identity = replace(run.identity, attempt=attempt)
    return replace(made, identity=identity, scheduled_at=run.scheduled_at, started_at=run.started_at)


def slot_end(minutes: int, scenario: str = "quote") -> Content:
    """A slot that was not run."""
    end = SlotEnd(scenario=scenario, slot_at=NOW + minutes * MINUTE, reason=SlotReason.MISSED)
    return other_entry(EntryKind.SLOT, end)


async def latest(store: Store) -> dict[tuple[str, str], LatestEnding]:
    """The newest endings of the fleet, by region and scenario."""
    found = await store.views.latest(PROBE.fleet, FROM, UNTIL)
    assert len({(one.address, one.scenario) for one in found}) == len(found)
    return {(one.address.region, one.scenario): one for one in found}


async def test_the_newest_ending_of_each_series_is_told_with_what_it_was(store: Store) -> None:
    """A run with its outcome, kind, step and target; a slot without a run with its reason; another fleet's are not in it."""
    first, last = run_at(NOW), failed(run_at(NOW + 5 * MINUTE))
    await file(store, run_entry(first), run_entry(last), run_entry(run_at(NOW, scenario="parts", number=7)))
    await file(store, run_entry(run_at(NOW, probe=OTHER)), slot_end(3), probe=OTHER)
    await file(store, run_entry(run_at(NOW + 9 * MINUTE, probe=STRANGER)), probe=STRANGER)
    found = await latest(store)
    assert found.keys() == {("eu-west", "quote"), ("eu-west", "parts"), ("us-east", "quote")}
    ending = found["eu-west", "quote"]
    assert (ending.outcome, ending.reason, ending.kind) == (Outcome.FAIL, None, FailureKind.TIMEOUT)
    assert (ending.failed_step, ending.target, ending.slot_at) == ("quote", TARGET, NOW + 5 * MINUTE)
    assert ending.duration_ns == last.duration_ns
    missed = found["us-east", "quote"]
    assert (missed.outcome, missed.reason, missed.kind, missed.failed_step) == (None, SlotReason.MISSED, None, "")
    assert found["eu-west", "parts"].outcome is Outcome.PASS


async def test_of_a_slot_that_was_tried_twice_the_first_attempt_is_told(store: Store) -> None:
    """In whatever order they come, and also where the slot has a fraction of a millisecond."""
    slot_at = NOW + timedelta(microseconds=777)
    run = run_at(slot_at)
    await file(store, run_entry(failed(run, attempt=2)), run_entry(run), run_entry(failed(run, attempt=1)))
    ending = (await latest(store))["eu-west", "quote"]
    assert (ending.attempt, ending.outcome, ending.slot_at) == (0, Outcome.PASS, slot_at)


async def test_what_an_unfit_host_found_is_told_as_that(store: Store) -> None:
    """Only of the host that said so, and only in that minute."""
    unfit = other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=NOW, reasons=["cpu"]))
    await file(store, run_entry(run_at(NOW + timedelta(seconds=59))), unfit)
    await file(store, run_entry(run_at(NOW + timedelta(seconds=59), probe=OTHER)), probe=OTHER)
    assert {place[0]: one.is_unfit for place, one in (await latest(store)).items()} == {
        "eu-west": True,
        "us-east": False,
    }
    await file(store, run_entry(run_at(NOW + MINUTE, number=2)), first_seq=10)
    assert not (await latest(store))["eu-west", "quote"].is_unfit


async def test_days_are_summed_for_one_fleet_and_target(store: Store) -> None:
    """What was counted on each day of a span; nothing of a check, a target or a fleet that is not asked about."""
    for probe, days in ((PROBE, (0, 1, 1, 40)), (OTHER, (1,)), (STRANGER, (0,))):
        runs = [
            health_at(NOW + day * DAY + number * MINUTE, probe=probe, number=number + 1)
            for number, day in enumerate(days)
        ]
        await file(store, *(run_entry(run) for run in runs), probe=probe)
    span = Span("two days", minute_of(NOW), minute_of(NOW + DAY + MINUTE))
    found = await store.views.days({CHECK, "no such check"}, target=TARGET, fleet=PROBE.fleet, span=span)
    by_day = {day - minute_of(NOW) // 1440: cell for day, cell in found[CHECK].items()}
    assert {day: cell.runs for day, cell in by_day.items()} == {0: 1, 1: 3}
    assert {type(cell.good) for cell in by_day.values()} == {int}
    assert not (await store.views.days({CHECK}, target="nobody", fleet=PROBE.fleet, span=span)).get(CHECK)
    assert await store.views.days(set(), target=TARGET, fleet=PROBE.fleet, span=span) == {}


async def test_times_of_passed_steps_lie_in_buckets_of_three_digits(store: Store) -> None:
    """From nanoseconds to hours; what failed, what cleaned up and what another target answered is not in them."""
    times_ns = [7, 123, 4_567, 89_012, 1_234_567, 999_999_999, 1_000_000_000, 54_321_987_654, 9_876_543_210_987]
    runs = []
    for number, time_ns in enumerate(times_ns):
        made = make_run(make_step("quote", time_ns), scenario="quote", number=number + 1)
        runs.append(replace(made, identity=run_at(NOW + number * timedelta(seconds=5)).identity))
    await file(store, *(run_entry(run) for run in runs), run_entry(failed(run_at(NOW + 2 * MINUTE))))
    stretch = (minute_of(NOW), minute_of(NOW) + 1)
    ask = {"target": TARGET, "fleet": PROBE.fleet}
    (found,) = await store.views.step_times(["quote"], ["quote"], stretches=[stretch], **ask)
    assert (found.from_minute, found.until_minute, found.region, found.step) == (*stretch, "eu-west", "quote")
    assert found.buckets == Counter(int(str(one)[:3].ljust(len(str(one)), "0")) for one in times_ns)
    whole = [(stretch[0], stretch[0] + 10), (stretch[0] + 10, stretch[0] + 20)]
    every = await store.views.step_times(["quote"], [], stretches=whole, **ask)
    assert {one.step: sum(one.buckets.values()) for one in every} == {
        "sign-in": 1,
        "upload": 1,
        "analyse": 1,
        "quote": len(times_ns),
    }
    assert await store.views.step_times(["quote"], [], stretches=whole, target="nobody", fleet=PROBE.fleet) == []
    assert await store.views.step_times(["other"], [], stretches=whole, **ask) == []
    assert await store.views.step_count(NOW, NOW + MINUTE) == len(times_ns)


async def test_names_come_in_one_order_whatever_the_database_thinks_of_letters(store: Store) -> None:
    """Scenarios and endings by code point, on every database; targets are those that something was scored of."""
    runs = [run_at(NOW, scenario=name, number=number + 1) for number, name in enumerate(NAMES)]
    await file(store, *(run_entry(run) for run in runs))
    assert await store.views.targets() == []
    assert await store.views.scenarios(PROBE.fleet) == sorted(NAMES)
    assert await store.views.scenarios("another") == []
    assert [one.scenario for one in await store.views.latest(PROBE.fleet, FROM, UNTIL)] == sorted(NAMES)
    await file(store, run_entry(health_at(NOW, number=99)), first_seq=10)
    assert await store.views.targets() == [TARGET]
    assert await store.scores.targets() == [TARGET]


async def test_a_page_without_data_is_empty(store: Store) -> None:
    """Nothing was stored, and every question has an answer."""
    span = Span("now", minute_of(NOW), minute_of(NOW) + 1)
    assert await store.views.latest(PROBE.fleet, FROM, UNTIL) == []
    assert await store.views.days({CHECK}, target=TARGET, fleet=PROBE.fleet, span=span) in ({}, {CHECK: {}})
    assert await store.views.step_count(FROM, UNTIL) == 0
    assert await store.views.targets() == []
    await file(store, *runs_from(1, probe=PROBE))
    assert await store.views.latest(PROBE.fleet, NOW + MINUTE, UNTIL) == []
