"""Passing runs on costs the ingest nothing: queues are bounded, receivers may be ill, and filing goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.exports import pump as pump_module
from collector.exports.feed import RunQueue, StoredRun
from collector.exports.posthog_events import PostHogExport
from collector.exports.pump import Delivered, DeliveryError, Pump
from collector.exports.traces import TraceExport
from collector.store import FreshSlot, Store, open_store
from probes.clock import SystemClock
from tests.clock import JumpingClock
from tests.exports_kit import Receiver, receiver, running_pump, stored, until
from tests.store_kit import NOW, deliver, run_at, runs_from

PARTS = 21
"""So many thousands of records are filed in turn: any may cost twice as much on a busy host, the one in the middle not."""


def some(count: int) -> list[StoredRun]:
    """So many stored runs."""
    return [stored(run_at(NOW + timedelta(seconds=15 * number), number=number)) for number in range(count)]


class Noted:
    """An export that remembers, and fails as it is told."""

    name = "noted"
    most_runs = 10

    def __init__(self, *failures: Exception) -> None:
        self.got: list[StoredRun] = []
        self.calls = 0
        self._failures = list(failures)

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """Fail as often as there are failures, then take everything."""
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        self.got += runs
        return Delivered(len(runs))


class Filled(RunQueue):
    """A queue that is filled by hand."""

    def fill(self, runs: Sequence[StoredRun]) -> None:
        """As if they had been stored."""
        self._runs.extend(runs)
        self.body_bytes += sum(len(run.body) for run in runs)
        self._arrived()


async def test_runs_are_told_after_their_commit_each_once(tmp_path: Path) -> None:
    """What comes again, and what a transaction had to undo, is told to nobody."""
    told: list[FreshSlot] = []
    async with open_store(str(tmp_path / "some.db")) as store:
        store.listen(told.extend)
        await store.file([deliver(runs_from(3)), deliver(runs_from(3))])
        await store.file([deliver(runs_from(3))])
        assert [one.slot.seq for one in told] == [1, 2, 3]
        assert (await store.totals()).entries == 3


async def test_a_listener_that_breaks_costs_no_acknowledgement(tmp_path: Path) -> None:
    """Results are committed by then; it is our bug, and the log says so."""
    told: list[FreshSlot] = []

    def breaks(_fresh: Sequence[FreshSlot]) -> None:
        raise RuntimeError("broken")

    async with open_store(str(tmp_path / "some.db")) as store:
        store.listen(breaks)
        store.listen(told.extend)
        with capture_logs() as logs:
            filed = await store.file([deliver(runs_from(3))])
        assert filed.receipts[0].numbers == [1, 2, 3]
        assert len(told) == 3
        assert [one["event"] for one in logs if one["log_level"] == "error"] == ["store.listener_failed"]


async def test_a_queue_forgets_its_oldest_and_counts_them(tmp_path: Path) -> None:
    """By number and by bytes, whichever is reached first."""
    few, small = RunQueue(most_runs=5), RunQueue(most_bytes=10_000)
    async with open_store(str(tmp_path / "some.db")) as store:
        store.listen(few.put)
        store.listen(small.put)
        await store.file([deliver(runs_from(20))])
    assert (len(few), few.dropped) == (5, 15)
    newest = few.take(9)
    assert newest[-1].slot_ms > newest[0].slot_ms == round((NOW + timedelta(seconds=15 * 15)).timestamp() * 1000)
    assert 0 < len(small) < 20
    assert small.body_bytes <= 10_000
    assert len(small) + small.dropped == 20
    small.take(100)
    assert (len(small), small.body_bytes) == (0, 0)


async def test_a_batch_is_tried_again_more_and_more_slowly_and_nothing_is_out_of_order() -> None:
    """Until it is taken; what the receiver has of it already is not sent again."""
    failing = [DeliveryError("away") for _ in range(8)]
    failing.append(DeliveryError("half", done=Delivered(3, 1)))
    export, queue, clock, runs = Noted(*failing), Filled(), JumpingClock(NOW), some(25)
    async with running_pump(export, queue, clock) as pump:
        queue.fill(runs)
        await until(lambda: pump.state.sent == 24)
    assert export.got == runs[4:]
    assert (pump.state.sent, pump.state.skipped, pump.state.failures, pump.state.refused) == (24, 1, 9, 0)
    pauses = [pause for pause in clock.slept_s if pause >= 1]
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_refused_batch_is_counted_and_the_next_one_goes() -> None:
    """Trying it for ever would hold up everything behind it; the same for one that is older than a quarter of an hour."""
    export, queue = Noted(DeliveryError("no", is_lasting=True)), Filled()
    async with running_pump(export, queue, JumpingClock(NOW)) as pump:
        queue.fill(some(15))
        await until(lambda: pump.state.sent)
        assert (pump.state.refused, pump.state.sent) == (10, 5)
    patient, queue = Noted(*(DeliveryError("away") for _ in range(40))), Filled()
    async with running_pump(patient, queue, JumpingClock(NOW)) as pump:
        queue.fill(some(15))
        await until(lambda: pump.state.sent)
        assert (pump.state.refused, pump.state.sent) == (10, 5), (
            "the second batch was taken once the failures were used up"
        )
        assert pump.state.failures == 40


async def test_an_export_that_breaks_loses_that_batch_only() -> None:
    """A record that it cannot read is our bug: counted, logged, and passed over."""
    export, queue = Noted(KeyError("steps")), Filled()
    with capture_logs() as logs:
        async with running_pump(export, queue, JumpingClock(NOW)) as pump:
            queue.fill(some(15))
            await until(lambda: len(export.got) == 5)
            assert pump.state.refused == 10
    assert "export.broke" in {one["event"] for one in logs}


async def test_a_receiver_that_never_answers_is_said_and_keeps_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is a daemon's; what it holds up is its own queue."""
    held = threading.Event()

    class Stuck(Noted):
        def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
            held.wait(30)
            return super().deliver(runs)

    monkeypatch.setattr(pump_module, "STUCK_AFTER_S", 0.05)
    export, queue, others = Stuck(), Filled(), threading.enumerate()
    try:
        async with running_pump(export, queue, JumpingClock(NOW)) as pump:
            queue.fill(some(5))
            await until(lambda: pump.state.is_stuck)
            (thread,) = [one for one in threading.enumerate() if one.name == "export-noted" and one not in others]
            assert thread.daemon
            held.set()
            await until(lambda: pump.state.sent == 5)
            assert not pump.state.is_stuck
    finally:
        held.set()


