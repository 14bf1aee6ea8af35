"""Which slots are due now, and what becomes of each: run, missed, maintenance. Exactly one answer for every slot.

A book keeps one scenario's place in its schedule: every slot before `next_at` has ended or is running. Slots come from the
wall clock, and a book only ever moves forward over them, so whatever the clock does no slot is taken twice. Stepped
forward, the slots that were jumped over are missed, each of them. Stepped back, slots that ended already are not run
again: the lane waits until the clock has caught up, and says so. Only a clock that falls behind the first slot of the book (it
was ahead when the worker started) opens the book anew before that slot; what is done is skipped when the clock gets there.

Pure: no clock, no I/O. Refuses to run anything (`probes.worker_runs`). Called by the lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from probes.ledger_entries import OwedSlots
from probes.schedule import Punctuality, Schedule, punctuality

__all__ = [
    "MOST_CAUGHT_UP",
    "MOST_DECISIONS",
    "Decision",
    "MaintenanceRule",
    "Roster",
    "SlotBook",
    "SlotVerdict",
    "end_book",
    "no_maintenance",
]

MILLISECOND = timedelta(milliseconds=1)
# What a worker that was gone for longer owes is left missing: the collector shows it, and an outbox keeps no more.
MOST_CAUGHT_UP = timedelta(days=14)
MOST_DECISIONS = 500
MOST_SPANS = 8

Span = tuple[AwareDatetime, AwareDatetime]
"""A half-open range of time."""

MaintenanceRule = Callable[[str, datetime], str]
"""Scenario and slot in, the reason not to run it out; empty when it is to be run."""


class SlotVerdict(StrEnum):
    """What becomes of a slot that is due."""

    START = "start"
    MISSED = "missed"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Decision:
    """One slot and what becomes of it; `lag_ns` is how late that was decided."""

    scenario: str
    slot_at: datetime
    verdict: SlotVerdict
    lag_ns: int = 0
    detail: str = ""


class BookMark(BaseModel):
    """A book as it is kept between two lives of a lane; closed: nothing is owed from `next_at` on."""

    model_config = ConfigDict(frozen=True, strict=True)

    schema_version: Literal[1] = 1
    interval_ms: int
    phase_ms: int
    tolerance_ms: int
    timeout_ms: int
    from_at: AwareDatetime
    next_at: AwareDatetime
    owed_from_at: AwareDatetime
    done: tuple[Span, ...] = ()
    closed: bool = False


@dataclass(slots=True)
class SlotBook:
    """One scenario's place in its schedule: slots in [from_at, next_at) and in the spans of `done` have their ending.

    `news` are the words to the collector about what is owed that are still to be written, with the mark. A later word about
    the same `from_at` replaces the earlier one there, and each word holds until the next one begins.
    """

    schedule: Schedule
    timeout_ms: int
    from_at: datetime
    next_at: datetime
    owed_from_at: datetime
    done: list[Span] = field(default_factory=list)
    closed: bool = False
    news: list[OwedSlots] = field(default_factory=list)

    @classmethod
    def opened(cls, schedule: Schedule, timeout_ms: int, now: datetime, *, done: Iterable[Span] = ()) -> SlotBook:
        """A new book: it owes from the first slot that has not begun yet, outside of what is done."""
        first_at = schedule.slot_at_or_after(now)
        book = cls(schedule, timeout_ms, first_at, first_at, first_at, merged(done, now=now))
        book.next_at = book._past_done(first_at)
        book.declare()
        return book

    @classmethod
    def read(cls, scenario: str, mark: bytes) -> SlotBook:
        """The book of an earlier life. Raises pydantic's ValidationError for anything else."""
        kept = BookMark.model_validate_json(mark)
        schedule = Schedule(scenario, kept.interval_ms, kept.phase_ms, kept.tolerance_ms)
        return cls(
            schedule, kept.timeout_ms, kept.from_at, kept.next_at, kept.owed_from_at, list(kept.done), kept.closed
        )

    def mark(self) -> bytes:
        """The book as it is kept."""
        kept = BookMark(
            interval_ms=self.schedule.interval_ms,
            phase_ms=self.schedule.phase_ms,
            tolerance_ms=self.schedule.tolerance_ms,
            timeout_ms=self.timeout_ms,
            from_at=self.from_at,
            next_at=self.next_at,
            owed_from_at=self.owed_from_at,
            done=tuple(self.done),
            closed=self.closed,
        )
        return kept.model_dump_json().encode()

    @property
    def spans(self) -> list[Span]:
        """All that is done: what a book that takes this one's place must not run again."""
        return [*self.done, (self.from_at, self.next_at)]

    def declare(self) -> None:
        """Say that the slots from `next_at` on are owed."""
        self.owed_from_at = self.next_at
        self.news.append(self._owed(until_at=None))

    def close(self) -> None:
        """Say that nothing is owed beyond what has been taken."""
        self.closed = True
        self.news.append(self._owed(until_at=max(self.next_at, self.owed_from_at)))

    def take(self) -> datetime:
        """The next slot; from now on it is somebody's to end."""
        slot_at = self.next_at
        self.next_at = self._past_done(self.schedule.slot_after(slot_at))
        # Where an earlier word about what is owed begins, it takes over from ours: ours must begin anew behind it.
        if any(slot_at < from_at <= self.next_at for from_at, _ in self.done):
            self.declare()
        return slot_at

    def give_up_before(self, instant: datetime) -> int:
        """Leave what is older than the instant without an ending; how many slots that were."""
        count = self.schedule.count_between(self.next_at, instant)
        if count:
            self.next_at = self._past_done(self.schedule.slot_at_or_after(instant))
        return count

    def resume(self, now: datetime) -> int:
        """Go on after an end that was not in order; how many slots are too old to be caught up, and left without an ending.

        What is owed is told again, where it can be in the same words: a later word replaces the one before, so that a worker
        that dies again and again does not fill its outbox with them.
        """
        given_up = self.give_up_before(now - MOST_CAUGHT_UP)
        if self.reopen(now):
            return given_up
        if given_up:
            self.declare()
        else:
            self.news.append(self._owed(until_at=None))
        return given_up

    def reopen(self, now: datetime) -> bool:
        """Open the book anew when the clock has fallen behind its first slot; True when it did."""
        first_at = self.schedule.slot_at_or_after(now)
        if first_at >= self.from_at:
            return False
        self.news.append(self._owed(until_at=max(self.next_at, self.owed_from_at)))
        self.done = merged(self.spans, now=now)
        self.from_at = first_at
        self.next_at = self._past_done(first_at)
        self.declare()
        return True

    def _owed(self, *, until_at: datetime | None) -> OwedSlots:
        return OwedSlots(
            scenario=self.schedule.scenario,
            interval_ms=self.schedule.interval_ms,
            phase_ms=self.schedule.phase_ms,
            tolerance_ms=self.schedule.tolerance_ms,
            timeout_ms=self.timeout_ms,
            from_at=self.owed_from_at,
            until_at=until_at,
        )

    def _past_done(self, slot_at: datetime) -> datetime:
        """The slot itself, or the first one after all spans that are done."""
        while ends := [until_at for from_at, until_at in self.done if from_at <= slot_at < until_at]:
            slot_at = self.schedule.slot_at_or_after(max(ends))
        return slot_at


