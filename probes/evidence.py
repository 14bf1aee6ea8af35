"""Files kept beside a run's record: screenshot, trace, HAR, bodies, console; written after the clocks stopped, masked first.

    <folder>/2026-11-23/<run id>/screenshot-load.png

A full disk or a folder that may not be written is noted in `problems`, never raised: the measurement stands without its
evidence. Only `check_writable`, before anything runs, complains aloud.

Refuses to decide what is evidence and to write outside its folder. Called by `probes.browser_evidence`, `probes.execute` and
the wiring.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from probes.clock import Clock, SystemClock
from probes.errors import DependencyError, OperatorError
from probes.evidence_mask import mask_archive, mask_bytes
from probes.records import Evidence

__all__ = ["EvidenceMode", "EvidenceSink", "EvidenceStore", "Pruned"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
MAX_NAME = 80
MAX_ITEMS = 50
MAX_PROBLEMS = 20
MAX_FILE_BYTES = 64 * 1024 * 1024
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
DATE_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}")
# Pictures have no text to hide; everything else is masked as text, archives member by member.
PICTURES = frozenset({"screenshot"})
ARCHIVES = frozenset({"trace"})
Mask = Callable[[str], str]


class EvidenceMode(StrEnum):
    """Of which runs evidence is kept."""

    NEVER = "never"
    FAILURES = "failures"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning removed, and what could not be removed."""

    runs: int
    freed_bytes: int
    kept_bytes: int
    problems: tuple[str, ...] = ()


class EvidenceStore:
    """A folder of evidence. `clock` says which day it is."""

    def __init__(self, folder: Path, *, mode: EvidenceMode = EvidenceMode.FAILURES, clock: Clock | None = None) -> None:
        self.folder = folder.expanduser()
        self.mode = mode
        self._clock = clock or SystemClock()

    def check_writable(self) -> None:
        """Prove that a file can be written, before anything runs; does nothing in mode `never`.

        Raises OperatorError when the folder cannot be used, DependencyError when the disk is full.
        """
        if self.mode is EvidenceMode.NEVER:
            return
        try:
            make_folder(self.folder)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".check-") as file:
                file.write(b"evidence")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            remedy = "Choose another folder (--evidence-dir DIR) or keep none (--evidence never)"
            what = f"evidence cannot be kept in {self.folder}: {error.strerror or error}"
            if error.errno in DISK_ERRORS:
                raise DependencyError(what, where="evidence folder", remedy=f"Make room, or: {remedy}") from error
            raise OperatorError(what, where="evidence folder", remedy=remedy) from error

    def sink(self, run_id: str, *, mask: Mask = str, mode: EvidenceMode | None = None) -> EvidenceSink:
        """Where one run's evidence goes; nothing is created before something is added."""
        day = self._clock.now().astimezone(UTC).strftime("%Y-%m-%d")
        return EvidenceSink(self.folder, f"{day}/{safe_name(run_id)}", mask=mask, mode=mode or self.mode)

    def prune(self, *, keep_days: float, keep_bytes: int) -> Pruned:
        """Remove whole runs, the oldest first, until all are younger than `keep_days` and together hold `keep_bytes` at most.

        Only folders of this store's own layout are touched.
        """
        runs = sorted(self._runs(), key=lambda run: (run.day, run.changed_at, run.path.name))
        oldest_at = self._clock.now() - timedelta(days=keep_days)
        total = sum(run.held_bytes for run in runs)
        removed, freed = 0, 0
        problems: list[str] = []
        for run in runs:
            if run.changed_at >= oldest_at and total - freed <= keep_bytes:
                continue
            try:
                shutil.rmtree(run.path)
            except OSError as error:
                if len(problems) < MAX_PROBLEMS:
                    problems.append(f"{run.path}: {error.strerror or error}")
                continue
            removed, freed = removed + 1, freed + run.held_bytes
            remove_if_empty(run.path.parent)
        return Pruned(removed, freed, total - freed, tuple(problems))

    def _runs(self) -> Iterator[KeptRun]:
        if not self.folder.is_dir():
            return
        for day in self.folder.iterdir():
            if day.is_symlink() or not day.is_dir() or not DATE_FOLDER.fullmatch(day.name):
                continue
            for path in day.iterdir():
                if path.is_dir() and not path.is_symlink():
                    yield kept_run(day.name, path)


