"""Cells, facts and scores in the store, the same promises on SQLite and on PostgreSQL: exact, in any order, and once."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from sqlalchemy import update

from collector.scoring import Scorer
from collector.store import Retention, Store, open_store
from collector.store_session import Session
from collector.store_tables import cells
from probes.errors import OperatorError
from probes.ledger_entries import FitnessMinute, SlotEnd, SlotReason
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome, Run
from slo.cells import Cell, Measured, track_of
from slo.events import events_of
from slo.objective import EventKind, EventSelector, EventTime, Good, Objective
from slo.obligation import Duty, Obligation, ObservationSelector, ObservationSource
from slo.window import CalendarMonths, Span, minute_of
from tests.postgres_kit import PostgresServer
from tests.sample_runs import MS, make_step
from tests.store_kit import NOW, OTHER, PROBE, Content, deliver, other_entry, run_at, run_entry

DAY = timedelta(days=1)
TARGET = "stand-in"


def objective(
    name: str, event: EventKind, steps: tuple[str, ...], good: Good, limit_ms: int | None = None
) -> Objective:
    """A line of no document."""
    return Objective(
        name=name,
        title=name,
        line="3",
        version=1,
        window=CalendarMonths(),
        selector=EventSelector(event, ("quote",), steps),
        good=good,
        allowed_bad=Fraction(1, 20),
        time=EventTime.RESPONSE if limit_ms else None,
        limit_ns=limit_ms * MS if limit_ms else None,
    )


FAST = objective("fast", EventKind.STEP, ("sign-in", "quote"), Good.PASSED, 8)
WHOLE = objective("whole", EventKind.RUN, ("sign-in", "upload", "analyse", "quote"), Good.PASSED)
ANSWERED = objective("answered", EventKind.REQUEST, ("sign-in", "upload"), Good.ANSWERED)
OBJECTIVES = (FAST, WHOLE, ANSWERED)
BACKUPS = ObservationSelector(ObservationSource.RUNS, ("backups",), ("verify",), "backup.day", "backup.age_s")
OBLIGATION = Obligation("daily", "Daily", "17", 1, Duty.PERIODIC, BACKUPS, CalendarMonths())
SCORER = Scorer(OBJECTIVES, [OBLIGATION])


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store that scores."""
    async with open_store(url) as opened:
        assert await opened.scores.begin(SCORER) == frozenset()
        yield opened


def some_runs(dice: random.Random, count: int) -> list[Run]:
    """Runs of two probes over three days: slow ones, failed ones, inconclusive ones, repeated ones."""
    made = []
    for number in range(count):
        probe = dice.choice((PROBE, OTHER))
        slot_at = NOW - DAY + timedelta(seconds=dice.randrange(3 * 86_400), microseconds=number)
        run = run_at(slot_at, probe=probe, number=number + 1, wait_ms=dice.choice((2, 5, 9)))
        match dice.randrange(6):
            case 0:
                broken = (*run.steps[:1], make_step("upload", kind=FailureKind.STATUS))
                run = replace(run, steps=broken, outcome=Outcome.FAIL)
            case 1:
                run = replace(run, outcome=Outcome.INCONCLUSIVE)
            case 2:
                run = replace(run, identity=replace(run.identity, attempt=1))
        made.append(run)
    return made


def expected(
    runs: Sequence[Run], one: Objective, span: Span, unfit: frozenset[tuple[str, int]] = frozenset()
) -> Measured:
    """What must be measured, counted the slow way: run by run, in memory."""
    by_probe: dict[tuple[str, str], dict[int, Cell]] = defaultdict(lambda: defaultdict(Cell))
    for run in runs:
        identity = run.identity
        if identity.attempt:
            continue
        minute = minute_of(identity.slot_at)
        events = events_of(run, one)
        bad = sum(not event.good for event in events)
        cell = Cell(len(events) - bad, bad, 0, 1) if events else Cell()
        if run.outcome is Outcome.INCONCLUSIVE:
            cell = Cell(inconclusive=1)
        by_probe[identity.region, identity.probe][minute] += cell
    tracks = []
    for (region, probe), of_probe in sorted(by_probe.items()):
        heard = {at: cell.muted if (region, at) in unfit else cell for at, cell in of_probe.items()}
        tracks.append(track_of(region, probe, heard, span))
    return Measured(span, tuple(tracks))


