"""The database counts the ledger as the rules of single slots do: random schedules, endings and windows, on both databases."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.ledger import SlotCounts, accounts_of
from collector.store import Store, open_store
from probes.ledger_entries import FitnessMinute, OwedSlots, SlotEnd, SlotReason
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import Outcome
from tests.store_kit import NOW, OTHER, PROBE, Content, deliver, other_entry, run_at, run_entry

MINUTES = 20


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


def some_debts(dice: random.Random, scenario: str) -> list[OwedSlots]:
    """One schedule after the other, some with an end, some taken over by the next."""
    found, from_at = [], NOW - timedelta(minutes=dice.randrange(5))
    for _ in range(dice.randrange(1, 4)):
        lasts = timedelta(minutes=dice.randrange(1, 9), microseconds=dice.randrange(2000))
        interval_ms = dice.choice([15_000, 20_000, 60_000])
        found.append(
            OwedSlots(
                scenario=scenario,
                interval_ms=interval_ms,
                phase_ms=dice.randrange(interval_ms),
                tolerance_ms=dice.choice([300, 1_000, 5_000]),
                timeout_ms=dice.choice([1_000, 30_000, 200_000]),
                from_at=from_at,
                until_at=from_at + lasts if dice.random() < 0.5 else None,
            )
        )
        from_at += timedelta(minutes=dice.randrange(1, 12), microseconds=dice.randrange(2000))
    return found


def some_endings(dice: random.Random, debt: OwedSlots, probe: Address) -> list[Content]:
    """Some of its slots, before and after they were owed, ended in all ways; some runs nobody owed."""
    contents: list[Content] = []
    # Slots are aligned to the epoch.
    start_ms = int((NOW - timedelta(minutes=6)).timestamp() * 1000)
    first_ms = start_ms - start_ms % debt.interval_ms + debt.phase_ms
    for slot_ms in range(first_ms, start_ms + (MINUTES + 10) * 60_000, debt.interval_ms):
        slot_at = NOW + timedelta(milliseconds=slot_ms - int(NOW.timestamp() * 1000))
        way, number = dice.random(), slot_ms // 1000 % 1_000_000
        if way < 0.2:
            contents.append(
                other_entry(
                    EntryKind.SLOT,
                    SlotEnd(scenario=debt.scenario, slot_at=slot_at, reason=dice.choice(list(SlotReason))),
                )
            )
        elif way < 0.75:
            run = run_at(slot_at, probe=probe, scenario=debt.scenario, number=number)
            lag_ns = dice.choice(
                [0, 300_999_999, 301_000_000, 999_999_999, 1_000_999_999, 1_001_000_000, 4_000_000_000]
            )
            outcome = dice.choice([Outcome.PASS, Outcome.PASS, Outcome.INCONCLUSIVE])
            contents.append(run_entry(replace(run, schedule_lag_ns=lag_ns, outcome=outcome)))
        elif way < 0.85:
            stray_at = slot_at + timedelta(microseconds=dice.choice([1, 999, 1000]))
            contents.append(run_entry(run_at(stray_at, probe=probe, scenario=debt.scenario, number=number)))
        elif way < 0.9:
            run = run_at(slot_at, probe=probe, scenario=debt.scenario, number=number)
            contents.append(run_entry(replace(run, identity=replace(run.identity, attempt=1))))
    return contents


@pytest.mark.parametrize("seed", range(3))
async def test_counting_in_the_database_is_counting_slot_by_slot(store: Store, seed: int) -> None:
    """Every class, at every border of a window, a debt, a lag and a time-out, for every series."""
    dice = random.Random(seed)
    for probe in (PROBE, OTHER):
        contents: list[Content] = [
            other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=NOW + timedelta(minutes=minute), reasons=["steal"]))
            for minute in range(MINUTES)
            if dice.random() < 0.2
        ]
        for scenario in ("quote", "upload"):
            debts = some_debts(dice, scenario)
            contents += [other_entry(EntryKind.SCHEDULE, debt) for debt in debts]
            contents += [content for debt in debts for content in some_endings(dice, debt, probe)]
        contents += some_endings(dice, some_debts(dice, "never-owed")[0], probe)
        await store.file([deliver(contents, probe=probe)])
    seen = SlotCounts()
    for _ in range(12):
        from_at = NOW + timedelta(milliseconds=dice.randrange(-300_000, 900_000), microseconds=dice.randrange(1000))
        until_at = from_at + timedelta(milliseconds=dice.randrange(900_000), microseconds=dice.randrange(1000))
        now = until_at + timedelta(milliseconds=dice.randrange(-200_000, 400_000))
        debts_and_endings = await store._debts_and_endings(from_at, until_at)
        expected = accounts_of(*debts_and_endings, from_at=from_at, until_at=until_at, now=now)
        assert await store.accounts(from_at, until_at, now=now) == expected
        for one in expected:
            seen.add(one.counts)
    assert all(getattr(seen, name) > 0 for name in SlotCounts.__slots__), f"not every class was met: {seen}"
