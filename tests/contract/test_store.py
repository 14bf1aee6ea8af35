"""The store, the same promises on SQLite and on PostgreSQL: once, nothing lost in silence, nothing believed unseen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from collector import store_slots
from collector.ledger import SlotCounts
from collector.store import Delivery, FreshSlot, Store, open_store
from collector.store_runs import RunFilter, RunPlace, RunSummary
from collector.store_session import Session, StoreRefusedError
from collector.store_tables import runs
from probes.ledger_entries import FitnessMinute, Loss, OwedSlots, SlotEnd, SlotReason
from probes.messages import MAX_ENTRIES
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome
from probes.wire import parse_run, render_run
from tests.sample_runs import make_step
from tests.store_kit import (
    EPOCH,
    NOW,
    OTHER,
    PROBE,
    Content,
    count_runs,
    deliver,
    other_entry,
    run_at,
    run_entry,
    runs_from,
    two_stores,
)

DAY = timedelta(days=1)
ALWAYS = (NOW - 400 * DAY, NOW + 400 * DAY)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


async def test_what_is_filed_can_be_read_back_byte_for_byte(store: Store) -> None:
    """A run's summary says what the run found, and its record is exactly what the probe sent."""
    run = run_at(NOW)
    failed = replace(
        run_at(NOW + timedelta(seconds=15), number=2),
        outcome=Outcome.FAIL,
        failed_step="upload",
        failure=make_step("x", kind=FailureKind.TIMEOUT).failure,
        schedule_lag_ns=1_500_000,
    )
    filed = await store.file([deliver([run_entry(run), run_entry(failed)])])
    assert [(receipt.sender, receipt.epoch, receipt.numbers) for receipt in filed.receipts] == [(PROBE, EPOCH, [1, 2])]
    newest, oldest = await store.runs(*ALWAYS)
    assert (oldest.identity, oldest.outcome, oldest.kind) == (run.identity, Outcome.PASS, None)
    assert (newest.outcome, newest.kind, newest.failed_step) == (Outcome.FAIL, FailureKind.TIMEOUT, "upload")
    assert (newest.duration_ns, newest.schedule_lag_ns, newest.target) == (failed.duration_ns, 1_500_000, "stand-in")
    assert await store.record(failed.identity) == render_run(failed)
    assert parse_run(await store.find_run(failed.run_id, failed.started_at)) == failed
    assert parse_run(await store.find_run(failed.run_id, None)) == failed
    assert await store.find_run("0" * 26, None) == b""
    assert await store.runs(*ALWAYS, outcomes=[Outcome.FAIL], scenario="quote", region="eu-west") == [newest]
    assert await store.runs(*ALWAYS, region="us-east") == []


async def test_the_same_delivery_again_is_acknowledged_and_changes_nothing(store: Store) -> None:
    """A probe that did not hear the acknowledgement sends again; that is a duplicate and no second result."""
    delivery = deliver(runs_from(20))
    first = await store.file([delivery])
    again = await store.file([delivery, delivery])
    assert again.receipts == [*first.receipts, *first.receipts]
    assert (again.result.entries, again.result.duplicates, again.result.slots) == (0, 40, 0)
    assert await count_runs(store) == 20
    (probe,) = await store.probes()
    assert (probe.entries, probe.duplicates, probe.conflicts, probe.missing) == (20, 40, 0, 0)


async def test_the_same_run_under_a_new_number_is_a_duplicate(store: Store) -> None:
    """A probe that lost its outbox's books and runs again from a copy does not count twice."""
    contents = runs_from(5)
    await store.file([deliver(contents)])
    filed = await store.file([deliver(contents, epoch=EPOCH + 1)])
    assert (filed.result.duplicates, filed.result.conflicts, await count_runs(store)) == (5, 0, 5)


