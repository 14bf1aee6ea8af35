"""Whoever asks once more to stop what has just ended in order does not make a failure of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENDED_IN_ORDER = """
import asyncio, os, signal, sys
from console.stopping import orderly_stop
from console.verdict import ExitCode

async def command():
    with orderly_stop() as stop:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("what the command found")
            stop.ended(ExitCode.PASSED)

asyncio.run(command())
signal.raise_signal(int(sys.argv[1]))
sys.exit(0)
"""


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM])
def test_a_second_request_after_the_end_leaves_the_exit_code_as_it_is(again: signal.Signals) -> None:
    """What the command said has been said, and its code is that of its end in order, not that of an interrupt."""
    command = [sys.executable, "-c", ENDED_IN_ORDER, str(int(again))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "what the command found\n"), done.stderr
