"""Evidence in its folder, found for whoever asks: only files that are in it, under names that evidence can have.

A path has three parts: a day, a run, a file. Each must look like one, none may be a link, and what is opened must be a plain
file inside the folder, and be what its run's record says before it is sent. Refuses to write and to guess a type: what is not
known is bytes. Called by `collector.web.routes_evidence` and the page of a run.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from collector.texts.figures import printable
from probes.records import Evidence

__all__ = ["FoundFile", "Presence", "difference_from", "is_evidence_path", "open_file", "presence_of"]

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Source: `probes.evidence`, which keeps nothing larger."""
_PATH: Final = re.compile(r"(\d{4}-\d{2}-\d{2})/([A-Za-z0-9_][A-Za-z0-9._-]{0,79})/([A-Za-z0-9_][A-Za-z0-9._-]{0,89})")
_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".json": "application/json",
    ".har": "application/json",
    ".txt": "text/plain",
    ".log": "text/plain",
    ".zip": "application/zip",
}
"""What may be told of a file by its ending; nothing that a browser would run."""
SHOWN: Final = frozenset({"image/png", "image/jpeg"})


PIECE_BYTES: Final = 1024 * 1024


class Presence(StrEnum):
    """Whether a file of evidence lies here, as far as can be told without reading it."""

    HERE = "here"
    NOT_HERE = "not_here"
    OTHER_SIZE = "other_size"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of evidence, open. `is_picture`: it may be shown in a page; all others are to be kept as files."""

    name: str
    content_type: str
    size_bytes: int
    file: BinaryIO

    @property
    def is_picture(self) -> bool:
        """True for what has no text to run."""
        return self.content_type in SHOWN


def is_evidence_path(path: str) -> bool:
    """Whether evidence could lie at this path."""
    return _PATH.fullmatch(path) is not None and ".." not in path


def open_file(folder: Path, path: str) -> FoundFile | None:
    """The file at a path below the folder, to be closed; None where there is none that may be shown. Blocks: for a thread."""
    if not is_evidence_path(path):
        return None
    *_, name = path.split("/")
    try:
        file = _open_without_links(folder, path.split("/"))
    except OSError:  # it is gone, is a link, or may not be read: for the asker all the same
        return None
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        file.close()
        return None
    content_type = _TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
    return FoundFile(name, content_type, found.st_size, file)


def presence_of(folder: Path | None, recorded: Sequence[Evidence]) -> tuple[Presence, ...]:
    """Of each piece of evidence whether it lies below the folder. Blocks: for a thread."""
    return tuple(_presence_of(folder, one) for one in recorded)


def _presence_of(folder: Path | None, recorded: Evidence) -> Presence:
    found = open_file(folder, recorded.path) if folder is not None else None
    if found is None:
        return Presence.NOT_HERE
    found.file.close()
    return Presence.HERE if found.size_bytes == recorded.file_bytes else Presence.OTHER_SIZE


def difference_from(recorded: Evidence, found: FoundFile) -> str:
    """What is not as the run's record says, in words; empty: nothing. Reads the file in pieces; blocks: for a thread."""
    if found.size_bytes != recorded.file_bytes:
        return f"it has {found.size_bytes:,} bytes, and the run's record says {recorded.file_bytes:,}"
    digest = hashlib.sha256()
    while piece := found.file.read(PIECE_BYTES):
        digest.update(piece)
    found.file.seek(0)
    if digest.hexdigest() != recorded.sha256:
        return f"its SHA-256 is {digest.hexdigest()}, and the run's record says {printable(recorded.sha256)}"
    return ""


def _open_without_links(folder: Path, parts: list[str]) -> BinaryIO:
    """Walk down part by part, refusing links on the way; raises OSError."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.fdopen(os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb")
    finally:
        os.close(at)
