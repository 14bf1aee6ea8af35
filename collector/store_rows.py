"""Runs and slots as rows of numbers: what reports need, ten times smaller than the records they come from.

Words are looked up in what the process knows of the tables `senders`, `series` and `words`; rows of those tables are never
deleted, so the memory stays true, also beside a second collector. Pure. Called by `collector.store_commit`.
"""

from __future__ import annotations

from collections.abc import Iterable

from collector.store_intake import EndedSlot, StepFacts
from collector.store_session import Row
from probes.messages import Address

__all__ = [
    "MAX_SCENARIOS",
    "Known",
    "WordUnknownError",
    "kept_text",
    "kept_word",
    "missing_words",
    "run_row",
    "step_rows",
]

MAX_WORDS = 50_000
MAX_WORD_LENGTH = 200
MAX_TEXT_LENGTH = 1_000
MAX_SCENARIOS = 500
"""So many scenarios may one probe name; more is not a fleet but an attack on the memory of this process."""
NO_WORD = 0


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


def kept_text(text: str, most: int = MAX_TEXT_LENGTH) -> str:
    """A sentence as it is kept, of so many characters at most."""
    return text.replace("\0", "")[:most]


def missing_words(slots: Iterable[EndedSlot], words: Words) -> set[str]:
    """The words that the rows of these slots refer to and that have no number yet, as they will be kept."""
    missing: set[str] = set()
    for slot in slots:
        facts = slot.facts
        missing.update((facts.target, facts.release, facts.failed_step))
        for _, name, part, *_ in facts.steps:
            missing.add(name)
            missing.add(part)
    return {kept_word(word) for word in missing} - words.keys()


def run_row(slot: EndedSlot, series_id: int, batch_no: int, words: Words) -> Row:
    """The row of a slot in the table `runs`; raises WordUnknownError."""
    facts = slot.facts
    return (
        slot.slot_ms,
        series_id,
        slot.turn,
        facts.duration_ns,
        facts.lag_us,
        batch_no,
        words[facts.failed_step],
        words[facts.target],
        words[facts.release],
        facts.run_check,
        slot.line,
        facts.ended,
        facts.outcome,
        facts.kind,
    )


def step_rows(steps: Iterable[StepFacts], key: tuple[int, int, int], words: Words) -> list[Row]:
    """The rows of a run in the table `steps`; raises WordUnknownError."""
    slot_ms, series_id, turn = key
    return [
        (slot_ms, series_id, turn, number, outcome, words[name], words[part], duration_ns, kind, cleanup)
        for number, (outcome, name, part, duration_ns, kind, cleanup) in enumerate(steps)
    ]