def shuffled(runs: Sequence[Run], dice: random.Random) -> Iterator[list[Run]]:
    """The runs in another order and in batches of any size, some of them twice."""
    mixed = [*runs, *dice.sample(list(runs), len(runs) // 3)]
    dice.shuffle(mixed)
    while mixed:
        size = dice.randrange(1, 40)
        yield mixed[:size]
        del mixed[:size]


async def fill(store: Store, runs: Sequence[Run], dice: random.Random, *, first_seq: int = 1) -> None:
    """Have the runs arrive, each probe's in batches of its own."""
    numbers = {PROBE: first_seq, OTHER: first_seq}
    for some in shuffled(runs, dice):
        for probe in (PROBE, OTHER):
            contents = [run_entry(run) for run in some if run.identity.probe == probe.probe]
            if contents:
                await store.file([deliver(contents, probe=probe, first_seq=numbers[probe])])
                numbers[probe] += len(contents)


async def measured(store: Store, span: Span) -> dict[str, Measured]:
    """What the store says of the three lines, by name."""
    found = await store.scores.measured([one.check for one in OBJECTIVES], target=TARGET, fleet="fleet", span=span)
    return {one.name: by_track(found[one.check]) for one in OBJECTIVES}


def by_track(one: Measured) -> Measured:
    """With its tracks in a known order, and without those that say nothing."""
    said = [track for track in one.tracks if track.totals != Cell() or track.good | track.bad | track.mute]
    return Measured(one.span, tuple(sorted(said, key=lambda track: (track.region, track.probe))))


def spans() -> Iterator[Span]:
    """Whole days, parts of days, less than a day."""
    day = minute_of(NOW) // 1440 * 1440
    yield Span("days", day - 1440, day + 3 * 1440)
    yield Span("odd", day - 700, day + 2 * 1440 + 17)
    yield Span("short", day + 100, day + 163)
    yield Span("one day and a bit", day, day + 1441)


async def test_cells_equal_a_count_by_hand_in_any_order_and_however_often_runs_arrive(store: Store) -> None:
    """Permuted, repeated, split and merged: exact counts and votes, over any span."""
    dice = random.Random(4)
    runs = some_runs(dice, 400)
    await fill(store, runs, dice)
    for span in spans():
        found = await measured(store, span)
        for one in OBJECTIVES:
            assert found[one.name] == by_track(expected(runs, one, span)), (span.name, one.name)


async def test_an_unfit_minute_mutes_what_its_host_found_whenever_the_word_comes(store: Store) -> None:
    """Successes too, and only that host's; a second word changes nothing more."""
    dice = random.Random(5)
    runs = some_runs(dice, 300)
    await fill(store, runs[:150], dice)
    minutes = sorted({minute_of(run.identity.slot_at) for run in runs})[::3]
    words = [
        other_entry(
            EntryKind.FITNESS, FitnessMinute(minute_at=NOW + timedelta(minutes=at - minute_of(NOW)), reasons=["steal"])
        )
        for at in minutes
    ]
    for seq in (10_000, 20_000):
        await store.file([deliver(words, first_seq=seq)])
    numbers = 1_000
    for run in runs[150:]:
        probe = PROBE if run.identity.probe == PROBE.probe else OTHER
        await store.file([deliver([run_entry(run)], probe=probe, first_seq=numbers)])
        numbers += 1
    unfit = frozenset((PROBE.region, at) for at in minutes)
    for span in spans():
        found = await measured(store, span)
        for one in OBJECTIVES:
            assert found[one.name] == by_track(expected(runs, one, span, unfit)), (span.name, one.name)
            for regions in ((PROBE.region,), (PROBE.region, OTHER.region), ()):
                assert await events_of_regions(store, one, span, regions) == await store.scores.events(
                    one.check, target=TARGET, fleet="fleet", span=span, regions=regions
                )


async def events_of_regions(
    store: Store, one: Objective, span: Span, regions: Sequence[str]
) -> dict[int, tuple[int, int]]:
    """The events of some regions by minute, added up from their cells."""
    sums: dict[int, Cell] = defaultdict(Cell)
    stored = await store.scores.cells(one.check, target=TARGET, fleet="fleet", span=span)
    for (region, _), of_probe in stored.items():
        for minute, cell in of_probe.items():
            sums[minute] += cell if region in regions else Cell()
    return {minute: (cell.good, cell.bad) for minute, cell in sums.items() if cell.total}


async def test_scoring_again_finds_nothing_to_change_and_mends_what_was_spoilt(store: Store) -> None:
    """A recompute from stored runs gives equal cells; a cell that somebody changed is told of and put right."""
    dice = random.Random(6)
    runs = some_runs(dice, 200)
    await fill(store, runs, dice)
    hours = await store.scores.hours()
    assert {hour.from_minute // 60 for hour in hours} >= {minute_of(run.identity.slot_at) // 60 for run in runs}
    whole = next(spans())
    before = await measured(store, whole)
    found = [await store.scores.rescore(hour, SCORER.keys) for hour in hours]
    assert sum(hour.slots for hour in found) == sum(run.identity.attempt == 0 for run in runs)
    assert sum(hour.cells_changed + hour.facts_changed for hour in found) == 0

    async def spoil(session: Session) -> None:
        await session.execute(update(cells).where(cells.c.good > 0).values(good=7, bad=9))

    await store._write(spoil)
    looked = [await store.scores.rescore(hour, SCORER.keys, writes=False) for hour in hours]
    assert sum(hour.cells_changed for hour in looked) > 0
    mended = [await store.scores.rescore(hour, SCORER.keys) for hour in hours]
    assert sum(hour.cells_changed for hour in mended) == sum(hour.cells_changed for hour in looked)
    again = [await store.scores.rescore(hour, SCORER.keys) for hour in hours]
    assert sum(hour.cells_changed for hour in again) == 0
    whole_cells = await store.scores.cells(FAST.check, target=TARGET, fleet="fleet", span=whole)
    by_hand = {track.region: track.totals for track in before["fast"].tracks}
    assert {region: sum(of_probe.values(), Cell()) for (region, _), of_probe in whole_cells.items()} == by_hand


async def test_a_check_that_is_new_is_incomplete_until_its_past_is_scored(url: str) -> None:
    """Then it says the same as if it had been there from the beginning."""
    dice = random.Random(7)
    runs = some_runs(dice, 150)
    span = next(spans())
    async with open_store(url) as first:
        await first.scores.begin(Scorer([FAST]))
        await fill(first, runs[:100], dice)
    async with open_store(url) as second:
        missing = await second.scores.begin(SCORER)
        assert missing == SCORER.keys - {FAST.check}
        assert await second.scores.incomplete([FAST.check, WHOLE.check]) == {WHOLE.check}
        for hour in await second.scores.hours():
            await second.scores.rescore(hour, missing)
        await second.scores.confirm(missing)
        assert await second.scores.incomplete(SCORER.keys) == frozenset()
        for run in runs[100:]:
            probe = PROBE if run.identity.probe == PROBE.probe else OTHER
            await second.file([deliver([run_entry(run)], probe=probe, first_seq=5_000 + runs.index(run))])
        found = await measured(second, span)
        assert found["whole"] == by_track(expected(runs, WHOLE, span))
    async with open_store(url) as third:
        await third.scores.begin(Scorer([WHOLE]))
        assert FAST.check in await third.scores.incomplete([FAST.check, WHOLE.check])


async def test_slots_without_a_run_count_as_inconclusive_for_the_checks_that_name_their_scenario(store: Store) -> None:
    """Missed and aborted slots are heard, and say nothing about the platform; those of another scenario do not bear on it."""
    ends = [SlotEnd(scenario=name, slot_at=NOW, reason=SlotReason.MISSED) for name in ("quote", "web-health")]
    await store.file([deliver([other_entry(EntryKind.SLOT, end) for end in ends])])
    span = next(spans())
    (track,) = (await measured(store, span))["whole"].tracks
    assert (track.totals, track.mute) == (Cell(inconclusive=1), 1 << (minute_of(NOW) - span.from_minute))


async def test_facts_of_runs_are_kept_and_those_of_unfit_hosts_left_out(store: Store) -> None:
    """Each step that verified a backup is one fact, with its subject, its value and what was found."""

    def backup_run(hours: int) -> Content:
        steps = [
            replace(make_step("verify", kind=kind), attributes={"backup.day": day, "backup.age_s": 3600.5})
            for day, kind in (("2026-02-28", None), ("2026-02-27", FailureKind.ASSERTION))
        ]
        run = run_at(NOW + timedelta(hours=hours), scenario="backups", number=hours + 1)
        return run_entry(replace(run, steps=(*steps, make_step("verify")), outcome=Outcome.FAIL))

    await store.file([deliver([backup_run(0), backup_run(1)])])
    await store.file([deliver([backup_run(0), backup_run(1)], first_seq=10)])
    unfit = FitnessMinute(minute_at=NOW + timedelta(hours=1), reasons=["steal"])
    await store.file([deliver([other_entry(EntryKind.FITNESS, unfit)], first_seq=20)])
    (key,) = (key for key in SCORER.keys if key not in {one.check for one in OBJECTIVES})
    found = await store.scores.observations(key, target=TARGET, fleet="fleet", from_at=NOW - DAY, until_at=NOW + DAY)
    assert [(one.subject, one.good, one.value_ns, one.region) for one in found] == [
        ("2026-02-28", True, 3_600_500_000_000, PROBE.region),
        ("2026-02-27", False, 3_600_500_000_000, PROBE.region),
    ]
    changed = [await store.scores.rescore(hour, SCORER.keys) for hour in await store.scores.hours()]
    assert sum(hour.facts_changed for hour in changed) == 0


async def test_cells_go_with_the_days_whose_runs_retention_takes(store: Store) -> None:
    """And what is left can still be scored again without a change."""
    dice = random.Random(8)
    runs = some_runs(dice, 200)
    await fill(store, runs, dice)
    kept_from = NOW + timedelta(hours=14)
    retention = Retention(max_age=DAY, keeps_two_months=False)
    while (await store.prune(retention, now=kept_from + DAY)).has_more:
        pass
    oldest = min(
        minute
        for of_probe in (
            await store.scores.cells(FAST.check, target=TARGET, fleet="fleet", span=next(spans()))
        ).values()
        for minute in of_probe
    )
    assert oldest // 1440 == minute_of(kept_from) // 1440
    changed = [await store.scores.rescore(hour, SCORER.keys) for hour in await store.scores.hours()]
    assert sum(hour.cells_changed for hour in changed) == 0


async def test_an_unfit_minute_is_forgotten_no_sooner_than_the_cells_that_it_mutes(store: Store) -> None:
    """Retention that ends in the middle of a day takes runs, and leaves that day's cells with the word about their host."""
    at = NOW.replace(hour=1)
    unfit = other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=at, reasons=["steal"]))
    await store.file([deliver([run_entry(run_at(at, number=1)), unfit, run_entry(run_at(at + DAY, number=2))])])
    retention = Retention(max_age=DAY, keeps_two_months=False)
    while (await store.prune(retention, now=at + DAY + timedelta(hours=5))).has_more:
        pass
    assert [run.identity.slot_at for run in await store.runs(at - DAY, at + 2 * DAY)] == [at + DAY]
    day = Span("day", minute_of(at), minute_of(at) + 60)
    for one in OBJECTIVES:
        (track,) = (await measured(store, day))[one.name].tracks
        assert (track.totals, track.good) == (Cell(inconclusive=1), 0)


async def test_two_collectors_that_score_at_the_same_time_count_everything_once(postgres: PostgresServer) -> None:
    """Two stores on one database, the same runs to both."""
    url = postgres.make_database()
    dice = random.Random(9)
    runs = some_runs(dice, 200)
    async with open_store(url) as one, open_store(url) as two:
        await one.scores.begin(SCORER)
        await two.scores.begin(SCORER)
        await asyncio.gather(fill(one, runs, random.Random(10)), fill(two, runs, random.Random(11), first_seq=5_000))
        span = next(spans())
        found = await measured(one, span)
    for line in OBJECTIVES:
        assert found[line.name] == by_track(expected(runs, line, span))


async def test_agreed_maintenance_is_kept_as_it_was_recorded(store: Store) -> None:
    """Under one name once: what was announced is not rewritten afterwards."""
    await store.scores.add_maintenance("upgrade", '{"a":1}', now=NOW)
    with pytest.raises(OperatorError, match="already"):
        await store.scores.add_maintenance("upgrade", '{"a":2}', now=NOW + DAY)
    (one,) = await store.scores.maintenance()
    assert (one.name, one.document, one.recorded_at) == ("upgrade", '{"a":1}', NOW)
    assert await store.scores.remove_maintenance("upgrade")
    assert not await store.scores.remove_maintenance("upgrade")


async def test_a_closed_score_gets_a_new_revision_only_when_it_changed(store: Store) -> None:
    """The first report is revision 1; the same again is still 1; another one is 2, and both stay."""

    async def note(digest: str) -> int:
        made = await store.scores.note_revision(
            "api-p95", TARGET, "2026-02", digest=digest, document=f'"{digest}"', now=NOW
        )
        return made.revision

    assert [await note("a"), await note("a"), await note("b"), await note("b")] == [1, 1, 2, 2]
    kept = await store.scores.revisions("api-p95", TARGET, "2026-02")
    assert [(one.revision, one.digest) for one in kept] == [(1, "a"), (2, "b")]


async def test_to_look_with_new_checks_changes_nothing(url: str) -> None:
    """What is new is told of, has no cells, and is as unknown afterwards as before."""
    dice = random.Random(8)
    async with open_store(url) as store:
        await fill(store, some_runs(dice, 60), dice)
        assert await store.scores.look(SCORER) == SCORER.keys
        hours = await store.scores.hours()
        looked = [await store.scores.rescore(hour, SCORER.keys, writes=False) for hour in hours]
        assert sum(hour.cells_changed for hour in looked) > 0
        assert await store.scores.look(SCORER) == SCORER.keys
        assert await store.scores.incomplete(SCORER.keys) == SCORER.keys
