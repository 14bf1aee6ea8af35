"""The outbox keeps what it was given until the collector has it, whatever is killed in between."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.clock import SystemClock
from probes.errors import DependencyError
from probes.outbox import Durability, EntryKind, Intent, Outbox, OutboxLimits

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from probes.outbox import EntryKind, Outbox
with Outbox(Path(sys.argv[1])) as outbox:
    for number in range(int(sys.argv[2])):
        key = f"{sys.argv[3]}-{number}"
        outbox.intend(key, key.encode(), owner=sys.argv[3])
        seq = outbox.put(EntryKind.RUN, key.encode(), intent_key=key)
        print(seq, key, flush=True)
"""


class JumpingClock(SystemClock):
    """Wall time that stands still until it is told to jump."""

    def __init__(self, start_at: datetime) -> None:
        self.now_at = start_at

    def now(self) -> datetime:
        """The instant of the last jump."""
        return self.now_at

    def jump(self, by: timedelta) -> None:
        """Move on, or back."""
        self.now_at += by


def as_slot(intent: Intent) -> bytes:
    """What the worker would write for an intent that never became a run."""
    return json.dumps({"aborted": intent.key, "owner": intent.owner}).encode()


def start_writer(path: Path, count: int, name: str) -> subprocess.Popen[str]:
    """A process that queues `count` entries and prints each one after it was accepted."""
    command = [sys.executable, "-c", WRITER, str(path), str(count), name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_entries_come_back_in_order_until_they_are_acknowledged(tmp_path: Path) -> None:
    """Sequence numbers start at 1, have no holes, and only acknowledged ones disappear."""
    with Outbox(tmp_path / "outbox.db") as outbox:
        assert [outbox.put(EntryKind.RUN, f"{n}".encode()) for n in range(5)] == [1, 2, 3, 4, 5]
        assert outbox.acknowledge([(1, 2), (4, 4), (90, 99)]) == 3
        assert [(entry.seq, entry.body) for entry in outbox.pending()] == [(3, b"2"), (5, b"4")]
        assert outbox.acknowledge([(1, 2)]) == 0


def test_what_is_acknowledged_goes_with_the_next_commit_or_before_anything_is_read(tmp_path: Path) -> None:
    """One commit less for each entry; nobody who asks this process sees what has gone, and closing loses nothing."""
    path = tmp_path / "outbox.db"
    with Outbox(path) as outbox, Outbox(path) as other:
        for number in range(6):
            outbox.put(EntryKind.RUN, f"{number}".encode())
        outbox.acknowledge_soon([(1, 1), (3, 3)])
        assert other.depth().entries == 6
        outbox.put(EntryKind.RUN, b"6")
        assert [entry.seq for entry in other.pending()] == [2, 4, 5, 6, 7]
        outbox.acknowledge_soon([(2, 2)])
        assert [entry.seq for entry in outbox.pending()] == [4, 5, 6, 7]
        outbox.acknowledge_soon([(4, 4), (90, 99)])
        assert outbox.depth().entries == 3
        assert outbox.depth().body_bytes == 3
        outbox.acknowledge_soon([(5, 6)])
    with Outbox(path) as outbox:
        assert [entry.body for entry in outbox.pending()] == [b"6"]


def test_a_commit_that_fails_forgets_nothing(tmp_path: Path) -> None:
    """What was acknowledged goes once the disk takes writes again."""
    path = tmp_path / "outbox.db"
    with Outbox(path) as outbox:
        for number in range(3):
            outbox.put(EntryKind.RUN, f"{number}".encode())
        outbox._db.execute("PRAGMA query_only = 1")
        outbox.acknowledge_soon([(1, 2)])
        with pytest.raises(DependencyError):
            outbox.put(EntryKind.RUN, b"3")
        with pytest.raises(DependencyError):
            outbox.pending()
        outbox._db.execute("PRAGMA query_only = 0")
        assert [entry.body for entry in outbox.pending()] == [b"2"]


def test_a_reopened_outbox_goes_on_where_it_was(tmp_path: Path) -> None:
    """The epoch stays, sequence numbers are never used twice, even when the queue was empty."""
    with Outbox(tmp_path / "outbox.db", durability=Durability.FULL) as outbox:
        epoch = outbox.epoch
        outbox.put(EntryKind.RUN, b"one")
        outbox.acknowledge([(1, 1)])
    with Outbox(tmp_path / "outbox.db") as outbox:
        assert outbox.epoch == epoch
        assert outbox.put(EntryKind.RUN, b"two") == 2


@pytest.mark.parametrize("after_lines", [1, 7, 60, 250])
def test_kill_9_at_any_point_loses_nothing_that_was_accepted(tmp_path: Path, after_lines: int) -> None:
    """Every entry whose number was returned is there, and a run cut off in the middle is an intent, not a hole."""
    path = tmp_path / "outbox.db"
    writer = start_writer(path, 1_000_000, "lane")
    assert writer.stdout is not None
    accepted = [writer.stdout.readline().split() for _ in range(after_lines)]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().splitlines(keepends=True)
    accepted += [line.split() for line in rest if line.endswith("\n")]  # a line that was cut off says nothing
    writer.wait(timeout=10)
    writer.stdout.close()
    with Outbox(path) as outbox:
        entries = {entry.seq: entry.body.decode() for entry in outbox.pending(max_entries=1_000_000, max_bytes=1 << 30)}
        assert sorted(entries) == list(range(1, len(entries) + 1))
        assert len(accepted) >= after_lines
        assert {int(seq): key for seq, key in accepted}.items() <= entries.items()
        open_intents = outbox.depth().intents
        assert open_intents <= 1
        assert outbox.abandon(as_slot) == open_intents
        assert outbox.depth().intents == 0


def test_two_processes_share_one_sequence(tmp_path: Path) -> None:
    """The lanes of a probe write into one file: no number is given twice and none is left out."""
    path = tmp_path / "outbox.db"
    with Outbox(path):
        writers = [start_writer(path, 200, name) for name in ("http", "browser")]
        lines = [line for writer in writers for line in writer.communicate(timeout=60)[0].splitlines()]
    numbers = sorted(int(line.split()[0]) for line in lines)
    assert numbers == list(range(1, 401))


def test_intents_of_one_owner_become_slot_entries(tmp_path: Path) -> None:
    """A lane that died is accounted for without touching the runs of the other lane."""
    with Outbox(tmp_path / "outbox.db") as outbox:
        outbox.intend("a", b"{}", owner="http")
        outbox.intend("b", b"{}", owner="browser")
        assert outbox.abandon(as_slot, owner="browser") == 1
        (entry,) = outbox.pending()
        assert entry.kind is EntryKind.SLOT
        assert json.loads(entry.body) == {"aborted": "b", "owner": "browser"}
        assert outbox.depth().intents == 1


def test_a_full_outbox_drops_the_oldest_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was dropped is counted, logged, and stands in the queue as a loss with its numbers."""
    with Outbox(tmp_path / "outbox.db", limits=OutboxLimits(max_bytes=10_000)) as outbox:
        for _ in range(11):
            outbox.put(EntryKind.RUN, b"x" * 1_000)
        depth = outbox.depth()
        entries = outbox.pending()
        losses = [json.loads(entry.body) for entry in entries if entry.kind is EntryKind.LOSS]
        assert losses == [{"schema_version": 1, "first_seq": 1, "last_seq": 2, "entries": 2, "reason": "full"}]
        assert [entry.seq for entry in entries] == list(range(3, 13))
        assert depth.lost == 2
        assert depth.body_bytes == sum(len(entry.body) for entry in entries)
    assert "outbox.dropped" in capsys.readouterr().out


def test_entries_that_are_too_old_are_dropped_and_counted(tmp_path: Path) -> None:
    """The age bound works without a full disk, and only for what is really too old."""
    clock = JumpingClock(datetime(2026, 9, 1, tzinfo=UTC))
    with Outbox(tmp_path / "outbox.db", limits=OutboxLimits(max_age=timedelta(days=2)), clock=clock) as outbox:
        outbox.put(EntryKind.RUN, b"old")
        clock.jump(timedelta(days=1, hours=12))
        outbox.put(EntryKind.RUN, b"young")
        clock.jump(timedelta(hours=13))
        outbox.put(EntryKind.RUN, b"new")
        assert [(entry.kind, entry.body) for entry in outbox.pending()][:2] == [
            (EntryKind.RUN, b"young"),
            (EntryKind.RUN, b"new"),
        ]
        assert outbox.depth().lost == 1


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 300), max_size=40), page=st.integers(1, 9), acked=st.sets(st.integers(1, 40)))
def test_the_books_agree_with_the_queue(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], page: int, acked: set[int]
) -> None:
    """Whatever is put and acknowledged: paging sees each waiting entry once, and the counters say the truth."""
    with Outbox(tmp_path_factory.mktemp("outbox") / "outbox.db") as outbox:
        for size in sizes:
            outbox.put(EntryKind.RUN, bytes(size))
        outbox.acknowledge([(seq, seq) for seq in acked])
        seen: list[int] = []
        while entries := outbox.pending(after_seq=seen[-1] if seen else 0, max_entries=page, max_bytes=200):
            seen += [entry.seq for entry in entries]
        assert seen == [seq for seq in range(1, len(sizes) + 1) if seq not in acked]
        assert outbox.depth().entries == len(seen)
        assert outbox.depth().body_bytes == sum(sizes[seq - 1] for seq in seen)


def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path) -> None:
    """Garbage in place of the queue stops the start; nothing is overwritten."""
    path = tmp_path / "outbox.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DependencyError, match=r"outbox\.db"):
        Outbox(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older program does not guess what a newer one wrote."""
    path = tmp_path / "outbox.db"
    Outbox(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE state SET schema_version = 99")
    db.close()
    with pytest.raises(DependencyError, match="schema version 99"):
        Outbox(path)


def test_a_refused_write_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    """When the disk takes no more, the caller knows, and what was queued before stays."""
    path = tmp_path / "outbox.db"
    with Outbox(path) as outbox:
        outbox.put(EntryKind.RUN, b"kept")
        outbox._db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to a full disk
        with pytest.raises(DependencyError, match="full"):
            outbox.put(EntryKind.RUN, b"x" * 1_000_000)
        assert [entry.body for entry in outbox.pending()] == [b"kept"]
        assert outbox.depth().entries == 1
