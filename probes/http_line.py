"""One TCP connection on the loop: bytes with the kernel's arrival time, no buffering, no task.

A `Line` calls its owner back: `on_bytes(data, arrived_ns, stamped)`, `on_writable()`, `on_lost(error)`, and `on_departed(at_ns)`
for a departure stamp that was asked for. Nothing is read while nobody owns the line. Refuses to know about TLS or HTTP. Called by
`probes.http_secure` and `probes.http_exchange`.

Why not asyncio's transports: they read before they look at the clock, hide the ancillary data in which the kernel's stamps
come, and buffer what is sent, so that the end of sending cannot be seen.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import Protocol

from probes import http_stamps as stamps
from probes.http_body import FileRange
from probes.http_deadline import Deadline
from probes.http_phases import Phase, PhaseLedger
from probes.http_resolver import Address

__all__ = ["Line", "LineOwner", "open_line"]

_READ_BYTES = 16_384
_READ_BYTES_BULK = 262_144
_FILE_BYTES_PER_CALL = 1_048_576
_UNSENT_LOW_WATER_BYTES = 1_048_576
_TCP_NOTSENT_LOWAT = 25
_BUSY = (errno.EINPROGRESS, errno.EALREADY)


class LineOwner(Protocol):
    """Who is called when something happens on a line."""

    def on_bytes(self, data: bytes, arrived_ns: int, *, stamped: bool) -> None:
        """Bytes came; `stamped` when `arrived_ns` is the kernel's."""

    def on_writable(self) -> None:
        """The kernel takes bytes again; asked for with `Line.watch_writable`."""

    def on_lost(self, error: OSError | None) -> None:
        """Nothing more can be read: None for a proper end of the stream."""

    def on_departed(self, at_ns: int) -> None:
        """The last bytes that were sent with `departure=True` left this host."""


class Line:
    """A connected socket. Whoever opened it must `close` it."""

    __slots__ = (
        "_expect_departure",
        "_loop",
        "_read_bytes",
        "_reading",
        "_since_ns",
        "_writing",
        "address",
        "owner",
        "sock",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: Address, since_ns: int) -> None:
        self._loop = loop
        self.sock = sock
        self.address = address
        self.owner: LineOwner | None = None
        self._since_ns = since_ns
        self._read_bytes = _READ_BYTES
        self._reading = False
        self._writing = False
        self._expect_departure = False

    def own(self, owner: LineOwner | None) -> None:
        """From now on `owner` is called back; None stops reading."""
        self.owner = owner
        if owner is not None and not self._reading:
            self._reading = True
            self._loop.add_reader(self.sock, self._on_readable)
        elif owner is None and self._reading:
            self._reading = False
            self._loop.remove_reader(self.sock)

    def watch_writable(self, *, on: bool) -> None:
        """Asks for `on_writable`, or no longer."""
        if on and not self._writing:
            self._writing = True
            self._loop.add_writer(self.sock, self._on_writable)
        elif not on and self._writing:
            self._writing = False
            self._loop.remove_writer(self.sock)

    def prepare_bulk(self) -> None:
        """Before a body that is larger than a few segments: departure stamps, and a short queue of unsent bytes.

        The bound on unsent bytes keeps progress and stalls true: without it the kernel takes megabytes that it cannot send.
        """
        self._expect_departure = stamps.arm_departures(self.sock)
        if stamps.HAS_STAMPS:
            self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_LOW_WATER_BYTES)

    def send(self, data: bytes | memoryview, *, more: bool = False) -> int:
        """Bytes that the kernel took, 0 when it takes none now; raises OSError when the connection is broken."""
        try:
            return self.sock.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return 0

    def send_last(self, data: bytes | memoryview) -> int:
        """As `send`, for the last bytes of a bulk body: their departure is stamped where the kernel can."""
        if not self._expect_departure:
            return self.send(data)
        try:
            return self.sock.sendmsg([data], stamps.DEPARTURE_REQUEST)
        except BlockingIOError:
            return 0

    def send_file(self, part: FileRange) -> int | None:
        """Bytes of the file that the kernel took, without a copy through user space; None when it takes none now."""
        try:
            return os.sendfile(self.sock.fileno(), part.fd, part.offset, min(part.length, _FILE_BYTES_PER_CALL))
        except BlockingIOError:
            return None

    def departed_ns(self) -> int | None:
        """The departure of the last bytes if its stamp has come."""
        if not self._expect_departure:
            return None
        return stamps.take_departure_ns(self.sock, time.monotonic_ns(), self._since_ns)

    @property
    def can_stamp_departures(self) -> bool:
        """True after `prepare_bulk` on a kernel that stamps what leaves."""
        return self._expect_departure

    def has_unsent(self) -> bool:
        """True while the kernel holds bytes that have not left this host."""
        return stamps.unsent_bytes(self.sock) > 0

    def is_quiet(self) -> bool:
        """True when the line is open and has nothing to read: fit to be used again."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Leaves the loop and closes the socket; harmless when repeated."""
        if self.sock.fileno() >= 0:
            self.watch_writable(on=False)
            self.own(None)
            self.sock.close()

    def _on_writable(self) -> None:
        if self.owner is not None:
            self.owner.on_writable()

    def _on_readable(self) -> None:
        owner = self.owner
        if owner is None:
            return
        try:
            data, ancillary, _flags, _sender = self.sock.recvmsg(self._read_bytes, stamps.ANCILLARY_BYTES)
        except BlockingIOError:
            at_ns = self.departed_ns()
            if at_ns is not None:
                owner.on_departed(at_ns)
            return
        except OSError as error:
            owner.on_lost(error)
            return
        if not data:
            owner.on_lost(None)
            return
        if len(data) == self._read_bytes:
            self._read_bytes = _READ_BYTES_BULK
        now_ns = time.monotonic_ns()
        arrived_ns = stamps.arrived_ns(ancillary, now_ns, self._since_ns)
        owner.on_bytes(data, now_ns if arrived_ns is None else arrived_ns, stamped=arrived_ns is not None)


