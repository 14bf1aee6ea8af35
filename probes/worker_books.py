"""How a lane finds its place again: the books of an earlier life, compared with the schedules of this one.

A book that was closed in order owes nothing for the time between; one that was not owes every slot since, and the lane
ends those as missed. A schedule that has changed, or a scenario that is gone, has its old debt ended here and now.

Refuses to write (the caller does, in one transaction). Called by `probes.worker_runs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from pydantic import ValidationError

from probes.schedule import Schedule
from probes.worker_kit import ScheduledScenario
from probes.worker_slots import MOST_CAUGHT_UP, Decision, SlotBook, end_book

__all__ = ["Opening", "mark_name", "marks_prefix", "open_books"]

log = structlog.get_logger(__name__)

CHANGED = "the schedule has changed while the lane was not running"
GONE = "the scenario has left the schedule while the lane was not running"


@dataclass(slots=True)
class Opening:
    """The books to work with, those to close, and the slots that end at once."""

    books: list[SlotBook] = field(default_factory=list)
    closing: list[SlotBook] = field(default_factory=list)
    missed: list[Decision] = field(default_factory=list)

    def _end(self, book: SlotBook, now: datetime, detail: str) -> None:
        """End a debt that was left open."""
        if not book.closed:
            tell_given_up(book, book.give_up_before(now - MOST_CAUGHT_UP))
            self.missed += end_book(book, now, detail=detail)
            book.close()


def marks_prefix(lane: str) -> str:
    """What the names of a lane's marks begin with."""
    return f"slots/{lane}/"


def mark_name(lane: str, scenario: str) -> str:
    """Under which name a lane keeps its place in a scenario's schedule."""
    return marks_prefix(lane) + scenario


def open_books(marks: Mapping[str, bytes], lane: str, scheduled: Iterable[ScheduledScenario], now: datetime) -> Opening:
    """The books for this life of the lane, from the marks of the one before."""
    kept = read_marks(marks, lane)
    opening = Opening()
    for one in scheduled:
        timeout_ms = max(1, round(one.spec.timeout_s * 1000))
        before = kept.pop(one.spec.name, None)
        opening.books.append(book_for(opening, before, one.schedule, timeout_ms, now))
    for book in kept.values():
        if not book.closed:
            opening._end(book, now, GONE)  # noqa: SLF001 - its own module
            opening.closing.append(book)
    return opening


def book_for(opening: Opening, before: SlotBook | None, schedule: Schedule, timeout_ms: int, now: datetime) -> SlotBook:
    """The book to go on with, or a new one that knows what was done."""
    if before is None:
        return SlotBook.opened(schedule, timeout_ms, now)
    if not before.closed and (before.schedule, before.timeout_ms) == (schedule, timeout_ms):
        tell_given_up(before, before.resume(now))
        return before
    opening._end(before, now, CHANGED)  # noqa: SLF001 - its own module
    book = SlotBook.opened(schedule, timeout_ms, now, done=before.spans)
    book.news[:0] = before.news
    return book


def tell_given_up(book: SlotBook, count: int) -> None:
    """Say how many slots are too old to be caught up; the collector shows them as missing."""
    if count:
        log.error("lane.slots_given_up", scenario=book.schedule.scenario, slots=count)


def read_marks(marks: Mapping[str, bytes], lane: str) -> dict[str, SlotBook]:
    """The books in the marks, by scenario; one that cannot be read is as good as none, and told."""
    books = {}
    prefix = marks_prefix(lane)
    for name, body in marks.items():
        scenario = name.removeprefix(prefix)
        try:
            books[scenario] = SlotBook.read(scenario, body)
        except ValidationError as error:
            log.warning("lane.mark_unreadable", scenario=scenario, error=str(error))
    return books
