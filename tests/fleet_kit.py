"""What tests of a whole fleet share: the command in a process of its own, with files of its own, and its books afterwards.

Used by tests named fleet. Everything is real: broker, collector, lanes, stand-in.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DEAF_S", "RunningFleet", "children_of", "fleet_environment", "running_fleet", "told"]

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0
DEAF_S = 6
"""For so long after its start a probe obeys no command (`probes.commands`)."""


def fleet_environment(folder: Path) -> dict[str, str]:
    """A state folder of its own, a free port for the broker, no health pages and no others."""
    return {
        **os.environ,
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PROBE_FLEET_BROKER_PORT": "0",
        "PROBE_FLEET_WORKER_HEALTH": "",
        "PROBE_FLEET_PAGES_LISTEN": "",
        "PROBE_FLEET_PROBE": "probe-1",
        "COLUMNS": "160",
    }


@dataclass(slots=True)
class RunningFleet:
    """The command while it runs; `lines` is what it has printed so far."""

    process: subprocess.Popen[str]
    database: Path
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=_read, args=(self.process, self.lines), daemon=True)
        self.reader.start()

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        """Wait for a condition, and fail with what was printed when it does not come or the command ends first."""
        give_up_s = time.monotonic() + DEADLINE_S
        while not holds():
            said = "".join(self.lines)
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}: {said}"
            assert time.monotonic() < give_up_s, f"not within {DEADLINE_S:g} s: {what}; it said: {said}"
            time.sleep(0.05)

    def slots_told(self) -> int:
        """How many slots were told to have ended."""
        return sum(bool(re.match(r"\d\d:\d\d:\d\d ", line)) for line in tuple(self.lines))

    def stop(self) -> int:
        """End it in order, and hear it out; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        self.reader.join(DEADLINE_S)
        return code


@contextmanager
def running_fleet(folder: Path, *options: str, environ: Mapping[str, str] = {}) -> Iterator[RunningFleet]:
    """`runner.py fleet` against its own stand-in; killed if the test leaves it."""
    database = folder / "fleet.db"
    with subprocess.Popen(
        [sys.executable, "-u", "runner.py", "fleet", "--database", str(database), *options],
        cwd=ROOT,
        env={**fleet_environment(folder), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        fleet = RunningFleet(process, database)
        try:
            yield fleet
        finally:
            process.kill()
            fleet.reader.join(10)


def told(folder: Path, *words: str, environ: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [sys.executable, "runner.py", *words],
        cwd=ROOT,
        env={**fleet_environment(folder), **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    lines.extend(iter(process.stdout.readline, ""))


def children_of(pid: int, word: str) -> list[int]:
    """The direct children whose command line has the word."""
    found = []
    of_threads = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since it was listed
            of_threads.append(file.read_text())
    for child in " ".join(of_threads).split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in command:
            found.append(int(child))
    return found
