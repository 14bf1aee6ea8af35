"""One deadline for a whole request, and places for what may run at once; both without a task of their own.

`asyncio.timeout` cancels the task and costs a re-arm per use; here one timer per request fails the future that is being
waited for. Called by `probes.http*`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar

__all__ = ["Deadline", "DeadlinePassed", "Places"]

T = TypeVar("T")


class DeadlinePassed(Exception):  # noqa: N818 - a signal inside the client, never seen by its callers
    """The deadline passed while something was waited for."""


class Deadline:
    """An instant on the loop's clock after which every `wait` fails. `close` must be called when the request is over."""

    __slots__ = ("_loop", "_timer", "_waiting", "at_s", "passed")

    def __init__(self, loop: asyncio.AbstractEventLoop, after_s: float) -> None:
        self._loop = loop
        self.at_s = loop.time() + after_s
        self.passed = False
        self._waiting: asyncio.Future[object] | None = None
        self._timer = loop.call_at(self.at_s, self._pass)

    async def wait(self, future: asyncio.Future[T]) -> T:
        """The future's result; DeadlinePassed when it does not come in time."""
        if self.passed and not future.done():
            raise DeadlinePassed
        self._waiting = future  # type: ignore[assignment]  # only ever failed, never given a result
        try:
            return await future
        finally:
            self._waiting = None

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - self._loop.time())

    def part(self, share: float) -> Deadline:
        """A deadline of its own after that share of what is left."""
        return Deadline(self._loop, self.remaining_s() * share)

    def close(self) -> None:
        """Stops the timer."""
        self._timer.cancel()

    def _pass(self) -> None:
        self.passed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(DeadlinePassed())


class Places:
    """A bound on what runs at once; first come, first served."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def take(self, deadline: Deadline) -> None:
        """Returns when a place is ours; `give_back` must follow."""
        if self.taken < self.count and not self._queue:
            self.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await deadline.wait(turn)
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hands the place to the next in line, or frees it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1
