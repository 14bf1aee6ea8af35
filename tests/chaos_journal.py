"""The journal of a producer: what it says that it made, written before the product hears of it and kept apart from it.

Lines of plain text, each one write to a file opened for appending, so that a killed process leaves whole lines: `life` when a
process begins, `start N` before slot N is announced, `end N HOW HASH` before the entry that ends it goes into the outbox, `done`
when there is nothing left to make. Refuses to know the outbox. Written by `tests.chaos_producer`, read by `tests.chaos_judge`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["JournalWriter", "Made", "Story", "read_story"]


@dataclass(frozen=True, slots=True)
class Made:
    """An entry that was made: how it ends its slot (`run` or a reason) and the SHA-256 of its bytes."""

    how: str
    sha256: str


@dataclass(slots=True)
class Story:
    """All lives of a producer. For each slot: what it made of it last, and whether that may have been cut off.

    `started` has every slot that was ever begun. `in_doubt` are those whose `end` is the last word of a life: the process may
    have been killed before the outbox had the entry. No more than one a life can be.
    """

    lives: int = 0
    is_done: bool = False
    started: set[int] = field(default_factory=set)
    made: dict[int, Made] = field(default_factory=dict)
    in_doubt: set[int] = field(default_factory=set)


class JournalWriter:
    """Appends lines; a write is in the kernel's hands, which outlives the process, when the method returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, *words: object) -> None:
        """One line."""
        os.write(self._fd, (" ".join(str(word) for word in words) + "\n").encode())


def read_story(lines: list[str]) -> Story:
    """The story of these lines, in their order; raises ValueError for a line that no producer writes."""
    story = Story()
    last_end: int | None = None
    for line in lines:
        if line == "life" and last_end is not None:
            story.in_doubt.add(last_end)
        last_end = None
        match line.split():
            case ["life"]:
                story.lives += 1
            case ["start", number]:
                story.started.add(int(number))
                story.in_doubt.discard(int(number))  # begun again: whatever was made of it before, it is made anew
                story.made.pop(int(number), None)
            case ["end", number, how, sha256]:
                last_end = int(number)
                story.in_doubt.discard(last_end)
                story.made[last_end] = Made(how, sha256)
            case ["done"]:
                story.is_done = True
            case _:
                raise ValueError(f"not a line of a journal: {line!r}")
    return story
