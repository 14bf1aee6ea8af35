"""One TCP connection: bytes with the kernel's arrival time, no buffering of what is sent, no task.

A `Line` calls its owner back: `on_bytes(arrival)`, `on_writable()`, `on_lost(error)`, and `on_departed(at_ns)` for a
departure stamp that was asked for. What comes while nobody owns the line waits for the next owner. Refuses to know TLS or HTTP.
Called by `probes.http_connect`, `probes.http_secure` and `probes.http_exchange`.

Why not asyncio's transports: they read before they look at the clock, hide the ancillary data in which the kernel's stamps
come, and buffer what is sent, so that the end of sending cannot be seen.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from probes import http_stamps as stamps
from probes.http_body import FileRange
from probes.http_deadline import Deadline
from probes.http_phases import Phase, PhaseLedger
from probes.http_resolver import Address
from probes.http_unreachable import BUSY, is_gateway_silent, note_reporters, reporter_of
from probes.http_watch import READ, WRITE, Watch

__all__ = ["Arrival", "Line", "LineOwner", "open_line"]

_READ_BYTES = 16_384
_READ_BYTES_BULK = 262_144
_UNSENT_LOW_WATER_BYTES = 524_288
_TCP_NOTSENT_LOWAT = 25
_UNPROCESSED_READS = 8
_WORTH_COUNTING_NS = 500_000
_NEVER = -(2**40)


@dataclass(slots=True)
class Arrival:
    """Bytes and when the last of them arrived.

    `stamped`: the kernel says so. `blind_ns`: the first of them may have arrived that much earlier, unseen.
    """

    data: bytes
    at_ns: int
    stamped: bool
    blind_ns: int


class LineOwner(Protocol):
    """Who is called when something happens on a line; none of it may raise."""

    def on_bytes(self, arrival: Arrival) -> None:
        """Bytes came."""

    def on_writable(self) -> None:
        """The kernel takes bytes again; asked for with `Line.watch_writable`."""

    def on_lost(self, error: OSError | None) -> None:
        """Nothing more can be read: None for a proper end of the stream."""

    def on_departed(self, at_ns: int) -> None:
        """The last bytes that were sent with `send_last` left this host."""


class Line:
    """A socket in a watch. Whoever opened it must `close` it."""

    __slots__ = (
        "_departed_ns", "_departure", "_end", "_ended", "_inbox", "_interest", "_read_bytes", "_reads", "_segments_before",
        "_since_ns", "_watch", "_writable", "address", "can_stamp", "owner", "queued", "sock",
    )  # fmt: skip

    def __init__(self, watch: Watch, sock: socket.socket, address: Address) -> None:
        self._watch = watch
        self.sock = sock
        self.address = address
        self.owner: LineOwner | None = None
        self.queued = False
        self._since_ns = time.monotonic_ns()
        self._interest = 0
        self._inbox: deque[Arrival] = deque()
        self._ended = False
        self._end: OSError | None = None
        self._departed_ns: int | None = None
        self._read_bytes = _READ_BYTES
        self._reads = 0
        self._segments_before = 0
        self._writable = False
        self._departure = stamps.SMALL_DEPARTURE
        self.can_stamp = False

    def own(self, owner: LineOwner | None) -> None:
        """From now on `owner` is called back."""
        self.owner = owner
        if owner is not None:
            if not self._ended:
                self._watch_for(self._interest | READ)
            if self._inbox or self._ended:
                self._watch.wake(self)

    def rest(self) -> None:
        """Nothing is expected until `resume`."""
        self._watch_for(0)

    def resume(self) -> None:
        """The line is used again: stamps from before are of no meaning any more."""
        self._since_ns = time.monotonic_ns()
        self.count_from_here()

    def watch_writable(self, *, on: bool) -> None:
        """Asks for `on_writable`, or no longer."""
        self._writable = False
        self._watch_for(self._interest | WRITE if on else self._interest & ~WRITE)

    def count_from_here(self) -> None:
        """Counts reads and segments from now on, where everything that has arrived has been read; else never trusts the count."""
        self._watch.look()
        arrived = stamps.data_segments(self.sock)
        sure = arrived is not None and stamps.unread_bytes(self.sock) == 0
        self._segments_before = arrived if arrived is not None and sure else _NEVER
        self._reads = 0

    def prepare_bulk(self) -> None:
        """Before a body that is larger than a few segments: departure stamps, and a short queue of unsent bytes.

        The bound on unsent bytes keeps progress and stalls true: without it the kernel takes megabytes that it cannot send.
        """
        self._departure = stamps.BULK_DEPARTURE
        if stamps.HAS_STAMPS:
            self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_LOW_WATER_BYTES)

    def send(self, data: bytes | memoryview, *, more: bool = False) -> int:
        """Bytes that the kernel took, 0 when it takes none now; raises OSError when the connection is broken."""
        try:
            return self.sock.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return 0

    def send_last(self, data: bytes | memoryview) -> int:
        """As `send`, for the last bytes of a request: their departure is stamped where the kernel can."""
        if not self.can_stamp:
            return self.send(data)
        try:
            return self.sock.sendmsg([data], self._departure)
        except BlockingIOError:
            return 0

    def send_file(self, part: FileRange) -> int:
        """Bytes of the file that the kernel took, 0 when it takes none now; raises OSError for the line, BodyUnreadableError.

        Through one buffer that all lines share: `sendfile` saves this copy and costs the receiver more (ADR 0010).
        """
        scratch = self._watch.scratch
        return self.send(scratch[: part.read_into(scratch)])

    def departed_ns(self) -> int | None:
        """The departure of the last bytes if its stamp has come."""
        if not self.can_stamp:
            return None
        if self._departure is stamps.SMALL_DEPARTURE:
            return stamps.take_departure_ns(self.sock, self._since_ns, 1)
        return stamps.take_departure_ns(self.sock, self._since_ns)

    def repeated_segments(self) -> int:
        """How many segments had to be sent again so far."""
        return stamps.repeated_segments(self.sock)

    def has_unsent(self) -> bool:
        """True while the kernel holds bytes that have not left this host."""
        return stamps.unsent_bytes(self.sock) > 0

    def is_quiet(self) -> bool:
        """True when the line is open and has nothing to read: fit to be used again."""
        if self._ended or self._inbox:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Leaves the watch and closes the socket; harmless when repeated."""
        self.owner = None
        if self.sock.fileno() >= 0:
            self._watch_for(0)
            self.sock.close()

    async def connect(self, deadline: Deadline, ledger: PhaseLedger) -> None:
        """Connects and books the time; raises OSError or DeadlinePassed."""
        note_reporters(self.sock, on=True)
        started_ns = self._since_ns = time.monotonic_ns()
        ledger.enter(Phase.CONNECT, started_ns)
        code = self.sock.connect_ex(self.address.sockaddr)
        if code in BUSY:
            # Asking twice saves a turn of the loop where the answer is there at once, as on the same host.
            code = self.sock.connect_ex(self.address.sockaddr)
        heard = b""
        while code in BUSY:
            await _Connecting(self, self._watch.loop).wait(deadline)
            code = self.sock.connect_ex(self.address.sockaddr)
            if code in BUSY:
                heard = reporter_of(self.sock) or heard  # left there, it would wake us again at once
        now_ns = time.monotonic_ns()
        if code not in (0, errno.EISCONN):
            ledger.charge(Phase.CONNECT, now_ns)
            if code == errno.EHOSTUNREACH and is_gateway_silent(self.sock, self.address.host, heard):
                code = errno.ENETDOWN
            raise OSError(code, os.strerror(code))
        note_reporters(self.sock, on=False)
        rtt_ns = stamps.handshake_rtt_ns(self.sock)
        if rtt_ns is not None and started_ns + rtt_ns <= now_ns:
            ledger.charge(Phase.CONNECT, started_ns + rtt_ns)
            ledger.charge(Phase.QUEUE, now_ns)
        else:
            # A repeated SYN or a kernel that does not tell: the loop's own notice is all there is.
            ledger.stamped = False
            ledger.charge(Phase.CONNECT, now_ns)

    def _watch_for(self, interest: int) -> None:
        self._watch.change(self.sock, self, self._interest, interest)
        self._interest = interest

    # What the watch calls.

    def fetch(self, blind_ns: int) -> None:
        """Reads once; what was read is processed later."""
        if len(self._inbox) >= _UNPROCESSED_READS:
            return
        try:
            data, ancillary, _flags, _sender = self.sock.recvmsg(self._read_bytes, stamps.ANCILLARY_BYTES)
        except BlockingIOError:
            self._departed_ns = self.departed_ns() or self._departed_ns
            return
        except OSError as error:
            self._finish(error)
            return
        if not data:
            self._finish(None)
            return
        if len(data) == self._read_bytes:
            self._read_bytes = _READ_BYTES_BULK
        self._reads += 1
        if blind_ns > _WORTH_COUNTING_NS and stamps.data_segments(self.sock) == self._segments_before + self._reads:
            blind_ns = 0  # one segment per read: none was joined to another, its stamp is its own
        at_ns = stamps.arrived_ns(ancillary, self._since_ns)
        self._inbox.append(Arrival(data, at_ns or time.monotonic_ns(), at_ns is not None, blind_ns))

    def may_write(self) -> None:
        """The kernel takes bytes again."""
        self._writable = True

    def process(self) -> None:
        """Hands on what was noted, as long as somebody owns the line."""
        while self._inbox and self.owner is not None:
            self.owner.on_bytes(self._inbox.popleft())
        if self._departed_ns is not None and self.owner is not None:
            departed_ns, self._departed_ns = self._departed_ns, None
            self.owner.on_departed(departed_ns)
        if self._writable and self.owner is not None:
            self._writable = False
            self.owner.on_writable()
        if self._ended and not self._inbox and self.owner is not None:
            self.owner.on_lost(self._end)

    def _finish(self, error: OSError | None) -> None:
        self._ended = True
        self._end = error
        self._watch_for(self._interest & ~READ)


class _Connecting:
    """Owns a line until its connect is decided."""

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._line = line
        self._decided: asyncio.Future[None] = loop.create_future()

    async def wait(self, deadline: Deadline) -> None:
        """Returns when the connection is there or has failed."""
        # Writable only: reading would take the error away that tells why.
        self._line.owner = self
        self._line.watch_writable(on=True)
        try:
            await deadline.wait(self._decided)
        finally:
            self._line.watch_writable(on=False)
            self._line.owner = None

    def on_writable(self) -> None:
        """Decided."""
        if not self._decided.done():
            self._decided.set_result(None)

    def on_bytes(self, arrival: Arrival) -> None:
        """Cannot happen: nothing is read."""

    def on_lost(self, error: OSError | None) -> None:
        """Cannot happen: nothing is read."""

    def on_departed(self, at_ns: int) -> None:
        """Cannot happen: nothing is sent."""


async def open_line(watch: Watch, address: Address, deadline: Deadline, ledger: PhaseLedger) -> Line:
    """Connects to one address and books the time; raises OSError, or DeadlinePassed. The socket never leaks."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    line = Line(watch, sock, address)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.can_stamp = stamps.arm(sock)
        await line.connect(deadline, ledger)
    except BaseException:
        line.close()
        raise
    return line
