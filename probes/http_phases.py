"""Where the time of one exchange went: a ledger with one cursor, and the flow of a request body. Pure.

The rule of the ledger: **a phase is charged while the ball is in the network's or the target's court; `queue` is charged while it
is in ours** (waiting for a place, a loop that woke late behind the kernel's time stamp, our own cryptography). Every
charge moves one cursor forward and never back, so the seven phases add up to the total exactly, whatever the order in which
events were noticed. Refuses to read a clock. Called by `probes.http_*` only.
"""

from __future__ import annotations

from enum import IntEnum

from probes.records import Phases, UploadFlow

__all__ = ["STALL_THRESHOLD_NS", "FlowMeter", "Phase", "PhaseLedger"]

STALL_THRESHOLD_NS = 500_000_000
"""A pause in an upload counts as a stall from here on: longer than a retransmission on most paths, shorter than patience."""

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class Phase(IntEnum):
    """The seven phases, in the order in which an exchange usually meets them."""

    QUEUE = 0
    DNS = 1
    CONNECT = 2
    TLS = 3
    SEND = 4
    WAIT = 5
    RECEIVE = 6


class PhaseLedger:
    """Splits the time since `started_ns` among the phases.

    `doubt_ns` is the longest stretch around a border of two phases that the kernel did not stamp: how far off the split may be.
    `stamped` turns False when an arrival had to be timed in user space.
    """

    __slots__ = ("_spent_ns", "cursor_ns", "doubt_ns", "phase", "stamped", "started_ns")

    def __init__(self, started_ns: int) -> None:
        self.started_ns = started_ns
        self.cursor_ns = started_ns
        self.doubt_ns = 0
        self.stamped = True
        self.phase = Phase.QUEUE
        self._spent_ns = [0, 0, 0, 0, 0, 0, 0]

    def charge(self, phase: Phase, until_ns: int) -> None:
        """Books the time from the cursor to `until_ns` on `phase`; an instant that has been passed already books nothing."""
        if until_ns > self.cursor_ns:
            self._spent_ns[phase] += until_ns - self.cursor_ns
            self.cursor_ns = until_ns

    def enter(self, phase: Phase, now_ns: int) -> None:
        """Our own work until `now_ns` is over, from here on the ball is in `phase`'s court."""
        self.charge(Phase.QUEUE, now_ns)
        self.phase = phase

    def doubt(self, stretch_ns: int) -> None:
        """A border of two phases lies somewhere in a stretch of this length and the kernel did not say where."""
        self.doubt_ns = max(self.doubt_ns, stretch_ns)

    def rebook(self, phase: Phase, since_ns: int) -> None:
        """What was booked on `phase` beyond `since_ns` turns out to have been our own doing: it becomes `queue`."""
        self._spent_ns[Phase.QUEUE] += self._spent_ns[phase] - since_ns
        self._spent_ns[phase] = since_ns

    def restart_as_queue(self) -> None:
        """All that was booked turns out to have been our own doing: it becomes `queue`, and a new attempt begins."""
        self._spent_ns = [sum(self._spent_ns), 0, 0, 0, 0, 0, 0]
        self.phase = Phase.QUEUE

    def phases(self) -> Phases:
        """What was booked so far."""
        return Phases(*self._spent_ns)

    def spent_ns(self, phase: Phase) -> int:
        """What was booked on one phase so far."""
        return self._spent_ns[phase]

    def describe(self) -> str:
        """The phases that took any time, for a message: `dns 0.4 ms, wait 4,999.1 ms`."""
        parts = [f"{p.name.lower()} {self._spent_ns[p] / _NS_PER_MS:,.1f} ms" for p in Phase if self._spent_ns[p]]
        return ", ".join(parts) or "no time in any phase"


class FlowMeter:
    """How a request body flowed: told what the kernel took and when; counts the pauses in between."""

    __slots__ = ("_last_ns", "_longest_ns", "_stalled_ns", "_stalls", "_started_ns", "_threshold_ns", "body_bytes")

    def __init__(self, started_ns: int, threshold_ns: int = STALL_THRESHOLD_NS) -> None:
        self._started_ns = started_ns
        self._last_ns = started_ns
        self._threshold_ns = threshold_ns
        self._stalls = 0
        self._stalled_ns = 0
        self._longest_ns = 0
        self.body_bytes = 0

    def took(self, body_bytes: int, now_ns: int) -> None:
        """The kernel took `body_bytes` more bytes of the body at `now_ns` (zero: only the pause until then is over)."""
        pause_ns = now_ns - self._last_ns
        if pause_ns >= self._threshold_ns:
            self._stalls += 1
            self._stalled_ns += pause_ns
            self._longest_ns = max(self._longest_ns, pause_ns)
        self._last_ns = max(self._last_ns, now_ns)
        self.body_bytes += body_bytes

    def flow(self, ended_ns: int) -> UploadFlow:
        """The whole flow, when the last byte had left (or the sending had ended otherwise) at `ended_ns`."""
        self.took(0, ended_ns)
        lasted_ns = max(ended_ns, self._last_ns) - self._started_ns
        return UploadFlow(
            body_bytes=self.body_bytes,
            bytes_per_s=self.body_bytes * _NS_PER_S / lasted_ns if lasted_ns > 0 else 0.0,
            stalls=self._stalls,
            stalled_ns=self._stalled_ns,
            longest_stall_ns=self._longest_ns,
            stall_threshold_ns=self._threshold_ns,
        )
