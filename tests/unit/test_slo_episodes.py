"""What cost budget, as episodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slo.episodes import costliest, episodes_of

FIRST = 1_000


def bits(*minutes: int) -> int:
    """Good minutes as a bitmap from `FIRST` on."""
    return sum(1 << (minute - FIRST) for minute in minutes)


def test_a_good_minute_ends_an_episode() -> None:
    """Two outages with a good minute between them are two."""
    found = episodes_of({1000: 1, 1001: 1, 1003: 2}, bits(1002), FIRST)
    assert [(one.from_minute, one.until_minute, one.cost) for one in found] == [(1000, 1002, 2), (1003, 1004, 2)]


def test_a_minute_nobody_can_tell_about_ends_none_unless_there_are_sixty() -> None:
    """Probes that go blind in the middle of an outage do not make two of it; a whole hour of silence does."""
    (one,) = episodes_of({1000: 1, 1061: 1}, 0, FIRST)
    assert (one.from_minute, one.until_minute, one.minutes) == (1000, 1062, (1000, 1061))
    assert len(episodes_of({1000: 1, 1062: 1}, 0, FIRST)) == 2


def test_the_costliest_stand_in_order_of_time() -> None:
    """Of two that cost the same the earlier one is taken."""
    found = episodes_of({1000: 1, 1002: 5, 1004: 1, 1006: 9}, bits(1001, 1003, 1005), FIRST)
    assert [one.cost for one in costliest(found, 2)] == [5, 9]
    assert [one.from_minute for one in costliest(found, 3)] == [1000, 1002, 1006]


@given(st.dictionaries(st.integers(1000, 1400), st.integers(1, 5)), st.sets(st.integers(1000, 1400)))
def test_no_cost_is_lost_and_no_good_minute_lies_inside(costs: dict[int, int], good: set[int]) -> None:
    """Whatever the minutes are like."""
    calm = good - costs.keys()
    found = episodes_of(costs, bits(*calm), FIRST)
    assert sum(one.cost for one in found) == sum(costs.values())
    assert [minute for one in found for minute in one.minutes] == sorted(costs)
    for one in found:
        assert not calm & set(range(one.from_minute, one.until_minute))
