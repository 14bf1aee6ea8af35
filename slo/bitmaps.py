"""Whole numbers as rows of bits: counting, comparing and walking them for all minutes of a span at once.

A month is an integer of some 44,640 bits. Counters for every minute are kept as planes: plane p holds bit p of each minute's
count, so that adding a row of votes or comparing two counts is a handful of operations on long integers and no loop over
minutes. Refuses to know what a bit means (`slo.cells`, `slo.slices`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

__all__ = ["Planes", "at_least", "between", "count_planes", "exceeds", "indices", "ones", "runs"]

Planes = tuple[int, ...]


def ones(count: int) -> int:
    """The lowest `count` bits; none for a count below 1."""
    return (1 << count) - 1 if count > 0 else 0


def between(start: int, stop: int) -> int:
    """The bits [start, stop); none when they are not that way round. Bits below 0 do not exist."""
    return ones(stop) & ~ones(start)


def indices(bits: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    for start, length in runs(bits):
        yield from range(start, start + length)


def runs(bits: int) -> Iterator[tuple[int, int]]:
    """Each unbroken row of set bits as (place of its lowest bit, length), lowest first."""
    # As text, because taking bits off a long integer one by one copies all of it each time.
    text = f"{bits:b}"[::-1]
    start = text.find("1")
    while start >= 0:
        stop = text.find("0", start)
        stop = len(text) if stop < 0 else stop
        yield start, stop - start
        start = text.find("1", stop)


def count_planes(rows: Iterable[int]) -> Planes:
    """For each place, in how many rows its bit is set."""
    planes: list[int] = []
    for row in rows:
        carry = row
        for place, plane in enumerate(planes):
            planes[place], carry = plane ^ carry, plane & carry
        if carry:
            planes.append(carry)
    return tuple(planes)


def exceeds(left: Planes, right: Planes) -> int:
    """The places where the count of `left` is greater than that of `right`."""
    greater = 0
    for one, other in zip_longest(left, right, fillvalue=0):
        greater = (one & ~other) | (greater & ~(one ^ other))
    return greater


def at_least(planes: Planes, least: int, width: int) -> int:
    """The places among the lowest `width` whose count is `least` or more."""
    if least < 1:
        return ones(width)
    every, below = ones(width), least - 1
    floor = tuple(every if below >> place & 1 else 0 for place in range(below.bit_length()))
    return exceeds(planes, floor) & every
