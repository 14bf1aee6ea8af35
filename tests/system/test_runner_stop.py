"""Ctrl-C and SIGTERM, sent to the real process while a run is going on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.platform_kit import until
from tests.runner_kit import ROOT, UNFIT

GUARD_S = 110
"""A process that says nothing more is ended before the time limit of a test ends the test."""

SLOW = '''
"""A journey that makes something and then waits for good."""
from probes.registry import scenario

@scenario("endless", timeout="60s")
async def endless(probe):
    """Wait, with something to clean up."""
    async def undo():
        print("undone", flush=True)
    probe.on_cleanup("undo", undo)
    async with probe.step("wait"):
        print("waiting", flush=True)
        await probe.sleep(50)

@scenario("stubborn", timeout="60s")
async def stubborn(probe):
    """Wait, with a clean-up that hangs."""
    async def undo():
        print("hanging", flush=True)
        await probe.clock.sleep(50)
    probe.on_cleanup("undo", undo)
    async with probe.step("wait"):
        print("waiting", flush=True)
        await probe.clock.sleep(50)
'''


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, killed if the test leaves it."""
    own = folder / "own"
    own.mkdir()
    (own / "slow.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, "-u", "runner.py", "--scenarios", str(own), *arguments],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(folder), "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        guard = threading.Timer(GUARD_S, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """What it printed up to the line that has `word`."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if word in line:
            return "".join(seen)
    pytest.fail(f"{word!r} was never printed: {''.join(seen)}")


def stand_in_pid(printed: str) -> int:
    """The process that listens at the address that was printed."""
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", printed)[0])
    needle = f":{port:04X} "
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inode = next(line.split()[9] for line in table if needle in line and line.split()[3] == "0A")
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and has_open(process, f"socket:[{inode}]"):
            return int(process.name)
    pytest.fail(f"nobody listens on port {port}")


def has_open(process: Path, what: str) -> bool:
    """Whether it is among the open files of a process, which may end while it is looked at."""
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) == what:
                    return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_cleans_up_and_tells_what_there_was(tmp_path: Path, number: signal.Signals) -> None:
    """Clean-up runs, the report and its JSON are written, the stand-in is gone; exit code 3, nobody is charged."""
    report = tmp_path / "report.json"
    with running(tmp_path, "--scenario", "endless", "--json", str(report)) as process:
        printed = read_until(process, "waiting")
        platform = stand_in_pid(printed)
        # The scenario writes nothing, so no part will be measured: the stand-in has started no process for that.
        assert Path(f"/proc/{platform}/task/{platform}/children").read_text() == ""
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "undone" in out
    assert "INTERRUPTED: this is what there was so far." in out
    assert "aborted" in out
    assert "stopping: cleaning up first" in err
    written = json.loads(report.read_bytes())
    assert written["interrupted"] is True
    assert [run["outcome"] for run in written["runs"]] == ["inconclusive"]
    assert not Path(f"/proc/{platform}").exists()


@pytest.mark.parametrize(("command", "code"), [((), 3), (("smoke",), 4)])
def test_a_second_request_leaves_at_once(tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    """When clean-up hangs, a person is not kept waiting; the stand-in ends with us. An interrupted gate is undecided: 4."""
    with running(tmp_path, *command, "--scenario", "stubborn") as process:
        printed = read_until(process, "waiting")
        platform = stand_in_pid(printed)
        process.send_signal(signal.SIGINT)
        read_until(process, "hanging")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
    assert process.returncode == code
    assert "stopped at once" in err
    until(lambda: not Path(f"/proc/{platform}").exists(), "end of the stand-in")


def test_a_request_between_rounds_ends_the_session(tmp_path: Path) -> None:
    """Waiting for the next round is no run: what there was is told, and interrupted."""
    with running(tmp_path, "--scenario", "web-health", "--every", "1h") as process:
        printed = read_until(process, " web-health ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    # A host that is busy with something else says so, and nothing about the platform.
    assert "PASSED: 1 run" in out if "✓ web-health" in printed else UNFIT in out
    assert "INTERRUPTED" in out


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler for it, as the kernel says."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.partition(":")[2], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_collector_that_is_stopped_while_it_begins_has_ended_well(tmp_path: Path) -> None:
    """Somebody holds its database, so that it cannot begin: to be told to stop then is no failure for a supervisor to see."""
    database = tmp_path / "some.db"
    with (
        contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other,
        running(tmp_path, "collector", "--broker", "mqtt://127.0.0.1:9", "--database", str(database)) as process,
    ):
        other.execute("BEGIN EXCLUSIVE")
        until(lambda: process.poll() is not None or catches_sigterm(process.pid), "handler of SIGTERM")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "collecting from" not in out


DYING = """
import asyncio, os, sys
from pathlib import Path
from console.collector_process import open_collector
from console.stand_in import start_stand_in
from probes.clock import SystemClock

async def begin(part):
    async with part:
        await asyncio.sleep(60)

async def main():
    collector = open_collector(("--broker", "mqtt://127.0.0.1:9"), environ=os.environ, clock=SystemClock())
    tasks = [asyncio.create_task(begin(part)) for part in (collector, start_stand_in(("--warm", "0")))]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while len(children.read_text().split()) < len(tasks):
        await asyncio.sleep(0.01)
    Path(sys.argv[1]).write_text(children.read_text())
    os._exit(0)

asyncio.run(main())
"""


def test_parts_whose_parent_dies_before_they_have_begun_end_too(tmp_path: Path) -> None:
    """Who asks twice to stop a fleet that is still starting leaves no collector on its database, and no stand-in."""
    environ = {**os.environ, "PROBE_FLEET_STATE_DIR": str(tmp_path), "PROBE_FLEET_COLLECTOR_HEALTH": ""}
    environ["PROBE_FLEET_PAGES_LISTEN"] = ""
    told = tmp_path / "children"
    subprocess.run(
        [sys.executable, "-c", DYING, str(told)],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    left = [int(pid) for pid in told.read_text().split()]
    assert len(left) == 2
    try:
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "end of the orphans")
    finally:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
