"""What a minute was: the quorum of regions, silence, maintenance and what is still to come."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.objective import Quorum, Silence, SliceRule
from slo.slices import SliceCounts, Slices, decide_slices
from tests.slo_kit import measured, minutes

MAJORITY = SliceRule()
HEARD = SliceRule(quorum=Quorum.ANY, silence=Silence.BAD)
RULES = st.builds(SliceRule, st.sampled_from(Quorum), st.sampled_from(Silence), st.integers(1, 3))
VOTES = st.dictionaries(
    st.sampled_from(["eu", "us", "ap", "eu/two", "eu/three", "elsewhere"]),
    st.text("gbm.", min_size=9, max_size=9),
    min_size=1,
)
REGIONS = ("eu", "us", "ap")


def state(slices: Slices, index: int) -> str:
    """The words of one minute."""
    names = ("good", "bad", "unknown", "excluded", "future", "split", "suspect")
    return " ".join(name for name in names if getattr(slices, name) >> index & 1)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("ggg", "good"),
        ("ggb", "good"),
        ("gbb", "bad"),
        ("bbb", "bad"),
        ("gg.", "good"),
        ("gb.", "good split"),
        ("bb.", "bad"),
        ("gbm", "good split"),
        ("g..", "unknown"),
        ("b..", "unknown suspect"),
        ("bmm", "unknown suspect"),
        ("...", "unknown"),
        ("mmm", "unknown"),
        ("ggbb", "good split"),
        ("ggbbb", "bad"),
        ("gggbbb", "good split"),
        ("ggggggbbbbbb", "good split"),
        ("gggggbbbbbbb", "bad"),
        ("gggggggbbbbb", "good"),
        ("g...........", "unknown"),
    ],
)
def test_a_minute_is_what_most_conclusive_regions_say(votes: str, expected: str) -> None:
    """A strict majority makes it bad, a tie is good and flagged, fewer than two conclusive regions leave it unknown."""
    span = minutes(1)
    regions = [f"region-{i}" for i in range(len(votes))]
    found = decide_slices(measured(span, dict(zip(regions, votes, strict=True))), MAJORITY, regions)
    assert state(found, 0) == expected


@pytest.mark.parametrize(
    ("votes", "expected"),
    [("g", "good"), ("b", "bad"), ("m", "unknown"), (".", "unknown"), ("gb", "good"), ("gbb", "bad")],
)
def test_a_single_region_decides_by_most_of_its_probes(votes: str, expected: str) -> None:
    """With one region there is nobody to confirm; a tie between its probes is good."""
    span = minutes(1)
    probes = {f"eu/{i}": letter for i, letter in enumerate(votes)}
    assert state(decide_slices(measured(span, probes), MAJORITY, ["eu"]), 0) == expected


def test_a_region_has_one_vote_however_many_probes_it_has() -> None:
    """Three probes of one region do not outvote two regions."""
    span = minutes(2)
    votes = {"eu/1": "bb", "eu/2": "bb", "eu/3": "bg", "us": "gb", "ap": "gb"}
    found = decide_slices(measured(span, votes), MAJORITY, REGIONS)
    assert [state(found, 0), state(found, 1)] == ["good", "bad"]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [("gbb", "good"), ("g..", "good"), ("bbb", "bad"), ("b..", "bad"), ("...", "bad"), ("mmm", "bad"), (".mg", "good")],
)
def test_where_being_heard_is_promised_one_good_sample_is_enough_and_silence_is_bad(votes: str, expected: str) -> None:
    """The line of metrics every minute: no good sample from anywhere is what breaks it."""
    span = minutes(1)
    found = decide_slices(measured(span, dict(zip(REGIONS, votes, strict=True))), HEARD, REGIONS)
    assert state(found, 0) == expected


@pytest.mark.parametrize(
    ("votes", "expected"),
    [("gbb", "good"), ("g..", "good"), ("bb.", "bad"), ("b..", "unknown suspect"), ("...", "unknown")],
)
def test_one_good_sample_is_enough_also_where_silence_is_unknown(votes: str, expected: str) -> None:
    """A bad minute then takes as many regions as the rule asks."""
    span = minutes(1)
    rule = SliceRule(quorum=Quorum.ANY)
    found = decide_slices(measured(span, dict(zip(REGIONS, votes, strict=True))), rule, REGIONS)
    assert state(found, 0) == expected


def test_silence_can_be_bad_for_a_majority_too_and_a_lone_failure_is_no_better() -> None:
    """Too little good heard stays unknown; were a failure unknown where silence is bad, failing would pay."""
    span = minutes(4)
    rule = SliceRule(silence=Silence.BAD, min_conclusive=3)
    found = decide_slices(measured(span, {"eu": ".gbg", "us": "...b", "ap": "...."}), rule, REGIONS)
    assert [state(found, i) for i in range(4)] == ["bad", "unknown", "bad", "unknown suspect"]


def test_one_good_probe_in_a_bad_region_is_a_good_sample() -> None:
    """`any` asks for a sample and not for the vote of a region."""
    span = minutes(1)
    assert state(decide_slices(measured(span, {"eu/1": "g", "eu/2": "b", "eu/3": "b"}), HEARD, ["eu"]), 0) == "good"


def test_maintenance_of_one_region_takes_its_vote_and_of_all_regions_the_minute() -> None:
    """Votes of a region under maintenance say nothing about the platform."""
    span = minutes(3)
    votes = measured(span, {"eu": "bbb", "us": "bbb", "ap": "ggg"})
    found = decide_slices(votes, MAJORITY, REGIONS, excluded={"eu": 0b110, "us": 0b100, "ap": 0b100})
    assert [state(found, i) for i in range(3)] == ["bad", "good split", "excluded"]
    alone = decide_slices(votes, MAJORITY, ["eu"], excluded={"eu": 0b110})
    assert [state(alone, i) for i in range(3)] == ["bad", "excluded", "excluded"]


def test_minutes_from_now_on_are_future_unless_they_are_excluded() -> None:
    """A vote from the future, of a clock that is ahead, decides nothing."""
    span = minutes(4)
    votes = measured(span, {"eu": "bbbb", "us": "bbbb"})
    excluded = {"eu": 0b1000, "us": 0b1000}
    found = decide_slices(votes, MAJORITY, ["eu", "us"], excluded=excluded, now_minute=span.from_minute + 2)
    assert [state(found, i) for i in range(4)] == ["bad", "bad", "future", "excluded"]
    before = decide_slices(votes, MAJORITY, ["eu", "us"], now_minute=span.from_minute - 5)
    assert before.counts == SliceCounts(future=4)


@given(VOTES, RULES, st.dictionaries(st.sampled_from(REGIONS), st.integers(0, 2**12)), st.integers(-2, 12))
def test_each_minute_is_exactly_one_of_five(
    votes: dict[str, str], rule: SliceRule, excluded: dict[str, int], now: int
) -> None:
    """Disjoint and complete, for any votes and any rule; the flags lie within their states."""
    span = minutes(9)
    found = decide_slices(measured(span, votes), rule, REGIONS, excluded=excluded, now_minute=span.from_minute + now)
    states = (found.good, found.bad, found.unknown, found.excluded, found.future)
    assert sum(states) == 2**9 - 1
    assert sum(bits.bit_count() for bits in states) == 9
    assert found.split & ~found.good == 0
    assert found.suspect & ~found.unknown == 0


@given(VOTES, RULES)
def test_votes_of_regions_that_the_line_does_not_name_change_nothing(votes: dict[str, str], rule: SliceRule) -> None:
    """Nor does the order of the regions, or naming one twice."""
    span = minutes(9)
    known = {place: letters for place, letters in votes.items() if place != "elsewhere"}
    found = decide_slices(measured(span, votes), rule, REGIONS)
    assert found == decide_slices(measured(span, known), rule, ("ap", "us", "eu", "us"))


def test_counts_add_up_and_know_their_shares() -> None:
    """Coverage is the decided share of the minutes due; those to come are eligible and not due."""
    counts = SliceCounts(good=90, bad=5, unknown=5, excluded=7, future=20, split=1, suspect=2)
    assert (counts.conclusive, counts.due, counts.eligible) == (95, 100, 120)
    assert counts.coverage == Fraction(95, 100)
    assert (counts + counts).eligible == 240
    assert SliceCounts(excluded=3, future=3).coverage is None


def test_a_minute_without_regions_cannot_be_decided() -> None:
    """Instead of calling everything unknown."""
    with pytest.raises(ValueError, match="name at least one"):
        decide_slices(measured(minutes(1), {"eu": "g"}), MAJORITY, [])
