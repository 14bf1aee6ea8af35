"""Timed HTTP: one request, its answer, and where every nanosecond of it went.

Seven phases per exchange (`probes.records.Phases`) that add up to the total exactly; a fresh connection per request unless
`reuse` is asked for; bodies streamed from disk; redirects as exchanges of their own. HTTP/1.1 only, no proxy, no cookie jar, no
compression asked for, no racing of addresses, no retries: what it does is what is timed. A target that misbehaves is a
`Failure` in the `HttpResponse`, never an exception. How the times are made true: `docs/explanation/timing.md`.

Called by `probes.journey`, `bench`; `HttpEngine` once per process, `HttpClient` once per run.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

from probes.errors import BugError
from probes.http_answer import AnswerReader
from probes.http_body import (
    Body,
    BodyPlan,
    BodyUnreadableError,
    BytesBody,
    FileBody,
    FormField,
    FormFile,
    MultipartBody,
    open_body,
)
from probes.http_connect import Connection, Connector
from probes.http_deadline import Deadline, DeadlinePassed, Places
from probes.http_exchange import ExchangeOnLine
from probes.http_failures import OR_DEAD_ZONE, ExchangeFailed
from probes.http_message import Headers, Url, merge_headers, parse_url, render_head
from probes.http_phases import Phase, PhaseLedger
from probes.http_redirect import Hop, next_hop
from probes.http_resolver import Resolver
from probes.http_stamps import StampKeeper
from probes.http_watch import Watch
from probes.records import Exchange, Failure, FailureKind
from probes.tls import TlsContexts, TlsSettings

__all__ = [
    "Body",
    "BytesBody",
    "FileBody",
    "FormField",
    "FormFile",
    "Headers",
    "HttpClient",
    "HttpEngine",
    "HttpResponse",
    "MultipartBody",
    "TlsSettings",
]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_DEFAULT_HEADERS: Mapping[str, str] = MappingProxyType(
    {"user-agent": "probe-fleet/0.1", "accept": "*/*", "accept-encoding": "identity"}
)
_DEFAULT_TLS = TlsSettings()
_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_IN_FLIGHT = 50
_SHOWN_CHARACTERS = 80
# Safe to repeat when a kept connection turns out to be gone. Source: RFC 9110, 9.2.2.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


def _identity(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came of one request: an exchange per hop, and the last answer.

    `status` is 0 when there was no answer. `failure` is about the transport only (dns, connect, tls, timeout, internal), plus
    `assertion` for an answer larger than the caller accepts and `status` for redirects that do not end; judging a status is
    the caller's.
    """

    exchanges: tuple[Exchange, ...]
    status: int
    headers: Headers
    body: bytes
    url: str
    failure: Failure | None

    def json(self) -> object:
        """The body as JSON; raises ValueError with a message that shows how it starts."""
        try:
            parsed: object = json.loads(self.body)
        except ValueError as error:
            start = self.body[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
            msg = f"the answer (status {self.status}, {len(self.body)} bytes) is not JSON: {error}; it starts with {start!r}"
            raise ValueError(msg) from error
        return parsed


class HttpEngine:
    """What all runs of a process share: TLS contexts, the resolver, the bound on what runs at once.

    An async context manager. `max_in_flight` requests have a connection at a time; waiting for a place is `queue`.
    """

    def __init__(self, *, max_in_flight: int = _MAX_IN_FLIGHT, resolver: Resolver | None = None) -> None:
        if max_in_flight < 1:
            raise BugError("max_in_flight must be at least 1", where="HttpEngine")
        self.places = Places(max_in_flight)
        self.contexts = TlsContexts()
        self.connector = Connector(resolver or Resolver(), self.contexts)
        self.excess_ns = 0
        self._keeper: StampKeeper | None = None
        self._watch: Watch | None = None

    @property
    def watch(self) -> Watch:
        """The sockets of this engine; raises BugError before the engine is entered."""
        if self._watch is None:
            raise BugError("the engine is not open: use `async with HttpEngine() as engine`", where="HttpEngine")
        return self._watch

    async def __aenter__(self) -> Self:
        self._watch = Watch()
        self._keeper = StampKeeper()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self.connector.close()

    def client(
        self,
        *,
        origin_ns: int,
        headers: Mapping[str, str] = _NO_HEADERS,
        tls: TlsSettings = _DEFAULT_TLS,
        reuse: bool = False,
        mask: Callable[[str], str] = _identity,
    ) -> HttpClient:
        """A client for one run that began at `origin_ns` (monotonic).

        `headers` go with every request; `mask` hides secrets in what is recorded.
        """
        return HttpClient(self, origin_ns=origin_ns, headers=headers, tls=tls, reuse=reuse, mask=mask)


@dataclass(slots=True)
class _Attempt:
    """One hop while it happens: what is known so far for its record."""

    ledger: PhaseLedger
    connection: Connection | None = None
    exchange: ExchangeOnLine | None = None
    reader: AnswerReader | None = None


class HttpClient:
    """The requests of one run. An async context manager; closes its connections at the end.

    `excess_ns` is how far the phases of the run's worst exchange may be off because the kernel could not say; `unstamped`
    counts exchanges in which an arrival or a connect had to be timed in user space. `in_vain` has a sentence for each address
    that was tried before one that answered: the time of that is in `connect`, and nothing else in a record tells why.
    """

    def __init__(
        self,
        engine: HttpEngine,
        *,
        origin_ns: int,
        headers: Mapping[str, str],
        tls: TlsSettings,
        reuse: bool,
        mask: Callable[[str], str],
    ) -> None:
        self._engine = engine
        self._origin_ns = origin_ns
        self._headers = merge_headers(_DEFAULT_HEADERS, headers)
        self._tls = tls
        self._reuse = reuse
        self._mask = mask
        self._kept: dict[tuple[str, str, int], list[Connection]] = {}
        self._closed = False
        self.excess_ns = 0
        self.unstamped = 0
        self.in_vain: dict[str, None] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for connections in self._kept.values():
            for connection in connections:
                connection.close()
        self._kept.clear()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: Body | None = None,
        deadline_s: float,
        follow_redirects: int = 0,
        max_body_bytes: int = _MAX_BODY_BYTES,
        on_sent: Callable[[int, int], None] | None = None,
    ) -> HttpResponse:
        """Sends one request and follows up to `follow_redirects` redirects, all within `deadline_s`.

        `on_sent(sent, total)` is called as the kernel takes the body. Raises OperatorError for a request that cannot be
        written (a line break in a header, a relative URL) and CancelledError; what the target does is in the answer.
        """
        if self._closed:
            raise BugError("a request on a client that is closed", where="HttpClient.request")
        hop = Hop(method.upper(), parse_url(url), merge_headers(self._headers, headers), body)
        exchanges: list[Exchange] = []
        deadline = Deadline(asyncio.get_running_loop(), deadline_s)
        try:
            while True:
                exchange, reader = await self._hop(hop, deadline, deadline_s, max_body_bytes, on_sent)
                exchanges.append(exchange)
                failure = exchange.failure
                following = None
                if failure is None and reader is not None and follow_redirects:
                    following, failure = next_hop(hop, reader.status, reader.headers, follow_redirects - len(exchanges))
                if following is None:
                    return self._response(exchanges, hop.url, reader, failure)
                hop = following
        finally:
            deadline.close()

    def _response(
        self, exchanges: list[Exchange], url: Url, reader: AnswerReader | None, failure: Failure | None
    ) -> HttpResponse:
        if failure is not None:
            failure = Failure(failure.kind, self._mask(failure.message), failure.error_type)
        if reader is None:
            return HttpResponse(tuple(exchanges), 0, Headers(), b"", url.text, failure)
        body = bytes(reader.body)
        return HttpResponse(tuple(exchanges), reader.status, reader.headers, body, url.text, failure)

    async def _hop(
        self,
        hop: Hop,
        deadline: Deadline,
        deadline_s: float,
        max_body_bytes: int,
        on_sent: Callable[[int, int], None] | None,
    ) -> tuple[Exchange, AnswerReader | None]:
        """One exchange: takes a place, opens the body and a connection, sends and receives, writes the record."""
        self._engine.watch.look()
        attempt = _Attempt(PhaseLedger(time.monotonic_ns()))
        failure: Failure | None = None
        placed = False
        try:
            await self._engine.places.take(deadline)
            placed = True
            with ExitStack() as stack:
                plan = stack.enter_context(open_body(hop.body)) if hop.body is not None else None
                await self._attempt(hop, plan, deadline, max_body_bytes, on_sent, attempt)
        except ExchangeFailed as failed:
            failure = failed.failure
        except BodyUnreadableError as error:
            failure = Failure(FailureKind.INTERNAL, str(error), "body_unreadable")
        except DeadlinePassed:
            failure = _timeout(attempt.ledger, deadline_s)
        finally:
            if placed:
                self._engine.places.give_back()
            self._put_away(attempt, hop.url, whole=failure is None)
        attempt.ledger.charge(Phase.QUEUE, time.monotonic_ns())
        return self._record(hop, attempt, failure), attempt.reader

    async def _attempt(
        self,
        hop: Hop,
        plan: BodyPlan | None,
        deadline: Deadline,
        max_body_bytes: int,
        on_sent: Callable[[int, int], None] | None,
        attempt: _Attempt,
    ) -> None:
        head = _head(hop, plan, keep=self._reuse)
        segments, body_bytes = (plan.segments, plan.body_bytes) if plan is not None else ((), 0)
        while True:
            connection = self._kept_connection(hop.url)
            if connection is None:
                watch = self._engine.watch
                connection = await self._engine.connector.open(watch, hop.url, self._tls, deadline, attempt.ledger)
            attempt.connection = connection
            attempt.reader = AnswerReader(hop.method, max_body_bytes)
            attempt.exchange = ExchangeOnLine(
                connection.line, connection.secure, attempt.reader, attempt.ledger, deadline, on_sent
            )
            try:
                await attempt.exchange.run(head, segments, body_bytes)
            except ExchangeFailed:
                if not connection.reused or attempt.reader.received_bytes or hop.method not in _IDEMPOTENT:
                    raise
                # The kept connection was gone: that was our risk, so the time of it is ours.
                connection.close()
                attempt.ledger.restart_as_queue()
                continue
            return

    def _kept_connection(self, url: Url) -> Connection | None:
        kept = self._kept.get(url.origin)
        while kept:
            connection = kept.pop()
            if connection.line.is_quiet():
                connection.reused = True
                connection.line.resume()
                return connection
            connection.close()
        return None

    def _put_away(self, attempt: _Attempt, url: Url, *, whole: bool) -> None:
        connection = attempt.connection
        if connection is None:
            return
        exchange, reader = attempt.exchange, attempt.reader
        fit = whole and exchange is not None and exchange.is_whole and reader is not None and reader.keep_alive
        if fit and self._reuse and not self._closed:
            connection.line.rest()
            self._kept.setdefault(url.origin, []).append(connection)
        else:
            connection.close()

    def _record(self, hop: Hop, attempt: _Attempt, failure: Failure | None) -> Exchange:
        ledger, connection, exchange, reader = attempt.ledger, attempt.connection, attempt.exchange, attempt.reader
        self.excess_ns = max(self.excess_ns, ledger.doubt_ns)
        self._engine.excess_ns = max(self._engine.excess_ns, ledger.doubt_ns)
        self.unstamped += not ledger.stamped
        if connection is not None and not connection.reused:
            self.in_vain.update(dict.fromkeys(map(self._mask, connection.in_vain)))
        if failure is not None:
            failure = Failure(failure.kind, self._mask(failure.message), failure.error_type)
        return Exchange(
            method=hop.method,
            url=self._mask(hop.url.text),
            started_ns=ledger.started_ns - self._origin_ns,
            phases=ledger.phases(),
            status=reader.status if reader is not None else 0,
            request_bytes=exchange.sent_bytes if exchange is not None else 0,
            response_bytes=reader.received_bytes if reader is not None else 0,
            server_address=connection.line.address.host if connection is not None else hop.url.host,
            server_port=hop.url.port,
            reused=connection is not None and connection.reused,
            tls_version=connection.tls_version if connection is not None else "",
            certificate_expires_at=connection.certificate_expires_at if connection is not None else None,
            upload=exchange.flow() if exchange is not None else None,
            failure=failure,
        )


