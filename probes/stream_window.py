"""What is on its way to the collector: how much more may go, what is overdue, what an acknowledgement really settles.

The window is the back-pressure. It opens like TCP's: one batch after any doubt, twice as much with each window that is
acknowledged, so that a fleet that comes back does not bury the collector. Silence closes it to one batch and doubles
the patience each time; how long the collector took lately counts too, so that a slow one is not asked twice for what it is
about to commit.

Pure: no clock, no I/O; times come in as seconds of a monotonic clock. Refuses to believe an acknowledgement for what was not
sent, and costs the same for any number of ranges beyond its bound. Called by `probes.stream`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from probes.outbox import Entry

__all__ = ["StreamLimits", "Window"]

PATIENCE_OF_LATENCY: Final = 3.0
LATENCY_DECAY: Final = 0.9
MAX_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much is on its way at once, and how patient the stream is; times in seconds, all above zero."""

    batch_entries: int = 200
    batch_bytes: int = 1 << 20
    window_entries: int = 4_000
    window_bytes: int = 16 << 20
    unconfirmed_messages: int = 64
    ack_timeout_s: float = 10.0
    ack_timeout_most_s: float = 120.0
    poll_s: float = 0.25
    retry_first_s: float = 0.2
    retry_most_s: float = 15.0
    status_every_s: float = 15.0
    clock_every_s: float = 16.0


@dataclass(frozen=True, slots=True)
class Flight:
    """An entry that was sent: when for the first time, when last, and how large it is."""

    first_sent_s: float
    sent_s: float
    body_bytes: int


class Window:
    """The entries that were sent and are not acknowledged; `cursor` is the number after which to go on reading."""

    def __init__(self, limits: StreamLimits) -> None:
        self.cursor = 0
        self._limits = limits
        self._open_entries = limits.batch_entries
        self._in_flight: dict[int, Flight] = {}  # in the order of sending
        self._in_flight_bytes = 0
        self._doubted: dict[int, float | None] = {}  # when sent first, None when that says nothing about the collector
        self._highest = 0
        self._slowest_s = 0.0
        self._silences = 0
        self._heard_s = float("-inf")

    @property
    def in_flight(self) -> int:
        """How many entries are on their way."""
        return len(self._in_flight)

    @property
    def patience_s(self) -> float:
        """How long an acknowledgement may take now."""
        limits = self._limits
        patient_s = max(limits.ack_timeout_s, PATIENCE_OF_LATENCY * self._slowest_s)
        return min(limits.ack_timeout_most_s, patient_s * 2.0 ** min(self._silences, MAX_DOUBLINGS))

    def room(self) -> int:
        """How many more entries may go now, at most a batch."""
        if self._in_flight_bytes >= self._limits.window_bytes:
            return 0
        return max(0, min(self._limits.batch_entries, self._open_entries - len(self._in_flight)))

    def page_entries(self) -> int:
        """How many entries to read at the cursor: whole pages while most of what is read may be on its way already."""
        return self.room() if self.cursor >= self._highest else self._limits.batch_entries

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries, one or more, that may go now; the cursor moves past all that need not be read again."""
        fresh = [entry for entry in entries if entry.seq not in self._in_flight]
        room = self.room()
        self.cursor = entries[-1].seq if len(fresh) <= room else fresh[room - 1].seq
        return fresh[:room]

    def sent(self, entries: Iterable[Entry], now_s: float) -> int:
        """Note that the entries have gone; return how many of them went again."""
        again = 0
        for entry in entries:
            again += entry.seq in self._doubted
            first_s = self._doubted.pop(entry.seq, None)
            self._in_flight[entry.seq] = Flight(now_s if first_s is None else first_s, now_s, len(entry.body))
            self._in_flight_bytes += len(entry.body)
            self._highest = max(self._highest, entry.seq)
        if self._doubted:  # what lies below and was not read again is no longer in the outbox: it was dropped there
            self._doubted = {seq: first_s for seq, first_s in self._doubted.items() if seq > self.cursor}
        return again

    def acknowledged(self, ranges: Sequence[tuple[int, int]], now_s: float) -> list[int]:
        """Settle what these ranges cover of what was sent; return the numbers, ascending."""
        starts, ends = merged(ranges)
        settled = [seq for book in (self._in_flight, self._doubted) for seq in book if covers(starts, ends, seq)]
        if not settled:
            return []
        took_s = 0.0
        for seq in settled:
            if seq in self._in_flight:
                flight = self._in_flight.pop(seq)
                self._in_flight_bytes -= flight.body_bytes
                first_s: float | None = flight.first_sent_s
            else:
                first_s = self._doubted.pop(seq)
            if first_s is not None:
                took_s = max(took_s, now_s - first_s)
        self._slowest_s = max(took_s, self._slowest_s * LATENCY_DECAY)
        self._silences = 0
        self._heard_s = now_s
        self._open_entries = min(self._limits.window_entries, self._open_entries + len(settled))
        return sorted(settled)

    def doubt_everything(self) -> None:
        """All that is on its way may be lost: read from the start again, and begin with one batch."""
        self._doubted = dict.fromkeys([*self._doubted, *self._in_flight])
        self._start_over()
        self._silences = 0

    def doubt_overdue(self, now_s: float) -> int:
        """Doubt what has waited too long; return how many entries that are.

        While other entries are acknowledged it is those alone; in silence it is everything, and patience doubles.
        """
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is None or now_s - oldest.sent_s <= self.patience_s:
            return 0
        if self._heard_s < oldest.sent_s:
            overdue = len(self._in_flight)
            self._doubted |= {seq: flight.first_sent_s for seq, flight in self._in_flight.items()}
            self._start_over()
            self._silences += 1
            return overdue
        late_from_s = now_s - self.patience_s
        late = [seq for seq, flight in self._in_flight.items() if flight.sent_s < late_from_s]
        for seq in late:
            flight = self._in_flight.pop(seq)
            self._in_flight_bytes -= flight.body_bytes
            self._doubted[seq] = flight.first_sent_s
        self.cursor = min(self.cursor, min(late) - 1)
        return len(late)

    def _start_over(self) -> None:
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._open_entries = self._limits.batch_entries
        self.cursor = 0


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """The ranges as ascending starts and ends that do not overlap."""
    starts: list[int] = []
    ends: list[int] = []
    for first, last in sorted(ranges):
        if ends and first <= ends[-1] + 1:
            ends[-1] = max(ends[-1], last)
        else:
            starts.append(first)
            ends.append(last)
    return starts, ends


def covers(starts: Sequence[int], ends: Sequence[int], number: int) -> bool:
    """True when one of the merged ranges contains the number."""
    index = bisect_right(starts, number) - 1
    return index >= 0 and number <= ends[index]
