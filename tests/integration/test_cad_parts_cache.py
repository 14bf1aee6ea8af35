"""The cache with real files, real processes and a kernel that really says no."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from fixtures.cad import cache as cache_module
from fixtures.cad.__main__ import main
from fixtures.cad.cache import FileFacts, PartCache
from fixtures.cad.catalog import FileCatalog, open_catalog
from probes.errors import DependencyError

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"solid\n" * 1000
FACTS = FileFacts("part.stl", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Maker:
    """Writes `content` and counts how often it was asked to."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.calls = 0

    def __call__(self, file: BinaryIO) -> None:
        """Write and count."""
        self.calls += 1
        file.write(self.content)


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A folder for large files that is gone after the test; pytest would keep those of three sessions."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def made(tmp_path: Path) -> tuple[PartCache, Path]:
    """A cache with one part in it."""
    cache = PartCache(tmp_path / "parts")
    return cache, cache.ensure(FACTS, Maker())


def unfinished(path: Path) -> Path:
    """The name of a file that is being made."""
    return path.with_name(f"{path.name}.part")


def stamp(path: Path) -> Path:
    """The name of the note that saves hashing."""
    return path.with_name(f"{path.name}.stamp")


def test_two_processes_that_want_the_same_large_part_make_it_once(roomy: Path) -> None:
    """The second waits for the first and gets the same whole file; neither sees half of one."""
    command = [sys.executable, "-m", "fixtures.cad", "--cache", str(roomy), "make", "near-limit-step"]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=100)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert "".join(outputs).count("making padded-49999999") == 1
    part = open_catalog(roomy).get("near-limit-step")
    assert hashlib.sha256(part.path.read_bytes()).hexdigest() == part.sha256
    assert not list(roomy.glob("*.part"))


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:]])
def test_a_damaged_file_is_noticed_and_made_again(made: tuple[PartCache, Path], damage: bytes) -> None:
    """Shorter, longer or changed: the next use repairs it."""
    cache, path = made
    path.write_bytes(damage)
    os.utime(path, ns=(1, 1))
    maker = Maker()
    assert cache.ensure(FACTS, maker).read_bytes() == CONTENT
    assert maker.calls == 1


def test_a_file_that_was_only_touched_is_hashed_and_kept(made: tuple[PartCache, Path]) -> None:
    """A copied or restored cache is not made again, and the stamp is renewed."""
    cache, path = made
    os.utime(path, ns=(1, 1))
    maker = Maker()
    cache.ensure(FACTS, maker)
    assert maker.calls == 0
    assert stamp(path).read_text().split()[1] == "1"


