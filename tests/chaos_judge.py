"""Who says whether everything arrived once: journals on one side, rows of the database on the other, none of our queries between.

What must hold for each slot that a producer began, and nothing else may be stored:

- Its journal says how it ended, and that was not the last word of a life: exactly that entry, byte for byte.
- It is the last word of a life that was killed: the process died before, in, or after the outbox's transaction, and nobody can
  tell. A run may then also have ended as `aborted`, because its announcement was there. At most one slot for each kill.
- It was begun, and no more is known: `aborted`. Never nothing, and never a result that nobody made.

Only the unpacking of stored batches is the collector's own code: a mistake in it could change a hash, and not repair one.
Refuses to open anything. Called by tests named exactly_once, and by the judge's own test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.chaos_journal import Story

__all__ = ["StoredEnding", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class StoredEnding:
    """A row of the database: whose slot, which of its numbers, how it ended, and the hash of the entry that said so.

    `number` is -1 for a slot that nobody was to begin.
    """

    probe: str
    number: int
    how: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong (nothing, if all is well), and how slots ended: `of_doubt` are those of the last word of a killed life."""

    problems: list[str]
    endings: Counter[str]
    of_doubt: Counter[str]


def judge(stories: Mapping[str, Story], stored: Iterable[StoredEnding], *, slots: int) -> Verdict:
    """Compare what each probe says that it made with what is stored of it; each was to begin `slots` slots."""
    found: dict[tuple[str, int], list[StoredEnding]] = {}
    for row in stored:
        found.setdefault((row.probe, row.number), []).append(row)
    verdict = Verdict([], Counter(), Counter())
    for probe, story in stories.items():
        if story.started != set(range(slots)) or not story.is_done:
            verdict.problems.append(f"{probe} began {len(story.started)} of {slots} slots")
        if len(story.in_doubt) > story.lives - 1:
            verdict.problems.append(f"{probe}: {len(story.in_doubt)} slots in doubt after {story.lives - 1} kills")
        for number in sorted(story.started):
            rows = found.pop((probe, number), [])
            verdict.problems.extend(f"{probe} {number}: {what}" for what in faults_of(story, number, rows))
            verdict.endings.update(row.how for row in rows)
            verdict.of_doubt.update(row.how for row in rows if number in story.in_doubt)
    verdict.problems.extend(f"{probe} {number}: stored, and nobody made it" for probe, number in found)
    return verdict


def faults_of(story: Story, number: int, rows: list[StoredEnding]) -> list[str]:
    """What is wrong with one slot."""
    made = story.made.get(number)
    if len(rows) != 1:
        return [f"stored {len(rows)} times" if rows else "lost: it has no ending"]
    (row,) = rows
    if made is None:
        return [] if row.how == "aborted" else [f"invented: {row.how}, and its producer made nothing of it"]
    cut_off = number in story.in_doubt and made.how == "run" and row.how == "aborted"
    if cut_off or (row.how, row.sha256) == (made.how, made.sha256):
        return []
    if row.how == made.how:
        return [f"changed: {made.sha256} was made, {row.sha256} is stored"]
    return [f"lost: {made.how} was made, {row.how} is stored"]
