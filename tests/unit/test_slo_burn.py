"""When alerts fire and resolve, against a reference that counts every minute by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.burn import (
    Cause,
    Episode,
    EventHistory,
    History,
    SliceHistory,
    alert_episodes,
    burn_now,
    settled_minute,
)
from slo.burn_tiers import DEFAULT_PRESET, AlertTier, Counting, FireRule, Severity, TierFit, fit_tiers
from slo.chance import is_beyond_chance
from slo.window import Span, instant_of_minute, month_span
from tests.slo_kit import ALLOWED_SHARES, SMALL_TIERS

SEPTEMBER = month_span("2026-09")
LEAD = 4320
WHOLE = Span("with lead-in", SEPTEMBER.from_minute - LEAD, SEPTEMBER.until_minute)


def month(
    *, bad: Sequence[range] = (), unknown: Sequence[range] = (), excluded: Sequence[range] = (), lead_bad: int = 0
) -> SliceHistory:
    """September with these minutes (counted from its beginning; below 0 is the lead-in); the others are good."""
    bits = {"bad": 0, "unknown": 0, "excluded": 0}
    for name, stretches in (("bad", bad), ("unknown", unknown), ("excluded", excluded)):
        for stretch in stretches:
            for minute in stretch:
                bits[name] |= 1 << (minute + LEAD)
    good = ((1 << WHOLE.minutes) - 1) & ~(bits["bad"] | bits["unknown"] | bits["excluded"])
    return SliceHistory(WHOLE, good, bits["bad"], bits["excluded"])


def fired(history: History, allowed: str) -> dict[str, list[tuple[int, int | None, str]]]:
    """What the default tiers did, in minutes of September: severity -> (fired, resolved, cause)."""
    counting = Counting.SLICES if isinstance(history, SliceHistory) else Counting.EVENTS
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(allowed), counting)
    return {
        fit.tier.severity.value: [
            (
                one.fired_at_minute - SEPTEMBER.from_minute,
                None if one.resolved_at_minute is None else one.resolved_at_minute - SEPTEMBER.from_minute,
                one.cause.value,
            )
            for one in episodes
        ]
        for fit, episodes in alert_episodes(history, fits, SEPTEMBER)
    }


def test_a_total_outage_of_an_hour_fires_every_tier_at_the_minutes_computed_by_hand() -> None:
    """At 99.9 % the shares are 1.44, 0.6, 0.3 and 0.1 %: two bad minutes page, the others need 3, 5 and 5.

    The critical alert ends when its five minutes hold none of the outage, and so on for each short window.
    """
    assert fired(month(bad=[range(1000, 1060)]), "0.001") == {
        "critical": [(1001, 1064, "burn")],
        "high": [(1002, 1089, "burn")],
        "medium": [(1004, 1179, "burn")],
        "report": [(1004, 1419, "burn")],
    }


def test_one_failed_minute_pages_nobody() -> None:
    """It is a burn of 16 in its hour and of 200 in its five minutes, and one minute alone."""
    assert fired(month(bad=[range(1000, 1001)]), "0.001") == {"critical": [], "high": [], "medium": [], "report": []}


def test_a_second_failure_within_the_hour_pages_until_the_five_minutes_are_clean() -> None:
    """Two bad minutes within one hour page for five minutes, or until the first of them is older than the hour."""
    assert fired(month(bad=[range(1000, 1001), range(1050, 1051)]), "0.001")["critical"] == [(1050, 1055, "burn")]
    assert fired(month(bad=[range(1000, 1001), range(1059, 1060)]), "0.001")["critical"] == [(1059, 1060, "burn")]
    assert fired(month(bad=[range(1000, 1001), range(1060, 1061)]), "0.001")["critical"] == []


def test_a_month_without_failures_is_silent() -> None:
    """No alert of any kind."""
    assert not any(fired(month(), "0.001").values())


def test_a_share_that_equals_the_threshold_does_not_fire() -> None:
    """Strictly above: 36 bad minutes in 600 of an hour's share of 14.4 % are equal at 99 % with L = 250."""
    tier = AlertTier(Severity.MEDIUM, 250, 250, Fraction(1, 12))
    (fit,) = fit_tiers([tier], Fraction(1, 100), Counting.SLICES)
    assert fit.share == Fraction(36, 250)
    for bad, alerts in ((36, 0), (37, 1)):
        ((_, episodes),) = alert_episodes(month(bad=[range(1000, 1000 + bad)]), [fit], SEPTEMBER)
        assert len(episodes) == alerts


