"""Tells systemd that a service has begun, that its loop still goes round, how it is, and that it ends (sd_notify).

Without `NOTIFY_SOCKET` nothing is said, so that a service does not know who started it. Begun is not ready: a broker that is away
must not make systemd end a collector that waits for it (docs/adr/0033). The watchdog is fed from the event loop, so that a
process that is alive and does nothing any more is ended and started again.

Refuses to fail the service: what cannot be said is logged once and said again later. Called by the wiring
of the collector and of the worker.
Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from probes.clock import Clock

__all__ = ["Notices", "ServiceManager", "service_manager", "tell_systemd"]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 0.5
FEEDS_PER_WATCHDOG: Final = 3
"""sd_watchdog_enabled(3) asks for a word in half of the time; one more leaves room for a host that is busy."""


@dataclass(frozen=True, slots=True)
class Notices:
    """What a service can say about itself; plain functions, called a few times a second."""

    has_begun: Callable[[], bool]
    status: Callable[[], str]
    is_ending: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Where systemd listens, and how often it wants to hear; 0: it keeps no watch."""

    address: str
    watchdog_s: float = 0.0

    def send(self, sender: socket.socket, *lines: str) -> None:
        """One datagram; raises OSError when nobody takes it."""
        place = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        sender.sendto("\n".join(lines).encode(), place)


def service_manager(environ: Mapping[str, str], *, pid: int) -> ServiceManager | None:
    """Who wants to be told, by the variables that systemd sets; None when nobody does.

    The watch is kept over the process with `pid` only when it was started for it: the variables are inherited.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    wanted_us = environ.get("WATCHDOG_USEC", "")
    is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return ServiceManager(address, int(wanted_us) / 1e6 if is_ours and wanted_us.isdecimal() else 0.0)


@asynccontextmanager
async def tell_systemd(environ: Mapping[str, str], notices: Notices, *, clock: Clock) -> AsyncIterator[None]:
    """Keep systemd informed for the length of the block, and say at its end that the service ends."""
    manager = service_manager(environ, pid=os.getpid())
    if manager is None:
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        teller = _Teller(manager, sender, notices, clock)
        telling = asyncio.create_task(teller.run())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait({telling})
            teller.say_end()
        if not telling.cancelled():
            telling.result()


class _Teller:
    """Says each thing once, the watchdog's word again and again. What nobody took is owed until somebody does."""

    def __init__(self, manager: ServiceManager, sender: socket.socket, notices: Notices, clock: Clock) -> None:
        self._manager = manager
        self._sender = sender
        self._notices = notices
        self._clock = clock
        self._said: dict[str, str] = {"READY": "", "STOPPING": "", "STATUS": ""}
        self._owed: dict[str, str] = {}
        self._has_complained = False

    async def run(self) -> None:
        """Until cancelled."""
        fed_ns, every_ns = 0, (self._manager.watchdog_s / FEEDS_PER_WATCHDOG - LOOK_EVERY_S) * 1e9
        while True:
            now_ns = self._clock.monotonic_ns()
            if self._manager.watchdog_s and now_ns - fed_ns >= every_ns:
                self._owed["WATCHDOG"] = "1"
                fed_ns = now_ns
            self._note("READY", "1" if self._notices.has_begun() else "")
            self._note("STOPPING", "1" if self._notices.is_ending() else "")
            self._note("STATUS", " ".join(self._notices.status().split()))
            self._say_owed()
            await self._clock.sleep(LOOK_EVERY_S)

    def say_end(self) -> None:
        """That the service ends, unless that was said."""
        self._note("STOPPING", "1")
        self._say_owed()

    def _note(self, name: str, value: str) -> None:
        if value and value != self._said[name]:
            self._said[name] = self._owed[name] = value

    def _say_owed(self) -> None:
        if not self._owed:
            return
        try:
            self._manager.send(self._sender, *(f"{name}={value}" for name, value in self._owed.items()))
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                log.warning("systemd.not_told", socket=self._manager.address, error=str(error))
        else:
            self._owed.clear()
