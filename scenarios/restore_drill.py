"""Scenario `restore-drill`: a backup that was never restored is a hope. Restores the newest into a database of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO

from probes.errors import BugError, DependencyError
from probes.journey import Journey
from probes.records import FailureKind
from probes.registry import scenario
from probes.target_behind import Backups, Drill
from scenarios.backup_dump import DumpReader
from scenarios.backup_listing import StoredBackup
from scenarios.backup_store import open_store
from scenarios.backups import describe_backup, described_backups
from scenarios.calls import instant_of
from scenarios.scratch_database import ScratchServer, connection_of, scratch_name

READ_BYTES = 65_536
ROOM = 1.1
CLOCKS_DIFFER_S = 300.0


@scenario("restore-drill", every="24h", timeout="4h", reuse=True, needs=("backups", "drill"), tags=("data",))
async def restore_drill(probe: Journey) -> None:
    """Fetch the newest backup, restore it into a scratch database, and look for the row that says how old the data is."""
    described, drill = described_backups(probe), probe.target.drill
    if drill is None:
        raise BugError("the target describes no drill", remedy='Mark the scenario with needs=("drill",)')
    server = ScratchServer(drill.program, connection_of(probe.hide(probe.target.fill(drill.server))))
    now = probe.clock.now()
    await server.drop_left_behind(now)
    database = scratch_name(now)
    begun_ns = probe.clock.monotonic_ns()
    with tempfile.TemporaryFile() as file:
        backup = await fetch(probe, described, file)
        made = probe.made("scratch-database", database)

        async def drop() -> None:
            await server.drop(database)

        probe.on_cleanup("drop the scratch database", drop, undoes=made)
        async with probe.step("restore") as step:
            step.set("backup.day", backup.day.isoformat())
            await server.create(database)
            reader = DumpReader()
            problem = await server.restore(database, texts_of(file, reader))
            problem = reader.problem or problem or reader.end(described)
            probe.expect("restored", not problem, expected="a whole dump without an error", found=problem or "one")
    async with probe.step("canary") as step:
        step.set("backup.day", backup.day.isoformat())
        age_s = await canary_age_s(probe, server, drill, database)
        step.set("restore.canary_age_s", round(age_s, 3))
        await expect_rows(probe, server, drill, database)
        step.set("restore.duration_s", (probe.clock.monotonic_ns() - begun_ns) / 1e9)


async def fetch(probe: Journey, described: Backups, file: BinaryIO) -> StoredBackup:
    """Find the newest backup and bring it here, as it is."""
    store = await open_store(probe, described)
    async with probe.step("fetch") as step:
        found = await store.list()
        if not found:
            probe.fail(FailureKind.ASSERTION, "there is no backup to restore")
        newest = found[0]
        describe_backup(step, newest, probe.clock.now())
        if shutil.disk_usage(tempfile.gettempdir()).free < newest.size_bytes * ROOM:
            raise DependencyError(
                f"there is no room for a backup of {newest.size_bytes} bytes",
                where=tempfile.gettempdir(),
                remedy="Make room, or set TMPDIR",
            )
        async for piece in store.pieces(newest):
            await asyncio.to_thread(file.write, piece)
    file.seek(0)
    return newest


async def texts_of(file: BinaryIO, reader: DumpReader) -> AsyncIterator[bytes]:
    """The dump's text, decompressed beside the loop, never more of it than fits."""
    while piece := await asyncio.to_thread(file.read, READ_BYTES):
        texts = reader.feed(piece)
        while text := await asyncio.to_thread(next, texts, b""):
            yield text


async def canary_age_s(probe: Journey, server: ScratchServer, drill: Drill, database: str) -> float:
    """How old the newest canary row is that came back."""
    answer, problem = await server.ask(drill.canary, database)
    written_at = instant_of(answer)
    expected = "an instant with its zone"
    if written_at is None:
        probe.expect("canary row", ok=False, expected=expected, found=problem or answer or "no row")
        raise BugError("an expectation in a step that does not hold ends it")
    age_s = (probe.clock.now() - written_at).total_seconds()
    probe.expect("canary row", age_s > -CLOCKS_DIFFER_S, expected="not in the future", found=written_at.isoformat())
    return age_s


async def expect_rows(probe: Journey, server: ScratchServer, drill: Drill, database: str) -> None:
    """Every table that the description names has the rows that it must have at least."""
    for table, least in drill.tables.items():
        answer, problem = await server.ask(f"SELECT count(*) FROM {table}", database)  # noqa: S608 - the model has checked the name
        enough = answer.isdecimal() and int(answer) >= least
        probe.expect(f"rows of {table}", enough, expected=f"at least {least}", found=problem or answer or "no answer")
