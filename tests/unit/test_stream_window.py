"""The window sends each entry until it is settled, believes only what it sent, and is patient in measure."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from probes.outbox import Entry, EntryKind
from probes.stream_window import StreamLimits, Window, covers, merged

NOON = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
LIMITS = StreamLimits(batch_entries=10, window_entries=40, ack_timeout_s=10.0, ack_timeout_most_s=120.0)


def entries(first: int, last: int, body: bytes = b"{}") -> list[Entry]:
    """Entries of these numbers."""
    return [Entry(seq, EntryKind.RUN, NOON, body) for seq in range(first, last + 1)]


def send(window: Window, stored: list[Entry], now_s: float) -> list[int]:
    """What the stream does: read at the cursor, take, send; the numbers that went."""
    gone: list[int] = []
    while window.room():
        page = [entry for entry in stored if entry.seq > window.cursor][: window.page_entries()]
        if not page:
            break
        if fresh := window.take(page):
            window.sent(fresh, now_s)
            gone += [entry.seq for entry in fresh]
    return gone


def test_the_window_opens_from_one_batch_with_what_is_acknowledged() -> None:
    """Ten go at first; each acknowledged entry makes room for itself and one more, up to the bound."""
    window, stored = Window(LIMITS), entries(1, 200)
    assert send(window, stored, 0.0) == list(range(1, 11))
    assert window.room() == 0
    window.acknowledged([(1, 10)], 0.1)
    assert send(window, stored, 0.1) == list(range(11, 31))
    window.acknowledged([(11, 30)], 0.2)
    assert send(window, stored, 0.2) == list(range(31, 71))
    window.acknowledged([(31, 70)], 0.3)
    assert len(send(window, stored, 0.3)) == LIMITS.window_entries


def test_large_bodies_fill_the_window_too() -> None:
    """The bound in bytes holds however few the entries are."""
    window = Window(StreamLimits(window_bytes=1_000))
    send(window, entries(1, 3, b"{" + b" " * 600 + b"}"), 0.0)
    assert window.room() == 0
    window.acknowledged([(1, 2)], 0.1)
    assert window.room() > 0


def test_only_what_was_sent_can_be_acknowledged() -> None:
    """A range over everything settles what is on its way, and nothing of what never went."""
    window = Window(LIMITS)
    send(window, entries(1, 5), 0.0)
    assert window.acknowledged([(1, 2**62)], 0.1) == [1, 2, 3, 4, 5]
    assert window.acknowledged([(1, 2**62)], 0.1) == []


def test_a_late_acknowledgement_of_a_doubted_entry_counts() -> None:
    """What was sent before a break may be acknowledged after it: it is settled and not sent again."""
    window, stored = Window(LIMITS), entries(1, 10)
    send(window, stored, 0.0)
    window.doubt_everything()
    assert window.acknowledged([(1, 4)], 1.0) == [1, 2, 3, 4]
    assert send(window, stored[4:], 1.0) == [5, 6, 7, 8, 9, 10]


def test_thousands_of_absurd_ranges_cost_no_more_than_sorting_them() -> None:
    """Ten thousand ranges against a full window: milliseconds, not the product of the two."""
    window = Window(StreamLimits(batch_entries=4_000, window_entries=4_000))
    send(window, entries(1, 4_000), 0.0)
    ranges = [(number, 2**62 - number) for number in range(5_000, 15_000)]
    started_s = time.process_time()
    assert window.acknowledged(ranges, 0.1) == []
    assert time.process_time() - started_s < 0.5


def test_silence_closes_the_window_and_doubles_the_patience() -> None:
    """Ten seconds, then twenty, then forty: a collector that says nothing is asked by one batch each time."""
    window, stored = Window(LIMITS), entries(1, 200)
    send(window, stored, 0.0)
    window.acknowledged([(1, 10)], 0.0)
    send(window, stored[10:], 1.0)
    assert window.doubt_overdue(10.9) == 0
    assert window.doubt_overdue(11.1) == 20
    assert send(window, stored[10:], 11.1) == list(range(11, 21))
    assert window.doubt_overdue(31.0) == 0
    assert window.doubt_overdue(31.2) == 10
    assert window.patience_s == 40.0
    send(window, stored[10:], 31.2)
    window.acknowledged([(11, 20)], 32.0)
    assert window.patience_s < 120.0


def test_patience_has_an_end() -> None:
    """However long the silence, somebody is asked every two minutes."""
    window, stored = Window(LIMITS), entries(1, 5)
    now_s = 0.0
    for _ in range(50):
        send(window, stored, now_s)
        now_s += window.patience_s + 0.1
        assert window.doubt_overdue(now_s) == 5
    assert window.patience_s == LIMITS.ack_timeout_most_s


def test_holes_alone_go_again_while_others_are_acknowledged() -> None:
    """One of two collectors has died with a part of the stream: that part goes again, nothing else."""
    window, stored = Window(LIMITS), entries(1, 60)
    send(window, stored, 0.0)
    window.acknowledged([(1, 3), (7, 10)], 0.1)
    assert send(window, stored, 5.0) == list(range(11, 25))
    window.acknowledged([(11, 12)], 7.0)
    assert window.doubt_overdue(10.1) == 3
    stored = [entry for entry in stored if entry.seq in {4, 5, 6} or entry.seq > 12]
    assert send(window, stored, 10.1)[:3] == [4, 5, 6]
    assert not {13, 24} & set(send(window, stored, 10.1))


def test_a_slow_collector_is_given_the_time_it_takes() -> None:
    """Acknowledgements that took eight seconds make twenty-four the patience: nothing is asked for twice."""
    window, stored = Window(LIMITS), entries(1, 100)
    send(window, stored, 0.0)
    window.acknowledged([(1, 10)], 8.0)
    send(window, stored[10:], 8.0)
    assert window.patience_s == 24.0
    assert window.doubt_overdue(31.0) == 0


def test_an_outage_does_not_pass_for_slowness() -> None:
    """Entries that waited for a day behind a cut say nothing about how long the collector takes."""
    window, stored = Window(LIMITS), entries(1, 10)
    send(window, stored, 0.0)
    window.doubt_everything()
    send(window, stored, 86_400.0)
    window.acknowledged([(1, 10)], 86_400.1)
    assert window.patience_s == LIMITS.ack_timeout_s


def test_what_the_outbox_dropped_is_forgotten() -> None:
    """Doubts about entries that are gone from the outbox do not pile up."""
    window = Window(LIMITS)
    for start in range(1, 2_000, 10):
        send(window, entries(start, start + 9), 0.0)
        window.doubt_everything()
    assert len(window._doubted) <= 2 * LIMITS.batch_entries


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_entry_is_settled_in_the_end(data: st.DataObject) -> None:
    """Whatever is lost, doubted and acknowledged in between: with a collector that answers, nothing stays, within bounds."""
    stored = entries(1, data.draw(st.integers(1, 80), label="entries"))
    window, now_s = Window(LIMITS), 0.0
    for _ in range(data.draw(st.integers(0, 30), label="turns")):
        now_s += data.draw(st.floats(0.0, 30.0))
        send(window, stored, now_s)
        assert window.in_flight <= LIMITS.window_entries
        match data.draw(st.sampled_from(["heard", "lost", "overdue", "broken"])):
            case "heard":
                first = data.draw(st.integers(1, 80))
                settled = window.acknowledged([(first, data.draw(st.integers(first, 80)))], now_s)
                stored = [entry for entry in stored if entry.seq not in settled]
            case "overdue":
                window.doubt_overdue(now_s)
            case "broken":
                window.doubt_everything()
    for _ in range(200):
        now_s += 130.0
        window.doubt_overdue(now_s)
        send(window, stored, now_s)
        settled = window.acknowledged([(1, 80)], now_s + 0.1)
        stored = [entry for entry in stored if entry.seq not in settled]
    assert stored == []
    assert window.in_flight == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair)))))
def test_merged_ranges_cover_the_same_numbers(ranges: list[tuple[int, int]]) -> None:
    """Sorted and joined, they contain exactly what they contained."""
    starts, ends = merged(ranges)
    for number in range(75):
        assert covers(starts, ends, number) == any(first <= number <= last for first, last in ranges)
