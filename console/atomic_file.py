"""Files that are either whole or not there: written beside the target, then renamed over it.

Refuses a folder that cannot be written before anything runs (`check_writable`), because an hour of runs must not end
in an error. Called by `console.report_json`, `console.junit` and `console.run_store`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from probes.errors import DependencyError, OperatorError

__all__ = ["check_writable", "write_atomically"]


def check_writable(path: Path, *, argument: str) -> None:
    """Raise OperatorError unless a file at `path` could be written now."""
    folder = path.parent
    if path.is_dir():
        message = "is a folder, not a file"
        raise OperatorError(f"{path} {message}", where=argument, remedy="Name a file in it")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except FileNotFoundError as error:
        message = f"the folder {folder} does not exist"
        raise OperatorError(message, where=argument, remedy=f"Create it: mkdir -p {folder}") from error
    except OSError as error:
        message = f"nothing can be written in {folder}: {error.strerror}"
        raise OperatorError(message, where=argument, remedy="Name a file in a folder that you may write to") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one move; raises DependencyError and leaves the old file when the disk refuses."""
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        message = f"{path} could not be written: {error.strerror}"
        raise DependencyError(message, remedy="Free some space, or name another file") from error
