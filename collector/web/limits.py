"""How much anybody may ask for: requests of one peer, requests at once; what is over is refused at once and cheaply.

A peer has a bucket of tokens that fills again with time; giving passwords has a smaller one. Refuses to queue: who waits holds
memory. Only the newest peers are remembered, so that many addresses cannot fill it either. Called by `collector.web.server`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from probes.clock import Clock

__all__ = ["LIMITS", "Budget", "Limits", "peer_of"]

_S: Final = 1_000_000_000
MOST_PEERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Budget:
    """So many at once, and so many more each second."""

    burst: int
    per_s: float


PAGES: Final = Budget(burst=300, per_s=50.0)
"""A page with all it fetches is a dozen requests; a person who turns pages quickly stays below."""
PASSWORDS: Final = Budget(burst=10, per_s=0.1)
AT_ONCE: Final = 64
"""Requests that are being answered, live viewers aside."""


class Limits:
    """The buckets of all peers and the count of requests in hand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._in_hand = 0
        self.refused = 0

    def wait_s(self, peer: str, kind: str, budget: Budget) -> float:
        """0 when the peer may go on, and that is counted; else in how many seconds it may."""
        now_ns = self._clock.monotonic_ns()
        left, since_ns = self._buckets.pop((kind, peer), (float(budget.burst), now_ns))
        left = min(budget.burst, left + (now_ns - since_ns) / _S * budget.per_s)
        is_let = left >= 1
        self._buckets[kind, peer] = (left - 1 if is_let else left, now_ns)
        while len(self._buckets) > MOST_PEERS:
            self._buckets.popitem(last=False)
        if is_let:
            return 0.0
        self.refused += 1
        return (1 - left) / budget.per_s

    @contextmanager
    def place(self) -> Iterator[bool]:
        """A place among the requests in hand; False when all are taken."""
        if self._in_hand >= AT_ONCE:
            self.refused += 1
            yield False
            return
        self._in_hand += 1
        try:
            yield True
        finally:
            self._in_hand -= 1


LIMITS: Final = web.AppKey("limits", Limits)


def peer_of(request: web.Request) -> str:
    """The address of whoever is connected; a proxy counts as one peer."""
    return request.remote or "unknown"
