"""The control target: an address that always answers, asked in the same slot as the platform.

When it does not answer either, what failed is our side (this host, its network), not the platform. It is asked beside each
run, whatever the run finds, because a gate that looked at the outcome would only ever excuse failures. Runs that start within
a second share one request. Slower than the deadline counts as no answer.

Refuses to judge. Opened by a lane of the worker when the settings name a control target.
"""

from __future__ import annotations

import asyncio

from probes.clock import Clock
from probes.errors import FleetError
from probes.http import HttpEngine

__all__ = ["ControlTarget"]

FRESH_NS = 1_000_000_000
OK_BELOW = 400
MAX_BODY_BYTES = 65_536


class ControlTarget:
    """Asks `url` with GET; an answer below 400 within `deadline_s` seconds is a good one."""

    def __init__(self, url: str, *, engine: HttpEngine, clock: Clock, deadline_s: float = 2.0) -> None:
        self.url = url
        self._engine = engine
        self._clock = clock
        self._deadline_s = deadline_s
        self._asked_ns = -FRESH_NS
        self._answer: asyncio.Task[str] | None = None

    def ask(self) -> asyncio.Future[str]:
        """The answer that this moment gets: empty when it is good, else the reason against this host. Safe to cancel."""
        now_ns = self._clock.monotonic_ns()
        if self._answer is None or now_ns - self._asked_ns >= FRESH_NS:
            self._asked_ns = now_ns
            self._answer = asyncio.create_task(self._request(now_ns), name="control target")
        return asyncio.shield(self._answer)

    async def close(self) -> None:
        """Leave nothing running."""
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.wait({self._answer})

    async def _request(self, now_ns: int) -> str:
        try:
            async with self._engine.client(origin_ns=now_ns) as client:
                response = await client.request(
                    "GET", self.url, deadline_s=self._deadline_s, max_body_bytes=MAX_BODY_BYTES
                )
        except FleetError as error:
            return f"the control target could not be asked: {error}"
        if response.failure is not None:
            return f"the control target did not answer: {response.failure.message}"
        if response.status >= OK_BELOW:
            return f"the control target answered {response.status}"
        return ""
