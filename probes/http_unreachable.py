"""Who says that a host cannot be reached: some router on the way, or this host itself, because its gateway does not answer.

The kernel has one error for both, EHOSTUNREACH. Where the way leads through a gateway and this host itself reports it, nothing
has left our own network, and the target is not to blame. A neighbour that does not answer has no gateway before it and is the
target; what a router says, be it our gateway, may be about the target. Linux only; what cannot be known is the target's.
Called by `probes.http_line` and `probes.browser_load`.

Source: ip(7) IP_RECVERR and `struct sock_extended_err`, ipv6(7) IPV6_RECVERR, rtnetlink(7) RTM_GETROUTE and `struct rtmsg`.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import time
from typing import Any

__all__ = ["BUSY", "is_gateway_silent", "is_gateway_silent_to", "note_reporters", "reporter_of"]

BUSY = (errno.EINPROGRESS, errno.EALREADY)
"""What `connect_ex` says while a connection is under way."""

_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_MSG_ERRQUEUE = 0x2000
_ANCILLARY_BYTES = 256
_EXTENDED_ERROR_BYTES = 16
# Where the address stands in a sockaddr of the family, and how long it is.
_ADDRESS = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}

_RTM_NEWROUTE = 24
_RTM_GETROUTE = 26
_NLM_F_REQUEST = 1
_RTA_DST = 1
_RTA_GATEWAY = 5
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_ANSWER_BYTES = 8192
_ANSWER_DEADLINE_S = 0.2


def note_reporters(sock: socket.socket, *, on: bool) -> None:
    """From now on the kernel keeps who reports an error of this socket; off again once it is connected.

    While it is on, a report wakes whoever waits for the connection before the kernel has decided what comes of it (Linux,
    `tcp_v4_err`): SO_ERROR may then be 0 without a connection. Ask `connect_ex` again, which says that it is still under way.
    """
    if sys.platform != "linux":
        return
    try:
        sock.setsockopt(*_RECVERR[sock.family], int(on))
    except OSError:
        return  # not known here: every error is then the target's, as without it


def is_gateway_silent(sock: socket.socket, host: str, heard: bytes = b"") -> bool:
    """Whether it was for want of a gateway that this socket found the host, an address, unreachable.

    `heard`: who reported before, if that was taken with `reporter_of`.
    """
    if sys.platform != "linux":
        return False
    reporter = reporter_of(sock) or heard
    return bool(reporter) and _is_own(sock.family, reporter) and _has_gateway(sock.family, host)


def is_gateway_silent_to(family: int, sockaddr: tuple[Any, ...], *, within_s: float) -> bool:
    """The same of an address, by a connection that is tried for it. Blocks, for `within_s` seconds at most."""
    until_s = time.monotonic() + within_s
    heard = b""
    with socket.socket(family, socket.SOCK_STREAM) as trying:
        note_reporters(trying, on=True)
        trying.settimeout(0)
        waiting = select.poll()
        waiting.register(trying, select.POLLOUT)
        while (code := trying.connect_ex(sockaddr)) in BUSY:
            heard = reporter_of(trying) or heard
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            waiting.poll(left_s * 1000)
        return code == errno.EHOSTUNREACH and is_gateway_silent(trying, str(sockaddr[0]), heard)


def reporter_of(sock: socket.socket) -> bytes:
    """The address that the oldest report came from, which is taken by that; empty when the kernel does not say."""
    try:
        _data, ancillary, _flags, _address = sock.recvmsg(0, _ANCILLARY_BYTES, _MSG_ERRQUEUE)
    except OSError:
        return b""
    for level, kind, data in ancillary:
        if (level, kind) == _RECVERR[sock.family]:
            offender = data[_EXTENDED_ERROR_BYTES:]
            if offender[:2] == struct.pack("=H", sock.family):
                return offender[_ADDRESS[sock.family]]
    return b""


def _is_own(family: int, address: bytes) -> bool:
    """Whether it is an address of this host: only such can be bound to."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((socket.inet_ntop(family, address), 0))
        except OSError:
            return False
    return True


def _has_gateway(family: int, host: str) -> bool:
    """Whether the kernel would send to a gateway; False when the host is a neighbour, or when the kernel does not say."""
    try:
        address = socket.inet_pton(family, host)
        wanted = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _RTA_DST) + address
        body = _ROUTE.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0) + wanted
        question = _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(_ANSWER_DEADLINE_S)
            netlink.send(question)
            answer = netlink.recv(_ANSWER_BYTES)
        return _RTA_GATEWAY in _attributes_of(answer)
    except (OSError, struct.error):
        return False


def _attributes_of(answer: bytes) -> list[int]:
    """The kinds of what is said about a route; none for anything else."""
    length, kind, *_ = _HEADER.unpack_from(answer)
    found: list[int] = []
    at = _HEADER.size + _ROUTE.size
    while kind == _RTM_NEWROUTE and at + _ATTRIBUTE.size <= length:
        size, attribute = _ATTRIBUTE.unpack_from(answer, at)
        found.append(attribute)
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return found
