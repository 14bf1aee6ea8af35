"""The evidence store: masked, private, whole or not at all, and never a reason for a run to fail."""

from __future__ import annotations

import errno
import io
import os
import resource
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from probes.errors import DependencyError, FleetError, OperatorError
from probes.evidence import EvidenceMode, EvidenceStore, safe_name
from probes.masking import Mask


class StoppedClock:
    """A clock that says what it is told."""

    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        """The instant it was told."""
        return self.at

    def monotonic_ns(self) -> int:
        """Unused here."""
        return 0

    async def sleep(self, duration_s: float) -> None:
        """Moves on."""
        self.at += timedelta(seconds=duration_s)


NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@contextmanager
def no_room(folder: Path) -> Iterator[None]:
    """A disk on which nothing larger than 4 kB fits: a small tmpfs where that is allowed, else a limit of this process."""
    size = ["-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(["mount", *size], capture_output=True, check=False).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_kept_with_its_hash_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    """Path, size and SHA-256 are those of what is on the disk; other users of the host see nothing."""
    sink = EvidenceStore(tmp_path / "kept", clock=StoppedClock(NOON)).sink("run-1")
    item = sink.add("console", "console.log", b"line\n")
    assert item is not None
    path = tmp_path / "kept" / item.path
    assert item.path == "2026-03-04/run-1/console.log"
    assert (item.sha256, item.file_bytes) == (sha256(path.read_bytes()).hexdigest(), 5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sink.items == (item,)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "..", "", "a/b\\c", ".hidden", "name\x00with\nnothing", "é" * 300, "x" * 300],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Neither as a run id nor as a file's name."""
    item = EvidenceStore(tmp_path).sink(name).add("body", name, b"1")
    assert item is not None
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert kept[0].resolve().is_relative_to(tmp_path.resolve())
    assert len(kept[0].name) <= 80
    assert not kept[0].name.startswith(".")


def test_a_long_name_keeps_its_suffix() -> None:
    """So that a program still knows what it opens."""
    assert safe_name("n" * 200 + ".har").endswith("n.har")


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    """The second gets a number; nothing is overwritten."""
    sink = EvidenceStore(tmp_path).sink("r")
    names = [item.name for item in (sink.add("body", "a.txt", b"1"), sink.add("body", "a.txt", b"2")) if item]
    assert names == ["a.txt", "a-2.txt"]


def test_secrets_are_masked_before_they_are_written(tmp_path: Path) -> None:
    """Known values in text and in every member of an archive; a picture is left as it is."""
    mask = Mask()
    mask.hide("hunter22")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("trace.network", '{"url":"http://x/?q=hunter22","headers":[{"name":"Cookie","value":"a=b"}]}')
        made.writestr("resources/picture.jpeg", b"\xff\xd8\xffhunter22\xff")
        made.writestr("resources/clean.jpeg", b"\xff\xd8\xffclean\xff")
    sink = EvidenceStore(tmp_path).sink("r", mask=mask)
    text = sink.add("body", "body.json", b'{"session":"hunter22"}')
    trace = sink.add("trace", "trace.zip", archive.getvalue())
    assert text is not None
    assert trace is not None
    assert (tmp_path / text.path).read_bytes() == b'{"session":"***"}'
    with zipfile.ZipFile(tmp_path / trace.path) as kept:
        members = {name: kept.read(name) for name in kept.namelist()}
    assert b"hunter22" not in b"".join(members.values())
    assert b"a=b" not in members["trace.network"]
    assert members["resources/clean.jpeg"] == b"\xff\xd8\xffclean\xff"


def test_a_full_disk_is_noted_and_leaves_no_half_a_file(tmp_path: Path) -> None:
    """The run goes on; what was kept before stays, and the reason is told."""
    folder = tmp_path / "small"
    folder.mkdir()
    sink = EvidenceStore(folder).sink("r")
    with no_room(folder):
        assert sink.add("har", "large.har", b"x" * 200_000) is None
        left = [path for path in folder.rglob("*") if path.is_file()]
    assert left == []
    [problem] = sink.problems
    assert problem.startswith("large.har was not kept: ")
    assert os.strerror(errno.ENOSPC) in problem or os.strerror(errno.EFBIG) in problem


def test_a_folder_that_cannot_be_written_is_noted_by_a_sink_and_refused_before_a_run(tmp_path: Path) -> None:
    """Early and aloud by `check_writable`, silently by a run that is under way."""
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "evidence", Path("/proc/evidence")):
        store = EvidenceStore(folder)
        with pytest.raises(OperatorError, match="evidence cannot be kept") as caught:
            store.check_writable()
        assert "--evidence-dir" in caught.value.remedy
        sink = store.sink("r")
        assert sink.add("body", "a", b"1") is None
        assert len(sink.problems) == 1


