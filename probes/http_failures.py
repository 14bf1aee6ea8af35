"""Errors of sockets and of the resolver, translated once into failures: which are the target's, which are ours.

    resolver   EAI_AGAIN, EAI_MEMORY, EAI_SYSTEM, no answer in time ........... internal, also of a dead zone (docs/adr/0058)
               everything else ................................................ dns
    socket     ENETUNREACH, ENETDOWN, EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS,
               ENOMEM, EACCES, EPERM, EAFNOSUPPORT ........................... internal (this host lacks something)
               EHOSTUNREACH because our gateway is silent (as ENETDOWN) ...... internal (`probes.http_unreachable`)
               everything else (refused, reset, EHOSTUNREACH, timed out) ..... connect

Called by `probes.http*`.
"""

from __future__ import annotations

import errno
import os
import socket

from probes.records import Failure, FailureKind

__all__ = ["OR_DEAD_ZONE", "ExchangeFailed", "connect_failure", "lookup_failure", "lost_failure"]

_OURS = frozenset({
    errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM,
    errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT,
})  # fmt: skip
_OURS_EAI = frozenset(
    code for name in ("EAI_AGAIN", "EAI_MEMORY", "EAI_SYSTEM") if (code := getattr(socket, name, None)) is not None
)
_WORDS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was closed",
    errno.ETIMEDOUT: "the connection timed out",
    errno.EHOSTUNREACH: "there is no route to the host",
    errno.ENETUNREACH: "this host has no network route there",
    errno.ENETDOWN: "this host's network is down, or its gateway does not answer",
    errno.EADDRNOTAVAIL: "this host has no free local port or address",
    errno.EMFILE: "this process has too many open files (raise `ulimit -n`)",
    errno.ENFILE: "this host has too many open files",
    errno.EAFNOSUPPORT: "this host does not speak that address family",
}


OR_DEAD_ZONE = "a zone whose name servers are dead looks the same from here"


class ExchangeFailed(Exception):  # noqa: N818 - carries a failure from the depths to `probes.http`, never further
    """An exchange ended without a proper answer; `failure` is the record of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def error_name(error: OSError) -> str:
    """The symbol of an error number, as OpenTelemetry's `error.type` wants a short stable word."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _words(error: OSError) -> str:
    return _WORDS.get(error.errno or 0) or (os.strerror(error.errno) if error.errno else str(error))


def _kind(error: OSError) -> FailureKind:
    return FailureKind.INTERNAL if error.errno in _OURS else FailureKind.CONNECT


def connect_failure(error: OSError, host: str, address: str, port: int) -> Failure:
    """No connection to one address."""
    where = f"{host}:{port}" if host == address else f"{host}:{port} ({address})"
    return Failure(_kind(error), f"cannot connect to {where}: {_words(error)}", error_name(error))


def lost_failure(error: OSError | None, doing: str) -> Failure:
    """A connection that broke; `error` None: the other side closed it. `doing` says at what point."""
    if error is None:
        return Failure(FailureKind.CONNECT, f"the target closed the connection {doing}", "closed_early")
    return Failure(_kind(error), f"{_words(error)} {doing}", error_name(error))


def lookup_failure(error: OSError, host: str) -> Failure:
    """A name that did not become an address."""
    for name in ("EAI_AGAIN", "EAI_MEMORY", "EAI_SYSTEM", "EAI_NONAME", "EAI_NODATA", "EAI_FAIL", "EAI_FAMILY"):
        if getattr(socket, name, None) == error.errno:
            break
    else:
        name = "EAI_OTHER"
    said = error.strerror or str(error)
    if error.errno in _OURS_EAI:
        msg = f"the resolver of this host could not look up {host!r}: {said} ({OR_DEAD_ZONE})"
        return Failure(FailureKind.INTERNAL, msg, name)
    return Failure(FailureKind.DNS, f"the name {host!r} has no address: {said}", name)
