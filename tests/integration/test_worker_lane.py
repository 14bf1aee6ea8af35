"""One lane on a real loop with real sockets, and clocks that are stepped, disks that refuse, hosts that are unfit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from probes.fitness_host import Trouble
from probes.ledger_entries import SlotReason
from probes.records import FailureKind, Outcome, Run
from probes.schedule import Schedule
from probes.worker_pipe import ClockOrder
from tests.journey_kit import SmallTarget, open_target
from tests.lane_kit import HOUR_S, SteppedClock, open_test_lane
from tests.worker_kit import Books, books_of, until


@pytest.fixture
async def target() -> AsyncIterator[SmallTarget]:
    """A server that is always there."""
    async with open_target() as opened:
        yield opened


async def test_a_clock_stepped_forward_skips_nothing_in_silence(target: SmallTarget, tmp_path: Path) -> None:
    """An hour ahead: every slot of it is recorded as missed with the reason, the minute is unfit, and slots run on at once."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    began_s = time.monotonic()
    async with open_test_lane(tmp_path, target, clock):
        await until(lambda: books_of(path).runs, "a run before the step")
        clock.step(HOUR_S)
        count = len(target.seen)
        await until(lambda: len(target.seen) > count + 1, "runs after the step")
        passed_s = time.monotonic() - began_s
    books = books_of(path)
    endings = books.endings("steady")
    assert set(endings.values()) == {1}
    assert books.owed_slots("steady", clock.now() + timedelta(days=1)) == set(endings)
    missed = [end for end in books.ends if is_an_hour(end.detail, "forward")]
    assert 3598 <= len(missed) <= 3600 + passed_s
    assert any("stepped forward" in reason for reasons in books.unfit.values() for reason in reasons)
    assert min(run.identity.slot_at for run in books.runs) < max(
        run.identity.slot_at for run in books.runs
    ) - timedelta(minutes=59)


async def test_a_clock_stepped_back_runs_no_slot_twice(target: SmallTarget, tmp_path: Path) -> None:
    """An hour back: what has ended is not run again; the lane says until when it waits, and goes on from there."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    async with open_test_lane(tmp_path, target, clock, in_order=False):
        await until(lambda: books_of(path).runs, "a run before the step")
    clock.step(HOUR_S)
    async with open_test_lane(tmp_path, target, clock) as (lane, _, _):
        count = len(target.seen)
        await until(lambda: len(target.seen) > count, "a run at the later time")
        clock.step(-HOUR_S)
        await until(lambda: books_of(path).unfit, "the step being noticed")
        next_slot_at = lane.beat().next_slot_at
        assert next_slot_at is not None
        assert next_slot_at > clock.now() + timedelta(minutes=59)
        count = len(target.seen)
        clock.step(HOUR_S)
        await until(lambda: len(target.seen) > count, "a run when the clock has caught up")
    endings = books_of(path).endings("steady")
    assert set(endings.values()) == {1}
    assert any(is_an_hour(reason, "back") for reasons in books_of(path).unfit.values() for reason in reasons)


def is_an_hour(told: str, way: str) -> bool:
    """Whether this tells of a clock that was stepped by an hour; the two clocks are not read at the same nanosecond."""
    found = re.search(rf"stepped {way} by ([0-9.]+) s", told)
    return found is not None and abs(float(found[1]) - HOUR_S) < 1


async def test_a_turn_that_takes_long_is_not_taken_for_a_clock_that_was_stepped(
    target: SmallTarget, tmp_path: Path
) -> None:
    """Seconds pass between the beginning of a turn and its end: slots are missed for that, and no minute is unfit."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    waits = [5.0]

    def busy(scenario: str, slot_at: datetime) -> str:
        """Asked in the middle of a turn; the first one takes its time."""
        if waits and target.seen:
            clock.pass_by(waits.pop())
        return ""

    async with open_test_lane(tmp_path, target, clock, maintenance=busy):
        await until(lambda: not waits, "a turn that takes long")
        count = len(target.seen)
        await until(lambda: len(target.seen) > count + 1, "runs after it")
    books = books_of(path)
    assert books.unfit == {}
    assert set(books.endings("steady").values()) == {1}
    assert any("held up for" in end.detail for end in books.ends), [end.detail for end in books.ends]


async def test_a_lane_that_started_with_a_clock_ahead_goes_on_when_it_is_set_right(
    target: SmallTarget, tmp_path: Path
) -> None:
    """A host whose clock was an hour ahead at the start does not lose an hour when the clock is set."""
    clock = SteppedClock()
    clock.step(HOUR_S)
    path = tmp_path / "outbox.db"
    async with open_test_lane(tmp_path, target, clock):
        await until(lambda: books_of(path).runs, "a run with the wrong clock")
        clock.step(-HOUR_S)
        count = len(target.seen)
        await until(lambda: len(target.seen) > count + 1, "runs with the right clock")
    books = books_of(path)
    assert set(books.endings("steady").values()) == {1}
    assert books.owed_slots("steady", datetime.now(UTC) + timedelta(days=1)) == set(books.endings("steady"))


