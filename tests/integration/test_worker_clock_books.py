"""A wall clock that is stepped by an hour, from the lane to the ledger: what is recorded, and that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.embedded_broker import embedded_broker
from collector.ingest import Ingest
from collector.ledger import SlotClass, SlotLine
from collector.store import Store, open_store
from probes.clock import SystemClock
from probes.messages import Address
from probes.outbox import Outbox
from probes.stream import Stream
from tests.broker_kit import going
from tests.journey_kit import SmallTarget, open_target
from tests.lane_kit import HOUR_S, SteppedClock, open_test_lane
from tests.worker_kit import books_of, until

DAY = timedelta(days=1)


@pytest.fixture
async def target() -> AsyncIterator[SmallTarget]:
    """A server that is always there."""
    async with open_target() as opened:
        yield opened


async def told_to_a_collector(folder: Path, sender: Address) -> list[SlotLine]:
    """Every slot that was owed, as the collector's ledger has it once the outbox is empty; nothing is lost on the way."""
    clock = SystemClock()
    async with open_store(str(folder / "store.db")) as store:
        with embedded_broker() as broker, Outbox(folder / "outbox.db") as outbox:
            ingest = Ingest(store, broker, fleet=sender.fleet, name="one", clock=clock)
            stream = Stream(outbox, sender, broker, clock=clock)
            async with going(ingest.run()), going(stream.run()):
                assert await stream.flush(60)
        return await lines_of(store, clock)


async def lines_of(store: Store, clock: SystemClock) -> list[SlotLine]:
    """The ledger of two days; the probe's books have no hole and no contradiction."""
    (probe,) = await store.probes()
    assert (probe.missing, probe.conflicts, probe.quarantined) == (0, 0, 0)
    now = clock.now()
    return await store.slots(now - DAY, now + DAY, now=now + 2 * DAY)


@pytest.mark.parametrize("way", ["forward", "back"])
async def test_an_hour_is_in_the_ledger_as_what_it_was(target: SmallTarget, tmp_path: Path, way: str) -> None:
    """Forward: an hour of missed slots. Back: the slots that had run are not run again. Each once, none of them missing."""
    clock = SteppedClock()
    async with open_test_lane(tmp_path, target, clock) as (lane, _, _):
        await until(lambda: len(books_of(tmp_path / "outbox.db").runs) >= 2, "runs before the step")
        clock.step(HOUR_S if way == "forward" else -HOUR_S)
        await until(lambda: books_of(tmp_path / "outbox.db").unfit, "the step being noticed")
        if way == "back":
            clock.step(HOUR_S)  # and an hour later
        count = len(target.seen)
        await until(lambda: len(target.seen) > count + 1, "runs after the step")
        assert not lane.beat().stands_still
    books = books_of(tmp_path / "outbox.db")
    identity = books.runs[0].identity
    lines = await told_to_a_collector(tmp_path, Address(identity.fleet, identity.region, identity.probe))
    endings = Counter(line.slot_at for line in lines)
    assert set(endings.values()) == {1}
    assert endings.keys() == books.endings("steady").keys()
    classes = Counter(line.slot_class for line in lines)
    assert set(classes) <= {SlotClass.ON_TIME, SlotClass.LATE, SlotClass.MISSED, SlotClass.ABORTED}
    if way == "forward":
        assert classes[SlotClass.MISSED] >= HOUR_S - 2
    assert any(f"stepped {way}" in reason for reasons in books.unfit.values() for reason in reasons)
    assert classes[SlotClass.ON_TIME] + classes[SlotClass.LATE] == len(books.runs)