async def open_line(address: Address, deadline: Deadline, ledger: PhaseLedger) -> Line:
    """Connects to one address and books the time; raises OSError, or DeadlinePassed. The socket never leaks."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.arm_arrivals(sock)
        started_ns = time.monotonic_ns()
        ledger.enter(Phase.CONNECT, started_ns)
        code = sock.connect_ex(address.sockaddr)
        if code in _BUSY:
            # Asking twice saves a turn of the loop where the answer is there at once, as on the same host.
            code = sock.connect_ex(address.sockaddr)
        if code in _BUSY:
            code = await _connected(loop, sock, deadline)
        now_ns = time.monotonic_ns()
        _book_connect(sock, code, ledger, started_ns, now_ns)
        return Line(loop, sock, address, started_ns)
    except BaseException:
        sock.close()
        raise


def _book_connect(sock: socket.socket, code: int, ledger: PhaseLedger, started_ns: int, now_ns: int) -> None:
    if code not in (0, errno.EISCONN):
        ledger.charge(Phase.CONNECT, now_ns)
        raise OSError(code, os.strerror(code))
    rtt_ns = stamps.handshake_rtt_ns(sock)
    if rtt_ns is not None and started_ns + rtt_ns <= now_ns:
        ledger.charge(Phase.CONNECT, started_ns + rtt_ns)
        ledger.charge(Phase.QUEUE, now_ns)
    else:
        # A repeated SYN or a kernel that does not tell: the loop's own notice is all there is.
        ledger.stamped = False
        ledger.charge(Phase.CONNECT, now_ns)


async def _connected(loop: asyncio.AbstractEventLoop, sock: socket.socket, deadline: Deadline) -> int:
    done: asyncio.Future[None] = loop.create_future()

    def writable() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_writer(sock, writable)
    try:
        await deadline.wait(done)
    finally:
        loop.remove_writer(sock)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
