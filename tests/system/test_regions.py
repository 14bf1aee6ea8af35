"""Regions for real: namespaces behind links of 5, 80 and 250 ms with 0.5 % loss, and what is recorded while a link is cut.

Broker, collector, platform and control target are in the centre; workers run in the regions. A region that is cut off is
`missing`, not failed, and what it measured meanwhile counts for nobody; a region that has lost the broker alone measures on.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

import pytest

from collector.ledger import GRACE, SlotClass, SlotLine
from probes.records import FailureKind, Outcome
from tests.net_spaces import need_spaces
from tests.region_fleet import TIMEOUT_S, RegionFleet, open_region_fleet
from tests.region_net import BROKER, open_regions

ROUND_TRIPS_S = (0.005, 0.08, 0.25)
ALL = NEAR, MIDDLE, DISTANT = (0, 1, 2)
LOSS_RATIO = 0.005
EVERY_S = 2
LATE_S = 0.05
"""What this host may add to a connection at the median."""
PATIENCE = timedelta(seconds=TIMEOUT_S) + GRACE + timedelta(milliseconds=1)
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Size:
    """How many runs come before the cut, and how many slots are missing before it ends.

    The ledger takes a minute and more to call a slot missing; `looks_ahead` asks it as it will be then.
    """

    runs_before: int
    missing: int
    looks_ahead: bool
    deadline_s: float


SIZES = [
    pytest.param(Size(5, 2, looks_ahead=True, deadline_s=120), id="short", marks=pytest.mark.timeout(480)),
    pytest.param(
        Size(40, 10, looks_ahead=False, deadline_s=180), id="long", marks=[pytest.mark.slow, pytest.mark.timeout(480)]
    ),
]


@asynccontextmanager
async def regions(folder: Path) -> AsyncIterator[RegionFleet]:
    """The fleet, measuring in every region."""
    need_spaces()
    if not shutil.which("mosquitto"):
        pytest.skip("mosquitto is not installed")
    seed = SystemRandom().randrange(1_000_000)
    print(f"the links' seed: {seed}")  # noqa: T201 - whoever looks into a failure needs it
    with open_regions(ROUND_TRIPS_S, loss_ratio=LOSS_RATIO, seed=seed) as net:
        async with open_region_fleet(net, folder, every_s=EVERY_S) as fleet:
            yield fleet


@pytest.mark.serial
@pytest.mark.parametrize("size", SIZES)
async def test_distance_is_seen_and_a_cut_is_missing_and_then_made_good(tmp_path: Path, size: Size) -> None:
    """Connect phases show each round trip. Then one region is cut off from everything and one from the broker alone.

    Both are missing while it lasts, and the third is not touched; both catch up. Of the first nothing is charged to the platform,
    for its control target was cut off, too. The second has measured all the time.
    """
    began_at = datetime.now(UTC)
    async with regions(tmp_path) as fleet:

        async def measured() -> bool:
            counts = [len(await fleet.runs(region, began_at, datetime.now(UTC))) for region in ALL]
            return min(counts) >= size.runs_before

        async def little_slower() -> bool:
            connects_s = [await connects_of(fleet, region, began_at) for region in ALL]
            return all(
                one and statistics.median(one) < trip_s + LATE_S
                for one, trip_s in zip(connects_s, ROUND_TRIPS_S, strict=True)
            )

        await wait_for(fleet, measured, "runs in every region", size.deadline_s)
        # The first runs are made while other parts still begin, on the same two CPUs.
        await wait_for(fleet, little_slower, "connections that take as long as the way", size.deadline_s)
        await check_round_trips(fleet, began_at)
        fleet.net.links.cut(DISTANT)
        fleet.net.links.cut(MIDDLE, BROKER)
        cut = await wait_missing(fleet, datetime.now(UTC), size)
        assert [len(await fleet.runs(region, *cut)) for region in (MIDDLE, DISTANT)] == [0, 0]
        await wait_whole(fleet, (NEAR,), cut, size)
        for region in (MIDDLE, DISTANT):
            fleet.net.links.restore(region)
        restored_at = datetime.now(UTC)
        await wait_whole(fleet, ALL, (cut[0], restored_at), size)
        print(f"made good {(datetime.now(UTC) - restored_at).total_seconds():.1f} s after the cut")  # noqa: T201 - measured
        codes = await asyncio.to_thread(fleet.stop_workers)
        assert codes == [0, 0, 0], fleet.said()
        print(fleet.net.links.count())  # noqa: T201 - the same
        await check_charges(fleet, began_at, cut)
        await check_ledger(fleet, began_at)


async def wait_for(fleet: RegionFleet, condition: Callable[[], Awaitable[bool]], what: str, deadline_s: float) -> None:
    """Until the store says so."""
    give_up_s = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < give_up_s, f"not within {deadline_s:g} s: {what}; {fleet.said()}"
        await asyncio.sleep(0.2)


async def wait_missing(fleet: RegionFleet, cut_at: datetime, size: Size) -> Span:
    """Until so many slots of both regions are missing: the span in which all of them must be."""

    def span() -> Span:
        now = datetime.now(UTC)
        return cut_at, now - (timedelta(seconds=TIMEOUT_S) if size.looks_ahead else PATIENCE)

    async def all_missing() -> bool:
        from_at, until_at = span()
        now = until_at + PATIENCE
        counts = []
        for region in (MIDDLE, DISTANT):
            lines = await fleet.slots(region, from_at, until_at, now=now) if from_at < until_at else []
            assert classes(lines) <= {SlotClass.MISSING}, lines
            counts.append(len(lines))
        return min(counts) >= size.missing

    await wait_for(fleet, all_missing, f"{size.missing} missing slots", size.deadline_s)
    return span()


async def wait_whole(fleet: RegionFleet, regions: Sequence[int], span: Span, size: Size) -> None:
    """Until every slot of the span has its ending; one that has only just ended is still on its way."""

    async def whole() -> bool:
        lines = [line for region in regions for line in await fleet.slots(region, *span, now=span[1] + PATIENCE)]
        return SlotClass.MISSING not in classes(lines)

    await wait_for(fleet, whole, "an ending of every slot of the cut", size.deadline_s)


async def connects_of(fleet: RegionFleet, region: int, began_at: datetime) -> list[float]:
    """How long connecting took in each run so far, in seconds."""
    return [ns / 1e9 for ns in await fleet.connects_ns(region, began_at, datetime.now(UTC))]


async def check_round_trips(fleet: RegionFleet, began_at: datetime) -> None:
    """No connection is faster than its round trip; the middle one is little slower."""
    for region, round_trip_s in zip(ALL, ROUND_TRIPS_S, strict=True):
        connects_s = await connects_of(fleet, region, began_at)
        assert len(connects_s) >= 3, fleet.said()
        median_s = statistics.median(connects_s)
        print(  # noqa: T201 - what was measured
            f"round trip {round_trip_s * 1e3:g} ms: connect {min(connects_s) * 1e3:.1f} to {max(connects_s) * 1e3:.1f} ms, "
            f"median {median_s * 1e3:.1f} ms of {len(connects_s)}"
        )
        assert min(connects_s) >= round_trip_s
        assert median_s < round_trip_s + LATE_S


async def check_charges(fleet: RegionFleet, began_at: datetime, cut: Span) -> None:
    """In the whole time nobody is charged. Who was cut off knows why its runs failed; who had lost the broker measured on."""
    now = datetime.now(UTC)
    everything = [run for region in ALL for run in await fleet.runs(region, began_at, now)]
    assert [run for run in everything if run.outcome is Outcome.FAIL and not run.is_unfit] == []
    cut_off, without_broker = await fleet.runs(DISTANT, *cut), await fleet.runs(MIDDLE, *cut)
    assert cut_off
    assert without_broker
    assert {run.kind for run in without_broker} == {None}
    assert {run.kind for run in cut_off} <= {FailureKind.CONNECT, FailureKind.TIMEOUT}
    for run in cut_off:
        assert run.outcome is Outcome.INCONCLUSIVE
        assert any("control target" in reason for reason in await fleet.reasons(run)), run


async def check_ledger(fleet: RegionFleet, began_at: datetime) -> None:
    """Afterwards every slot that was owed has ended, once, and not as missing; no probe's numbers have a hole."""
    now = datetime.now(UTC)
    for region in ALL:
        lines = await fleet.slots(region, began_at, now, now=now + timedelta(hours=1))
        assert lines
        assert len({line.slot_at for line in lines}) == len(lines)
        assert classes(lines) <= {SlotClass.ON_TIME, SlotClass.LATE, SlotClass.MISSED}
        assert SlotClass.ON_TIME in classes(lines)
    probes = await fleet.store.probes()
    assert [(state.missing, state.conflicts, state.quarantined) for state in probes] == [(0, 0, 0)] * len(ALL)


def classes(lines: list[SlotLine]) -> set[SlotClass]:
    """What became of these slots."""
    return {line.slot_class for line in lines}
