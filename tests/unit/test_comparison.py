"""Two heaps of results beside each other: what is called a difference, and that chance alone rarely is."""

from __future__ import annotations

import random

import pytest

from slo.comparison import LEAST_HOURS, RISK, Finding, compare_shares, compare_steps

MS = 1_000_000
Times = list[tuple[int, int]]


def times_of(draw: random.Random, *, hours: int, each: int = 20, middle_ms: float = 100.0, slow: float = 0.0) -> Times:
    """Log-normal times; each hour has a fate of its own that all of it shares. `slow`: the share that takes ten times as long."""
    found = []
    for hour in range(hours):
        fate = draw.lognormvariate(0, 0.1)
        for _ in range(each):
            factor = 10 if draw.random() < slow else 1
            found.append((hour, int(middle_ms * MS * fate * draw.lognormvariate(0, 0.2) * factor)))
    return found


def test_chance_alone_is_rarely_called_a_difference() -> None:
    """Over four hundred pages of four steps whose sides are alike, at most the promised share says anything."""
    draw = random.Random(20_260_901)
    wrong = 0
    for _ in range(400):
        sides = [{name: times_of(draw, hours=24, each=4) for name in "abcd"} for _ in range(2)]
        found = compare_steps(sides[0], sides[1])
        wrong += any(one.middle is not Finding.NOT_FOUND or one.tail is not Finding.NOT_FOUND for one in found)
    # 20 are expected at the most; 36 is beyond what a share of 5 % does once in a thousand times.
    assert wrong < 36, f"{wrong} of 400 at a risk of {RISK}"


@pytest.mark.parametrize(("middle_ms", "finding"), [(130.0, Finding.MORE), (75.0, Finding.LESS)])
def test_typical_times_that_moved_are_found(middle_ms: float, finding: Finding) -> None:
    """In the direction in which the second side differs from the first."""
    draw = random.Random(7)
    first, second = times_of(draw, hours=48), times_of(draw, hours=48, middle_ms=middle_ms)
    assert compare_steps({"quote": first}, {"quote": second})[0].middle is finding


def test_a_tail_that_grew_is_found_though_the_middle_stayed() -> None:
    """One time in ten takes ten times as long: the median hardly moves."""
    draw = random.Random(11)
    first, second = times_of(draw, hours=72), times_of(draw, hours=72, slow=0.1)
    assert compare_steps({"quote": first}, {"quote": second})[0].tail is Finding.MORE


def test_one_bad_hour_is_no_difference() -> None:
    """A thousand slow times of one hour are one hour."""
    draw = random.Random(13)
    first, second = times_of(draw, hours=48), times_of(draw, hours=48)
    second = [one for one in second if one[0] != 5] + [(5, 5000 * MS)] * 1000
    found = compare_steps({"quote": first}, {"quote": second})[0]
    assert (found.middle, found.tail) == (Finding.NOT_FOUND, Finding.NOT_FOUND)


def test_with_too_few_hours_nothing_is_said() -> None:
    """However many times there are, and however different they look; a step that one side lacks is such a case."""
    draw = random.Random(17)
    first, second = times_of(draw, hours=LEAST_HOURS - 1), times_of(draw, hours=40, middle_ms=900)
    assert compare_steps({"quote": first}, {"quote": second})[0].middle is Finding.TOO_FEW
    only = compare_steps({}, {"quote": second})[0]
    assert (only.middle, only.first.count, only.first.median_ns) == (Finding.TOO_FEW, 0, None)


def test_percentiles_are_times_that_happened_or_none() -> None:
    """A p95 of nineteen would only be the slowest of a few."""
    times = [(number // 4, (number + 1) * MS) for number in range(20)]
    found = compare_steps({"s": times}, {"s": times[:19]})[0]
    assert (found.first.median_ns, found.first.p95_ns) == (10 * MS, 19 * MS)
    assert found.second.p95_ns is None


def test_shares_of_failures_are_compared_by_hour() -> None:
    """An outage of one hour is one hour; failures in every hour are a difference."""
    clean = dict.fromkeys(range(48), (0, 60))
    assert compare_shares(clean, {**clean, 7: (60, 60)}) is Finding.NOT_FOUND
    assert compare_shares(clean, dict.fromkeys(range(48), (3, 60))) is Finding.MORE
    assert compare_shares(dict.fromkeys(range(48), (3, 60)), clean) is Finding.LESS
    assert compare_shares(clean, {1: (1, 2)}) is Finding.TOO_FEW