def test_a_disk_without_room_is_told_before_a_run(tmp_path: Path) -> None:
    """A dependency's failure, not the operator's mistake."""
    store = EvidenceStore(tmp_path)
    if os.geteuid() == 0:
        with no_room(tmp_path):
            (tmp_path / "filler").write_bytes(b"x" * 4096)
            with pytest.raises(DependencyError):
                store.check_writable()
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(DependencyError):
            store.check_writable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """The proof leaves nothing behind, and mode `never` does not even look."""
    EvidenceStore(tmp_path / "new").check_writable()
    assert list((tmp_path / "new").iterdir()) == []
    EvidenceStore(Path("/proc/evidence"), mode=EvidenceMode.NEVER).check_writable()


@pytest.mark.parametrize(
    ("mode", "failed", "wanted"),
    [
        (EvidenceMode.NEVER, True, False),
        (EvidenceMode.FAILURES, True, True),
        (EvidenceMode.FAILURES, False, False),
        (EvidenceMode.ALWAYS, False, True),
    ],
)
def test_the_mode_says_what_is_wanted(tmp_path: Path, mode: EvidenceMode, failed: bool, wanted: bool) -> None:
    """Of which runs evidence is kept."""
    assert EvidenceStore(tmp_path, mode=mode).sink("r").wants(failed=failed) is wanted


def test_mode_never_writes_nothing(tmp_path: Path) -> None:
    """Not even a folder."""
    sink = EvidenceStore(tmp_path / "e", mode=EvidenceMode.NEVER).sink("r")
    assert sink.add("body", "a", b"1") is None
    assert (sink.problems, (tmp_path / "e").exists()) == ((), False)


def test_what_is_discarded_is_gone_with_its_folders(tmp_path: Path) -> None:
    """Another run of the same day stays."""
    store = EvidenceStore(tmp_path)
    other = store.sink("other")
    sink = store.sink("r")
    sink.add("body", "a", b"1")
    sink.discard()
    assert (sink.items, list(tmp_path.iterdir())) == ((), [])
    other.add("body", "a", b"1")
    sink.add("body", "a", b"1")
    sink.discard()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_what_is_kept_of_one_run_is_bounded(tmp_path: Path) -> None:
    """A script in a loop cannot fill the disk."""
    sink = EvidenceStore(tmp_path).sink("r")
    for _ in range(60):
        sink.add("body", "a.txt", b"1")
    assert len(sink.items) == 50
    assert "already has 50" in sink.problems[0]


def test_a_trace_that_is_no_archive_is_noted(tmp_path: Path) -> None:
    """What cannot be masked is not kept."""
    sink = EvidenceStore(tmp_path).sink("r")
    assert sink.add("trace", "trace.zip", b"no zip") is None
    assert len(sink.problems) == 1


def run_of(store: EvidenceStore, clock: StoppedClock, name: str, age: timedelta, size: int) -> Path:
    """A kept run of that age."""
    clock.at = NOON - age
    item = store.sink(name).add("body", "a", b"x" * size)
    assert item is not None
    path = store.folder / item.path
    os.utime(path, (clock.at.timestamp(), clock.at.timestamp()))
    clock.at = NOON
    return path


def test_pruning_removes_the_oldest_first(tmp_path: Path) -> None:
    """What is too old goes, then what is too much; what this store did not make is not touched."""
    clock = StoppedClock(NOON)
    store = EvidenceStore(tmp_path, clock=clock)
    old = run_of(store, clock, "old", timedelta(days=20), 10)
    middle = run_of(store, clock, "middle", timedelta(days=2), 1000)
    young = run_of(store, clock, "young", timedelta(hours=1), 1000)
    foreign = tmp_path / "notes" / "mine.txt"
    foreign.parent.mkdir()
    foreign.write_text("not evidence")
    os.utime(foreign, (0, 0))
    aged = store.prune(keep_days=14, keep_bytes=10_000)
    assert (aged.runs, aged.freed_bytes, old.exists(), middle.exists()) == (1, 10, False, True)
    squeezed = store.prune(keep_days=14, keep_bytes=1500)
    assert (squeezed.runs, squeezed.kept_bytes, middle.exists(), young.exists()) == (1, 1000, False, True)
    assert foreign.exists()
    assert not old.parent.parent.exists()


def test_pruning_does_not_follow_links(tmp_path: Path) -> None:
    """A link in the store cannot make it delete something else."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("1")
    store = EvidenceStore(tmp_path / "store", clock=StoppedClock(NOON))
    (store.folder / "2020-01-01").mkdir(parents=True)
    (store.folder / "2020-01-01" / "run").symlink_to(precious)
    (store.folder / "2020-01-02").symlink_to(tmp_path)
    assert store.prune(keep_days=0, keep_bytes=0).runs == 0
    assert (precious / "file").exists()


def test_pruning_a_store_that_is_not_there_yet_is_nothing(tmp_path: Path) -> None:
    """The first start of a probe."""
    assert EvidenceStore(tmp_path / "none").prune(keep_days=1, keep_bytes=1).runs == 0


def test_every_refusal_says_what_to_do(tmp_path: Path) -> None:
    """What, where and what next."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetError) as caught:
        EvidenceStore(tmp_path / "file").check_writable()
    assert caught.value.where == "evidence folder"