def test_the_strictest_slices_alert_on_two_bad_minutes_in_a_row() -> None:
    """At 99.99 % two neighbours fire, until the first minute that is not the second of a pair; two apart do not."""
    pairs = fired(month(bad=[range(1000, 1003), range(2000, 2001), range(2002, 2003)]), "0.0001")
    assert pairs == {"critical": [(1001, 1003, "burn")]}


def test_too_few_known_minutes_are_no_data_instead_of_a_burn() -> None:
    """31 unknown minutes of 60 are more than half; bad minutes beside them do not page."""
    history = month(unknown=[range(1000, 1100)], bad=[range(1100, 1105)])
    assert fired(history, "0.001")["critical"] == [(1030, 1129, "no_data")]


def test_a_burn_that_goes_dark_becomes_no_data_and_comes_back() -> None:
    """One alert ends at the minute at which the other begins."""
    history = month(bad=[range(1000, 1010), range(1045, 1120)], unknown=[range(1010, 1045)])
    assert fired(history, "0.001")["critical"] == [
        (1001, 1014, "burn"),
        (1040, 1074, "no_data"),
        (1074, 1124, "burn"),
    ]


def test_maintenance_counts_for_nothing() -> None:
    """Excluded minutes make no data and dilute no share: the outage before them is still two of the minutes that count."""
    history = month(bad=[range(998, 1000)], excluded=[range(1000, 1059)])
    assert fired(history, "0.001")["critical"] == [(999, 1004, "burn")]
    assert not any(fired(month(excluded=[range(1000, 9000)]), "0.001").values())


def test_windows_at_the_beginning_reach_into_the_lead_in() -> None:
    """An outage over midnight fires in the old month, and its alert keeps that minute in the new one."""
    assert fired(month(bad=[range(-30, 10)]), "0.001")["critical"] == [(-29, 14, "burn")]
    assert fired(month(bad=[range(-1, 1)]), "0.001")["critical"] == [(0, 5, "burn")]
    assert fired(month(bad=[range(-30, -10)]), "0.001")["critical"] == []


def test_minutes_before_the_history_are_neither_good_nor_unknown() -> None:
    """A line that has just begun to be measured is not without data."""
    history = SliceHistory(SEPTEMBER, (1 << SEPTEMBER.minutes) - 1, 0)
    assert not any(fired(history, "0.001").values())


def test_an_alert_that_is_still_on_has_no_end() -> None:
    """At the end of the month, and at the newest minute that may be read."""
    last = SEPTEMBER.minutes
    assert fired(month(bad=[range(last - 10, last)]), "0.001")["critical"] == [(last - 9, None, "burn")]


def test_minutes_are_read_when_they_began_90_seconds_ago() -> None:
    """A second earlier the alert of two bad minutes is not on yet."""
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(1, 1000), Counting.SLICES)
    history = month(bad=[range(1000, 1002)])
    second_bad_at = instant_of_minute(SEPTEMBER.from_minute + 1001)
    for delay_s, alerts in ((89, 0), (90, 1)):
        now = second_bad_at + timedelta(seconds=delay_s)
        found = alert_episodes(history, fits, SEPTEMBER, now=now)
        assert sum(len(episodes) for _, episodes in found) == alerts
    assert settled_minute(second_bad_at + timedelta(seconds=90)) == SEPTEMBER.from_minute + 1001