def merged(spans: Iterable[Span], *, now: datetime) -> list[Span]:
    """The spans that still matter, in order, joined where they touch; of many the oldest are joined over their gaps.

    An empty one matters too: a word about what is owed begins there.
    """
    joined: list[Span] = []
    for from_at, until_at in sorted(span for span in spans if span[1] > now - MOST_CAUGHT_UP):
        if joined and from_at <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_at))
        else:
            joined.append((from_at, until_at))
    while len(joined) > MOST_SPANS:
        joined[:2] = [(joined[0][0], joined[1][1])]
    return joined


def end_book(book: SlotBook, now: datetime, *, detail: str) -> list[Decision]:
    """Every slot of the book that is due now, as missed."""
    missed = []
    while book.next_at < now:
        slot_at = book.take()
        missed.append(Decision(book.schedule.scenario, slot_at, SlotVerdict.MISSED, lag_ns_of(slot_at, now), detail))
    return missed


def lag_ns_of(slot_at: datetime, now: datetime) -> int:
    """How late it is for a slot; not below zero."""
    return max((now - slot_at) // timedelta(microseconds=1) * 1000, 0)


def no_maintenance(_scenario: str, _slot_at: datetime) -> str:
    """Everything is to be run."""
    return ""


class Roster:
    """The books of one lane."""

    def __init__(self, books: Iterable[SlotBook], *, maintenance: MaintenanceRule = no_maintenance) -> None:
        self.books = {book.schedule.scenario: book for book in books}
        self._maintenance = maintenance

    def decide(self, now: datetime, *, places: int, why_missed: str) -> list[Decision]:
        """What becomes of the slots that are due, oldest first; at most `places` are started, others go on waiting.

        The books have moved over the slots that are returned; the caller ends each. There may be more: at most some hundreds
        are returned at once.
        """
        decided: list[Decision] = []
        while len(decided) < MOST_DECISIONS:
            due = [book for book in self.books.values() if book.next_at <= now]
            open_slots = sorted(due, key=lambda book: (book.next_at, book.schedule.scenario))
            verdicts = ((book, self._verdict(book, now, has_place=places > 0)) for book in open_slots)
            chosen = next(((book, verdict) for book, verdict in verdicts if verdict is not None), None)
            if chosen is None:
                break
            book, (verdict, detail) = chosen
            slot_at = book.take()
            places -= verdict is SlotVerdict.START
            why = why_missed if verdict is SlotVerdict.MISSED else detail
            decided.append(Decision(book.schedule.scenario, slot_at, verdict, lag_ns_of(slot_at, now), why))
        return decided

    def end_all(self, now: datetime, *, detail: str) -> list[Decision]:
        """Nothing more will be started: every slot that is due and waits is missed."""
        return [decision for book in self.books.values() for decision in end_book(book, now, detail=detail)]

    def saved(self) -> dict[str, SlotBook]:
        """The books as they are now, to go back to when they could not be written."""
        return {name: replace(book, done=[*book.done], news=[*book.news]) for name, book in self.books.items()}

    def reopen(self, now: datetime) -> list[SlotBook]:
        """The books that had to be opened anew, because the clock has fallen behind all they know."""
        return [book for book in self.books.values() if book.reopen(now)]

    def next_change_at(self, now: datetime) -> datetime | None:
        """When to look again: the next slot, or the moment when a slot that waits for a place is missed."""
        changes = [
            book.next_at if book.next_at > now else book.schedule.deadline_at(book.next_at) + MILLISECOND
            for book in self.books.values()
        ]
        return min(changes, default=None)

    def _verdict(self, book: SlotBook, now: datetime, *, has_place: bool) -> tuple[SlotVerdict, str] | None:
        """What becomes of a book's next slot; None while it waits for a place."""
        scenario, slot_at = book.schedule.scenario, book.next_at
        if reason := self._maintenance(scenario, slot_at):
            return SlotVerdict.MAINTENANCE, reason
        if punctuality(book.schedule, slot_at, now) is Punctuality.MISSED:
            return SlotVerdict.MISSED, ""
        return (SlotVerdict.START, "") if has_place else None
