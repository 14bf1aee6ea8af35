"""The stand-in platform as a process of our own: started on free ports, waited for, stopped by its own pid.

It lives in a session of its own, so that a Ctrl-C in the terminal reaches us and not it: clean-up still needs a platform that
answers. It ends with us however we end. Refuses to touch a stand-in that somebody else started. Called by `console.session`
and `console.demo`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from probes.errors import DependencyError
from probes.parent import naming_parent

__all__ = ["ROOT", "StandIn", "run_in_foreground", "start_stand_in"]

ROOT = Path(__file__).resolve().parent.parent
_MODULE = "fixtures.platform"
_READY_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 5.0
_SHOWN_LINES = 8


@dataclass(frozen=True, slots=True)
class StandIn:
    """A stand-in that answers: its base URLs by name, and what to trust when it speaks TLS."""

    urls: Mapping[str, str]
    ca_file: Path | None
    trusted_spki: tuple[str, ...]
    pid: int


@asynccontextmanager
async def start_stand_in(options: Sequence[str] = ()) -> AsyncIterator[StandIn]:
    """A stand-in for the length of the block; raises DependencyError with its last words when it does not come up."""
    with tempfile.TemporaryFile() as words:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, "--port", "0", "--exit-with-parent", *options),
            cwd=ROOT,
            env=naming_parent(os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=words,
            start_new_session=True,
        )
        try:
            yield await _ready(process, words.fileno())
        finally:
            await _stop(process)


async def _ready(process: asyncio.subprocess.Process, words: int) -> StandIn:
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _READY_DEADLINE_S)
        event = json.loads(line)
        urls = {str(name): str(url) for name, url in event["urls"].items()}
        ca_file = Path(event["ca_file"]) if event.get("ca_file") else None
        return StandIn(urls, ca_file, tuple(event.get("spki") or ()), process.pid)
    except (TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DependencyError(
            f"the stand-in platform did not come up within {_READY_DEADLINE_S:g} s{_last_words(words)}",
            where=f"{sys.executable} -m {_MODULE}",
            remedy="Run `make setup`; the stand-in needs the extra `stand-in`. Or name a --target of your own",
        ) from error


def _last_words(descriptor: int) -> str:
    """The end of what it wrote to stderr, so that nobody has to start it again to see."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 4096, max(0, size - 4096)).decode(errors="replace").strip().splitlines()
    return ": " + " / ".join(tail[-_SHOWN_LINES:]) if tail else ""


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, then insist; by its own pid and nobody else's."""
    if process.returncode is not None:
        return
    try:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), _STOP_DEADLINE_S)
    except ProcessLookupError:
        return
    except TimeoutError:
        process.kill()
        await process.wait()


def run_in_foreground(options: Sequence[str]) -> int:
    """Become the stand-in: its output, its signals and its exit code are those of this process. Returns only when that fails."""
    os.chdir(ROOT)
    try:
        os.execv(sys.executable, [sys.executable, "-m", _MODULE, *options])  # noqa: S606 - our own interpreter, a list
    except OSError as error:
        raise DependencyError(f"the stand-in could not be started: {error.strerror}", where=sys.executable) from error