async def test_overlapping_deliveries_in_one_transaction_store_each_run_once(store: Store) -> None:
    """What was sent again in other batches meets the first sending in the same group."""
    contents = runs_from(30)
    deliveries = [deliver(contents[:20]), deliver(contents[10:], first_seq=11), deliver(contents[5:15], first_seq=6)]
    filed = await store.file(deliveries)
    assert (filed.result.entries, filed.result.duplicates, filed.result.slots) == (30, 20, 30)
    assert await count_runs(store) == 30
    for kind, body in contents:
        assert kind is EntryKind.RUN
        assert await store.record(parse_run(body).identity) == body


async def test_another_content_under_a_known_identity_is_a_conflict_and_the_first_stays(store: Store) -> None:
    """Two truths about one slot: the first counts, the second is kept apart, and both are seen."""
    first, second = run_at(NOW), run_at(NOW, number=2)
    await store.file([deliver([run_entry(first)])])
    filed = await store.file([deliver([run_entry(second), *runs_from(2, start_at=NOW + DAY)], first_seq=2)])
    assert filed.receipts[0].numbers == [2, 3, 4]
    assert (filed.result.conflicts, filed.result.quarantined, filed.result.slots) == (1, 1, 2)
    assert await store.record(first.identity) == render_run(first)
    (entry,) = await store.quarantine()
    assert (entry.sender, entry.seq, entry.kind, entry.body) == (PROBE, 2, "conflict", render_run(second))


async def test_two_contents_of_one_identity_in_one_delivery_are_a_conflict_too(store: Store) -> None:
    """Also when they come together, and when the slot ended in two ways."""
    aborted = SlotEnd(scenario="quote", slot_at=NOW, reason=SlotReason.ABORTED)
    filed = await store.file([deliver([run_entry(run_at(NOW)), other_entry(EntryKind.SLOT, aborted)])])
    assert (filed.result.conflicts, filed.result.slots) == (1, 1)


