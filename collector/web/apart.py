"""Heavy questions in a process of their own, one at a time, so that a scorecard of a month never holds up the ingest.

The process is started when first needed, opens the store again for each question, and ends with us however we end. A
question that takes too long, or whose asker is gone, ends the process; the next one starts another. Refuses to queue without
bound: more askers than a few are told to come back. Called by the caches of the pages; in tests questions may be answered in
place.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog
from aiohttp import web

from collector.store import Store, StoreError, open_store

__all__ = ["APART", "Apart", "BusyError"]

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
Given = ParamSpec("Given")

DEADLINE_S: Final = 120.0
MOST_WAITING: Final = 16
LOOK_EVERY_S: Final = 2.0
NICE: Final = 5


class BusyError(StoreError):
    """Too many questions are waiting already."""


class Apart:
    """Answers `async` functions of a store that are at the top of a module, with arguments and answers that can be pickled.

    `in_place` has them answered by the store at hand, in this very loop.
    """

    def __init__(self, store: Store, database: str, *, in_place: bool = False) -> None:
        self._store = store
        self._database = database
        self._in_place = in_place
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether questions are answered in the asker's own loop."""
        return self._in_place

    async def ask(
        self,
        question: Callable[Concatenate[Store, Given], Awaitable[Answer]],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """The answer. Raises StoreError when the store, or the process, cannot answer now; ValueError as the question does."""
        if self._in_place:
            return await question(self._store, *arguments, **named)
        if self._waiting >= MOST_WAITING:
            raise BusyError("too many questions are waiting", where="pages")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(question, arguments, named)
        finally:
            self._waiting -= 1

    async def _ask(
        self, question: Callable[..., Awaitable[Answer]], arguments: tuple[object, ...], named: dict[str, object]
    ) -> Answer:
        try:
            async with asyncio.timeout(DEADLINE_S):
                is_answer, answer = await asyncio.to_thread(self._converse, (question, arguments, named))
        except (TimeoutError, EOFError, OSError) as error:
            self.stop()
            raise StoreError(
                f"the figures could not be worked out: {str(error) or 'it took too long'}", where="pages"
            ) from error
        except BaseException:
            self.stop()
            raise
        if is_answer:
            found: Answer = answer
            return found
        name, text = answer
        if name == ValueError.__name__:
            raise ValueError(text)
        log.error("pages.question_failed", question=question.__qualname__, error=name, text=text)
        raise StoreError(f"the figures could not be worked out: {text}", where="pages")

    def _converse(self, asked: object) -> tuple[bool, Any]:
        if self._process is None or self._pipe is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None  # noqa: S101 - just started
        self._pipe.send(asked)
        answer: tuple[bool, Any] = self._pipe.recv()
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=answer_questions, args=(theirs, self._database, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        self._process = process

    def stop(self) -> None:
        """End the process, whatever it does; a thread that waits for its answer gets none."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is not None:
            process.kill()
            process.join(timeout=5)
        if pipe is not None:
            pipe.close()


APART: Final = web.AppKey("apart", Apart)


def answer_questions(pipe: Connection, database: str, parent: int) -> None:
    """The life of the process: a question, its answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the collector, which ends us
    os.nice(NICE)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            question, arguments, named = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, asyncio.run(_with_store(database, question, arguments, named)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the asker is told and logs it
            answer = (False, (type(error).__name__, str(error)))
        pipe.send(answer)


async def _with_store(
    database: str, question: Callable[..., Awaitable[object]], arguments: tuple[object, ...], named: dict[str, object]
) -> object:
    async with open_store(database) as store:
        return await question(store, *arguments, **named)


def end_with(parent: int) -> None:
    """End when the parent is gone."""
    while os.getppid() == parent:
        threading.Event().wait(LOOK_EVERY_S)
    os._exit(0)
