"""What the kernel knows about time: arrival of bytes, their departure, the round trip of the handshake.

A loop that is busy notices events late; the kernel stamped them when they happened. Linux only; where a stamp is missing or
makes no sense (a clock that was set in between) the answer is None and the caller falls back to the time in user space, which it
books as doubt. Refuses to decide which phase pays. Called by `probes.http_line` and `probes.http`.

Source: socket(7) and Documentation/networking/timestamping.rst of Linux (SO_TIMESTAMPNS, SO_TIMESTAMPING, SCM_TIMESTAMPING);
tcp(7) TCP_INFO, `struct tcp_info` in include/uapi/linux/tcp.h; `SIOCOUTQNSD` in include/uapi/linux/sockios.h.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
import time
from typing import Final

__all__ = [
    "ANCILLARY_BYTES",
    "BULK_DEPARTURE",
    "HAS_STAMPS",
    "SMALL_DEPARTURE",
    "StampKeeper",
    "arm",
    "arrived_ns",
    "data_segments",
    "handshake_rtt_ns",
    "repeated_segments",
    "take_departure_ns",
    "unread_bytes",
    "unsent_bytes",
]

HAS_STAMPS: Final = sys.platform == "linux"

_SO_TIMESTAMPING = 37
_TX_SOFTWARE = 1 << 1
_TX_SCHED = 1 << 8
_RX_SOFTWARE = 1 << 3
_REPORT_SOFTWARE = 1 << 4
_OPT_STAMP_ONLY = 1 << 11
_SIOCOUTQNSD = 0x894B
_MSG_ERRQUEUE = 0x2000

_ARMED = _RX_SOFTWARE | _REPORT_SOFTWARE | _OPT_STAMP_ONLY

ANCILLARY_BYTES = 128
"""Room for the stamp that a read may bring, and for what an error queue adds."""

SMALL_DEPARTURE: Final = [(socket.SOL_SOCKET, _SO_TIMESTAMPING, struct.pack("I", _TX_SCHED))]
"""Ancillary data for `sendmsg`: stamp the last byte of this call when it leaves TCP."""

BULK_DEPARTURE: Final = [(socket.SOL_SOCKET, _SO_TIMESTAMPING, struct.pack("I", _TX_SCHED | _TX_SOFTWARE))]
"""As `SMALL_DEPARTURE`, and when the device takes it: bulk may queue in between. Not every driver tells; the later one counts."""

_TIMESPEC = struct.Struct("qq")
_UINT = struct.Struct("I")
_INFO_BYTES = 104
_INFO_RTT_AT = 68
_INFO_TOTAL_RETRANS_AT = 100
_INFO_BYTES_WITH_COUNTS = 160
_INFO_DATA_SEGMENTS_IN_AT = 152
_NS_PER_S = 1_000_000_000
_ERRORS_PER_READ = 64
_PAIR_ATTEMPTS = 3
_PAIR_APART_NS = 20_000


def arm(sock: socket.socket) -> bool:
    """Asks for the arrival times of what is read and prepares for departure stamps; False where the kernel has none."""
    if not HAS_STAMPS:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _ARMED)
    except OSError:
        return False
    return True


def arrived_ns(ancillary: list[tuple[int, int, bytes]], not_before_ns: int) -> int | None:
    """The moment in a stamp on the monotonic clock, or None without a stamp that can be believed.

    The kernel stamps with the wall clock; a paired reading taken now converts the age. A moment that lies in the future or before
    `not_before_ns` means that the wall clock was set in between, and is refused.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            now_ns, wall_ns = _both_clocks()
            at_ns: int = now_ns - (wall_ns - (seconds * _NS_PER_S + nanoseconds))
            return at_ns if not_before_ns <= at_ns <= now_ns else None
    return None


def _both_clocks() -> tuple[int, int]:
    """Monotonic and wall clock at one moment: read again when something came between the readings."""
    for _ in range(_PAIR_ATTEMPTS):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < _PAIR_APART_NS:
            break
    return after_ns, wall_ns


def take_departure_ns(sock: socket.socket, not_before_ns: int, at_most: int = _ERRORS_PER_READ) -> int | None:
    """The latest departure stamp in the error queue on the monotonic clock, None when there is none; takes up to `at_most`."""
    latest_ns: int | None = None
    for _ in range(at_most):
        try:
            _data, ancillary, _flags, _address = sock.recvmsg(0, ANCILLARY_BYTES, _MSG_ERRQUEUE)
        except OSError:
            break
        at_ns = arrived_ns(ancillary, not_before_ns)
        if at_ns is not None and (latest_ns is None or at_ns > latest_ns):
            latest_ns = at_ns
    return latest_ns


def handshake_rtt_ns(sock: socket.socket) -> int | None:
    """The round trip of the SYN as the kernel measured it; None when a SYN was repeated or the kernel does not tell.

    Only true right after `connect` and before anything was sent: later acknowledgements smooth the value.
    """
    if not HAS_STAMPS:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < _INFO_BYTES or _UINT.unpack_from(info, _INFO_TOTAL_RETRANS_AT)[0]:
        return None
    rtt_us: int = _UINT.unpack_from(info, _INFO_RTT_AT)[0]
    return rtt_us * 1000 or None


def repeated_segments(sock: socket.socket) -> int:
    """How many segments this connection had to send again."""
    if not HAS_STAMPS:
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return 0
    repeated: int = _UINT.unpack_from(info, _INFO_TOTAL_RETRANS_AT)[0] if len(info) >= _INFO_BYTES else 0
    return repeated


def data_segments(sock: socket.socket) -> int | None:
    """How many segments with data have arrived so far; None where the kernel does not tell."""
    if not HAS_STAMPS:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES_WITH_COUNTS)
    except OSError:
        return None
    if len(info) < _INFO_BYTES_WITH_COUNTS:
        return None
    arrived: int = _UINT.unpack_from(info, _INFO_DATA_SEGMENTS_IN_AT)[0]
    return arrived


def unsent_bytes(sock: socket.socket) -> int:
    """Bytes that the kernel took and has not handed to the network yet; zero where it cannot be asked."""
    return _ask(sock, _SIOCOUTQNSD) if HAS_STAMPS else 0


def unread_bytes(sock: socket.socket) -> int:
    """Bytes that have arrived and were not read; zero where it cannot be asked."""
    return _ask(sock, termios.FIONREAD)


def _ask(sock: socket.socket, request: int) -> int:
    try:
        count: int = _UINT.unpack(fcntl.ioctl(sock.fileno(), request, bytes(_UINT.size)))[0]
    except OSError:
        return 0
    return count


class StampKeeper:
    """An idle socket that keeps the kernel's stamping switched on while it lives.

    Linux patches its own code when the first socket asks for stamps and when the last one is gone, and does it
    late: without a keeper each lone request would pay for that, and its first segments would go unstamped.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        arm(self._sock)

    def close(self) -> None:
        """Lets go."""
        self._sock.close()
