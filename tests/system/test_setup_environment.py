"""The set-up of a checkout: environments that are missing, whole, broken, and asked for twice at once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import setup

ROOT = Path(__file__).parents[2]


def test_a_missing_environment_is_made_and_a_whole_one_left_alone(tmp_path: Path) -> None:
    """The second set-up makes nothing, because what is there works."""
    folder = tmp_path / "environment"
    python = setup._environment(folder)
    mark = folder / "mark"
    mark.touch()
    assert setup._environment(folder) == python
    assert mark.exists()
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def test_an_environment_of_another_python_is_made_again(tmp_path: Path) -> None:
    """A machine's new Python, or PYTHON=..., does not end in a mixture of two."""
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    other = folder / "bin" / "python"
    other.write_text("#!/bin/sh\necho 3.10.1\n")
    other.chmod(0o755)
    (folder / "setup.json").write_text('{"lock": "done"}')
    python = setup._environment(folder)
    assert setup._version_of(python) == "{}.{}.{}".format(*sys.version_info[:3])
    assert setup.Stamp(folder).get("lock") == ""


def test_a_broken_note_costs_a_set_up_and_no_more(tmp_path: Path) -> None:
    """A file cut short by a full disk is no reason to stop."""
    (tmp_path / "setup.json").write_text('{"lock": "ab')
    stamp = setup.Stamp(tmp_path)
    assert stamp.get("lock") == ""
    stamp.note("lock", "abc")
    assert setup.Stamp(tmp_path).get("lock") == "abc"


def test_two_set_ups_of_one_checkout_take_turns(tmp_path: Path) -> None:
    """`make -j demo test` in two terminals does not install into one environment twice at once."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with setup._alone(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_a_package_with_another_hash_is_refused(tmp_path: Path) -> None:
    """What the lock does not list is not installed, and the message names the step."""
    package = tmp_path / "thing-1.0-py3-none-any.whl"
    package.write_bytes(b"not what was locked")
    (tmp_path / "requirements").mkdir()
    lock = tmp_path / "requirements" / "dev.lock"
    lock.write_text(f"thing @ {package.as_uri()} --hash=sha256:{'0' * 64}\n")
    with pytest.raises(setup.SetupError, match="locked dependencies could not be installed"):
        setup._dependencies(tmp_path, Path(sys.executable), setup.Stamp(tmp_path))
    assert setup.Stamp(tmp_path).get("lock") == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_checkout_is_set_up_with_one_command_and_then_at_once(tmp_path: Path) -> None:
    """A clone without anything: `make setup` brings all, and the second call has nothing to do."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "clone"], check=True, timeout=60)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON"))}
    command = ["make", "--no-print-directory", "setup", f"PYTHON={sys.executable}"]
    for expected in ("making", ""):
        done = subprocess.run(
            command, cwd=tmp_path / "clone", env=environment, capture_output=True, text=True, check=False, timeout=800
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert done.stdout == ""
    assert (tmp_path / "clone" / ".venv" / "setup.json").exists()