def test_a_fitting_stamp_saves_the_hashing_and_a_recheck_does_not_trust_it(made: tuple[PartCache, Path]) -> None:
    """What hides behind size and time is not seen at use, but `verify` sees it, and the next use repairs it."""
    cache, path = made
    before = path.stat()
    path.write_bytes(b"X" + CONTENT[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    maker = Maker()
    assert cache.ensure(FACTS, maker).read_bytes() != CONTENT
    assert cache.recheck(FACTS) is False
    assert cache.ensure(FACTS, maker).read_bytes() == CONTENT
    assert maker.calls == 1
    assert cache.recheck(FACTS) is True


def test_a_part_that_was_never_made_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    """`verify` makes nothing."""
    assert PartCache(tmp_path / "nowhere").recheck(FACTS) is None


def test_bytes_that_differ_from_the_manifest_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    """A wrong hash in the manifest, or a changed generator, is said to be one; no file stays to be used by mistake."""
    cache = PartCache(tmp_path)
    with pytest.raises(DependencyError, match=r"came out with the SHA-256 .* the manifest says"):
        cache.ensure(FACTS, Maker(b"something else"))
    assert not cache.path(FACTS).exists()
    assert not list(tmp_path.glob("*.part"))
    assert cache.ensure(FACTS, Maker()).read_bytes() == CONTENT


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    """A half-written file never gets the final name, and does not stand in the way."""
    cache = PartCache(tmp_path)
    unfinished(cache.path(FACTS)).write_bytes(b"half" * 10_000)
    assert cache.ensure(FACTS, Maker()).read_bytes() == CONTENT


def test_a_full_disk_is_named_with_the_room_that_is_needed(tmp_path: Path) -> None:
    """ENOSPC from the kernel itself, by way of /dev/full."""
    cache = PartCache(tmp_path)
    unfinished(cache.path(FACTS)).symlink_to("/dev/full")
    with pytest.raises(DependencyError, match=r"no room .*No space left.*Free 1 MB .*XDG_CACHE_HOME") as caught:
        cache.ensure(FACTS, Maker())
    assert caught.value.where == str(tmp_path)
    assert cache.ensure(FACTS, Maker()).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_named_with_a_way_out() -> None:
    """The kernel lets nobody make a folder in /sys, root included."""
    with pytest.raises(DependencyError, match=r"cannot be written: .*Make the folder writable.*XDG_CACHE_HOME"):
        PartCache(Path("/sys/probe-fleet")).ensure(FACTS, Maker())


def test_a_cache_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A typing error in the setting is explained, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(DependencyError, match="cannot be made or read"):
        PartCache(tmp_path / "file").ensure(FACTS, Maker())


def test_a_ready_made_folder_works_without_a_lock_or_a_stamp(made: tuple[PartCache, Path]) -> None:
    """Parts baked into an image are used where nothing can be written."""
    cache, path = made
    path.with_name(f"{path.name}.lock").unlink()
    stamp(path).unlink()
    stamp(path).mkdir()
    maker = Maker()
    assert cache.ensure(FACTS, maker) == path
    assert maker.calls == 0
    assert not path.with_name(f"{path.name}.lock").exists()


def test_a_lock_that_is_never_released_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped in the middle stops nobody else for good."""
    monkeypatch.setattr(cache_module, "_LOCK_ATTEMPTS", 2)
    cache = PartCache(tmp_path)
    path = cache.path(FACTS)
    with path.with_name(f"{path.name}.lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DependencyError, match="another process has been making"):
            cache.ensure(FACTS, Maker())


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command."""
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_makes_verifies_and_repairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """make, damage behind the stamp, verify says so with exit code 3, make repairs, verify is content."""
    where = ("--cache", str(tmp_path))
    assert run(capsys, *where, "make", "waffle-100k", "bracket")[0] == 0
    path = open_catalog(tmp_path).get("waffle-100k").path
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"waffle", b"WAFFLE", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    code, said, complaint = run(capsys, *where, "verify")
    assert code == 3
    assert "27 parts are right, 64 not made yet, 1 wrong" in said
    assert "make waffle-100k" in complaint
    assert run(capsys, *where, "make", "waffle-100k")[0] == 0
    assert run(capsys, *where, "verify")[:2] == (0, "28 parts are right, 64 not made yet, 0 wrong\n")


def test_the_command_lists_every_part_with_its_alias(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a part; nothing is made for it."""
    code, said, _ = run(capsys, "--cache", str(tmp_path / "none"), "list")
    assert code == 0
    assert len(said.splitlines()) == 92
    assert "padded-49999999 = near-limit-step: " in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("arguments", [("make", "braket"), ("make", "--tier", "huge"), ("list", "--tier", "huge")])
def test_the_command_refuses_an_unknown_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Exit code 2 and one sentence."""
    code, _, complaint = run(capsys, "--cache", str(tmp_path), *arguments)
    assert code == 2
    assert complaint.count("\n") == 1


def test_the_usual_parts_are_what_make_prepares(roomy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After `make` no built-in scenario waits for a part: the small ones, the bad ones and three at the limit."""
    code, said, _ = run(capsys, "--cache", str(roomy), "make")
    assert code == 0
    announced: list[str] = []
    catalog: FileCatalog = open_catalog(roomy, on_making=lambda part_id, _: announced.append(part_id))
    for tier in ("smoke", "regular", "invalid", "hostile"):
        for part_id in catalog.ids(tier=tier, hostile=True):
            catalog.get(part_id)
    for alias in ("near-limit-step", "near-limit-step-mib", "over-limit-step"):
        catalog.get(alias)
    assert announced == []
    assert said.count("making padded") == 3