async def test_poison_goes_to_quarantine_alone_and_is_acknowledged(store: Store) -> None:
    """One bad entry must neither be believed nor hold up the others: the probe may forget it."""
    good = runs_from(2)
    of_other = run_entry(run_at(NOW + DAY, probe=OTHER))
    contents: list[Content] = [
        good[0],
        (EntryKind.RUN, b'{"schema_version":1,"identity":5}'),
        (EntryKind.RUN, b'{"schema_version":1,"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        of_other,
        (EntryKind.SLOT, b'{"schema_version":1,"scenario":"quote"}'),
        (EntryKind.LOSS, b"{}"),
        good[1],
    ]
    delivery = deliver(contents)
    newer = deliver([(EntryKind.SLOT, b"{}")], first_seq=8)
    newer = replace(newer, payload=newer.payload.replace(b"8 slot", b"8 novelty"))
    filed = await store.file([delivery, newer])
    assert [receipt.numbers for receipt in filed.receipts] == [[1, 2, 3, 4, 5, 6, 7], [8]]
    assert (filed.result.entries, filed.result.quarantined, filed.result.slots) == (8, 6, 2)
    kept = {entry.seq: entry for entry in await store.quarantine()}
    assert set(kept) == {2, 3, 4, 5, 6, 8}
    assert kept[4].body == of_other[1]
    assert "another probe" in kept[4].reason
    assert kept[8].kind == "novelty"
    (probe,) = await store.probes()
    assert (probe.quarantined, probe.missing) == (6, 0)
    assert (await store.file([delivery])).result.quarantined == 0


@pytest.mark.parametrize(
    ("topic", "payload", "sender"),
    [
        ("fleet/v1/fleet/results/eu-west/probe-1", b"\x07what", PROBE),
        ("fleet/v1/fleet/results/eu-west/probe-1", b"", PROBE),
        ("fleet/v1/fleet/results/eu-west/probe-1", deliver(runs_from(1), epoch=1 << 70).payload, PROBE),
        ("fleet/v1/fleet/results/us-east/probe-2", deliver(runs_from(1)).payload, OTHER),
        ("fleet/v1/fleet/live/eu-west/probe-1", deliver(runs_from(1)).payload, None),
        ("somewhere/else", deliver(runs_from(1)).payload, None),
    ],
)
async def test_a_delivery_that_cannot_be_believed_is_kept_apart_without_a_receipt(
    store: Store, topic: str, payload: bytes, sender: object
) -> None:
    """Nobody knows which numbers it carries, or it carries somebody else's name: counted, seen, not acknowledged."""
    filed = await store.file([Delivery(topic, payload, NOW), deliver(runs_from(1))])
    assert [receipt.sender for receipt in filed.receipts] == [PROBE]
    assert (filed.result.quarantined, filed.result.slots) == (1, 1)
    (entry,) = await store.quarantine()
    assert (entry.sender, entry.topic, entry.body) == (sender, topic, payload)


async def test_a_hole_in_the_numbers_is_seen_until_it_is_filled(store: Store) -> None:
    """Numbers 3 to 5 are proof that something is missing; a declared loss says what will never come."""
    contents = runs_from(10)
    await store.file([deliver(contents[:2]), deliver(contents[5:8], first_seq=6)])
    (probe,) = await store.probes()
    assert (probe.missing, probe.lost) == (3, 0)
    loss = Loss(first_seq=3, last_seq=4, entries=2, reason="full")
    await store.file([deliver([other_entry(EntryKind.LOSS, loss)], first_seq=9)])
    (probe,) = await store.probes()
    assert (probe.missing, probe.lost) == (3, 2)
    await store.file([deliver(contents[2:5], first_seq=3)])
    (probe,) = await store.probes()
    assert (probe.missing, probe.lost, probe.entries) == (0, 0, 9)


async def test_runs_are_listed_page_by_page(store: Store) -> None:
    """In one order, whatever the length of a page, with nothing twice or left out where many have one slot."""
    contents = [
        run_entry(run_at(NOW + timedelta(minutes=number % 3), scenario=f"journey-{number}", number=number))
        for number in range(10)
    ]
    again = run_at(NOW, number=90)
    contents.append(run_entry(replace(again, identity=replace(again.identity, attempt=1))))
    await store.file([deliver(contents)])
    whole = await store.views.runs(*ALWAYS, RunFilter())
    assert len(whole) == 11
    for limit in (1, 3, 4):
        pages: list[RunSummary] = []
        after: RunPlace | None = None
        while found := await store.views.runs(*ALWAYS, RunFilter(), after=after, limit=limit):
            pages += found
            after = found[-1].place
        assert pages == whole
    assert [one.identity.attempt for one in await store.views.runs(*ALWAYS, RunFilter(only_repeats=True))] == [1]
    assert await store.views.runs(*ALWAYS, RunFilter(fleet="other")) == []


async def test_the_ledger_tells_what_became_of_every_owed_slot(store: Store) -> None:
    """Debt, runs, endings without a run, silence, an unfit minute: one account."""
    owed = OwedSlots(
        scenario="quote", interval_ms=60_000, phase_ms=0, tolerance_ms=5_000, timeout_ms=30_000, from_at=NOW
    )
    minutes = [NOW + timedelta(minutes=number) for number in range(6)]
    late = replace(run_at(minutes[1], number=2), schedule_lag_ns=3_000_000_000)
    contents = [
        other_entry(EntryKind.SCHEDULE, owed),
        run_entry(run_at(minutes[0])),
        run_entry(late),
        other_entry(EntryKind.SLOT, SlotEnd(scenario="quote", slot_at=minutes[2], reason=SlotReason.MAINTENANCE)),
        other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=minutes[1], reasons=["cpu-steal"])),
        run_entry(run_at(minutes[1] + timedelta(seconds=7), number=3)),
    ]
    await store.file([deliver(contents)])
    (account,) = await store.accounts(NOW, minutes[5], now=minutes[5])
    assert account.counts == SlotCounts(
        on_time=1, late=1, maintenance=1, missing=1, pending=1, inconclusive=1, unowed=1
    )
    unfit = [run.identity.slot_at for run in await store.runs(*ALWAYS) if run.is_unfit]
    assert unfit == [minutes[1] + timedelta(seconds=7), minutes[1]]
    assert [minute.reasons for minute in await store.unfit_minutes(NOW, minutes[5])] == ["cpu-steal"]
    stopped = owed.model_copy(update={"until_at": minutes[3]})
    await store.file([deliver([other_entry(EntryKind.SCHEDULE, stopped)], first_seq=7)])
    (account,) = await store.accounts(NOW, minutes[5], now=minutes[5])
    assert account.counts.owed == 3


