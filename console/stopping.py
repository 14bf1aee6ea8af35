"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second takes it.

The first cancels what is being waited for, and nothing else, so that the run's clean-up goes on and the report says what there
was. The second leaves at once, with the exit code that an interrupted command of its kind has. Refuses a third way. Opened by
`console.app`, used by whatever runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from console.verdict import ExitCode

__all__ = ["Stop", "orderly_stop"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Result = TypeVar("_Result")


class Stop:
    """Whether somebody asked to stop. Until something is guarded, asking cancels `everything`."""

    def __init__(self, everything: asyncio.Task[Any] | None, *, quiet: bool = False, stderr: int = 2) -> None:
        """`stderr` is where the person is told: a descriptor, for the buffers of the streams may be in any state then."""
        self._asked = False
        self._stderr = stderr
        self._quiet = quiet
        self._task = everything
        self._code = ExitCode.INCONCLUSIVE
        self._is_over = False

    def asked(self) -> bool:
        """True once somebody asked to stop."""
        return self._asked

    async def guard(self, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """The result of `work`, or None when it was cancelled by a request; a request that came before cancels it at once."""
        outer, task = self._task, asyncio.ensure_future(work)
        self._task = task
        if self._asked:
            task.cancel()
        try:
            await asyncio.wait({task})
        finally:
            self._task = outer
            task.cancel()
        return None if task.cancelled() else task.result()

    def leave_be(self) -> None:
        """From now on only the report and the closing of things is left: the first request waits for them."""
        self._task = None

    def means(self, code: ExitCode) -> None:
        """Whoever asks twice gets this exit code, instead of `inconclusive`: what being interrupted means to this command."""
        self._code = code

    def ended(self, code: ExitCode) -> None:
        """The command has done all it had to: whoever asks once more gets its own exit code."""
        self._code = code
        self._is_over = True

    def leave_with_code(self) -> None:
        """From now on a request ends the process with the exit code that it is about to have, if somebody asked and all is done.

        The loop is being closed then, which may take its time. Without this Python's own handler would raise, and an orderly
        end would look like an interrupted one.
        """
        if not (self._asked and self._is_over):
            return
        sys.stdout.flush()
        for number in _SIGNALS:
            signal.signal(number, lambda _number, _frame: os._exit(self._code))

    def ask(self) -> None:
        """Stop in order; asked again, leave at once: the stand-in and the browser end with us."""
        if self._asked:
            self._tell("stopped at once; clean-up may have been left undone")
            os._exit(self._code)
        self._asked = True
        if not self._quiet:
            self._tell("stopping: cleaning up first (again to stop at once)")
        if self._task is not None:
            self._task.cancel()

    def _tell(self, text: str) -> None:
        os.write(self._stderr, f"\n{text}\n".encode())


@contextmanager
def orderly_stop(*, quiet: bool = False) -> Iterator[Stop]:
    """Handle both signals on the running loop for the length of the block; quiet says nothing about the first."""
    # A copy, because a command may keep its logs in a file meanwhile (`console.logs`), and this is no log.
    stderr = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    stop = Stop(asyncio.current_task(), quiet=quiet, stderr=stderr)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield stop
    finally:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            stop.leave_with_code()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(stderr)
