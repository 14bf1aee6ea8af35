"""Starting the command with a Python that lacks what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner_kit import ROOT


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter of its own environment, in which nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True, timeout=60)
    return str(tmp_path / "bare" / "bin" / "python")


def checkout(folder: Path) -> Path:
    """The command and its packages, without an environment beside them."""
    for name in ("collector", "config", "console", "fixtures", "probes", "scenarios", "slo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "files", "recipes"))
    shutil.copy(ROOT / "runner.py", folder)
    return folder / "runner.py"


def start(python: str, runner: Path) -> subprocess.CompletedProcess[str]:
    """`python runner.py list` from another folder, with a clean environment."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [python, runner, "list"],
        cwd=runner.parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_the_dependencies_it_says_what_to_type(tmp_path: Path, bare_python: str) -> None:
    """No traceback: what is missing, which Python that was, and the next step; exit code 2."""
    done = start(bare_python, checkout(tmp_path / "checkout"))
    assert done.returncode == 2
    assert "has no module" in done.stderr
    assert "make setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_library_that_only_this_command_needs_is_missed_in_the_same_words(tmp_path: Path) -> None:
    """Commands load what they need when they are asked for; a Python that has the rest says the same, and what to type."""
    runner = checkout(tmp_path / "checkout")
    (runner.parent / "playwright.py").write_text("raise ModuleNotFoundError(name='playwright')\n")
    done = start(sys.executable, runner)
    assert done.returncode == 2
    assert "this Python has no module 'playwright'" in done.stderr
    assert "make setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_environment_beside_it_takes_over(tmp_path: Path, bare_python: str) -> None:
    """After `make setup` any Python will do: the one in `.venv` does the work."""
    runner = checkout(tmp_path / "checkout")
    (runner.parent / ".venv").symlink_to(Path(sys.prefix))
    done = start(bare_python, runner)
    assert done.returncode == 0, done.stderr
    assert "cad-large" in done.stdout


def test_a_mistake_of_our_own_is_not_told_as_a_missing_dependency(tmp_path: Path) -> None:
    """A module of ours that is missing is a broken checkout, and its traceback the best message."""
    runner = checkout(tmp_path / "checkout")
    (runner.parent / "console" / "verdict.py").unlink()
    done = start(sys.executable, runner)
    assert done.returncode == 1
    assert "console.verdict" in done.stderr
