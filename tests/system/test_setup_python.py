"""What a person sees who starts with the wrong Python: `deploy/check-python`, run with real interpreters and real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / "deploy" / "check-python"
OLD = '#!/bin/sh\nif [ "$1" = --version ]; then echo "Python 3.8.18"; else exit 1; fi\n'
GOOD = "#!/bin/sh\nexit 0\n"


def check(python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the check where `folder` is all that PATH holds."""
    environment = {**os.environ, "PATH": str(folder), "MAKECMDGOALS": "demo"}
    return subprocess.run(
        ["/bin/sh", CHECK, python], env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def put(folder: Path, name: str, script: str) -> None:
    """A program for PATH."""
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_a_supported_python_is_accepted_in_silence(tmp_path: Path) -> None:
    """Nothing to say, nothing said."""
    done = check(sys.executable, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_python_that_is_too_old_is_named_with_the_one_to_take(tmp_path: Path) -> None:
    """The message ends with the line to type."""
    put(tmp_path, "python3", OLD)
    put(tmp_path, "python3.12", GOOD)
    done = check("python3", tmp_path)
    assert done.returncode == 3
    assert "python3 is Python 3.8.18" in done.stderr
    assert "type: make demo PYTHON=python3.12" in done.stderr


@pytest.mark.parametrize("script", [OLD, None], ids=["too old", "missing"])
def test_without_any_supported_python_the_message_says_what_to_install(tmp_path: Path, script: str | None) -> None:
    """Nobody is left with a stack trace or `not found`."""
    if script:
        put(tmp_path, "python3", script)
    done = check("python3", tmp_path)
    assert done.returncode == 3
    assert "Python 3.11 to 3.13 is needed" in done.stderr
    assert "install" in done.stderr