async def test_a_late_record_takes_the_place_of_missing(store: Store) -> None:
    """A probe that was cut off for a day brings its runs later; the slots were never failed, and are whole again."""
    owed = OwedSlots(
        scenario="quote", interval_ms=15_000, phase_ms=0, tolerance_ms=5_000, timeout_ms=30_000, from_at=NOW
    )
    await store.file([deliver([other_entry(EntryKind.SCHEDULE, owed)])])
    window = (NOW, NOW + timedelta(minutes=5))
    assert (await store.accounts(*window, now=NOW + DAY))[0].counts == SlotCounts(missing=20)
    await store.file([deliver(runs_from(20), first_seq=2)])
    assert (await store.accounts(*window, now=NOW + DAY))[0].counts == SlotCounts(on_time=20)


async def test_two_collectors_that_hear_the_same_store_it_once(url: str) -> None:
    """Through a shared subscription that changes hands, both get the same deliveries at the same time."""
    contents = {probe: runs_from(200, probe=probe) for probe in (PROBE, OTHER)}
    deliveries = [
        deliver(contents[probe][start : start + 20], probe=probe, first_seq=start + 1)
        for start in range(0, 200, 20)
        for probe in (PROBE, OTHER)
    ]
    async with two_stores(url) as (first, second), asyncio.TaskGroup() as group:
        for start in range(0, 20, 4):
            group.create_task(first.file(deliveries[start : start + 4]))
            group.create_task(second.file(list(reversed(deliveries[start : start + 4]))))
    async with open_store(url) as store:
        assert await count_runs(store) == 400
        for probe in await store.probes():
            assert (probe.entries, probe.duplicates, probe.conflicts, probe.missing) == (200, 200, 0, 0)


async def test_words_that_a_database_cannot_hold_hold_nothing_up(store: Store) -> None:
    """A null character and a novel as a step's name are kept in the record and shortened in the row."""
    run = run_at(NOW)
    odd = replace(run, steps=(make_step("a\0b"), make_step("x" * 5_000)), target="t\0")
    assert (await store.file([deliver([run_entry(odd)])])).result.slots == 1
    assert parse_run(await store.record(run.identity)) == odd
    assert (await store.runs(*ALWAYS))[0].target == "t"


async def test_numbers_that_a_database_cannot_hold_are_poison(store: Store) -> None:
    """A duration of a hundred digits is refused at the border and disturbs nobody."""
    body = json.loads(render_run(run_at(NOW)))
    contents: list[Content] = [
        (EntryKind.RUN, json.dumps(body | {"duration_ns": 10**100}).encode()),
        (EntryKind.RUN, json.dumps(body | {"duration_ns": 1 << 63}).encode()),
        (EntryKind.RUN, json.dumps(body | {"duration_ns": -1}).encode()),
        (EntryKind.RUN, json.dumps(body | {"schedule_lag_ns": (1 << 63) - 1}).encode()),
        (
            EntryKind.RUN,
            json.dumps(body | {"identity": body["identity"] | {"slot_at": "9999-01-01T00:00:00Z"}}).encode(),
        ),
        (
            EntryKind.RUN,
            json.dumps(body | {"identity": body["identity"] | {"slot_at": "2026-01-01T00:00:00"}}).encode(),
        ),
        (EntryKind.RUN, json.dumps(body | {"identity": body["identity"] | {"attempt": 1 << 40}}).encode()),
        (EntryKind.RUN, json.dumps(body | {"identity": body["identity"] | {"scenario": "../../etc"}}).encode()),
    ]
    filed = await store.file([deliver(contents)])
    assert (filed.result.quarantined, filed.result.slots) == (7, 1)


