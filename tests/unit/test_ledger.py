"""The ledger of slots: everything owed is in one class, and only what was owed counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from collector.ledger import Debt, Ending, Series, SlotClass, SlotCounts, accounts_of, by_region, class_of, lines_of
from probes.ledger_entries import SlotReason
from probes.messages import Address
from probes.schedule import Schedule

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SERIES = Series(Address("fleet", "eu", "probe-1"), "quote")
MINUTELY = Schedule("quote", interval_ms=60_000, phase_ms=20_000, tolerance_ms=10_000)
LATER = NOON + timedelta(hours=2)


def debt(from_s: int = 0, until_s: int | None = None, schedule: Schedule = MINUTELY) -> Debt:
    """What SERIES owes, in seconds from noon."""
    until_at = None if until_s is None else NOON + timedelta(seconds=until_s)
    return Debt(SERIES, schedule, 30_000, NOON + timedelta(seconds=from_s), until_at)


def ending(slot_at: datetime, reason: SlotReason | None = None, *, lag_ms: int = 0, conclusive: bool = True) -> Ending:
    """How a slot of SERIES ended."""
    return Ending(SERIES, slot_at, reason, conclusive, lag_ms)


def counts_of(
    debts: Sequence[Debt], endings: Sequence[Ending], *, minutes: int = 10, now: datetime = LATER
) -> SlotCounts:
    """The account of SERIES for some minutes from noon."""
    until_at = NOON + timedelta(minutes=minutes)
    accounts = accounts_of(debts, endings, from_at=NOON, until_at=until_at, now=now)
    return accounts[0].counts if accounts else SlotCounts()


def slot(number: int) -> datetime:
    """The slots of MINUTELY from noon on."""
    return NOON + timedelta(seconds=20 + 60 * number)


reasons = st.none() | st.sampled_from(SlotReason)
some_endings = st.lists(
    st.builds(ending, st.integers(-3, 14).map(slot), reasons, lag_ms=st.integers(0, 12_000), conclusive=st.booleans()),
    max_size=20,
)
some_debts = st.lists(
    st.builds(
        debt,
        st.integers(-300, 700),
        st.none() | st.integers(-300, 900),
        st.sampled_from([MINUTELY, Schedule("quote", 90_000, 20_000, 10_000)]),
    ),
    max_size=5,
    unique_by=lambda one: one.from_at,
)


@given(some_debts, some_endings, st.integers(0, 1200))
def test_every_owed_slot_is_in_exactly_one_class(debts: list[Debt], endings: list[Ending], now_s: int) -> None:
    """Whatever was owed, said and heard: no slot is listed twice, and the classes add up to what was owed."""
    now, until_at = NOON + timedelta(seconds=now_s), NOON + timedelta(minutes=10)
    lines = list(lines_of(debts, endings, from_at=NOON, until_at=until_at, now=now))
    counts = counts_of(debts, endings, now=now)
    assert len({line.slot_at for line in lines}) == len(lines) == counts.owed
    assert counts.due + counts.pending + counts.maintenance == counts.owed
    in_window = {one.slot_at for one in endings if NOON <= one.slot_at < until_at}
    heard = sum(line.slot_class not in (SlotClass.MISSING, SlotClass.PENDING) for line in lines)
    assert heard == len(in_window & {line.slot_at for line in lines})
    assert counts.inconclusive <= counts.ran <= heard


@given(some_debts, st.integers(-5, 20))
def test_what_is_owed_is_what_the_latest_word_says(debts: list[Debt], number: int) -> None:
    """A slot is owed if and only if it is one of the schedule that was announced last before it, and not yet ended."""
    for schedule_slot in (slot(number), NOON + timedelta(seconds=20 + 90 * number)):
        until_at = NOON + timedelta(minutes=10)
        lines = lines_of(debts, [], from_at=NOON, until_at=until_at, now=LATER)
        last = max((one for one in debts if one.from_at <= schedule_slot), key=lambda one: one.from_at, default=None)
        owed = (
            last is not None
            and NOON <= schedule_slot < until_at
            and last.schedule.is_slot(schedule_slot)
            and (last.until_at is None or schedule_slot < last.until_at)
        )
        assert owed == any(line.slot_at == schedule_slot for line in lines)


def test_each_way_to_end_has_its_class() -> None:
    """On time, late, missed, maintenance, aborted: as the entries say."""
    endings = [
        ending(slot(0), lag_ms=1000),
        ending(slot(1), lag_ms=1001, conclusive=False),
        ending(slot(2), SlotReason.MISSED),
        ending(slot(3), SlotReason.MAINTENANCE),
        ending(slot(4), SlotReason.ABORTED),
    ]
    expected = SlotCounts(on_time=1, late=1, missed=1, maintenance=1, aborted=1, missing=5, inconclusive=1)
    counts = counts_of([debt()], endings)
    assert counts == expected
    assert (counts.ran, counts.due) == (2, 9)


def test_a_short_tolerance_makes_late_earlier() -> None:
    """A run later than its schedule tolerates is never on time."""
    assert class_of(ending(slot(0), lag_ms=600), Schedule("quote", 60_000, 0, 500)) is SlotClass.LATE


def test_silence_is_pending_until_timeout_and_a_minute_and_missing_after() -> None:
    """Slot at 12:00:20, timeout 30 s, grace 60 s: missing from 12:01:50 on."""
    limit = slot(0) + timedelta(seconds=90)
    assert counts_of([debt()], [], minutes=1, now=limit) == SlotCounts(pending=1)
    assert counts_of([debt()], [], minutes=1, now=limit + timedelta(milliseconds=1)) == SlotCounts(missing=1)


def test_a_run_on_demand_covers_nothing() -> None:
    """A slot that nobody owed is counted apart."""
    assert counts_of([], [ending(NOON)]) == SlotCounts(unowed=1)
    assert counts_of([debt()], [ending(slot(0) + timedelta(seconds=1))], minutes=1) == SlotCounts(missing=1, unowed=1)


def test_an_orderly_stop_ends_the_debt_and_a_crash_does_not() -> None:
    """After `until_at` nothing is owed; without it the silence of a dead probe is missing."""
    assert counts_of([debt(0, 150)], []).owed == 3
    assert counts_of([debt(0)], []).missing == 10


def test_a_changed_schedule_takes_over_at_once() -> None:
    """From the instant of the new one on, only the new one owes."""
    counts = counts_of([debt(0), debt(300, None, Schedule("quote", 30_000, 20_000, 10_000))], [])
    assert counts.owed == 5 + 10


def test_probes_of_a_region_are_added_up() -> None:
    """Coverage is told per scenario and region."""
    second = Series(Address("fleet", "eu", "probe-2"), "quote")
    debts = [debt(), Debt(second, MINUTELY, 30_000, NOON, None)]
    until_at = NOON + timedelta(minutes=2)
    accounts = accounts_of(debts, [ending(slot(0))], from_at=NOON, until_at=until_at, now=LATER)
    assert by_region(accounts) == {("quote", "eu"): SlotCounts(on_time=1, missing=3)}
