"""All sockets of an engine in one set that is emptied before anything else: a busy loop must not blur the kernel's stamps.

The kernel joins segments that nobody has read, and the joined one keeps only the latest stamp. A loop that shakes hands
for ten milliseconds before it reads would so lose the time of a first byte. Therefore reading (microseconds) is kept apart from
processing (up to a millisecond of cryptography): after each piece of work the whole set is read again. The loop itself watches a
single file, the set's own. Refuses to know what bytes mean. Called by `probes.http_line`; opened by `probes.http`.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import threading
import time
from collections import deque
from typing import Protocol

__all__ = ["READ", "WRITE", "Watch", "Watched"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_PIECES_PER_TURN = 64
_SCRATCH_BYTES = 1_048_576


class Watched(Protocol):
    """What a watch calls."""

    queued: bool

    def fetch(self, blind_ns: int) -> None:
        """Reads what is there and keeps it; cheap."""

    def may_write(self) -> None:
        """Notes that the kernel takes bytes again; cheap."""

    def process(self) -> None:
        """Does the work with what was noted; must not raise."""


class Starvation:
    """How long this thread was ready to run and got no CPU. Source: /proc/PID/task/TID/schedstat, second field, nanoseconds."""

    def __init__(self) -> None:
        try:
            self._fd = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._before_ns = self._read_ns()

    def since_last_ns(self) -> int:
        """Since this was last asked; zero where the kernel does not tell."""
        now_ns = self._read_ns()
        starved_ns, self._before_ns = now_ns - self._before_ns, now_ns
        return starved_ns

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_ns(self) -> int:
        return int(os.pread(self._fd, 64, 0).split()[1]) if self._fd >= 0 else 0


class Watch:
    """A set of sockets inside the loop's own set. Bound to the loop that is running when it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._selector = selectors.DefaultSelector()
        self._ready: deque[Watched] = deque()
        self._looked_ns = time.monotonic_ns()
        self._worked_ns = time.thread_time_ns()
        self._starved = Starvation()
        self._turn_is_due = False
        self._watched = 0
        self._scratch: memoryview | None = None
        self._loop.add_reader(self._selector, self._turn)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that this watch belongs to."""
        return self._loop

    @property
    def scratch(self) -> memoryview:
        """A buffer for bytes on their way from a file to a socket; whoever uses it is done with it before anyone else runs."""
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        return self._scratch

    def close(self) -> None:
        """Leaves the loop; the sockets must be closed by those who opened them."""
        self._loop.remove_reader(self._selector)
        self._selector.close()
        self._starved.close()

    def change(self, sock: socket.socket, watched: Watched, before: int, after: int) -> None:
        """Watches `sock` for the events in `after` instead of those in `before`."""
        if before == after:
            return
        self._watched += (after > 0) - (before > 0)
        if not before:
            self._selector.register(sock, after, watched)
        elif after:
            self._selector.modify(sock, after, watched)
        else:
            self._selector.unregister(sock)

    def wake(self, watched: Watched) -> None:
        """`watched` has something to process."""
        if not watched.queued:
            watched.queued = True
            self._ready.append(watched)
        self._make_turn_due()

    def look(self) -> None:
        """Reads everything that has come, processes nothing; for those who have just kept the loop busy."""
        self._look()
        if self._ready:
            self._make_turn_due()

    def _look(self) -> None:
        events = self._selector.select(0)
        now_ns, worked_ns = time.monotonic_ns(), time.thread_time_ns()
        busy_ns = worked_ns - self._worked_ns
        if events:
            busy_ns += self._starved.since_last_ns()
        # How long bytes may have lain unseen: while we worked or waited for a CPU, not while we slept: they would have woken us.
        blind_ns = min(now_ns - self._looked_ns, busy_ns)
        self._looked_ns, self._worked_ns = now_ns, worked_ns
        for key, mask in events:
            watched: Watched = key.data
            if mask & READ:
                watched.fetch(blind_ns)
            if mask & WRITE:
                watched.may_write()
            if not watched.queued:
                watched.queued = True
                self._ready.append(watched)

    def _turn(self) -> None:
        self._turn_is_due = False
        self._look()
        for _ in range(_PIECES_PER_TURN):
            if not self._ready:
                return
            watched = self._ready.popleft()
            watched.queued = False
            watched.process()
            if self._watched > 1:
                self._look()
        self._make_turn_due()

    def _make_turn_due(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)
