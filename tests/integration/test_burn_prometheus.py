"""Prometheus as an independent judge of when alerts fire and resolve.

The rules that we publish run over the counters that we export; our engine must have each alert on at exactly the same minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from slo.burn import Cause, EventHistory, History, SliceHistory
from slo.burn_tiers import DEFAULT_PRESET, AlertTier, Counting, Severity, TierFit, fit_tiers
from slo.prometheus_rules import RuleGroup, rule_group
from slo.window import Span, month_span
from tests.prometheus_kit import (
    ALERTS,
    OBJECTIVE,
    counters,
    firing_minutes,
    judge_with_promtool,
    our_episodes,
    prometheus_server,
    values_text,
)

BEGIN = month_span("2026-09").from_minute
SMALL = (
    AlertTier(Severity.CRITICAL, 24, 2, Fraction(5, 100)),
    AlertTier(Severity.HIGH, 60, 5, Fraction(10, 100)),
    AlertTier(Severity.MEDIUM, 120, 10, Fraction(10, 100)),
    AlertTier(Severity.REPORT, 240, 20, Fraction(20, 100)),
)
"""Tiers of a period of 1200 minutes: burn rates 2.5, 2, 1 and 1, so that a day of them is a month of the real ones."""


def slices_of(letters: str) -> SliceHistory:
    """A letter a minute: g, b, u(nknown), x (excluded)."""
    bits = {letter: sum(1 << place for place, one in enumerate(letters) if one == letter) for letter in "gbx"}
    return SliceHistory(Span("letters", BEGIN, BEGIN + len(letters)), bits["g"], bits["b"], bits["x"])


def random_letters(dice: Random, minutes: int, chances: Mapping[str, float]) -> str:
    """Minutes in stretches, most of them good."""
    text = ""
    while len(text) < minutes:
        text += dice.choices(list(chances), list(chances.values()))[0] * dice.choice((1, 1, 2, 4, 9, 30))
    return text[:minutes]


def fits_of(history: History, allowed: str, tiers: tuple[AlertTier, ...], period: int = 43_200) -> tuple[TierFit, ...]:
    """The tiers for a line that is counted as the history is."""
    counting = Counting.SLICES if isinstance(history, SliceHistory) else Counting.EVENTS
    return fit_tiers(tiers, Fraction(allowed), counting, period_minutes=period)


PAGES = DEFAULT_PRESET.tiers[:2]
SCENARIOS = {
    "an outage of half an hour": ("g" * 70 + "b" * 30 + "g" * 380, DEFAULT_PRESET.tiers),
    "two single failures": ("g" * 70 + "b" + "g" * 40 + "b" + "g" * 70, PAGES),
    "one failure": ("g" * 70 + "b" + "g" * 70, PAGES),
    "a burn that goes dark": ("g" * 70 + "b" * 10 + "u" * 40 + "b" * 20 + "g" * 90, PAGES),
    "maintenance over an outage": ("g" * 70 + "b" * 5 + "x" * 70 + "b" * 3 + "g" * 70, PAGES),
    "failures from the first minute": ("b" * 20 + "g" * 120, PAGES),
    "an outage that lasts": ("g" * 70 + "b" * 40, PAGES),
}
SHORT, DAY = 240, 1440
LONG = pytest.mark.slow


@pytest.mark.parametrize(("letters", "tiers"), SCENARIOS.values(), ids=SCENARIOS.keys())
def test_default_tiers_fire_and_resolve_as_in_prometheus(
    letters: str, tiers: tuple[AlertTier, ...], tmp_path: Path
) -> None:
    """Hours written by hand for a line of 99.9 %: each border, and the number of minutes between them."""
    history = slices_of(letters)
    fits = fits_of(history, "0.001", tiers)
    judge_with_promtool(tmp_path, rule_group(OBJECTIVE, fits).content, history, our_episodes(history, fits))


@pytest.mark.parametrize(
    ("allowed", "chances", "minutes"),
    [
        ("0.001", {"g": 1.0, "b": 0.1, "u": 0.2, "x": 0.1}, SHORT),
        ("0.0001", {"g": 1.0, "b": 0.1, "u": 0.2}, SHORT),
        pytest.param("0.001", {"g": 1.0, "b": 0.02, "u": 0.02, "x": 0.01}, DAY, marks=LONG),
        pytest.param("0.001", {"g": 1.0, "b": 0.2, "u": 0.4, "x": 0.2}, DAY, marks=LONG),
        pytest.param("0.05", {"g": 1.0, "b": 0.15, "u": 0.1}, DAY, marks=LONG),
        pytest.param("0.3", {"g": 1.0, "b": 0.9, "u": 0.1}, DAY, marks=LONG),
    ],
)
def test_random_days_of_slices_agree_with_prometheus(
    allowed: str, chances: Mapping[str, float], minutes: int, tmp_path: Path
) -> None:
    """Short tiers over random hours and days: they fire and resolve often, for strict and for coarse lines."""
    history = slices_of(random_letters(Random(minutes), minutes, chances))
    fits = fits_of(history, allowed, SMALL, 1200)
    fires = our_episodes(history, fits)
    assert any(episodes for _, episodes in fires)
    judge_with_promtool(tmp_path, rule_group(OBJECTIVE, fits).content, history, fires)


@pytest.mark.parametrize(
    ("allowed", "per_minute", "trouble", "minutes"),
    [
        ("0.01", 3, 0.03, SHORT),
        pytest.param("0.01", 3, 0.03, DAY, marks=LONG),
        pytest.param("0.05", 1, 0.08, DAY, marks=LONG),
        pytest.param("0.001", 40, 0.0015, DAY, marks=LONG),
    ],
)
def test_random_days_of_events_agree_with_prometheus(
    allowed: str, per_minute: int, trouble: float, minutes: int, tmp_path: Path
) -> None:
    """The table in the rule says what the exact binomial tail says, for few events and for many."""
    dice = Random(per_minute)
    events = {}
    for minute in range(minutes):
        bad_share = trouble * (8 if minute % 200 < 20 else 1)
        bad = sum(dice.random() < bad_share for _ in range(per_minute))
        events[BEGIN + minute] = (per_minute - bad, bad)
    history = EventHistory(Span("events", BEGIN, BEGIN + minutes), events)
    fits = fits_of(history, allowed, SMALL, 1200)
    group, kept = rule_group(OBJECTIVE, fits), _kept(fits)
    assert group.left_out == tuple(fit for fit in fits if fit.is_usable and fit not in kept)
    fires = our_episodes(history, kept)
    assert any(episodes for _, episodes in fires)
    judge_with_promtool(tmp_path, group.content, history, fires)


def _kept(fits: tuple[TierFit, ...]) -> tuple[TierFit, ...]:
    """At a burn rate of 1 no table of counts ends, so that events have no rule for it."""
    return tuple(fit for fit in fits if fit.is_usable and fit.burn > 1)


def test_the_judge_notices_an_alert_that_is_a_minute_late(tmp_path: Path) -> None:
    """The same day shifted by one minute is refused: the comparison can fail."""
    history, late = slices_of("g" * 70 + "b" * 9 + "g" * 50), slices_of("g" * 71 + "b" * 9 + "g" * 49)
    fits = fits_of(history, "0.001", PAGES)
    with pytest.raises(AssertionError, match="FAILED"):
        judge_with_promtool(tmp_path, rule_group(OBJECTIVE, fits).content, history, our_episodes(late, fits))


def test_values_are_written_as_promtool_reads_them() -> None:
    """Runs of equal steps, the 0 first."""
    assert values_text([0, 0, 0, 1, 2, 2]) == "0 0+0x1 1+1x1 2+0x0"
    assert counters(slices_of("gbu")) == {
        'fleet_slices_total{objective="line",state="good"}': [0, 1, 1, 1],
        'fleet_slices_total{objective="line",state="bad"}': [0, 0, 1, 1],
        'fleet_slices_total{objective="line",state="unknown"}': [0, 0, 0, 1],
        'fleet_slices_total{objective="line",state="excluded"}': [0, 0, 0, 0],
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_whole_month_agrees_with_a_real_prometheus(tmp_path: Path, free_port: int) -> None:
    """September with its lead-in, backfilled and queried: for each tier the same minutes, of burns and of missing data."""
    letters = random_letters(Random(9), 4320 + 43_200, {"g": 1.0, "b": 0.002, "u": 0.004, "x": 0.001})
    letters = letters[:20_000] + "b" * 45 + letters[20_045:30_000] + "u" * 700 + letters[30_700:]
    history = slices_of(letters)
    fits = fits_of(history, "0.001", DEFAULT_PRESET.tiers)
    fires, group = our_episodes(history, fits), rule_group(OBJECTIVE, fits)
    span, alerts = history.span, expanded(group)
    with prometheus_server(tmp_path, history, free_port) as server:
        for fit in fits:
            for cause in Cause:
                ours = firing_minutes(fires, cause, fit.tier.severity, span.until_minute)
                expression = alerts[ALERTS[cause], fit.tier.severity.value]
                assert server.minutes(expression, span.from_minute, span.until_minute) == ours
                assert ours or cause is Cause.NO_DATA, "a month in which a tier never fires shows nothing"


def expanded(group: RuleGroup) -> dict[tuple[str, str], str]:
    """Each alert's expression with the recorded series written out: what is backfilled has no recordings."""
    rules = json.loads(json.dumps(group.content))["rules"]
    recorded = {f'{rule["record"]}{{objective="{OBJECTIVE}"}}': rule["expr"] for rule in rules if "record" in rule}
    alerts = {}
    for rule in rules:
        if "alert" in rule:
            expression = rule["expr"]
            for name, meaning in recorded.items():
                expression = expression.replace(name, f"({meaning})")
            alerts[rule["alert"], rule["labels"]["severity"]] = expression
    return alerts
