"""An outbox that is full or too old gives up results, and never what tells the meaning of results."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.store import Delivery, open_store
from probes.clock import SystemClock
from probes.ledger_entries import FitnessMinute, OwedSlots, render_entry
from probes.messages import render_batch
from probes.outbox import EntryKind, Outbox, OutboxLimits
from probes.wire import render_run
from tests.store_kit import NOW, PROBE, run_at

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class JumpingClock(SystemClock):
    """Wall time that stands still until it is told to jump."""

    def __init__(self) -> None:
        self.now_at = START

    def now(self) -> datetime:
        """The instant of the last jump."""
        return self.now_at


def owed(from_at: datetime, until_at: datetime | None = None) -> bytes:
    """A word about what is owed: a run of `quote` a minute."""
    word = OwedSlots(
        scenario="quote",
        interval_ms=60_000,
        phase_ms=0,
        tolerance_ms=500,
        timeout_ms=1_000,
        from_at=from_at,
        until_at=until_at,
    )
    return render_entry(word)


def unfit(minute_at: datetime) -> bytes:
    """A word about an unfit minute."""
    return render_entry(FitnessMinute(minute_at=minute_at, reasons=["the loop was late"]))


LIMITS = {"bytes": OutboxLimits(max_bytes=10_000), "age": OutboxLimits(max_age=5 * MINUTE)}


@pytest.mark.parametrize("bound", LIMITS)
def test_what_gives_results_their_meaning_stays_when_results_are_dropped(tmp_path: Path, bound: str) -> None:
    """A slot that was lost is still owed, and a run that the collector has is still known to be of an unfit minute."""
    clock = JumpingClock()
    with Outbox(tmp_path / "outbox.db", limits=LIMITS[bound], clock=clock) as outbox:
        outbox.put(EntryKind.SCHEDULE, owed(START))
        outbox.put(EntryKind.RUN, b"x" * 1_000)
        outbox.put(EntryKind.FITNESS, unfit(START))
        for _ in range(12):
            clock.now_at += MINUTE
            outbox.put(EntryKind.RUN, b"x" * 1_000)
        entries = outbox.pending()
        assert [(entry.seq, entry.kind) for entry in entries[:2]] == [(1, EntryKind.SCHEDULE), (3, EntryKind.FITNESS)]
        assert entries[2].seq > 4
        assert outbox.depth().lost > 0
        assert outbox.depth().body_bytes == sum(len(entry.body) for entry in entries) <= 10_000


@pytest.mark.parametrize("bound", LIMITS)
async def test_the_collector_counts_each_slot_that_was_lost_as_missing(tmp_path: Path, bound: str) -> None:
    """Coverage is not whole when the outbox dropped results, and a run of an unfit minute says nothing."""
    clock = JumpingClock()
    with Outbox(tmp_path / "outbox.db", limits=LIMITS[bound], clock=clock) as outbox:
        outbox.put(EntryKind.SCHEDULE, owed(START))
        for number in range(30):
            run = render_run(run_at(clock.now_at, number=number + 1))
            outbox.put(EntryKind.RUN, run)
            if not number:  # has gone out before the collector was away
                before = outbox.pending()[1:]
                outbox.acknowledge([(2, 2)])
                outbox.put(EntryKind.FITNESS, unfit(START))
            clock.now_at += MINUTE
        async with open_store(str(tmp_path / "store.db")) as store:
            for entries in (before, outbox.pending()):
                await store.file([Delivery(PROBE.topic("results"), render_batch(PROBE, outbox.epoch, entries), NOW)])
            (account,) = await store.accounts(START, clock.now_at, now=clock.now_at + timedelta(days=1))
            (probe,) = await store.probes()
        lost = 30 - sum(entry.kind is EntryKind.RUN for entry in (*before, *outbox.pending()))
        assert (account.counts.owed, account.counts.missing, account.counts.unowed) == (30, lost, 0)
        assert lost > 0
        assert account.counts.inconclusive == 1
        assert probe.lost == probe.missing == outbox.depth().lost


def test_words_alone_keep_the_bound_and_the_newest_of_each_stays(tmp_path: Path) -> None:
    """What a later word on the same thing replaces goes first; only then go the oldest, and each is told as lost."""
    with Outbox(tmp_path / "outbox.db", limits=OutboxLimits(max_bytes=4_000)) as outbox:
        outbox.put(EntryKind.SCHEDULE, owed(START))
        for number in range(100):
            outbox.put(EntryKind.FITNESS, unfit(START + number % 7 * MINUTE))
        outbox.put(EntryKind.SCHEDULE, owed(START + MINUTE))
        kept = {entry.body for entry in outbox.pending() if entry.kind is not EntryKind.LOSS}
        assert {owed(START), owed(START + MINUTE), *(unfit(START + number * MINUTE) for number in range(7))} == kept
        for number in range(100):
            outbox.put(EntryKind.FITNESS, unfit(START + (1 + number) * 61 * MINUTE))
        depth, entries = outbox.depth(), outbox.pending()
        assert depth.body_bytes == sum(len(entry.body) for entry in entries) <= 4_000
        losses = [json.loads(entry.body) for entry in entries if entry.kind is EntryKind.LOSS]
        assert "full of words" in {loss["reason"] for loss in losses}
        assert depth.lost == entries[-1].seq - len(entries)


async def test_no_unfit_minute_is_forgotten_where_words_fill_the_outbox(tmp_path: Path) -> None:
    """Those of an hour are joined: the collector knows at least of each minute that was told."""
    minutes = [START + number * MINUTE for number in range(0, 300, 2)]
    with Outbox(tmp_path / "outbox.db", limits=OutboxLimits(max_bytes=4_000)) as outbox:
        for minute_at in minutes:
            outbox.put(EntryKind.FITNESS, unfit(minute_at))
        entries = outbox.pending()
        assert outbox.depth().body_bytes <= 4_000
        async with open_store(str(tmp_path / "store.db")) as store:
            await store.file([Delivery(PROBE.topic("results"), render_batch(PROBE, outbox.epoch, entries), NOW)])
            told = {minute.minute_at for minute in await store.unfit_minutes(START, START + timedelta(days=1))}
        assert told >= set(minutes)
        assert told <= {START + number * MINUTE for number in range(300)}


def test_a_loss_that_is_lost_is_told_with_the_next(tmp_path: Path) -> None:
    """However often the outbox overflows, the collector hears of every number that it will never get."""
    with Outbox(tmp_path / "outbox.db", limits=OutboxLimits(max_bytes=10_000)) as outbox:
        for _ in range(60):
            outbox.put(EntryKind.RUN, b"x" * 1_000)
        entries = outbox.pending()
    losses = [json.loads(entry.body) for entry in entries if entry.kind is EntryKind.LOSS]
    told = {number for loss in losses for number in range(loss["first_seq"], loss["last_seq"] + 1)}
    here = {entry.seq for entry in entries}
    assert told >= set(range(1, max(here) + 1)) - here
