"""What exported counters have counted of each line so far, and where a line's measurements begin.

Counters must never go back because old cells are deleted: what they counted of minutes long ago is kept as four numbers a line.
Refuses to count (`collector.exports.line_counts` does). Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from collector.store_session import Session, Work
from collector.store_tables import cells, checks, line_counts, senders, words

__all__ = ["Counted", "LineCounts"]

Doing = Callable[[Work[Any]], Any]
NO_TARGET: Final = 0
FIRST_MINUTE: Final = select(func.min(cells.c.minute)).where(
    cells.c.check_id == bindparam("of_check"),
    cells.c.target == bindparam("of_target"),
    cells.c.sender_id == bindparam("of_sender"),
)
"""The beginning of their key, so that the first cell of a series is one look into the index."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many minutes (or events) of each state there were; `unknown` and `excluded` are 0 for a line of events."""

    good: int = 0
    bad: int = 0
    unknown: int = 0
    excluded: int = 0

    def __add__(self, other: Counted) -> Counted:
        """Two spans together."""
        return Counted(
            self.good + other.good,
            self.bad + other.bad,
            self.unknown + other.unknown,
            self.excluded + other.excluded,
        )


class LineCounts:
    """The counters' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Doing, write: Doing) -> None:
        self._read = read
        self._write = write

    async def kept(self, fleet: str, target: str) -> dict[str, tuple[int, Counted]]:
        """Of each line: before which minute it has been counted for good, and what that came to."""

        async def work(session: Session) -> dict[str, tuple[int, Counted]]:
            kept = line_counts.c
            query = select(kept.line, kept.until_minute, kept.good, kept.bad, kept.unknown, kept.excluded).where(
                kept.fleet == fleet, kept.target == target
            )
            return {row[0]: (row[1], Counted(*row[2:])) for row in await session.fetch(query)}

        answer: dict[str, tuple[int, Counted]] = await self._read(work)
        return answer

    async def keep(self, fleet: str, target: str, line: str, before: int, until: int, counted: Counted) -> bool:
        """Keep what was counted before the minute `until`; False when another collector has gone on from `before` first.

        `before` is the minute that was kept until now, 0 where nothing was.
        """
        numbers = {
            "until_minute": until,
            "good": counted.good,
            "bad": counted.bad,
            "unknown": counted.unknown,
            "excluded": counted.excluded,
        }

        async def work(session: Session) -> bool:
            if not before:
                values = {"fleet": fleet, "target": target, "line": line, **numbers}
                return bool(await session.execute(insert(line_counts).on_conflict_do_nothing().values(**values)))
            whose = (line_counts.c.fleet == fleet, line_counts.c.target == target, line_counts.c.line == line)
            statement = update(line_counts).where(*whose, line_counts.c.until_minute == before).values(**numbers)
            return bool(await session.execute(statement))

        answer: bool = await self._write(work)
        return answer

    async def knows_word(self, word: str) -> bool:
        """Whether any stored run uses this word, for example as the name of its target."""

        async def work(session: Session) -> bool:
            return bool(await session.fetch(select(words.c.word_id).where(words.c.word == word)))

        answer: bool = await self._read(work)
        return answer

    async def first_minutes(self, keys: Collection[str], *, fleet: str, target: str) -> dict[str, int]:
        """The first minute of which each check has a cell; a check without any is left out."""

        async def work(session: Session) -> dict[str, int]:
            ours = [row[0] for row in await session.fetch(select(senders.c.sender_id).where(senders.c.fleet == fleet))]
            word = await session.fetch(select(words.c.word_id).where(words.c.word == target))
            targets = [NO_TARGET, *(row[0] for row in word)]
            wanted = select(checks.c.check_key, checks.c.check_id).where(checks.c.check_key.in_(sorted(keys)))
            found: dict[str, int] = {}
            for key, check_id in await session.fetch(wanted):
                firsts = [
                    await session.fetch(FIRST_MINUTE, of_check=check_id, of_target=word_id, of_sender=sender_id)
                    for word_id in targets
                    for sender_id in ours
                ]
                minutes = [rows[0][0] for rows in firsts if rows[0][0] is not None]
                if minutes:
                    found[key] = min(minutes)
            return found

        answer: dict[str, int] = await self._read(work)
        return answer
