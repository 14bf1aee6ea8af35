"""The store's file: versions, damage, a full disk, another program's lock; and addresses that are none."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from collector import store as store_module
from collector.store import SCHEMA_VERSION, StoreError, open_store
from collector.store_migrations import MIGRATIONS, migrate
from collector.store_session import Session
from collector.store_sqlite import SqliteBackend
from probes.errors import OperatorError
from tests.store_kit import NOW, deliver, runs_from


async def test_a_database_of_a_newer_program_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Writing into it could break what the newer one relies on."""
    path = tmp_path / "store.db"
    async with open_store(str(path)):
        pass
    with sqlite3.connect(path) as db:
        db.execute("UPDATE schema_version SET version = version + 1")
    db.close()
    with pytest.raises(OperatorError, match=rf"version {SCHEMA_VERSION + 1}.*versions up to {SCHEMA_VERSION}"):
        async with open_store(str(path)):
            pass


async def test_an_old_database_is_brought_up_step_by_step_and_once(tmp_path: Path) -> None:
    """Each step runs in the transaction that notes it; a step that fails leaves the version before."""
    backend = SqliteBackend(tmp_path / "store.db")
    await backend.open()
    steps = dict(MIGRATIONS)

    async def bring_up(session: Session) -> tuple[int, int]:
        return await migrate(session, backend.dialect, backend.where, steps)

    newest = max(steps)
    assert await backend.write(bring_up) == (0, newest)
    steps[newest + 1] = lambda _: ["ALTER TABLE words ADD COLUMN mood TEXT", "SELECT * FROM no_such_table"]
    with pytest.raises(StoreError, match="no_such_table"):
        await backend.write(bring_up)
    steps[newest + 1] = lambda _: ["ALTER TABLE words ADD COLUMN mood TEXT"]
    assert await backend.write(bring_up) == (newest, newest + 1)
    assert await backend.write(bring_up) == (newest + 1, newest + 1)
    await backend.close()


async def test_a_full_disk_stores_nothing_and_what_was_stored_stays(tmp_path: Path) -> None:
    """The transaction that does not fit is undone as a whole; with room again the same deliveries go in."""
    path = tmp_path / "store.db"
    first = deliver(runs_from(100))
    many = [
        deliver(runs_from(400, start_at=NOW.replace(day=2 + part)), first_seq=101 + 400 * part) for part in range(8)
    ]
    async with open_store(str(path)) as store:
        await store.file([first])
        backend = store._backend
        assert isinstance(backend, SqliteBackend)
        writer = backend._write_db
        assert writer is not None

        def set_limit(pages: int) -> None:
            writer.execute(f"PRAGMA max_page_count = {pages}")

        loop = asyncio.get_running_loop()
        await loop.run_in_executor(backend._writer, set_limit, 60)
        with pytest.raises(StoreError, match=r"full.*What was under way is undone"):
            await store.file(many)
        assert (await store.totals()).entries == 100
        await loop.run_in_executor(backend._writer, set_limit, 1_000_000)
        assert (await store.file(many)).result.slots == 3200
        assert (await store.totals()).entries == 3300


async def test_a_lock_that_another_program_holds_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded: nothing is stored, nothing hangs, and when the lock is gone everything goes on."""
    path = tmp_path / "store.db"
    monkeypatch.setattr(
        store_module, "SqliteBackend", lambda file, **more: SqliteBackend(file, busy_timeout_s=0.2, **more)
    )
    async with open_store(str(path)) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await store.file([deliver(runs_from(3))])
        other.execute("ROLLBACK")
        other.close()
        assert (await store.file([deliver(runs_from(3))])).result.slots == 3


async def test_a_damaged_file_is_told_and_nothing_is_taken_into_it(tmp_path: Path) -> None:
    """Neither at the start nor later is a receipt given for what went nowhere."""
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreError, match="not a database"):
        async with open_store(str(path)):
            pass
    path.unlink()
    async with open_store(str(path)) as store:
        await store.file([deliver(runs_from(2000))])
    damaged = bytearray(path.read_bytes())
    damaged[4096 : len(damaged) // 2] = b"\xff" * (len(damaged) // 2 - 4096)
    path.write_bytes(damaged)
    with pytest.raises(StoreError):
        async with open_store(str(path)) as store:
            await store.file([deliver(runs_from(10), first_seq=2001)])


async def test_what_a_killed_collector_had_committed_is_there(tmp_path: Path) -> None:
    """`kill -9` in the middle of writing: each printed receipt is in the database, whole transactions only."""
    program = """
import asyncio, sys
from collector.store import open_store
from tests.store_kit import deliver, runs_from

async def main():
    async with open_store(sys.argv[1]) as store:
        for seq in range(1, 100_000, 10):
            filed = await store.file([deliver(runs_from(10, every_s=15 * seq), first_seq=seq)])
            print(filed.receipts[0].numbers[-1], flush=True)

asyncio.run(main())
"""
    path = tmp_path / "store.db"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    receipts = [
        int(line) for line, _ in zip(filter(str.isdecimal, map(str.strip, process.stdout)), range(20), strict=False)
    ]
    process.kill()
    receipts += [int(line) for line in process.stdout.read().split() if line.isdecimal()]
    process.wait(timeout=10)
    process.stdout.close()
    async with open_store(str(path)) as store:
        (probe,) = await store.probes()
        assert probe.entries >= receipts[-1]
        assert probe.entries % 10 == 0
        assert probe.missing == 0


@pytest.mark.parametrize("url", ["mysql://host/name", "redis://x"])
async def test_an_address_of_an_unknown_kind_is_refused_with_what_to_write(url: str) -> None:
    """A typing mistake is the operator's to correct."""
    with pytest.raises(OperatorError, match=r"sqlite:///FILE or postgresql://"):
        async with open_store(url):
            pass


async def test_a_postgresql_that_is_not_there_is_a_store_error_without_the_password(tmp_path: Path) -> None:
    """What is printed and logged names the place and keeps the secret."""
    with pytest.raises(StoreError) as told:
        async with open_store("postgresql://user:secret@127.0.0.1:1/fleet"):
            pass
    assert "127.0.0.1:1/fleet" in str(told.value)
    assert "secret" not in str(told.value)