def steady_events(per_minute: int, bad: dict[int, int]) -> EventHistory:
    """So many events in each minute of September, of which some are bad."""
    return EventHistory(
        WHOLE,
        {
            minute: (
                per_minute - bad.get(minute - SEPTEMBER.from_minute, 0),
                bad.get(minute - SEPTEMBER.from_minute, 0),
            )
            for minute in range(WHOLE.from_minute, WHOLE.until_minute)
        },
    )


def test_events_fire_only_when_their_number_is_no_chance() -> None:
    """At one event a minute and 99.9 %, two bad ones in an hour happen; three do not."""
    assert fired(steady_events(1, {1000: 1, 1001: 1}), "0.001")["critical"] == []
    assert fired(steady_events(1, {1000: 1, 1001: 1, 1002: 1}), "0.001")["critical"] == [(1002, 1007, "burn")]
    assert fired(steady_events(1, {1000: 1, 1001: 1}), "0.0005")["critical"] == [(1001, 1006, "burn")]


def test_a_single_event_pages_nobody() -> None:
    """One bad request of one: a share of everything, and beyond chance at 99.95 %."""
    assert fired(EventHistory(WHOLE, {SEPTEMBER.from_minute + 100: (0, 1)}), "0.0005")["critical"] == []


def test_events_are_no_matter_of_minutes_without_any() -> None:
    """A quiet night is not `no_data` for a line that counts events."""
    assert not any(fired(EventHistory(WHOLE, {}), "0.05").values())


def test_a_tier_reads_only_the_kind_of_line_it_was_made_for() -> None:
    """The rules differ, so that mixing them is a mistake."""
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(1, 1000), Counting.EVENTS)
    with pytest.raises(ValueError, match="cannot read"):
        alert_episodes(month(), fits, SEPTEMBER)


def test_the_burn_now_is_that_of_the_newest_settled_minute() -> None:
    """Both windows of each tier as multiples of the even pace, and whether the alert is on."""
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(1, 1000), Counting.SLICES)
    now = instant_of_minute(SEPTEMBER.from_minute + 1005) + timedelta(seconds=90)
    critical, high, *_ = burn_now(month(bad=[range(1003, 1006)], unknown=[range(1000, 1003)]), fits, now)
    assert critical.minute == SEPTEMBER.from_minute + 1005
    assert (critical.long_burn, critical.short_burn) == (Fraction(3000, 57), Fraction(1000))
    assert (high.long_burn, critical.cause, high.cause) == (Fraction(3000, 357), Cause.BURN, Cause.BURN)
    at_rest = burn_now(month(unknown=[range(900, 1100)]), fits, now)[0]
    assert (at_rest.long_burn, at_rest.cause) == (None, Cause.NO_DATA)
    assert burn_now(month(), fits, WHOLE.from_at) == ()


# The reference


def reference(history: History, fit: TierFit, span: Span) -> list[Episode]:
    """Every minute judged by counting the minutes of its windows one by one, in fractions."""
    episodes: list[Episode] = []
    fired_at, cause = span.from_minute, None
    for minute in range(history.span.from_minute, span.until_minute):
        after = reference_cause(history, fit, minute)
        if after is not cause:
            if cause is not None:
                episodes.append(Episode(fired_at, minute, cause))
            fired_at, cause = minute, after
    if cause is not None:
        episodes.append(Episode(fired_at, None, cause))
    return [one for one in episodes if one.resolved_at_minute is None or one.resolved_at_minute > span.from_minute]