async def test_a_lane_stands_still_while_the_disk_takes_nothing_and_loses_no_slot(
    target: SmallTarget, tmp_path: Path
) -> None:
    """Nothing starts that could not be recorded; when there is room again every slot since has its ending."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    async with open_test_lane(tmp_path, target, clock) as (lane, outbox, _):
        await until(lambda: books_of(path).runs, "a run")
        outbox._db.execute("PRAGMA query_only = ON")  # SQLite's own way to refuse every write
        await until(lambda: lane.beat().stands_still, "a disk that refuses")
        outbox._db.execute("PRAGMA query_only = OFF")
        await until(lambda: not lane.beat().stands_still, "a disk that takes entries again")
        count = len(target.seen)
        await until(lambda: len(target.seen) > count, "a run afterwards")
    books = books_of(path)
    assert set(books.endings("steady").values()) == {1}
    assert books.owed_slots("steady", clock.now() + timedelta(days=1)) == set(books.endings("steady"))


async def test_what_an_unfit_minute_found_is_kept_and_counts_for_nothing(target: SmallTarget, tmp_path: Path) -> None:
    """Inconclusive whatever it was, with the raw outcome, and told to the collector for the runs that have left."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    async with open_test_lane(tmp_path, target, clock) as (lane, _, host):
        await until(lambda: books_of(path).runs, "a run of a fit host")
        lane.set_clock_offset(ClockOrder(offset_ns=5_000_000, bound_ns=1_000_000))
        host.note(clock.now(), clock.now() + timedelta(minutes=1), Trouble("busy", "no CPU"))
        await until(lambda: any(run.outcome is Outcome.INCONCLUSIVE for run in books_of(path).runs), "a tainted run")
    books = books_of(path)
    [*_, tainted] = [run for run in books.runs if run.outcome is Outcome.INCONCLUSIVE]
    assert tainted.attributes["run.raw_outcome"] == "pass"
    assert tainted.fitness is not None
    assert tainted.fitness.reasons == ("no CPU",)
    assert (tainted.clock_offset_ns, tainted.clock_bound_ns) == (5_000_000, 1_000_000)
    # A run that began in the minute before takes that one with it, and says why.
    assert {reason.rpartition(": ")[2] for reasons in books.unfit.values() for reason in reasons} == {"no CPU"}


async def test_a_control_target_that_fails_in_the_same_slot_makes_the_run_inconclusive(tmp_path: Path) -> None:
    """Both do not answer: it is our network that is down, and the platform is not charged."""
    is_down = False

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503 if is_down else 200)

    path = tmp_path / "outbox.db"
    async with open_target({"/control": answer, "/slow": answer}) as target:
        each_second = Schedule("slow", 1000, 0, 400)
        clock = SteppedClock()
        control_url = f"{target.url}/control"
        async with open_test_lane(tmp_path, target, clock, schedules=[each_second], control_url=control_url):
            await until(lambda: books_of(path).runs, "a good run")
            is_down = True
            await until(lambda: found_nothing_but_failure(books_of(path)), "a run that the control target excuses")
    books = books_of(path)
    assert books.runs[0].outcome is Outcome.PASS
    [failed, *_] = found_nothing_but_failure(books)
    assert failed.failure is not None
    assert failed.failure.kind is FailureKind.STATUS
    assert failed.attributes["run.raw_outcome"] == "fail"
    assert failed.fitness is not None
    assert failed.fitness.reasons == ("the control target answered 503",)


@pytest.mark.parametrize("answer_after_s", [0.0, 1.2])
async def test_a_network_that_goes_down_in_the_middle_of_a_run_is_not_charged(
    tmp_path: Path, answer_after_s: float
) -> None:
    """The control target answered when the run began, and not when it ended, however soon: nobody knows, so nobody is charged.

    No other run is near that could tell.
    """
    is_down, was_asked = False, asyncio.Event()

    async def control(_request: web.Request) -> web.StreamResponse:
        was_asked.set()
        return web.Response(status=503 if is_down else 200)

    async def platform(_request: web.Request) -> web.StreamResponse:
        nonlocal is_down
        await was_asked.wait()
        is_down = True
        await asyncio.sleep(answer_after_s)
        return web.Response(status=503)

    path = tmp_path / "outbox.db"
    async with open_target({"/control": control, "/slow": platform}) as target:
        # Not so soon that a lane which opens slowly would miss it, for there is none after it.
        soon_ms = int(datetime.now(UTC).timestamp() * 1000) + 1_500
        hourly = Schedule("slow", 3_600_000, soon_ms % 3_600_000, 60_000)
        control_url = f"{target.url}/control"
        async with open_test_lane(tmp_path, target, SteppedClock(), schedules=[hourly], control_url=control_url):
            await until(lambda: books_of(path).runs, "the run")
    books = books_of(path)
    assert [run.outcome for run in books.runs] == [Outcome.INCONCLUSIVE]
    assert books.runs[0].attributes["run.raw_outcome"] == "fail"
    assert {reason for reasons in books.unfit.values() for reason in reasons} == {"the control target answered 503"}


def found_nothing_but_failure(books: Books) -> list[Run]:
    """Runs that failed and are inconclusive."""
    return [run for run in books.runs if run.failure is not None and run.outcome is Outcome.INCONCLUSIVE]


async def test_a_schedule_that_has_changed_ends_the_old_debt(target: SmallTarget, tmp_path: Path) -> None:
    """After a restart with another interval, and after one without the scenario, the books still agree."""
    clock = SteppedClock()
    path = tmp_path / "outbox.db"
    async with open_test_lane(tmp_path, target, clock, in_order=False):
        await until(lambda: books_of(path).runs, "a run every second")
    slower = Schedule("steady", 2000, 500, 400)
    async with open_test_lane(tmp_path, target, clock, schedules=[slower], in_order=False):
        await until(lambda: any(slower.is_slot(run.identity.slot_at) for run in books_of(path).runs), "a run every two")
    async with open_test_lane(tmp_path, target, clock, schedules=[]):
        pass
    books = books_of(path)
    endings = books.endings("steady")
    assert set(endings.values()) == {1}
    assert books.owed_slots("steady", clock.now() + timedelta(days=1)) == set(endings)
    assert {end.reason for end in books.ends} <= {SlotReason.MISSED}
