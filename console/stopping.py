"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second takes it.

The first cancels the task it was given, so that the run's clean-up goes on and the report says what there was. The second
leaves at once, with the same exit code. Refuses: a third way. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from console.verdict import ExitCode

__all__ = ["Stop", "orderly_stop"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked to stop, and whom to cancel when they do."""

    def __init__(self) -> None:
        self.is_asked = False
        self._task: asyncio.Task[object] | None = None

    def cancel_on_request(self, task: asyncio.Task[object] | None) -> None:
        """From now on a request cancels `task`; None: nothing needs to be cancelled."""
        self._task = task
        if task is not None and self.is_asked:
            task.cancel()

    def ask(self) -> None:
        """Stop in order; asked again: leave at once, the stand-in and the browser end with us."""
        if self.is_asked:
            os.write(sys.stderr.fileno(), b"\nstopped at once; clean-up was left undone\n")
            os._exit(ExitCode.INCONCLUSIVE)
        self.is_asked = True
        os.write(sys.stderr.fileno(), b"\nstopping: cleaning up (again to stop at once)\n")
        if self._task is not None:
            self._task.cancel()


@contextmanager
def orderly_stop() -> Iterator[Stop]:
    """Handle both signals on the running loop for the length of the block."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
