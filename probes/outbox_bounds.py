"""Which entries an outbox gives up when it is full or too old, and which it keeps although they are the oldest.

The oldest of what was measured goes first: runs and slots. What gives results their meaning is kept beyond both bounds of age
and order, because it speaks of results that stay or that the collector has already. Without the word about what is owed, a lost
slot would be owed to nobody and coverage would look whole; without the word about an unfit minute, a run that the collector has
would be charged to the platform. These words are small. Only when they alone are over the bound in bytes do they go, first
those that a later word on the same thing replaces anyway; then the unfit minutes of an hour are joined to one word, which says
too much rather than too little.

Whatever goes is told by an entry of its own. A word about a loss that is lost itself is told again as part of the new one.

Refuses to begin and end transactions. Called by `probes.outbox`, inside of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import structlog

__all__ = ["DROP_SHARE", "Bounds", "EntryKind", "OutboxLimits"]

log = structlog.get_logger(__name__)

MINUTE: Final = timedelta(minutes=1)
MOST_JOINED: Final = 60
MOST_REASONS: Final = 3
DROP_SHARE: Final = 20  # a full outbox frees one twentieth at once, so that losing is rare and loud instead of steady


class EntryKind(StrEnum):
    """What an entry carries; the collector refuses kinds it does not know into quarantine."""

    RUN = "run"
    SLOT = "slot"
    SCHEDULE = "schedule"
    FITNESS = "fitness"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much may wait: the bodies' bytes (1 or more) and the age of the oldest result."""

    max_bytes: int = 1 << 30
    max_age: timedelta = timedelta(days=14)


WORDS: Final = f"kind IN ('{EntryKind.SCHEDULE}', '{EntryKind.FITNESS}')"
RESULTS: Final = f"NOT {WORDS}"


class _Word(msgspec.Struct, frozen=True):
    """What a word is about, whichever of the two kinds it is."""

    scenario: str = ""
    from_at: str = ""
    minute_at: datetime | None = None
    minutes: int = 1
    reasons: tuple[str, ...] = ()

    @property
    def subject(self) -> tuple[object, ...]:
        """What a later word must be about to replace this one."""
        return self.scenario, self.from_at, self.minute_at, self.minutes


class _Lost(msgspec.Struct, frozen=True):
    first_seq: int
    entries: int


