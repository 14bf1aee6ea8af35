"""The arithmetic of a verdict, in words that can be checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from slo.arithmetic import number_text, sentences_of, share_text
from slo.evidence import Verdict
from slo.objective import SliceRule
from slo.score import Reading
from slo.scoring import score
from tests.slo_kit import frame, line, measured, minutes

HOUR = minutes(1000)


def words(votes: str, *, allowed: Fraction = Fraction(1, 100), is_open: bool = False) -> tuple[Verdict, list[str]]:
    """The verdict on a thousand minutes that two regions agree about, and the sentences."""
    reading = Reading(line(allowed_bad=allowed), measured(HOUR, {"eu": votes, "us": votes}))
    now = HOUR.from_at + timedelta(minutes=len(votes)) if is_open else None
    found = score([reading], frame(HOUR, now))
    return found.verdict, list(sentences_of(found))


@pytest.mark.parametrize(
    ("votes", "verdict", "reason"),
    [
        ("b" * 4 + "g", Verdict.MET, "Met: even the worst case, 4, is within 10"),
        ("b" * 11 + "g", Verdict.BREACHED, "Breached: 11 bad minutes are more than 10, whatever the unknown ones were"),
        ("b" * 4 + "m" * 8 + "g", Verdict.AT_RISK, "At risk: 4 bad minutes are within 10, the worst case of 12 is not"),
        (
            "b" * 4 + "m" * 11 + "g",
            Verdict.NOT_ENOUGH_DATA,
            "Not enough data: 11 unknown minutes are too many to tell, for 10 may be bad",
        ),
        ("m", Verdict.NOT_ENOUGH_DATA, "Not enough data: not one minute was decided"),
    ],
)
def test_the_last_sentence_is_the_verdict_with_the_comparison_that_led_to_it(
    votes: str, verdict: Verdict, reason: str
) -> None:
    """For each way in which a closed window can end."""
    found, told = words(votes)
    assert found is verdict
    assert told[-1] == reason


def test_an_open_window_says_what_is_to_come() -> None:
    """The budget is that of the whole window, and the rate so far is what frightens."""
    found, told = words("b" + "g" * 50, is_open=True)
    assert found is Verdict.AT_RISK
    assert told[0] == "The budget is a share of 1,000 minutes: 51 that are over and 949 to come"
    assert told[-1] == "At risk: at the rate so far 19.6 minutes will be bad at the end, more than 10"
    found, told = words("b" * 8 + "g" * 990, is_open=True)
    assert told[-1] == "At risk: less than a quarter of the budget is left, and the window is open"


def test_a_long_outage_is_a_breach_by_itself() -> None:
    """Where the line says so."""
    rule = SliceRule(max_gap_minutes=2)
    reading = Reading(line(allowed_bad=Fraction(1, 10), slices=rule), measured(HOUR, {"eu": "bbbg", "us": "bbbg"}))
    told = sentences_of(score([reading], frame(HOUR)))
    assert told[-1] == "Breached: 3 bad minutes in a row are a breach by themselves"


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ("g", "Met: the upper bound is below the 5 % that may be bad"),
        ("b" * 300 + "g", "Breached: the lower bound is above the 5 % that may be bad"),
        ("b" * 50 + "g", "At risk: 5 % may be bad, and the bounds lie on both sides of it"),
        (
            "g" * 20 + ".",
            "Not enough data: too few independent events for a line that allows 5 %; 78 more good ones would do",
        ),
        (".", "Not enough data: no valid event was measured"),
    ],
)
def test_a_line_of_events_says_what_its_bounds_prove(votes: str, reason: str) -> None:
    """With the count rule and the design effect before."""
    events = replace(line(allowed_bad=Fraction(1, 20)), slices=None)
    told = sentences_of(score([Reading(events, measured(HOUR, {"eu": votes, "us": votes}))], frame(HOUR)))
    assert told[-1] == reason
    if votes == "g":
        assert "They share the fate of 1,000 slots (2 events each): design effect 2" in told[3]


def test_numbers_are_exact_or_say_that_they_are_not() -> None:
    """And a share is never rounded up to all."""
    assert [number_text(one) for one in (43_200, Fraction(432, 10), Fraction(1, 3))] == [
        "43,200",
        "43.2",
        "about 0.3333",
    ]
    assert (share_text(Fraction(999_999, 1_000_000)), share_text(Fraction(1, 2)), share_text(1.0)) == (
        "99.999 %",
        "50 %",
        "100 %",
    )
