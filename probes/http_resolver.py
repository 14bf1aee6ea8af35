"""Names to addresses with the system's own resolver, and the time it really took.

`getaddrinfo` blocks, so it runs in a small fixed set of daemon threads; start and end are read in the thread, so that waiting for
a thread and waking the loop are not booked as the resolver's time. Nothing is cached here: a fresh connection is a fresh
question, as for a new customer. A literal address is not asked for at all. Called by `probes.http`.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Address", "Lookup", "LookupFunction", "Resolver", "literal_address", "system_lookup"]

_THREADS = 8
_NO_DATA = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)


@dataclass(frozen=True, slots=True)
class Address:
    """One address to try: the family and what `connect` wants."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    @property
    def host(self) -> str:
        """The address as text."""
        return self.sockaddr[0]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one question brought: addresses or an error, and when it was worked on (monotonic)."""

    addresses: tuple[Address, ...]
    error: OSError | None
    started_ns: int
    ended_ns: int


LookupFunction = Callable[[str, int], tuple[Address, ...]]


def literal_address(host: str, port: int) -> Address | None:
    """The address that `host` already is, or None when it is a name."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        pass
    else:
        return Address(socket.AF_INET, (host, port))
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return None
    return Address(socket.AF_INET6, (host, port, 0, 0))


def system_lookup(host: str, port: int) -> tuple[Address, ...]:
    """What the system says, in its order (RFC 6724); raises `socket.gaierror`. Blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        if error.errno == _NO_DATA:
            _raise_if_half_answered(host, port)
        raise
    addresses = (Address(family, sockaddr) for family, _type, _proto, _name, sockaddr in found)  # type: ignore[arg-type]
    return tuple(dict.fromkeys(a for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6)))


def _raise_if_half_answered(host: str, port: int) -> None:
    """Raises what hides behind "no address": glibc says it, too, when one family has none and nobody answered for the other.

    Measured with glibc 2.36: SERVFAIL for A and none of AAAA is EAI_NODATA, as when there is neither (docs/adr/0058).
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except socket.gaierror as error:
            if error.errno != _NO_DATA:
                raise
        else:
            raise socket.gaierror(socket.EAI_AGAIN, "no address at first, and one when it was asked again")


class Resolver:
    """A few daemon threads that ask. Daemon, because a question that hangs must not keep the process from ending."""

    def __init__(self, lookup: LookupFunction = system_lookup, threads: int = _THREADS) -> None:
        self._lookup = lookup
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._unanswered = 0
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def ask(self, host: str, port: int) -> asyncio.Future[Lookup]:
        """A future of the running loop that gets the `Lookup`; it never fails, errors are inside."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Lookup] = loop.create_future()

        def work() -> None:
            found = self._timed(host, port)
            with self._lock:
                self._unanswered -= 1
            try:
                loop.call_soon_threadsafe(_deliver, answer, found)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        with self._lock:
            # Not by who is idle: a thread that was just given something has not woken yet, and may then be busy for seconds.
            self._unanswered += 1
            start = len(self._threads) < min(self._unanswered, self._limit)
        self._jobs.put(work)
        if start:
            self._start()
        return answer

    def close(self) -> None:
        """Lets the threads end when they are done with what they are at."""
        for _ in self._threads:
            self._jobs.put(None)
        self._threads.clear()

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="resolver", daemon=True)
        # One that the system refuses to start must not count as one that works on.
        thread.start()
        self._threads.append(thread)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _timed(self, host: str, port: int) -> Lookup:
        started_ns = time.monotonic_ns()
        try:
            addresses = self._lookup(host, port)
        except OSError as error:
            return Lookup((), error, started_ns, time.monotonic_ns())
        except UnicodeError:
            invalid = socket.gaierror(socket.EAI_NONAME, f"{host!r} is not a valid host name")
            return Lookup((), invalid, started_ns, time.monotonic_ns())
        return Lookup(addresses, None, started_ns, time.monotonic_ns())


def _deliver(answer: asyncio.Future[Lookup], found: Lookup) -> None:
    if not answer.done():
        answer.set_result(found)