class Bounds:
    """Those of one file; `append` queues an entry that says what went."""

    def __init__(self, db: sqlite3.Connection, path: Path, append: Callable[[EntryKind, bytes], object]) -> None:
        self._db = db
        self._path = path
        self._append = append

    def drop_to(self, max_bytes: int) -> None:
        """Give up entries until no more bytes are left than these, results before words."""
        (excess,) = self._db.execute("SELECT body_bytes - ? FROM state", (max_bytes,)).fetchone()
        if (last_seq := self._reached(excess, RESULTS)) is not None:
            excess -= self._drop(f"seq <= ? AND {RESULTS}", [(last_seq,)], reason="full")
        if excess > 0:
            excess -= self._drop(f"seq = ? AND {WORDS}", self._replaced(), reason="full")
        if excess > 0:
            excess -= self._join_minutes()
        if excess > 0 and (last_seq := self._reached(excess, WORDS)) is not None:
            self._drop(f"seq <= ? AND {WORDS}", [(last_seq,)], reason="full of words")

    def drop_older_than(self, limit_us: int) -> None:
        """Give up every result that has waited since before the instant."""
        query = f"SELECT max(seq) FROM entries WHERE created_us < ? AND {RESULTS}"  # noqa: S608 - our own words
        (last_seq,) = self._db.execute(query, (limit_us,)).fetchone()
        if last_seq is not None:
            self._drop(f"seq <= ? AND {RESULTS}", [(last_seq,)], reason="old")

    def has_older_than(self, limit_us: int) -> bool:
        """Whether the oldest result has waited since before the instant."""
        query = f"SELECT created_us FROM entries WHERE {RESULTS} ORDER BY seq LIMIT 1"  # noqa: S608 - our own words
        oldest = self._db.execute(query).fetchone()
        return oldest is not None and oldest[0] < limit_us

    def _reached(self, excess: int, which: str) -> int | None:
        """Up to which number the oldest of these must go to free so many bytes; None where there are none."""
        last_seq = None
        query = f"SELECT seq, length(body) FROM entries WHERE {which} ORDER BY seq"  # noqa: S608 - our own words
        for seq, size_bytes in self._db.execute(query):
            if excess <= 0:
                break
            last_seq, excess = seq, excess - size_bytes
        return last_seq

    def _replaced(self) -> list[tuple[int]]:
        """The words after which there is a later one on the same minute, or on what is owed from the same instant on."""
        newest: dict[tuple[object, ...], int] = {}
        replaced = []
        for seq, word in self._words():
            if word.subject in newest:
                replaced.append((newest[word.subject],))
            newest[word.subject] = seq
        return replaced

    def _join_minutes(self) -> int:
        """Say once of each hour from when to when it was unfit, in the place of many words; how many bytes that freed."""
        by_hour: dict[datetime, list[tuple[int, datetime, _Word]]] = defaultdict(list)
        for seq, word in self._words():
            if word.minute_at is not None:
                hour_at = word.minute_at.replace(minute=0, second=0, microsecond=0)
                by_hour[hour_at].append((seq, word.minute_at, word))
        gone: list[tuple[int]] = []
        added = 0
        for words in by_hour.values():
            if len(words) > 1:
                body = joined_minutes([(minute_at, word) for _, minute_at, word in words])
                self._append(EntryKind.FITNESS, body)
                added += len(body)
                gone += [(seq,) for seq, _, _ in words]
        return self._drop(f"seq = ? AND {WORDS}", gone, reason="joined") - added

    def _words(self) -> Iterator[tuple[int, _Word]]:
        """All words that can be read, oldest first."""
        query = f"SELECT seq, body FROM entries WHERE {WORDS} ORDER BY seq"  # noqa: S608 - our own words
        for seq, body in self._db.execute(query).fetchall():
            with suppress(msgspec.DecodeError):
                yield seq, msgspec.json.decode(body, type=_Word)

    def _drop(self, which: str, arguments: Iterable[tuple[int]], *, reason: str) -> int:
        """Delete entries, and say so in an entry that takes their place in the collector's books; how many bytes went."""
        delete = (
            f"DELETE FROM entries WHERE {which} "  # noqa: S608 - our own words
            f"RETURNING seq, length(body), CASE kind WHEN '{EntryKind.LOSS}' THEN body END"
        )
        gone = [row for numbers in arguments for row in self._db.execute(delete, numbers).fetchall()]
        if not gone:
            return 0
        freed: int = sum(size_bytes for _, size_bytes, _ in gone)
        self._db.execute(
            "UPDATE state SET lost = lost + ?, entries = entries - ?, body_bytes = body_bytes - ?",
            (len(gone), len(gone), freed),
        )
        told = [msgspec.json.decode(body, type=_Lost) for _, _, body in gone if body is not None]
        loss = {
            "schema_version": 1,
            "first_seq": min([seq for seq, _, _ in gone] + [one.first_seq for one in told]),
            "last_seq": max(seq for seq, _, _ in gone),
            "entries": len(gone) + sum(one.entries for one in told),
            "reason": reason,
        }
        self._append(EntryKind.LOSS, json.dumps(loss).encode())
        log.error("outbox.dropped", path=str(self._path), **loss)
        return freed


def joined_minutes(words: Sequence[tuple[datetime, _Word]]) -> bytes:
    """One word about all minutes from the first to the last of these, which are of one hour."""
    first_at = min(minute_at for minute_at, _ in words)
    end_at = max(minute_at + word.minutes * MINUTE for minute_at, word in words)
    reasons = dict.fromkeys(reason for _, word in words for reason in word.reasons)
    joined = {
        "schema_version": 1,
        "minute_at": first_at.isoformat(),
        "minutes": min(-((first_at - end_at) // MINUTE), MOST_JOINED),
        "reasons": list(reasons)[:MOST_REASONS],
    }
    return json.dumps(joined).encode()