class EvidenceSink:
    """The evidence of one run. `items` is what is kept, `problems` what could not be."""

    def __init__(self, folder: Path, path: str, *, mask: Mask, mode: EvidenceMode) -> None:
        self.mode = mode
        self.mask = mask
        self._root = folder
        self._path = path
        self._items: list[Evidence] = []
        self._problems: list[str] = []

    @property
    def items(self) -> tuple[Evidence, ...]:
        """What is kept, in the order it was added."""
        return tuple(self._items)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why something is missing, for a person."""
        return tuple(self._problems)

    def wants(self, *, failed: bool) -> bool:
        """True when evidence of a run that went this way is to be kept."""
        return self.mode is EvidenceMode.ALWAYS or (failed and self.mode is EvidenceMode.FAILURES)

    def add(self, kind: str, name: str, data: bytes | Path) -> Evidence | None:
        """Keep this, masked, under a name made safe and unique; None when nothing was kept. Never raises for the disk's sake."""
        if self.mode is EvidenceMode.NEVER:
            return None
        if len(self._items) >= MAX_ITEMS:
            self.note_problem(f"{name} was not kept: the run already has {MAX_ITEMS} pieces of evidence")
            return None
        try:
            found = data.read_bytes() if isinstance(data, Path) else data
            content = self._masked(kind, found)
            if len(content) > MAX_FILE_BYTES:
                self.note_problem(f"{name} was not kept: {len(content)} bytes are too many")
                return None
            path = self._write(safe_name(name), content)
        except (OSError, zipfile.BadZipFile) as error:
            self.note_problem(f"{name} was not kept: {getattr(error, 'strerror', None) or error}")
            return None
        item = Evidence(kind, path.name, f"{self._path}/{path.name}", hashlib.sha256(content).hexdigest(), len(content))
        self._items.append(item)
        return item

    def note_problem(self, problem: str) -> None:
        """Note why something is missing."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(self.mask(problem))

    def discard(self) -> None:
        """Remove what was kept of this run."""
        self._items.clear()
        folder = self._root / self._path
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
                remove_if_empty(folder.parent)
        except OSError as error:
            self.note_problem(f"evidence could not be removed: {error.strerror or error}")

    def _masked(self, kind: str, data: bytes) -> bytes:
        if kind in PICTURES:
            return data
        return mask_archive(data, self.mask) if kind in ARCHIVES else mask_bytes(data, self.mask)

    def _write(self, name: str, content: bytes) -> Path:
        """Write whole or not at all: under another name first, then in place."""
        folder = self._root / self._path
        make_folder(folder)
        path = unused_path(folder, name)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(FILE_MODE)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run's folder, how much it holds and when it was last written."""

    day: str
    path: Path
    held_bytes: int
    changed_at: datetime


def kept_run(day: str, path: Path) -> KeptRun:
    """What there is of one run; files that vanish meanwhile count nothing."""
    held_bytes = 0
    changed_s = 0.0
    for file in path.rglob("*"):
        try:
            found = file.lstat()
        except OSError:
            continue
        held_bytes += found.st_size
        changed_s = max(changed_s, found.st_mtime)
    return KeptRun(day, path, held_bytes, datetime.fromtimestamp(changed_s, UTC))


def safe_name(name: str) -> str:
    """A file name that stays in its folder, whatever it was made from; never empty, never hidden."""
    cleaned = UNSAFE.sub("-", name).strip("-.")
    if len(cleaned) > MAX_NAME:
        stem, dot, suffix = cleaned.rpartition(".")
        tail = f".{suffix}" if dot and len(suffix) <= 10 else ""
        cleaned = (stem if tail else cleaned)[: MAX_NAME - len(tail)] + tail
    return cleaned or "unnamed"


def unused_path(folder: Path, name: str) -> Path:
    """The name, or the name with the first free number before its suffix."""
    path = folder / name
    stem, suffix = path.stem, path.suffix
    for number in range(2, MAX_ITEMS + 2):
        if not path.exists():
            break
        path = folder / f"{stem}-{number}{suffix}"
    return path


def make_folder(folder: Path) -> None:
    """The folder and its parents, for nobody else to read."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a day's folder once its last run is gone."""
    try:
        folder.rmdir()
    except OSError:
        return  # another run is in it
