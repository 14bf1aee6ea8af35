"""Logs of a command that tells a story: in a file for its length, with what its processes say; Ctrl-C is still answered."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import structlog

from console.logs import logs_in_file
from probes.errors import OperatorError

ROOT = Path(__file__).resolve().parents[2]


def said_by(script: str, file: Path) -> str:
    """What a program with this text, which knows `file`, leaves on stderr."""
    begin = "import os, signal, subprocess, sys, asyncio, structlog\nfrom pathlib import Path\n"
    begin += "from console.logs import configure_logs, logs_in_file\nfrom console.stopping import orderly_stop\n"
    begin += f"configure_logs()\nlog, file = structlog.get_logger(), Path({str(file)!r})\n"
    command = [sys.executable, "-c", begin + textwrap.dedent(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_what_is_logged_meanwhile_is_in_the_file_and_nowhere_else(tmp_path: Path) -> None:
    """Ours and a child's, warnings and worse; before and after the block stderr is stderr again."""
    file = tmp_path / "state" / "demo.log"
    script = """
        log.warning("before.happened")
        with logs_in_file(file):
            log.warning("alert.fired", line="1")
            subprocess.run([sys.executable, "-c", "import sys; print('a crash', file=sys.stderr)"], check=True)
        log.warning("after.happened")
    """
    shown = [json.loads(line)["event"] for line in said_by(script, file).splitlines()]
    assert shown == ["before.happened", "after.happened"]
    ours, childs = file.read_text("utf-8").splitlines()
    assert (json.loads(ours)["event"], json.loads(ours)["line"], childs) == ("alert.fired", "1", "a crash")


def test_each_block_begins_its_file_anew(tmp_path: Path) -> None:
    """The file is about the last demo, not about all."""
    file = tmp_path / "demo.log"
    file.write_text("of the last time\n", encoding="utf-8")
    assert said_by("with logs_in_file(file): log.error('this.time')", file) == ""
    assert [json.loads(line)["event"] for line in file.read_text("utf-8").splitlines()] == ["this.time"]


def test_an_error_leaves_the_block_with_stderr_mended(tmp_path: Path) -> None:
    """What `console.app` says of it must reach the person."""
    script = """
        try:
            with logs_in_file(file):
                raise RuntimeError("broke")
        except RuntimeError:
            log.exception("runner.crashed")
    """
    crashed = json.loads(said_by(script, tmp_path / "demo.log"))
    assert (crashed["event"], crashed["exception"][0]["exc_value"]) == ("runner.crashed", "broke")


def test_a_request_to_stop_is_answered_to_the_person_and_not_to_the_file(tmp_path: Path) -> None:
    """The signal of Ctrl-C, within the block."""
    file = tmp_path / "demo.log"
    script = """
        async def work():
            with orderly_stop() as stop, logs_in_file(file):
                os.kill(os.getpid(), signal.SIGINT)
                await stop.guard(asyncio.sleep(30))
        asyncio.run(work())
    """
    assert "stopping: cleaning up first" in said_by(script, file)
    assert file.read_bytes() == b""


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_lost(tmp_path: Path) -> None:
    """With where it is and what to do; nothing is logged into the void."""
    (tmp_path / "state").write_text("a file where a folder should be", encoding="utf-8")
    with (
        pytest.raises(OperatorError, match="the log cannot be written") as caught,
        logs_in_file(tmp_path / "state" / "demo.log"),
    ):
        structlog.get_logger().error("never.happened")
    assert caught.value.where.endswith("demo.log")
    assert "PROBE_FLEET_STATE_DIR" in caught.value.remedy
