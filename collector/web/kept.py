"""Answers to heavy questions, kept for some seconds, the same for everybody who asks.

Works for nobody: it asks again when somebody comes and what it has is old, hands out the old answer meanwhile, and rests at
least ten times as long as the work took. Whoever comes first may wait for a while and is then told that there is none yet.
What was asked for least lately is forgotten. Called by the modules of pages.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

from aiohttp import web

from collector.store import Store
from collector.web.apart import Apart, BusyError
from probes.clock import Clock

__all__ = ["Kept", "Measured", "NotYetError", "keep", "measured"]

Answer = TypeVar("Answer")
Given = ParamSpec("Given")

LEAST_AGE_S: Final = 5.0
REST: Final = 10
SOON_S: Final = 0.4
_S: Final = 1_000_000_000


class NotYetError(Exception):
    """It is being worked out; ask again in a moment."""


@dataclass(frozen=True, slots=True)
class Measured(Generic[Answer]):
    """An answer, and the CPU time that it took."""

    answer: Answer
    cost_s: float


async def measured(
    store: Store,
    question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
    /,
    *arguments: Given.args,
    **named: Given.kwargs,
) -> Measured[Answer]:
    """The answer to a question with what it cost."""
    began_s = time.process_time()
    answer = await question(store, *arguments, **named)
    return Measured(answer, time.process_time() - began_s)


@dataclass(slots=True)
class _Place(Generic[Answer]):
    found: Measured[Answer] | None = None
    made_ns: int = 0
    task: asyncio.Task[Measured[Answer]] | None = None


class Kept(Generic[Answer]):
    """The answers to one kind of question, by key."""

    def __init__(self, apart: Apart, clock: Clock, *, most: int = 8, least_age_s: float = LEAST_AGE_S) -> None:
        self._apart = apart
        self._clock = clock
        self._most = most
        self._least_age_ns = int(least_age_s * _S)
        self._places: OrderedDict[Hashable, _Place[Answer]] = OrderedDict()
        self.asked = 0

    async def get(
        self,
        key: Hashable,
        question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """The answer, some seconds old at most times. Raises what the question raises, and StoreError."""
        task = self._begin(key, question, *arguments, **named)
        if not isinstance(task, asyncio.Task):
            return task
        await asyncio.wait({task})
        found: Answer = _answer_of(task)
        return found

    async def get_soon(
        self,
        key: Hashable,
        question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """The same for a page: NotYetError when the first answer takes longer than a person notices.

        What is worked out in place is waited for: it holds up this very loop, and nobody gets anything sooner by leaving.
        """
        task = self._begin(key, question, *arguments, **named)
        if not isinstance(task, asyncio.Task):
            return task
        await asyncio.wait({task}, timeout=None if self._apart.is_in_place else SOON_S)
        if not task.done():
            raise NotYetError
        found: Answer = _answer_of(task)
        return found

    def _begin(
        self,
        key: Hashable,
        question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer | asyncio.Task[Measured[Answer]]:
        """What is known, else who works it out."""
        place = self._place(key)
        if place.task is None and self._is_old(place):
            self.asked += 1
            place.task = asyncio.create_task(self._ask(place, question, *arguments, **named), name="question")
            place.task.add_done_callback(_seen)
        if place.found is not None:
            return place.found.answer
        assert place.task is not None  # noqa: S101 - without an answer it was just asked
        return place.task

    def _place(self, key: Hashable) -> _Place[Answer]:
        place = self._places.setdefault(key, _Place())
        self._places.move_to_end(key)
        while len(self._places) > self._most:
            _, forgotten = self._places.popitem(last=False)
            if forgotten.task is not None:
                forgotten.task.cancel()
        return place

    def _is_old(self, place: _Place[Answer]) -> bool:
        if place.found is None:
            return True
        rest_ns = max(self._least_age_ns, int(REST * place.found.cost_s * _S))
        return self._clock.monotonic_ns() - place.made_ns >= rest_ns

    async def _ask(
        self,
        place: _Place[Answer],
        question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Measured[Answer]:
        try:
            found: Measured[Answer] = await self._apart.ask(measured, question, *arguments, **named)
            place.found, place.made_ns = found, self._clock.monotonic_ns()
            return found
        finally:
            place.task = None

    async def stop(self) -> None:
        """End what is being worked out."""
        tasks = [place.task for place in self._places.values() if place.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _answer_of(task: asyncio.Task[Measured[Answer]]) -> Answer:
    """What was worked out. Whoever waits is not to be ended with it when too many others ask at once."""
    if task.cancelled():
        raise BusyError("too many other questions came first", where="pages")
    return task.result().answer


def _seen(task: asyncio.Task[Measured[Answer]]) -> None:
    """Whoever waits gets the error; where nobody does, the next one asks again."""
    if not task.cancelled():
        task.exception()


def keep(application: web.Application, kept: Kept[Answer]) -> Kept[Answer]:
    """Have it end with the application."""

    async def stop(_application: web.Application) -> None:
        await kept.stop()

    application.on_shutdown.append(stop)
    return kept
