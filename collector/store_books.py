"""The books of one outbox epoch: which sequence numbers have come, kept as the highest one and the gaps below it.

A number that comes a second time is a duplicate; a gap that stays is proof that something is missing. Pure: no clock, no I/O.
Called by `collector.store_commit` with what the database knows, inside the transaction that stores the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["MAX_GAPS", "Books", "united"]

MAX_GAPS = 1_000
"""An honest probe has a few. From here on neighbouring gaps are counted as one, so that a hostile one costs no room."""

Gap = tuple[int, int]


class Books:
    """What has come of one epoch. `gaps` are closed ranges below `highest_seq`, ascending, not touching."""

    def __init__(self, highest_seq: int = 0, gaps: Iterable[Gap] = ()) -> None:
        self.highest_seq = highest_seq
        self.gaps = sorted(gaps)
        self.gaps_changed = False

    def take(self, numbers: Sequence[int]) -> set[int]:
        """Enter ascending numbers; returns those that had come before."""
        first, last = numbers[0], numbers[-1]
        if first == self.highest_seq + 1 and last - first == len(numbers) - 1:
            self.highest_seq = last
            return set()
        return {number for number in numbers if not self._enter(number)}

    @property
    def missing(self) -> int:
        """How many numbers below the highest have not come."""
        return sum(last - first + 1 for first, last in self.gaps)

    def _enter(self, number: int) -> bool:
        """True when the number is new."""
        if number > self.highest_seq:
            if number > self.highest_seq + 1:
                self._open_gap(self.highest_seq + 1, number - 1)
            self.highest_seq = number
            return True
        for place, (first, last) in enumerate(self.gaps):
            if first <= number <= last:
                self.gaps[place : place + 1] = [
                    gap for gap in ((first, number - 1), (number + 1, last)) if gap[0] <= gap[1]
                ]
                self.gaps_changed = True
                self.keep_bound()
                return True
        return False

    def _open_gap(self, first: int, last: int) -> None:
        self.gaps.append((first, last))
        self.gaps_changed = True
        self.keep_bound()

    def keep_bound(self) -> None:
        """Let the oldest gaps grow together until there are no more than are allowed."""
        while len(self.gaps) > MAX_GAPS:
            self.gaps[:2] = [(self.gaps[0][0], self.gaps[1][1])]


def united(first: Books, second: Books) -> Books:
    """The books of what came here or there: missing is what neither has."""
    highest = max(first.highest_seq, second.highest_seq)
    missing_here, missing_there = (
        [*books.gaps, (books.highest_seq + 1, highest)] if books.highest_seq < highest else books.gaps
        for books in (first, second)
    )
    both = (
        (max(begin, other_begin), min(end, other_end))
        for begin, end in missing_here
        for other_begin, other_end in missing_there
    )
    books = Books(highest, [gap for gap in both if gap[0] <= gap[1]])
    books.keep_bound()
    return books
