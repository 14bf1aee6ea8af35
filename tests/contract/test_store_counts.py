"""What the store keeps for exported counters, and whom it tells of what it stored: the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from fractions import Fraction

import pytest

from collector.scoring import Scorer
from collector.store import FreshSlot, Store, open_store
from collector.store_counts import Counted
from slo.objective import EventKind, EventSelector, Good, Objective
from slo.window import CalendarMonths, minute_of
from tests.store_kit import NOW, OTHER, PROBE, deliver, run_at, run_entry, runs_from

TARGET = "stand-in"
LINE = Objective(
    name="line",
    title="line",
    line="3",
    version=1,
    window=CalendarMonths(),
    selector=EventSelector(EventKind.STEP, ("quote",), ("sign-in",)),
    good=Good.PASSED,
    allowed_bad=Fraction(1, 20),
)
ONE, TWO = Counted(5, 1, 2, 0), Counted(9, 1, 3, 4)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store that scores."""
    async with open_store(url) as opened:
        await opened.scores.begin(Scorer([LINE]))
        yield opened


async def test_counts_are_kept_once_for_each_step_forward(store: Store) -> None:
    """Of two collectors that count the same week, one keeps it; the other looks again."""
    counts = store.counts
    assert await counts.kept("fleet", TARGET) == {}
    assert await counts.keep("fleet", TARGET, "line", 0, 700, ONE)
    assert not await counts.keep("fleet", TARGET, "line", 0, 700, ONE)
    assert await counts.keep("fleet", TARGET, "line", 700, 1400, TWO)
    assert not await counts.keep("fleet", TARGET, "line", 700, 1400, ONE)
    assert await counts.keep("other", TARGET, "line", 0, 7, ONE)
    assert await counts.kept("fleet", TARGET) == {"line": (1400, TWO)}
    assert await counts.kept("fleet", "another") == {}


async def test_the_first_minute_of_a_check_is_that_of_its_first_cell(store: Store) -> None:
    """Of all probes of the fleet; a late record may be earlier than all before it."""
    await store.file([deliver([run_entry(run_at(NOW))])])
    early = NOW - timedelta(minutes=30)
    await store.file([deliver([run_entry(run_at(early, probe=OTHER))], probe=OTHER)])
    keys = [LINE.check, "none"]
    found = await store.counts.first_minutes(keys, fleet="fleet", target=TARGET)
    assert found == {LINE.check: minute_of(early)}
    assert await store.counts.first_minutes(keys, fleet="another", target=TARGET) == {}
    assert await store.counts.first_minutes(keys, fleet="fleet", target="another") == {}


async def test_words_are_known_once_a_run_has_used_them(store: Store) -> None:
    """So that a target that nobody has probed is none."""
    assert not await store.counts.knows_word(TARGET)
    await store.file([deliver(runs_from(1))])
    assert await store.counts.knows_word(TARGET)


async def test_listeners_are_told_of_new_slots_alone_after_their_commit(store: Store) -> None:
    """Nothing twice, and no duplicate, conflict or poison."""
    told: list[FreshSlot] = []
    store.listen(told.extend)
    await store.file([deliver(runs_from(3))])
    await store.file([deliver(runs_from(3)), deliver(runs_from(2, probe=OTHER), probe=OTHER)])
    conflict = run_at(NOW, number=77)
    await store.file([deliver([run_entry(conflict)], first_seq=90)])
    assert [(one.filing.intake.sender, one.slot.seq) for one in told] == [
        (PROBE, 1),
        (PROBE, 2),
        (PROBE, 3),
        (OTHER, 1),
        (OTHER, 2),
    ]
    assert all(one.body for one in told)