async def test_a_flood_is_passed_on_at_a_tenth_of_a_core() -> None:
    """After each batch the pump rests nine times as long as it worked."""

    class Busy(Noted):
        def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
            until_s = time.thread_time() + 0.02
            while time.thread_time() < until_s:
                pass
            return super().deliver(runs)

    export, queue, clock = Busy(), Filled(), JumpingClock(NOW)
    async with running_pump(export, queue, clock):
        queue.fill(some(30))
        await until(lambda: len(export.got) == 30)
        await until(lambda: len(clock.slept_s) == 3)
    assert all(rest > 0.17 for rest in clock.slept_s)
    assert min(clock.slept_s) < 0.4, "a busy host may count some of what it took away as work"


async def cpu_of_filing(store: Store, first_seq: int, groups: int) -> float:
    """CPU seconds of all threads that filing so many groups of a hundred takes, on top of everything else that goes on."""
    deliveries = [
        deliver(
            runs_from(100, start_at=NOW + timedelta(seconds=15 * (first_seq + 100 * group))),
            first_seq=first_seq + 100 * group,
        )
        for group in range(groups)
    ]
    began_s = time.process_time()
    for one in deliveries:
        await store.file([one])
    return time.process_time() - began_s


@pytest.mark.serial
@pytest.mark.parametrize("illness", ["down", "slow", "500"])
async def test_filing_costs_the_same_whatever_receivers_do(illness: str, tmp_path: Path) -> None:
    """The median CPU time of filing a thousand records beside two exports, by that of filing them alone."""
    ratios: list[float] = []
    slowest_s = 0.0
    with receiver() as there:
        make_ill(there, illness)
        async with (
            open_store(str(tmp_path / "alone.db"), survives_power_cut=False) as alone,
            open_store(str(tmp_path / "beside.db"), survives_power_cut=False) as beside,
        ):
            pumps = []
            for export in (TraceExport(f"{there.url}/v1/traces"), PostHogExport(there.url, "phc_key")):
                queue = RunQueue(most_runs=2_000)
                beside.listen(queue.put)
                pumps.append(Pump(export, queue, clock=SystemClock()))
            tasks = [asyncio.create_task(pump.run()) for pump in pumps]
            for part in range(PARTS):
                first_seq = 1 + 1_000 * part
                without_s = await cpu_of_filing(alone, first_seq, 10)
                began_s = time.monotonic()
                with_s = await cpu_of_filing(beside, first_seq, 10)
                slowest_s = max(slowest_s, time.monotonic() - began_s)
                ratios.append(with_s / without_s)
            dropped = [pump.queue.dropped for pump in pumps]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert (await beside.totals()).entries == 1_000 * PARTS
    assert all(dropped), "the queues were full, and forgot their oldest"
    assert sorted(ratios)[len(ratios) // 2] < 1.35, ratios
    assert slowest_s < 20


def make_ill(there: Receiver, illness: str) -> None:
    """Let the receiver be of no use."""
    match illness:
        case "down":
            there.url = "http://127.0.0.1:9"
        case "slow":
            there.delay_s = 3.0
        case _:
            there.status = 500
