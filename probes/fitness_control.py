"""The control target: an address that always answers, asked in the same slot as the platform.

When it does not answer either, what failed is our side (this host, its network), not the platform. It is asked beside each
run and after it, whatever the run finds, because a gate that looked at the outcome would only ever excuse failures; before alone
would charge the platform with a network that goes down in the middle. Runs that start within a second share one request. Slower
than the deadline counts as no answer.

Opened by a lane of the worker, and for runs on demand, when the settings name a control target. In the worker it makes a minute
unfit (`probes.worker_maker`); on demand, where nobody counts minutes, it speaks against the run that it was asked beside.
"""

from __future__ import annotations

import asyncio

from probes.clock import Clock
from probes.errors import FleetError
from probes.fitness_minutes import tainted
from probes.http import HttpEngine
from probes.records import Run

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
        self._open: set[asyncio.Task[str]] = set()

    def ask(self) -> asyncio.Future[str]:
        """The answer that about this moment gets: empty when it is good, else the reason against this host. Safe to cancel."""
        return self._answer_since(self._clock.monotonic_ns() - FRESH_NS + 1)

    def ask_again(self) -> asyncio.Future[str]:
        """The same, but never an answer to a question that was asked before this moment."""
        return self._answer_since(self._clock.monotonic_ns())

    async def judged(self, run: Run, answer: asyncio.Future[str]) -> Run:
        """The run as it counts: inconclusive when there was no good `answer` beside it, or there is none now that it is over.

        A run that was stopped does not wait for that. Cancelled, it gives the run back as it is: the task stays marked as
        cancelled.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            answer.cancel()
            return run
        try:
            return tainted(run, [reason for reason in (await answer, await self.ask_again()) if reason])
        except asyncio.CancelledError:
            return run

    async def close(self) -> None:
        """Leave nothing running."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _answer_since(self, since_ns: int) -> asyncio.Future[str]:
        if self._answer is None or self._asked_ns < since_ns:
            self._asked_ns = self._clock.monotonic_ns()
            self._answer = asyncio.create_task(self._request(self._asked_ns), name="control target")
            self._open.add(self._answer)
            self._answer.add_done_callback(self._open.discard)
        return asyncio.shield(self._answer)

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
