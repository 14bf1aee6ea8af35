"""Runs and slots as rows of numbers: what reports need, ten times smaller than the records they come from.

Words are looked up in what the process knows of the tables `senders`, `series` and `words`; rows of those tables are never
deleted, so the memory stays true, also beside a second collector. Pure. Called by `collector.store_commit`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from collector.store_intake import EndedSlot
from collector.store_session import Row
from collector.store_tables import ENDED_AS_RUN, KIND_CODES, OUTCOME_CODES, REASON_CODES
from probes.ledger_entries import SlotEnd
from probes.messages import Address
from probes.records import Outcome, Run

__all__ = [
    "MAX_SCENARIOS",
    "Known",
    "WordUnknownError",
    "kept_text",
    "kept_word",
    "run_check_of",
    "run_row",
    "step_rows",
    "words_of",
]

MAX_WORDS = 50_000
MAX_WORD_LENGTH = 200
MAX_TEXT_LENGTH = 1_000
MAX_SCENARIOS = 500
"""So many scenarios may one probe name; more is not a fleet but an attack on the memory of this process."""
NO_WORD = 0
PART = "cad.part"
CHECK_MASK = 0x7FFF_FFFF
INCONCLUSIVE = OUTCOME_CODES[Outcome.INCONCLUSIVE]


class WordUnknownError(LookupError):
    """A word has no number yet."""


class Words(dict[str, int]):
    """The number of each word; 0 for the empty word, and for new ones once there are too many."""

    @property
    def has_room(self) -> bool:
        """False once so many words are known that no more are kept."""
        return len(self) < MAX_WORDS

    def __missing__(self, word: str) -> int:
        kept = kept_word(word)
        if not kept:
            return NO_WORD
        if kept != word:
            return self[kept]
        if not self.has_room:
            return NO_WORD
        raise WordUnknownError(word)


class Known:
    """What this process remembers of the numbers that the database has given."""

    def __init__(self) -> None:
        self.senders: dict[Address, int] = {}
        self.series: dict[tuple[int, str], int] = {}
        self.words = Words({"": NO_WORD})
        self._turn = 0
        self._open_turn = 0

    def begin(self) -> int:
        """Before a transaction: forget everything if the one before was not confirmed, for its numbers may be undone."""
        if self._open_turn:
            self.senders.clear()
            self.series.clear()
            self.words.clear()
            self.words[""] = NO_WORD
        self._turn += 1
        self._open_turn = self._turn
        return self._turn

    def confirm(self, turn: int) -> None:
        """After a transaction that was committed."""
        if self._open_turn == turn:
            self._open_turn = 0


def kept_word(word: str) -> str:
    """A word as it is kept: bounded, and without the one character that PostgreSQL cannot store."""
    return word.replace("\0", "")[:MAX_WORD_LENGTH]


def kept_text(text: str) -> str:
    """A sentence as it is kept."""
    return text.replace("\0", "")[:MAX_TEXT_LENGTH]


def words_of(slots: Iterable[EndedSlot]) -> Iterator[str]:
    """Every word that the rows of these slots refer to."""
    for slot in slots:
        if isinstance(slot.end, SlotEnd):
            continue
        run = slot.end
        yield from (run.target, run.target_release, run.failed_step)
        for step in run.steps:
            yield step.name
            yield _part_of(step.attributes.get(PART, ""))


def run_check_of(run_id: str) -> int:
    """A small number that nearly tells run ids apart: finding a run needs no index on ids."""
    return zlib.crc32(run_id.encode()) & CHECK_MASK


def run_row(slot: EndedSlot, series_id: int, batch_no: int, words: Words) -> Row:
    """The row of a slot in the table `runs`; raises WordUnknownError."""
    end = slot.end
    if isinstance(end, SlotEnd):
        lag_us = end.schedule_lag_ns // 1000
        check, ended = run_check_of(end.run_id), REASON_CODES[end.reason]
        return (
            slot.slot_ms,
            series_id,
            slot.turn,
            0,
            lag_us,
            batch_no,
            0,
            0,
            0,
            check,
            slot.line,
            ended,
            INCONCLUSIVE,
            0,
        )
    return (
        slot.slot_ms,
        series_id,
        slot.turn,
        end.duration_ns,
        end.schedule_lag_ns // 1000,
        batch_no,
        words[end.failed_step],
        words[end.target],
        words[end.target_release],
        run_check_of(end.run_id),
        slot.line,
        ENDED_AS_RUN,
        OUTCOME_CODES[end.outcome],
        KIND_CODES[end.failure.kind] if end.failure else 0,
    )


def step_rows(run: Run, key: tuple[int, int, int], words: Words) -> list[Row]:
    """The rows of a run in the table `steps`; raises WordUnknownError."""
    return [
        (
            *key,
            number,
            OUTCOME_CODES[step.outcome],
            words[step.name],
            words[_part_of(step.attributes[PART])] if PART in step.attributes else NO_WORD,
            step.duration_ns,
            KIND_CODES[step.failure.kind] if step.failure else 0,
            int(step.cleanup),
        )
        for number, step in enumerate(run.steps)
    ]


def _part_of(value: object) -> str:
    return value if isinstance(value, str) else ""
