"""Releases that a collector is still to be told of, each a file below the state folder: nothing of a gate is lost with a network.

Refuses to send. Called by `console.gate_release` and `console.releases_command`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from console.atomic_file import write_atomically
from probes.errors import DependencyError, OperatorError
from probes.release_marker import ReleaseMarker, parse_release, render_release

__all__ = ["forget_release", "keep_release", "read_release"]

_FOLDER: Final = "releases"
_MOST_FILE_BYTES: Final = 65_536
_MOST_OF_A_NAME: Final = 40
_DIGITS: Final = 12


def keep_release(state_dir: Path, marker: ReleaseMarker) -> Path:
    """Write it; the file. The same release again is the same file. Raises DependencyError when the disk refuses."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", marker.name)[:_MOST_OF_A_NAME].strip("-.") or "release"
    path = state_dir / _FOLDER / f"{name}-{marker.identity[:_DIGITS]}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DependencyError(f"{path.parent} could not be made: {error.strerror}") from error
    write_atomically(path, render_release(marker))
    return path


def forget_release(path: Path) -> None:
    """It was told: the file goes."""
    path.unlink(missing_ok=True)


def read_release(path: Path) -> ReleaseMarker:
    """The release of a file; OperatorError for one that cannot be read, or is none of ours."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        raise OperatorError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    if len(raw) > _MOST_FILE_BYTES:
        raise OperatorError("it is too long for a release", where=str(path))
    return parse_release(raw, where=str(path))