def _head(hop: Hop, plan: BodyPlan | None, *, keep: bool) -> bytes:
    headers = hop.headers
    if plan is not None and plan.content_type:
        # A form's type carries its boundary, so it wins over what the caller said.
        form = isinstance(hop.body, MultipartBody)
        headers = {
            **headers,
            "content-type": plan.content_type if form else headers.get("content-type", plan.content_type),
        }
    body_bytes = plan.body_bytes if plan is not None else 0 if hop.method in ("POST", "PUT", "PATCH") else None
    return render_head(hop.method, hop.url, headers, body_bytes=body_bytes, keep=keep)


def _timeout(ledger: PhaseLedger, deadline_s: float) -> Failure:
    ledger.charge(ledger.phase, time.monotonic_ns())
    name = ledger.phase.name.lower()
    if ledger.phase is Phase.QUEUE:
        msg = f"this probe was too busy: the deadline of {deadline_s:g} s passed before the request could start"
        return Failure(FailureKind.INTERNAL, msg, "no_place")
    if ledger.phase is Phase.DNS:
        # As EAI_AGAIN, which the system's resolver says only after ten seconds and more.
        msg = f"the resolver of this host did not answer within {deadline_s:g} s ({OR_DEAD_ZONE})"
        return Failure(FailureKind.INTERNAL, msg, "no_lookup")
    msg = f"no whole answer within {deadline_s:g} s: the deadline passed in the phase `{name}` ({ledger.describe()})"
    return Failure(FailureKind.TIMEOUT, msg, "timeout")
