"""Passes stored runs on, a batch at a time, in a thread of its own, so that a receiver costs the ingest nothing.

A batch that fails is tried again, more and more slowly, until it is old; what arrives meanwhile waits in a bounded queue.
The thread is a daemon: a receiver that never answers keeps no process alive. However much there is to pass on, at most a
tenth of a core goes into it. Refuses to know formats (each export does) and to raise: an export that fails is counted and
said in the log. Called by the wiring as a companion of the collector.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Protocol

import structlog

from collector.exports.feed import RunQueue, StoredRun
from probes.clock import Clock

__all__ = ["Delivered", "DeliveryError", "Export", "ExportState", "Pump", "retry_after_s"]

log = structlog.get_logger(__name__)

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
GIVE_UP_AFTER_S: Final = 900.0
STUCK_AFTER_S: Final = 60.0
MOST_CPU_SHARE: Final = 0.1
MOST_REST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many runs of a batch a receiver has, and how many say nothing to it."""

    sent: int = 0
    skipped: int = 0


class DeliveryError(Exception):
    """A batch could not be passed on. `is_lasting`: trying again would end the same way.

    `done` are the runs at the front of the batch that the receiver has, or that said nothing to it; `retry_after_s` is what
    it asked for.
    """

    def __init__(
        self, what: str, *, is_lasting: bool = False, done: Delivered | None = None, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(what)
        self.is_lasting = is_lasting
        self.done = done or Delivered()
        self.retry_after_s = retry_after_s


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How long a receiver asks to be left alone, in seconds; 0 where it does not say, or says a date."""
    text = headers.get("Retry-After") or ""
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


class Export(Protocol):
    """A way out. `deliver` is called in a thread, one call at a time."""

    name: str
    most_runs: int

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """Pass these on, within seconds; raises DeliveryError."""
        ...


@dataclass(slots=True)
class ExportState:
    """What an export did since the start of the process, in runs; `failures` are attempts."""

    sent: int = 0
    skipped: int = 0
    refused: int = 0
    failures: int = 0
    is_stuck: bool = False
    last_success_s: float = 0.0
    last_error: str = ""


class Pump:
    """One export with its queue; `run` until cancelled."""

    def __init__(
        self, export: Export, queue: RunQueue, *, clock: Clock, most_cpu_share: float = MOST_CPU_SHARE
    ) -> None:
        self.name = export.name
        self.queue = queue
        self.state = ExportState()
        self._export = export
        self._clock = clock
        self._rest = 1 / most_cpu_share - 1
        self._arrived = asyncio.Event()
        queue.on_arrival(self._arrived.set)

    async def run(self) -> None:
        """Pass on what is stored, through every trouble of the receiver. What waits when it is cancelled is lost to it."""
        worker = _Worker(f"export-{self.name}")
        try:
            while True:
                batch = self.queue.take(self._export.most_runs)
                if batch:
                    await self._pass_on(worker, batch)
                    continue
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            worker.end()

    async def _pass_on(self, worker: _Worker, batch: list[StoredRun]) -> None:
        """Until the receiver has it, refuses it, or it is too old."""
        pause_s = RETRY_FIRST_S
        give_up_s = self._now_s() + GIVE_UP_AFTER_S
        while batch:
            try:
                done, cpu_s = await self._in_thread(worker, batch)
            except DeliveryError as error:
                self._note(error.done)
                del batch[: error.done.sent + error.done.skipped]
                self._note_failure(error, len(batch))
                if error.is_lasting or self._now_s() >= give_up_s:
                    self.state.refused += len(batch)
                    return
                await self._clock.sleep(max(pause_s, min(error.retry_after_s, RETRY_MOST_S)))
                pause_s = min(pause_s * 2, RETRY_MOST_S)
                continue
            self._note(done)
            self.state.last_success_s = self._clock.now().timestamp()
            await self._clock.sleep(min(cpu_s * self._rest, MOST_REST_S))
            return

    async def _in_thread(self, worker: _Worker, batch: Sequence[StoredRun]) -> tuple[Delivered, float]:
        """The result of one attempt, however long it takes; one that takes too long is said."""
        attempt = worker.begin(lambda: self._export.deliver(batch))
        try:
            while not attempt.done():
                done, _ = await asyncio.wait({attempt}, timeout=STUCK_AFTER_S)
                if not done and not self.state.is_stuck:
                    self.state.is_stuck = True
                    log.error("export.stuck", export=self.name, after_s=STUCK_AFTER_S)
            return attempt.result()
        finally:
            self.state.is_stuck = False

    def _note(self, done: Delivered) -> None:
        self.state.sent += done.sent
        self.state.skipped += done.skipped

    def _note_failure(self, error: DeliveryError, runs: int) -> None:
        if self.state.last_error != str(error):
            log.warning("export.failed", export=self.name, error=str(error), runs=runs, is_lasting=error.is_lasting)
        self.state.last_error = str(error)
        self.state.failures += 1

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


class _Worker:
    """One daemon thread that does one thing after the other: a pool's threads would be waited for when the process ends."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def begin(self, work: Callable[[], Delivered]) -> asyncio.Future[tuple[Delivered, float]]:
        """Have it done; the result comes with the CPU seconds that it took."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Delivered, float]] = loop.create_future()
        future.add_done_callback(_look_at)  # whoever waited may have been cancelled

        def finish(result: tuple[Delivered, float] | None, error: Exception | None) -> None:
            if future.done():  # nobody waits any more
                return
            if result is None:
                future.set_exception(error or RuntimeError("no result"))
            else:
                future.set_result(result)

        def job() -> None:
            result, failure = _attempt(work)
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result, failure)

        self._jobs.put(job)
        return future

    def end(self) -> None:
        """After what it is doing."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _look_at(future: asyncio.Future[tuple[Delivered, float]]) -> None:
    """Nobody needs to be told of an attempt that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


def _attempt(work: Callable[[], Delivered]) -> tuple[tuple[Delivered, float] | None, DeliveryError | None]:
    """A run that an export cannot read is our bug: it is lost to this export, and nothing else is."""
    began_s = time.thread_time()
    try:
        return (work(), time.thread_time() - began_s), None
    except DeliveryError as error:
        return None, error
    except Exception as error:
        log.exception("export.broke")
        return None, DeliveryError(f"our own fault: {type(error).__name__}: {error}", is_lasting=True)
