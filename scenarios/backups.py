"""Scenario `backups`: is there a backup of every day, and is each one a dump? A green backup job proves neither."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

from probes.errors import BugError
from probes.journey import Journey
from probes.records import Failure, FailureKind
from probes.registry import scenario
from probes.steps import StepHandle
from probes.target_behind import Backups
from scenarios.backup_dump import DumpReader, problem_of_ends
from scenarios.backup_listing import StoredBackup, days_due, missing_days
from scenarios.backup_store import BackupStore, open_store

__all__ = ["describe_backup", "described_backups", "read_whole"]

END_BYTES = 65_536
ANSWER_S = 60.0
SLOWEST_BYTES_PER_S = 1_000_000
NOT_LET_IN = ("401", "403")
SERVER_ERROR = "5"
CLOCKS_DIFFER = timedelta(minutes=5)
# Smaller pieces are decompressed sooner than a thread is asked to.
BRIEF_BYTES = 65_536


@scenario("backups", every="1h", timeout="30m", reuse=True, needs=("backups",), tags=("data",))
async def backups(probe: Journey) -> None:
    """List the daily backups, see that none is missing, and look into each one: the newest is read from end to end."""
    described = described_backups(probe)
    store = await open_store(probe, described)
    found: tuple[StoredBackup, ...] = ()
    async with probe.step("list", deadline_s=60, keep_going=True) as step:
        found = await store.list()
        step.set("backup.count", len(found))
        expect_every_day(probe, described, found)
    due = days_due(described, probe.clock.now(), [backup.day for backup in found])
    for number, backup in enumerate(found[: described.keep_days + 1]):
        async with probe.step("verify", deadline_s=time_for(backup), keep_going=True) as step:
            if backup.day not in due and not await store.is_there(backup):
                # Old enough to be removed, and removed since it was listed: no word about it, good or bad.
                step.set("backup.read", "gone")
                continue
            describe_backup(step, backup, probe.clock.now())
            expect_plausible(probe, described, backup)
            if number == 0 or backup.size_bytes <= described.whole_bytes:
                step.set("backup.read", "whole")
                problem = await read_whole(store, backup, described)
            else:
                step.set("backup.read", "ends")
                problem = await read_ends(store, backup, described)
            probe.expect(f"backup of {backup.day}", not problem, expected="a whole dump", found=problem or "one")
        if step.failure is not None and not is_about_one(step.failure):
            # The bucket cannot be reached: that says nothing about the other days, and they are not charged with it.
            return


def is_about_one(failure: Failure) -> bool:
    """Whether it is the backup that is wrong, and not the bucket that was away, had an error of its own, or let nobody in."""
    if failure.kind is FailureKind.STATUS:
        return not (failure.error_type.startswith(SERVER_ERROR) or failure.error_type in NOT_LET_IN)
    return failure.kind is FailureKind.ASSERTION


def described_backups(probe: Journey) -> Backups:
    """The target's backups; BugError where it has none, which the scenario's needs rule out."""
    if probe.target.backups is None:
        raise BugError("the target describes no backups", remedy='Mark the scenario with needs=("backups",)')
    return probe.target.backups


def time_for(backup: StoredBackup) -> float:
    """How long looking into it may take, in seconds."""
    return ANSWER_S + backup.size_bytes / SLOWEST_BYTES_PER_S


def describe_backup(step: StepHandle, backup: StoredBackup, now: datetime) -> None:
    """Say in the step which backup it is about: service levels read these attributes."""
    step.set("backup.day", backup.day.isoformat())
    step.set("backup.written_at", backup.written_at.isoformat())
    step.set("backup.bytes", backup.size_bytes)
    step.set("backup.age_s", round(backup.age_s(now), 3))


def expect_every_day(probe: Journey, described: Backups, found: tuple[StoredBackup, ...]) -> None:
    """Today's backup once it is due, and those of the days before."""
    days = [backup.day for backup in found]
    missing = missing_days(days_due(described, probe.clock.now(), days), days)
    probe.expect(
        "backup of every day",
        not missing,
        expected=f"one for each of the last {described.keep_days} days",
        found=f"none for {', '.join(map(str, missing))}" if missing else "all of them",
    )


def expect_plausible(probe: Journey, described: Backups, backup: StoredBackup) -> None:
    """Large enough to hold anything, and written in the time of its day: a file that was renamed is not today's backup."""
    probe.expect(
        f"size of {backup.day}",
        backup.size_bytes >= described.least_bytes,
        expected=f"at least {described.least_bytes} bytes",
        found=f"{backup.size_bytes} bytes",
    )
    begins_at = datetime.combine(backup.day, time_of_day(), UTC) - CLOCKS_DIFFER
    ends_at = min(begins_at + timedelta(days=2), probe.clock.now() + CLOCKS_DIFFER)
    probe.expect(
        f"time of {backup.day}",
        begins_at <= backup.written_at <= ends_at,
        expected="written on its day or the one after, and not in the future",
        found=backup.written_at.isoformat(),
    )


async def read_whole(store: BackupStore, backup: StoredBackup, described: Backups) -> str:
    """Read every byte of the backup; what is wrong with it, or an empty text."""
    reader = DumpReader()
    async for piece in store.pieces(backup):
        if len(piece) <= BRIEF_BYTES:
            reader.skim(piece)
        else:
            await asyncio.to_thread(reader.skim, piece)
        if reader.problem:
            break
    return reader.end(described)


async def read_ends(store: BackupStore, backup: StoredBackup, described: Backups) -> str:
    """Read the beginning and the end of the backup; what they show to be wrong, or an empty text."""
    first = await store.part(backup, 0, END_BYTES)
    last = await store.part(backup, max(0, backup.size_bytes - END_BYTES), END_BYTES)
    return problem_of_ends(first, last, backup.size_bytes, described)
