"""What a run said and heard over HTTP, kept in memory within bounds and written as evidence when all clocks have stopped.

Refuses to hold more than a few MiB a run: of each answer the beginning, of very many exchanges the latest. Filled by
`probes.journey`, written by `probes.execute`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime

from probes.evidence import EvidenceSink
from probes.evidence_har import HarExchange, render_har
from probes.http import HttpResponse

__all__ = ["Traffic"]

MAX_EXCHANGES = 200
MAX_BODY_BYTES = 64 * 1024
MAX_TOTAL_BYTES = 4 * 1024 * 1024


class Traffic:
    """The exchanges of one run with the heads and the beginnings of their answers, the latest 200."""

    __slots__ = ("_held_bytes", "_kept", "_last")

    def __init__(self) -> None:
        self._kept: deque[HarExchange] = deque()
        self._held_bytes = 0
        self._last: HttpResponse | None = None

    def note(self, response: HttpResponse, request_headers: Mapping[str, str], *, keep_body: bool = True) -> None:
        """Remember an answer, which may have taken several hops; only the last has a body, unless it must not be kept."""
        sent = tuple(request_headers.items())
        *hops, last = response.exchanges
        for hop in hops:
            self._push(HarExchange(hop, request_headers=sent))
        body = response.body[:MAX_BODY_BYTES] if keep_body else b""
        self._push(HarExchange(last, tuple(response.headers.items()), body, sent))
        self._last = response if keep_body else None

    def write(self, sink: EvidenceSink, *, started_at: datetime) -> None:
        """Keep a HAR of it, and the last answer's body by itself; blocks on the disk."""
        if not self._kept:
            return
        sink.add("har", "http.har", render_har(self._kept, started_at=started_at))
        if self._last is not None and self._last.body:
            sink.add("body", f"last-answer-{self._last.status}.txt", self._last.body[:MAX_TOTAL_BYTES])

    def _push(self, exchange: HarExchange) -> None:
        self._kept.append(exchange)
        self._held_bytes += len(exchange.response_body)
        while len(self._kept) > MAX_EXCHANGES or self._held_bytes > MAX_TOTAL_BYTES:
            self._held_bytes -= len(self._kept.popleft().response_body)
