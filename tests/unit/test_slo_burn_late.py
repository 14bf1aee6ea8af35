"""Alerts of the last minutes of a long history: the same, whether all of it is walked or only what is needed."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from slo.burn import EventHistory, EventSums, History, SliceHistory, alert_episodes, burn_now, tier_views
from slo.burn_tiers import Counting, TierFit, fit_tiers
from slo.window import Span, instant_of_minute
from tests.slo_kit import ALLOWED_SHARES, SMALL_TIERS

FROM = 29_000_000
MINUTES = 300
ALLOWED = st.sampled_from(ALLOWED_SHARES)
DICE = st.builds(Random, st.integers(0, 10**9))
TROUBLE = st.sampled_from([0.0, 0.02, 0.2, 0.5])


def fits_for(counting: Counting, allowed: Fraction) -> tuple[TierFit, ...]:
    """Short windows, for a line of this kind."""
    return fit_tiers(SMALL_TIERS, allowed, counting, period_minutes=200)


def random_history(dice: Random, counting: Counting, trouble: float) -> History:
    """Minutes in stretches of one kind."""
    span = Span("some", FROM, FROM + MINUTES)
    if counting is Counting.EVENTS:
        events = {}
        for minute in range(FROM, FROM + MINUTES):
            if dice.random() < 0.7:
                total = dice.randrange(1, 40)
                events[minute] = (total, sum(dice.random() < trouble / 3 for _ in range(total)))
        return EventHistory(span, events)
    good = bad = excluded = place = 0
    while place < MINUTES:
        kind = dice.choice(("bad", "unknown", "excluded")) if dice.random() < trouble else "good"
        for _ in range(dice.randrange(1, 12)):
            good |= (kind == "good") << place
            bad |= (kind == "bad") << place
            excluded |= (kind == "excluded") << place
            place += 1
    every = (1 << MINUTES) - 1
    return SliceHistory(span, good & every, bad & every, excluded & every)


@settings(max_examples=150)
@given(DICE, st.sampled_from(Counting), ALLOWED, TROUBLE, st.integers(0, MINUTES + 5))
def test_the_end_of_a_history_has_the_alerts_that_the_whole_has(
    dice: Random, counting: Counting, allowed: Fraction, trouble: float, late: int
) -> None:
    """Those that are on at or after a minute, each since its own first minute, however long ago that was."""
    fits = fits_for(counting, allowed)
    history = random_history(dice, counting, trouble)
    span = Span("late", FROM + late, FROM + MINUTES)
    for (fit, whole), (same, found) in zip(
        alert_episodes(history, fits, history.span), alert_episodes(history, fits, span), strict=True
    ):
        assert same == fit
        assert found == tuple(
            one for one in whole if one.resolved_at_minute is None or one.resolved_at_minute > span.from_minute
        )


@settings(max_examples=40)
@given(DICE, st.sampled_from(Counting), ALLOWED, TROUBLE, st.integers(-5, 3))
def test_both_questions_at_once_have_the_answers_of_each(
    dice: Random, counting: Counting, allowed: Fraction, trouble: float, more: int
) -> None:
    """Episodes and burn rates, also where the newest minutes are not settled, or nothing is."""
    fits = fits_for(counting, allowed)
    history = random_history(dice, counting, trouble)
    span = Span("late", FROM + MINUTES - 60, FROM + MINUTES)
    for now in (instant_of_minute(FROM + MINUTES + more), instant_of_minute(FROM)):
        views = tier_views(history, fits, span, now)
        assert tuple((one.fit, one.episodes) for one in views) == alert_episodes(history, fits, span)
        assert tuple(one.burn for one in views if one.burn is not None) == burn_now(history, fits, now)


@settings(max_examples=8)
@given(DICE, ALLOWED, st.sampled_from([0.02, 0.2]))
def test_sums_that_are_moved_on_say_what_fresh_ones_say(dice: Random, allowed: Fraction, trouble: float) -> None:
    """The newest minutes are taken again, changed as late records change them, and old ones forgotten."""
    fits = fits_for(Counting.EVENTS, allowed)
    history = random_history(dice, Counting.EVENTS, trouble)
    assert isinstance(history, EventHistory)
    events = dict(history.events)
    first, until = FROM, FROM + 100
    sums = EventSums(first)
    sums.take(events, first, until)
    while until < FROM + MINUTES:
        again = until - dice.randrange(11)
        for minute in range(again, until):
            if dice.random() < 0.3:
                events[minute] = (dice.randrange(40), dice.randrange(3))
        first, until = first + dice.randrange(3), min(until + dice.randrange(1, 4), FROM + MINUTES)
        sums.forget(first)
        sums.take(events, again, until)
        span = Span("part", first + dice.randrange(3), until)
        within = {minute: counts for minute, counts in events.items() if minute < until}
        late = Span("late", until - 20, until)
        assert alert_episodes(EventHistory(span, within, sums), fits, late) == alert_episodes(
            EventHistory(span, within), fits, late
        )
