"""Connections ready for a request: name looked up, address connected, TLS shaken. Called by `probes.http`.

Addresses are tried one after the other in the resolver's order, each with an even share of the time that is left; all of it is
`connect`, but for what this host itself could not do. Nothing is raced: two connections at once would be a time that no phase
could own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from probes.http_deadline import Deadline, DeadlinePassed
from probes.http_failures import ExchangeFailed, connect_failure, lookup_failure
from probes.http_line import Line, open_line
from probes.http_message import Url
from probes.http_phases import Phase, PhaseLedger
from probes.http_resolver import Address, Resolver, literal_address
from probes.http_secure import Secure
from probes.http_watch import Watch
from probes.records import Failure, FailureKind
from probes.tls import TlsContexts, TlsSettings

__all__ = ["Connection", "Connector"]


@dataclass(slots=True)
class Connection:
    """An open connection and what is known about its other end. `in_vain`: what was wrong with the addresses before this one."""

    line: Line
    secure: Secure | None = None
    in_vain: tuple[str, ...] = ()
    reused: bool = False
    tls_version: str = ""
    certificate_expires_at: datetime | None = None

    def close(self) -> None:
        """Closes the socket; no TLS farewell, since an answer that was read whole needs none."""
        self.line.close()


class Connector:
    """Opens connections."""

    def __init__(self, resolver: Resolver, contexts: TlsContexts) -> None:
        self._resolver = resolver
        self._contexts = contexts

    def close(self) -> None:
        """Lets the resolver's threads end."""
        self._resolver.close()

    async def open(
        self, watch: Watch, url: Url, tls: TlsSettings, deadline: Deadline, ledger: PhaseLedger
    ) -> Connection:
        """A fresh connection, its time booked.

        Raises ExchangeFailed or DeadlinePassed for the target, OperatorError or DependencyError for bad TLS settings.
        """
        context = self._contexts.get(tls) if url.scheme == "https" else None
        addresses = await self._addresses(url, deadline, ledger)
        line, in_vain = await _connect_any(watch, addresses, url, deadline, ledger)
        if context is None:
            return Connection(line, in_vain=in_vain)
        try:
            secure = Secure(line, context, url.host)
            await secure.handshake(ledger, deadline)
            return Connection(
                line,
                secure,
                in_vain,
                tls_version=secure.tls.version() or "",
                certificate_expires_at=self._contexts.expires_at(secure.tls),
            )
        except BaseException:
            line.close()
            raise

    async def _addresses(self, url: Url, deadline: Deadline, ledger: PhaseLedger) -> tuple[Address, ...]:
        literal = literal_address(url.host, url.port)
        if literal is not None:
            return (literal,)
        ledger.enter(Phase.DNS, time.monotonic_ns())
        found = await deadline.wait(self._resolver.ask(url.host, url.port))
        ledger.charge(Phase.QUEUE, found.started_ns)
        ledger.charge(Phase.DNS, found.ended_ns)
        ledger.enter(Phase.QUEUE, time.monotonic_ns())
        if found.error is not None:
            raise ExchangeFailed(lookup_failure(found.error, url.host)) from found.error
        if not found.addresses:
            raise ExchangeFailed(Failure(FailureKind.DNS, f"the name {url.host!r} has no address", "EAI_NODATA"))
        return found.addresses


async def _connect_any(
    watch: Watch, addresses: tuple[Address, ...], url: Url, deadline: Deadline, ledger: PhaseLedger
) -> tuple[Line, tuple[str, ...]]:
    """The first address that takes us, and what was wrong with those before it."""
    failures: list[Failure] = []
    for index, address in enumerate(addresses):
        left = len(addresses) - index
        share = deadline.part(1 / left) if left > 1 else deadline
        before_ns = ledger.spent_ns(Phase.CONNECT)
        try:
            return await open_line(watch, address, share, ledger), tuple(one.message for one in failures)
        except OSError as error:
            failures.append(connect_failure(error, url.host, address.host, url.port))
            if failures[-1].kind.is_ours:
                ledger.rebook(Phase.CONNECT, before_ns)
        except DeadlinePassed:
            if share is deadline and not failures:
                raise
            ledger.charge(Phase.CONNECT, time.monotonic_ns())
            msg = f"cannot connect to {url.host}:{url.port} ({address.host}): no answer"
            failures.append(Failure(FailureKind.TIMEOUT, msg, "timeout"))
        finally:
            if share is not deadline:
                share.close()
    # A failure of the target outweighs one of ours, and the first one is what a customer's browser would have met.
    first = next((f for f in failures if not f.kind.is_ours), failures[0])
    raise ExchangeFailed(Failure(first.kind, "; ".join(f.message for f in failures), first.error_type))
