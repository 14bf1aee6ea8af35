"""A database on a disk that takes no writes can be read, and what is said of one that cannot be used is true."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from collector.store import Store, StoreError, open_store
from collector.store_sqlite import SqliteBackend
from probes.errors import OperatorError
from tests.store_kit import NOW, deliver, runs_from

ROOT = Path(__file__).parents[2]
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
UNSHARE = shutil.which("unshare") or ""


def on_read_only_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command, in a place of its own where nothing in the folder can be written."""
    words = [UNSHARE, "--map-root-user", "--mount", "sh", "-c", READ_ONLY, str(folder)]
    return subprocess.run([*words, *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def runner(*words: str) -> list[str]:
    """A command of ours."""
    return [sys.executable, "runner.py", *words]


async def filled(path: Path) -> None:
    """A database with three runs, whose collector has ended."""
    async with open_store(str(path)) as store:
        await store.file([deliver(runs_from(3))])


@pytest.mark.skipif(not UNSHARE, reason="no unshare here")
async def test_a_database_on_a_read_only_disk_can_be_looked_at_and_exported(tmp_path: Path) -> None:
    """Nothing is written to read; a collector there says that it cannot store, and not that it tries again."""
    folder = tmp_path / "disk"
    folder.mkdir()
    database = str(folder / "store.db")
    await filled(folder / "store.db")
    if on_read_only_disk(folder, "true").returncode:
        pytest.skip("no mounts here")
    status = on_read_only_disk(folder, *runner("status", "--database", database))
    assert status.returncode == 3, status.stderr
    assert "probe-1" in status.stdout
    target = str(tmp_path / "out.jsonl.gz")
    export = on_read_only_disk(folder, *runner("export", target, "--database", database))
    assert export.returncode == 0, export.stderr
    refused = on_read_only_disk(folder, *runner("import", target, "--database", database))
    assert refused.returncode == 3
    assert "What was under way is undone" in refused.stderr
    assert "tried again" not in refused.stderr


async def test_a_reader_sees_what_a_collector_has_committed(tmp_path: Path) -> None:
    """The log beside the file counts: only reading is no excuse for an older state."""
    path = tmp_path / "store.db"
    async with open_store(str(path)) as collector:
        await collector.file([deliver(runs_from(3))])
        backend = SqliteBackend(path, only_reads=True)
        await backend.open()
        try:
            assert len(await Store(backend).runs(NOW, NOW + timedelta(days=1))) == 3
            with pytest.raises(StoreError, match="readonly"):
                await Store(backend).file([deliver(runs_from(1), first_seq=4)])
        finally:
            await backend.close()


async def test_an_older_database_that_cannot_be_brought_up_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is named, instead of a table that is not there."""
    path = tmp_path / "store.db"
    path.touch()
    monkeypatch.setattr("collector.store.may_be_written", lambda _: False)
    with pytest.raises(OperatorError, match="schema version 0"):
        async with open_store(str(path), only_reads=True):
            pass
