"""Exactly one answer for every slot, whatever the wall clock does."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from probes.ledger_entries import OwedSlots
from probes.schedule import Schedule
from probes.worker_slots import Decision, Roster, SlotBook, SlotVerdict, end_book, merged

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTELY = Schedule("minutely", 60_000, 20_000, 10_000)
HOURLY = Schedule("hourly", 3_600_000, 0, 30_000)
WHY = "for a reason"

moves_s = st.lists(
    st.one_of(st.floats(0, 90), st.sampled_from([3600.0, -3600.0, -30.0, 7200.5, -10_000.0])), min_size=1, max_size=60
)


def opened(*schedules: Schedule, now: datetime = T0) -> Roster:
    """A roster of new books."""
    return Roster([SlotBook.opened(schedule, 1000, now) for schedule in schedules])


def slots_of(decisions: list[Decision]) -> list[tuple[str, datetime]]:
    """Scenario and slot of each."""
    return [(one.scenario, one.slot_at) for one in decisions]


def owed_by(words: list[OwedSlots], schedule: Schedule, until_at: datetime) -> set[datetime]:
    """The slots before the instant that a reader of these words holds to be owed."""
    latest = {word.from_at: word for word in words}
    in_order = [latest[from_at] for from_at in sorted(latest)]
    slots: set[datetime] = set()
    for word, following in zip(in_order, [*in_order[1:], None], strict=True):
        ends = [until_at, *([word.until_at] if word.until_at else []), *([following.from_at] if following else [])]
        slots.update(schedule.slots_between(word.from_at, min(ends)))
    return slots


def test_a_slot_starts_when_it_is_due_and_once() -> None:
    """Not before, and not again a moment later."""
    roster = opened(MINUTELY)
    slot_at = T0 + timedelta(seconds=20)
    assert roster.decide(slot_at - timedelta(microseconds=1), places=1, why_missed=WHY) == []
    assert roster.next_change_at(T0) == slot_at
    [decision] = roster.decide(slot_at + timedelta(milliseconds=3), places=1, why_missed=WHY)
    assert (decision.slot_at, decision.verdict, decision.lag_ns) == (slot_at, SlotVerdict.START, 3_000_000)
    assert roster.decide(slot_at + timedelta(seconds=1), places=1, why_missed=WHY) == []


def test_a_slot_waits_for_a_place_until_its_tolerance_has_passed() -> None:
    """Then it is missed, with the reason and how late it was."""
    roster = opened(MINUTELY)
    slot_at = T0 + timedelta(seconds=20)
    assert roster.decide(slot_at + timedelta(seconds=10), places=0, why_missed=WHY) == []
    change_at = roster.next_change_at(slot_at + timedelta(seconds=10))
    assert change_at is not None
    assert change_at > slot_at + timedelta(seconds=10)
    [decision] = roster.decide(change_at, places=0, why_missed=WHY)
    assert (decision.verdict, decision.detail, decision.lag_ns) == (SlotVerdict.MISSED, WHY, 10_001_000_000)


def test_the_oldest_slot_gets_the_place() -> None:
    """A lane that is short of places is fair; another scenario's waiting slot does not hide what is too late."""
    roster = opened(HOURLY, MINUTELY)
    now = T0 + timedelta(seconds=20)
    [first] = roster.decide(now, places=1, why_missed=WHY)
    assert first.scenario == "hourly"
    [second] = roster.decide(now, places=1, why_missed=WHY)
    assert second.scenario == "minutely"


def test_a_clock_stepped_forward_misses_every_slot_of_the_hour() -> None:
    """Sixty slots are missed, each of them, and the one that is due runs."""
    roster = opened(MINUTELY)
    now = T0 + timedelta(hours=1, seconds=20)
    decided = roster.decide(now, places=4, why_missed=WHY)
    assert [one.verdict for one in decided] == [SlotVerdict.MISSED] * 60 + [SlotVerdict.START]
    assert len(set(slots_of(decided))) == 61


