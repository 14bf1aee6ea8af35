"""How many events stand for one independent one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from slo.effect import DesignEffect, clusters_of, outage_effect
from tests.slo_kit import measured, minutes


@pytest.mark.parametrize(
    ("letters", "effect"),
    [
        ("gggggggggg", "1"),
        ("gbgbgbggbg", "1"),
        ("gbbbgggggg", "3"),
        ("bbbggbgggg", "10/4"),
        ("bbbbbbbbbb", "10"),
        ("gbb..bbggg", "4"),
        ("gbbmmbgbgg", "10/4"),
        ("..........", "1"),
    ],
)
def test_an_outage_weighs_as_its_length(letters: str, effect: str) -> None:
    """The sum of squares over the sum; only a good minute ends an outage, silence does not."""
    assert outage_effect(measured(minutes(10), {"eu": letters}), ["eu"]) == Fraction(effect)


def test_geometric_outages_of_five_minutes_on_average_are_the_floor() -> None:
    """Sum L^2 / sum L = 2 x 5 - 1 for P(L) = 0.2 x 0.8^(L-1), up to lengths that never come."""
    chances = [(length, Fraction(1, 5) * Fraction(4, 5) ** (length - 1)) for length in range(1, 400)]
    effect = sum(p * n * n for n, p in chances) / sum(p * n for n, p in chances)
    assert float(effect) == pytest.approx(9, abs=1e-9)


def test_an_outage_of_one_region_counts_although_the_others_outvote_it() -> None:
    """One region down for six minutes is one incident."""
    votes = measured(minutes(8), {"eu": "gbbbbbbg", "us": "gggggggg", "ap": "gggggggg"})
    assert outage_effect(votes, ["eu", "us", "ap"]) == 6


def test_an_outage_that_goes_round_the_regions_is_as_long_as_most_of_them_saw_it() -> None:
    """Each region's own minutes look short where the outage wanders."""
    votes = measured(minutes(6), {"eu": "bbgbbg", "us": "bgbbgb", "ap": "gbbgbb"})
    assert outage_effect(votes, ["eu", "us", "ap"]) == 6


def test_maintenance_and_regions_that_are_not_asked_are_no_outage() -> None:
    """What does not count cannot make the evidence weaker either."""
    votes = measured(minutes(8), {"eu": "gbbbbbbg", "us": "bbbbbbbb"})
    assert outage_effect(votes, ["eu"], {"eu": 0b01111100}) == 1
    assert outage_effect(votes, ["eu"]) == 6


def test_a_cluster_is_a_slot_with_all_its_regions() -> None:
    """Two regions in one minute are one; a slot that says nothing, or lies in maintenance, is none."""
    votes = measured(minutes(5), {"eu": "gb.gm", "us": "gg...", "ap": "ggggg"})
    assert clusters_of(votes, ["eu", "us"], {}) == 3
    assert clusters_of(votes, ["eu", "us"], {"eu": 0b1000}) == 2


def test_events_per_independent_one_are_both_effects_together() -> None:
    """Twelve regions of an outage of nine minutes are a hundred and eight events and one incident."""
    assert DesignEffect(Fraction(12), Fraction(9)).events == 108