async def test_slots_a_microsecond_apart_are_two(store: Store) -> None:
    """Runs on demand have no grid; attempts of one slot are apart too."""
    identities = [
        replace(run_at(NOW).identity, slot_at=NOW + timedelta(microseconds=beyond), attempt=attempt)
        for beyond in (0, 1, 999)
        for attempt in (0, 1)
    ]
    runs = [replace(run_at(NOW, number=number), identity=identity) for number, identity in enumerate(identities)]
    assert (await store.file([deliver([run_entry(run) for run in runs])])).result.slots == 6
    for run in runs:
        assert await store.record(run.identity) == render_run(run)


async def test_a_probe_that_names_endless_scenarios_is_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cost memory in every collector; beyond a bound they go to quarantine."""
    monkeypatch.setattr(store_slots, "MAX_SCENARIOS", 10)
    contents = [run_entry(run_at(NOW, scenario=f"made-up-{number}")) for number in range(15)]
    filed = await store.file([deliver(contents)])
    assert (filed.result.slots, filed.result.quarantined) == (10, 5)


async def test_a_full_batch_of_the_largest_size_is_filed(store: Store) -> None:
    """What the wire allows, the store takes."""
    filed = await store.file([deliver(runs_from(MAX_ENTRIES))])
    assert filed.result.slots == MAX_ENTRIES


async def test_what_a_probe_says_about_itself_is_kept_as_last_said(store: Store) -> None:
    """The newest status wins, whatever order they are heard in; a null character does no harm."""
    await store.note_status(PROBE, b'{"online": true}\0', NOW)
    await store.note_status(PROBE, b'{"online": false}', NOW - DAY)
    (probe,) = await store.probes()
    assert (probe.address, probe.status, probe.status_at) == (PROBE, '{"online": true}', NOW)


async def test_rows_that_the_database_refuses_become_poison_and_hold_up_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a check is ever missing, the one bad delivery is found by halving; the others are stored and acknowledged."""
    contents = [runs_from(5, start_at=NOW + number * DAY) for number in range(5)]
    plain_rows = store_slots.rows_of

    def with_a_hole(numbered: object, known: object) -> object:
        run_rows, step_rows = plain_rows(numbered, known)  # type: ignore[arg-type]
        bad_ms = (NOW + 2 * DAY).timestamp() * 1000
        return [(*row[:3], None, *row[4:]) if row[0] == bad_ms else row for row in run_rows], step_rows

    monkeypatch.setattr(store_slots, "rows_of", with_a_hole)
    filed = await store.file([deliver(part, first_seq=1 + 5 * number) for number, part in enumerate(contents)])
    assert [receipt.numbers[0] for receipt in filed.receipts] == [1, 6, 11, 16, 21]
    assert (filed.result.slots, filed.result.quarantined) == (20, 5)
    (probe,) = await store.probes()
    assert (probe.entries, probe.quarantined, probe.missing) == (25, 5, 0)


class Listener:
    """Follows what is stored, and refuses it when it is told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []  # slot, rows of runs that its transaction sees
        self.refuses = False

    async def follow(self, session: Session, fresh: Collection[FreshSlot]) -> None:
        """Looks into the transaction."""
        ((rows,),) = await session.fetch(select(func.count()).select_from(runs))
        self.heard += [(slot.key[0], rows) for slot in fresh]
        if self.refuses:
            raise StoreRefusedError("not this one")


async def test_a_follower_is_told_of_new_slots_alone_inside_the_transaction_that_stores_them(url: str) -> None:
    """What follows from a slot is written with it or not at all, and once, however often the slot comes."""
    listener = Listener()
    async with open_store(url, followers=[listener]) as store:
        contents = runs_from(2)
        await store.file([deliver(contents)])
        slots_ms = [round((NOW + timedelta(seconds=15 * number)).timestamp() * 1000) for number in range(2)]
        assert listener.heard == [(slot_ms, 2) for slot_ms in slots_ms]
        await store.file([deliver([*contents, *runs_from(1, start_at=NOW + DAY)])])
        assert len(listener.heard) == 3
        listener.refuses = True
        filed = await store.file([deliver(runs_from(1, start_at=NOW + 2 * DAY), first_seq=9)])
        assert filed.result.slots == 0
        assert await count_runs(store) == 3