def reference_cause(history: History, fit: TierFit, minute: int) -> Cause | None:
    """The rules as the design writes them."""
    good, bad, unknown = counts_of(history, minute, fit.tier.long_minutes)
    if unknown > good + bad:
        return Cause.NO_DATA
    if fit.rule is FireRule.TWO_IN_A_ROW:
        return Cause.BURN if counts_of(history, minute, 2)[1] == 2 else None
    short_good, short_bad, _ = counts_of(history, minute, fit.tier.short_minutes)
    threshold = fit.burn * fit.allowed_bad
    is_page = fit.tier.severity in (Severity.CRITICAL, Severity.HIGH) and fit.allowed_bad <= Fraction(1, 1000)
    burns = (
        good + bad > 0
        and short_good + short_bad > 0
        and Fraction(bad, good + bad) > threshold
        and Fraction(short_bad, short_good + short_bad) > threshold
        and (not is_page or (bad >= 2 and short_bad >= 1))
        and (fit.counting is Counting.SLICES or is_beyond_chance(bad, good + bad, fit.allowed_bad))
    )
    return Cause.BURN if burns else None


def counts_of(history: History, minute: int, minutes: int) -> tuple[int, int, int]:
    """Good, bad and unknown in the `minutes` up to this one."""
    good = bad = unknown = 0
    for one in range(max(minute - minutes + 1, history.span.from_minute), minute + 1):
        if isinstance(history, EventHistory):
            more_good, more_bad = history.events.get(one, (0, 0))
            good, bad = good + more_good, bad + more_bad
            continue
        bit = one - history.span.from_minute
        good += history.good >> bit & 1
        bad += history.bad >> bit & 1
        unknown += not (history.good | history.bad | history.excluded) >> bit & 1
    return good, bad, unknown


ALLOWED = st.sampled_from(ALLOWED_SHARES)


def stretches(dice: Random, minutes: int, chances: dict[str, float]) -> str:
    """A letter for each minute, in stretches of random length."""
    text = ""
    while len(text) < minutes:
        text += dice.choices(list(chances), list(chances.values()))[0] * dice.choice((1, 1, 2, 3, 8, 20, 60))
    return text[:minutes]


def bits_of(text: str, letter: str) -> int:
    """The places of a letter as bits."""
    return sum(1 << place for place, one in enumerate(text) if one == letter)


@given(st.randoms(use_true_random=False), ALLOWED, st.integers(0, 60), st.sampled_from([0.02, 0.2, 0.5]))
def test_slices_agree_with_the_reference(dice: Random, allowed: Fraction, lead: int, trouble: float) -> None:
    """Random months in small: the same alerts at the same minutes, whatever was stepped over."""
    text = stretches(dice, 260, {"g": 1, "b": trouble, "u": trouble / 2, "x": trouble / 4})
    covered, span = Span("covered", 5000, 5260), Span("asked", 5000 + lead, 5260)
    history = SliceHistory(covered, bits_of(text, "g"), bits_of(text, "b"), bits_of(text, "x"))
    fits = fit_tiers(SMALL_TIERS, allowed, Counting.SLICES, period_minutes=200)
    for fit, episodes in alert_episodes(history, fits, span):
        assert list(episodes) == reference(history, fit, span)


@given(st.randoms(use_true_random=False), ALLOWED, st.integers(0, 60), st.sampled_from([0.02, 0.2]))
def test_events_agree_with_the_reference(dice: Random, allowed: Fraction, lead: int, trouble: float) -> None:
    """The same for events, many or few in a minute."""
    text = stretches(dice, 200, {"g": 1, "b": trouble, "-": 0.3})
    covered, span = Span("covered", 5000, 5200), Span("asked", 5000 + lead, 5200)
    events = {
        5000 + place: (dice.randrange(30), dice.randrange(1, 4) if one == "b" else 0)
        for place, one in enumerate(text)
        if one != "-"
    }
    fits = fit_tiers(SMALL_TIERS, allowed, Counting.EVENTS, period_minutes=200)
    for fit, episodes in alert_episodes(EventHistory(covered, events), fits, span):
        assert list(episodes) == reference(EventHistory(covered, events), fit, span)
