"""The durable queue between a probe and the collector: one SQLite file that survives `kill -9` at any point.

What is written here stays until the collector says that it has committed it; a broker's acknowledgement is not that. Each
entry has a sequence number without holes within the outbox's epoch (the birth of its file), so that the collector can prove
that nothing is missing. An *intent* is written before a run starts and replaced by the run's record in one transaction: a
probe that is killed in the middle leaves an intent, and the next start turns it into an `aborted` entry instead of a hole.

The queue is bounded in bytes and in age. When it is full the oldest results go first, never in silence: the drop is
itself an entry (`loss`), counted, and logged as an error; what gives results their meaning stays (`probes.outbox_bounds`).
Several processes of one probe may share the file.

A *mark* is a small note of the writer (up to where it has worked off a schedule), kept in the same transaction as the
entries that it speaks of, so that a restart neither repeats nor forgets a slot.

Refuses to know MQTT (that is `probes.stream`) and what a record means. Called by the worker's lanes, which write, and by
the stream, which reads and acknowledges. Every method is a plain function of some ten microseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import msgspec
import structlog

from probes.clock import Clock, SystemClock
from probes.errors import DependencyError
from probes.outbox_bounds import DROP_SHARE, Bounds, EntryKind, OutboxLimits
from probes.outbox_file import Transaction, Translated

__all__ = ["Durability", "Entry", "EntryKind", "Intent", "Marks", "Outbox", "OutboxDepth", "OutboxLimits"]

log = structlog.get_logger(__name__)

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AGE_CHECK_EVERY = timedelta(minutes=1)

TABLES = """
CREATE TABLE IF NOT EXISTS state (
    id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL, epoch INTEGER NOT NULL,
    next_seq INTEGER NOT NULL, entries INTEGER NOT NULL, body_bytes INTEGER NOT NULL, lost INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, created_us INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS intents (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, created_us INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""

Marks = Mapping[str, bytes | None]
"""What to note under which name; None takes a note away."""

NO_MARKS: Marks = {}
NO_INTENTS: Mapping[str, bytes] = {}


KINDS: Final = {kind.value: kind for kind in EntryKind}


class Durability(StrEnum):
    """What a commit survives: `normal` a killed process, `full` a power cut too, at some thirty times the cost."""

    NORMAL = "normal"
    FULL = "full"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One queued entry; `body` is JSON as bytes. Made for every entry that goes out: a dataclass takes ten times as long."""

    seq: int
    kind: EntryKind
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """A run that was about to start; `owner` names the process that announced it."""

    key: str
    owner: str
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How full the outbox is; `lost` counts the entries that were ever dropped, `oldest_at` is None when it is empty."""

    entries: int
    body_bytes: int
    oldest_at: datetime | None
    lost: int
    intents: int


class Outbox:
    """The queue. Open one per process with `with Outbox(path) as outbox`; close it in the same process.

    Raises DependencyError when the file cannot be opened, is damaged, or the disk refuses a write; the entry that was
    being written is then not in the queue, and the caller knows.
    """

    def __init__(
        self,
        path: Path,
        *,
        limits: OutboxLimits | None = None,
        durability: Durability = Durability.NORMAL,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self._limits = limits or OutboxLimits()
        self._clock = clock or SystemClock()
        self._next_age_check_at = EPOCH
        self._body_bytes = 0  # as the last entry that this process has put left it
        self._translated = Translated(path)
        with self._translated:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._forgotten: list[tuple[int, int]] = []
        self._transaction = Transaction(self._db, self._translated, self._forgotten, self._remove)
        self._bounds = Bounds(self._db, path, lambda kind, body: self._append(kind, body, self._now_us()))
        try:
            self.epoch = self._opened(durability)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; entries stay in it."""
        try:
            self._forget_now()
        except DependencyError as error:
            log.warning("outbox.not_forgotten", path=str(self.path), error=error.what)
        finally:
            self._db.close()

    def put(self, kind: EntryKind, body: bytes, *, intent_key: str = "") -> int:
        """Queue an entry and return its sequence number; the intent of that key, if any, goes in the same transaction."""
        now_at = self._clock.now()
        with self._transaction:
            if intent_key:
                self._db.execute("DELETE FROM intents WHERE key = ?", (intent_key,))
            seq = self._append(kind, body, _microseconds(now_at))
        self._keep_bounds(now_at)
        return seq

    def put_all(
        self,
        entries: Iterable[tuple[EntryKind, bytes]],
        *,
        intents: Mapping[str, bytes] = NO_INTENTS,
        owner: str = "",
        marks: Marks = NO_MARKS,
    ) -> None:
        """Queue entries, announce runs (by their keys) and change marks, all of it or nothing."""
        now_at = self._clock.now()
        with self._transaction:
            for kind, body in entries:
                self._append(kind, body, _microseconds(now_at))
            for key, body in intents.items():
                self._announce(key, body, owner)
            self._note(marks)
        self._keep_bounds(now_at)

    def intend(self, key: str, body: bytes, *, owner: str) -> None:
        """Announce a run before it starts; announcing the same key again replaces the first announcement."""
        with self._transaction:
            self._announce(key, body, owner)

    def marks(self, prefix: str) -> dict[str, bytes]:
        """The marks whose names begin with the prefix."""
        with self._translated:
            rows = self._db.execute("SELECT name, body FROM marks WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
            return dict(rows.fetchall())

    def abandon(self, as_entry: Callable[[Intent], bytes], *, owner: str = "") -> int:
        """Turn every open intent (of one owner, or all) into a `slot` entry in one transaction; return how many.

        Called at start for what an earlier process left, and by the supervisor for a lane that died.
        """
        with self._transaction:
            rows = self._db.execute(
                "SELECT key, owner, created_us, body FROM intents WHERE ? IN ('', owner) ORDER BY created_us, key",
                (owner,),
            ).fetchall()
            for key, its_owner, created_us, body in rows:
                entry = as_entry(Intent(key, its_owner, _instant(created_us), body))
                self._append(EntryKind.SLOT, entry, self._now_us())
                self._db.execute("DELETE FROM intents WHERE key = ?", (key,))
        return len(rows)

    def pending(self, *, after_seq: int = 0, max_entries: int = 500, max_bytes: int = 4 << 20) -> tuple[Entry, ...]:
        """The oldest entries above a sequence number, at least one if there is any, within both bounds."""
        return self.page(after_seq=after_seq, max_entries=max_entries, max_bytes=max_bytes)[0]

    def page(self, *, after_seq: int, max_entries: int, max_bytes: int) -> tuple[tuple[Entry, ...], bool]:
        """The same, and whether these are all that there are."""
        self._forget_now()
        chosen: list[Entry] = []
        size_bytes = 0
        with self._translated:
            cursor = self._db.execute(
                "SELECT seq, kind, created_us, body FROM entries WHERE seq > ? ORDER BY seq LIMIT ?",
                (after_seq, max_entries),
            )
            for seq, kind, created_us, body in cursor:
                size_bytes += len(body)
                if chosen and size_bytes > max_bytes:
                    cursor.close()
                    return tuple(chosen), False
                chosen.append(Entry(seq, KINDS[kind], _instant(created_us), body))
        return tuple(chosen), len(chosen) < max_entries

    def acknowledge(self, ranges: Iterable[tuple[int, int]]) -> int:
        """Forget what the collector has committed: closed ranges of sequence numbers; return how many entries went."""
        with self._transaction:
            return self._remove(ranges)

    def acknowledge_soon(self, ranges: Iterable[tuple[int, int]]) -> None:
        """The same together with the next thing that is written here, or before anything is read: one commit less.

        A process that is killed before that sends these entries again, and the collector knows them.
        """
        self._forgotten += ranges

    def _forget_now(self) -> None:
        if self._forgotten:
            with self._transaction:
                pass

    def depth(self) -> OutboxDepth:
        """How full the outbox is now."""
        self._forget_now()
        with self._translated:
            entries, body_bytes, lost = self._db.execute("SELECT entries, body_bytes, lost FROM state").fetchone()
            oldest = self._db.execute("SELECT created_us FROM entries ORDER BY seq LIMIT 1").fetchone()
            (intents,) = self._db.execute("SELECT count(*) FROM intents").fetchone()
        return OutboxDepth(entries, body_bytes, _instant(oldest[0]) if oldest else None, lost, intents)

    @property
    def data_version(self) -> int:
        """A number that changes when another process has written to the file."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _opened(self, durability: Durability) -> int:
        with self._translated:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {durability.value}")
        with self._transaction:
            return self._prepare()

    def _prepare(self) -> int:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                self._db.execute(statement)
        birth_us = self._now_us()
        self._db.execute("INSERT OR IGNORE INTO state VALUES (1, ?, ?, 1, 0, 0, 0)", (SCHEMA_VERSION, birth_us))
        version, epoch = self._db.execute("SELECT schema_version, epoch FROM state").fetchone()
        if version != SCHEMA_VERSION:
            message = f"the outbox has schema version {version}, this program knows {SCHEMA_VERSION}"
            raise DependencyError(message, where=str(self.path), remedy="Use the version of the program that wrote it")
        return int(epoch)

    def _append(self, kind: EntryKind, body: bytes, now_us: int) -> int:
        seq: int
        seq, self._body_bytes = self._db.execute(
            "UPDATE state SET next_seq = next_seq + 1, entries = entries + 1, body_bytes = body_bytes + ? "
            "RETURNING next_seq - 1, body_bytes",
            (len(body),),
        ).fetchone()
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (seq, kind._value_, now_us, body))
        return seq

    def _announce(self, key: str, body: bytes, owner: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?)", (key, owner, self._now_us(), body))

    def _note(self, marks: Marks) -> None:
        for name, body in marks.items():
            if body is None:
                self._db.execute("DELETE FROM marks WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, body))

    def _remove(self, ranges: Iterable[tuple[int, int]]) -> int:
        count = size_bytes = 0
        for first_and_last in ranges:
            removed = self._db.execute(
                "DELETE FROM entries WHERE seq BETWEEN ? AND ? RETURNING length(body)", first_and_last
            ).fetchall()
            count += len(removed)
            size_bytes += sum(length for (length,) in removed)
        if count:
            self._db.execute("UPDATE state SET entries = entries - ?, body_bytes = body_bytes - ?", (count, size_bytes))
        return count

    def _keep_bounds(self, now_at: datetime) -> None:
        if self._body_bytes > self._limits.max_bytes:
            with self._transaction:
                self._bounds.drop_to(self._limits.max_bytes - self._limits.max_bytes // DROP_SHARE)
        if now_at >= self._next_age_check_at:
            self._next_age_check_at = now_at + AGE_CHECK_EVERY
            limit_us = _microseconds(now_at - self._limits.max_age)
            with self._translated:
                has_older = self._bounds.has_older_than(limit_us)
            if has_older:
                with self._transaction:
                    self._bounds.drop_older_than(limit_us)

    def _now_us(self) -> int:
        return _microseconds(self._clock.now())


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