def test_a_clock_stepped_back_runs_nothing_twice_and_goes_on_when_it_has_caught_up() -> None:
    """An hour of silence, said so by the lane, rather than an hour that counts twice."""
    roster = opened(MINUTELY)
    first = roster.decide(T0 + timedelta(hours=2), places=4, why_missed=WHY)
    back_at = T0 + timedelta(hours=1)
    assert roster.reopen(back_at) == []
    assert roster.decide(back_at + timedelta(minutes=59), places=4, why_missed=WHY) == []
    later = roster.decide(T0 + timedelta(hours=2, seconds=25), places=4, why_missed=WHY)
    assert later
    assert not set(slots_of(first)) & set(slots_of(later))


def test_a_clock_that_was_ahead_at_the_start_is_not_waited_for() -> None:
    """A host that boots an hour ahead and is then set right measures at once; what it ran ahead is not run again."""
    roster = opened(MINUTELY, now=T0 + timedelta(hours=1))
    ahead = roster.decide(T0 + timedelta(hours=1, minutes=5), places=4, why_missed=WHY)
    assert [book.schedule.scenario for book in roster.reopen(T0)] == ["minutely"]
    now, decided = T0, []
    while now < T0 + timedelta(hours=2):
        now += timedelta(seconds=5)
        decided += roster.decide(now, places=4, why_missed=WHY)
    counted = Counter(slots_of([*ahead, *decided]))
    assert set(counted.values()) == {1}
    first_at, last_at = min(slot for _, slot in counted), max(slot for _, slot in counted)
    assert len(counted) == MINUTELY.count_between(first_at, last_at) + 1


def test_maintenance_ends_a_slot_without_a_place() -> None:
    """What is agreed not to run needs none, and is not late."""
    roster = Roster(
        [SlotBook.opened(MINUTELY, 1000, T0)],
        maintenance=lambda scenario, _: "release" if scenario == "minutely" else "",
    )
    [decision] = roster.decide(T0 + timedelta(seconds=20), places=0, why_missed=WHY)
    assert (decision.verdict, decision.detail) == (SlotVerdict.MAINTENANCE, "release")


@given(moves_s, st.integers(0, 2), st.booleans())
def test_each_owed_slot_ends_once_whatever_the_clock_does(moves: list[float], places: int, restarts: bool) -> None:
    """Any walk of the wall clock, with and without lives in between: no slot twice, none that was owed left out."""
    book = SlotBook.opened(MINUTELY, 1000, T0)
    now, last_at = T0, T0
    decided: list[Decision] = []
    words: list[OwedSlots] = []
    for number, move_s in enumerate(moves):
        now += timedelta(seconds=move_s)
        last_at = max(last_at, now)
        if restarts and number % 7 == 6:
            words += book.news
            book = SlotBook.read("minutely", book.mark())
            book.resume(now)
        elif restarts and number % 7 == 3:
            decided += end_book(book, now, detail="stopped")
            book.close()
            words += book.news
            kept = SlotBook.read("minutely", book.mark())
            assert kept.closed
            book = SlotBook.opened(MINUTELY, 1000, now, done=kept.spans)
        roster = Roster([book])
        roster.reopen(now)
        decided += roster.decide(now, places=places, why_missed=WHY)
    decided += roster.end_all(now, detail="stopped")
    book.close()
    words += book.news
    counted = Counter(slot_at for _, slot_at in slots_of(decided))
    assert set(counted.values()) <= {1}
    assert owed_by(words, MINUTELY, last_at + timedelta(days=1)) == set(counted)


def test_a_lane_that_dies_again_and_again_says_the_same_words() -> None:
    """What is owed is told from the same instant on after each end that was not in order: the later word replaces the earlier."""
    book = SlotBook.opened(MINUTELY, 1000, T0)
    words = [*book.news]
    for number in range(1, 50):
        now = T0 + timedelta(minutes=number)
        end_book(book, now, detail="stopped")
        book = SlotBook.read("minutely", book.mark())
        assert not book.resume(now)
        words += book.news
    assert len(words) == 50
    assert set(words) == {words[0]}


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=20))
def test_spans_that_are_done_stay_done(pairs: list[tuple[int, int]]) -> None:
    """Joined, in order, few, and nothing of them is forgotten."""
    spans = [(T0 + timedelta(minutes=start), T0 + timedelta(minutes=start + length)) for start, length in pairs]
    joined = merged(spans, now=T0)
    assert len(joined) <= 8
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(joined))
    for from_at, until_at in spans:
        if from_at < until_at:
            assert any(first <= from_at and until_at <= last for first, last in joined)
