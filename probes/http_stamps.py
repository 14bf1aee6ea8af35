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
import time
from typing import Final

__all__ = [
    "ANCILLARY_BYTES",
    "DEPARTURE_REQUEST",
    "HAS_STAMPS",
    "StampKeeper",
    "arm_arrivals",
    "arm_departures",
    "arrived_ns",
    "handshake_rtt_ns",
    "take_departure_ns",
    "unsent_bytes",
]

HAS_STAMPS: Final = sys.platform == "linux"

_SO_TIMESTAMPNS = 35
_SO_TIMESTAMPING = 37
_STAMPS = (_SO_TIMESTAMPNS, _SO_TIMESTAMPING)
_TX_SOFTWARE = 1 << 1
_TX_SCHED = 1 << 8
_REPORT_SOFTWARE = 1 << 4
_OPT_ID = 1 << 7
_OPT_STAMP_ONLY = 1 << 11
_SIOCOUTQNSD = 0x894B
_MSG_ERRQUEUE = 0x2000

ANCILLARY_BYTES = 256
"""Room for both kinds of stamp that one read may bring."""

DEPARTURE_REQUEST: Final = [(socket.SOL_SOCKET, _SO_TIMESTAMPING, struct.pack("I", _TX_SOFTWARE | _TX_SCHED))]
"""Ancillary data for `sendmsg`: stamp the last byte of this call when it leaves TCP and when the device takes it.

Both, because not every driver stamps: the later one counts.
"""

_TIMESPEC = struct.Struct("qq")
_UINT = struct.Struct("I")
_INFO_BYTES = 104
_INFO_RTT_AT = 68
_INFO_TOTAL_RETRANS_AT = 100
_NS_PER_S = 1_000_000_000
_ERRORS_PER_READ = 64


def arm_arrivals(sock: socket.socket) -> None:
    """Asks for the arrival time of what is read; a kernel that refuses is a kernel without stamps."""
    if HAS_STAMPS:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return


def arm_departures(sock: socket.socket) -> bool:
    """Prepares `sock` for `DEPARTURE_REQUEST`; False where the kernel has no such stamps."""
    if not HAS_STAMPS:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _REPORT_SOFTWARE | _OPT_ID | _OPT_STAMP_ONLY)
    except OSError:
        return False
    return True


def arrived_ns(ancillary: list[tuple[int, int, bytes]], now_ns: int, not_before_ns: int) -> int | None:
    """The arrival of the last byte that was read, on the monotonic clock, or None.

    The kernel stamps with the wall clock; a paired reading taken now converts the age. An age that is negative or reaches back
    behind `not_before_ns` means that the wall clock was set in between, and is refused.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind in _STAMPS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            at_ns = now_ns - (time.time_ns() - (seconds * _NS_PER_S + nanoseconds))
            return at_ns if not_before_ns <= at_ns <= now_ns else None
    return None


def take_departure_ns(sock: socket.socket, now_ns: int, not_before_ns: int) -> int | None:
    """The latest departure stamp in the error queue, on the monotonic clock, or None when there is none; empties the queue."""
    latest_ns: int | None = None
    for _ in range(_ERRORS_PER_READ):
        try:
            _data, ancillary, _flags, _address = sock.recvmsg(0, ANCILLARY_BYTES, _MSG_ERRQUEUE)
        except OSError:
            break
        at_ns = arrived_ns(ancillary, now_ns, not_before_ns)
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


def unsent_bytes(sock: socket.socket) -> int:
    """Bytes that the kernel took and has not handed to the network yet; zero where it cannot be asked."""
    if not HAS_STAMPS:
        return 0
    try:
        unsent: int = _UINT.unpack(fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, bytes(_UINT.size)))[0]
    except OSError:
        return 0
    return unsent


class StampKeeper:
    """An idle socket that keeps the kernel's stamping switched on while it lives.

    Linux patches its own code when the first socket asks for stamps and when the last one is gone, and does it
    late: without a keeper each lone request would pay for that, and its first segments would go unstamped.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        arm_arrivals(self._sock)

    def close(self) -> None:
        """Lets go."""
        self._sock.close()
