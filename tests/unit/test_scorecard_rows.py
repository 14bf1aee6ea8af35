"""Texts of a scorecard: each verdict and kind of line, what is missing, and rounding that turns no verdict into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from collector.scorecard import Asked, LineScore, Scorecard
from collector.texts.scorecard_page import page_of
from collector.texts.scorecard_rows import NO_SCORE, Row, Tone, row_of
from collector.texts.scorecard_texts import amount_text, left_cell, limit_text, minutes_text, percent_text, sli_text
from console.scorecard_verdict import exit_code_of
from console.verdict import ExitCode
from slo.budget import Budget, Unit
from slo.duties import DutyScore, judge_duty
from slo.maintenance import MaintenanceWindow, exclusions_of
from slo.objective import EventTime, Objective, Quorum, Silence, SliceRule, Tier
from slo.objective_set import ObjectiveSet
from slo.obligation import Duty, Obligation, Observation, ObservationSelector, ObservationSource
from slo.score import Reading, Score
from slo.scoring import score
from slo.window import CalendarMonths, Span
from tests.slo_kit import SEPTEMBER, UPTIME, frame, line, measured, score_of

LATER = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
MONTH = SEPTEMBER.minutes
SMALL = Span("2026-09", SEPTEMBER.from_minute, SEPTEMBER.from_minute + 20)
EVENTS = line(name="api-errors", title="API errors", line="13", slices=None, allowed_bad=Fraction(1, 20))
BACKUP = Obligation(
    name="backup",
    title="Backup of every day",
    line="17",
    version=1,
    duty=Duty.PERIODIC,
    selector=ObservationSelector(ObservationSource.RUNS, ("backups",), ("object",)),
    window=CalendarMonths(),
    deadline_minutes=360,
)


def asked(now: datetime = LATER, what_if: Fraction | None = None) -> Asked:
    """The question."""
    return Asked("shop", "fleet", ("eu", "us"), now, "2026-09", what_if=what_if)


def scored(found: Score | DutyScore, promise: Objective | Obligation, span: Span = SEPTEMBER) -> LineScore:
    """A line with a score."""
    return LineScore(promise.line, promise.name, promise.title, promise.tier, span, found)


def row(found: Score, now: datetime = LATER) -> Row:
    """The texts of a score."""
    return row_of(scored(found, found.objective, found.span), asked(now), None, window=CalendarMonths())


def facts(one: Row) -> dict[str, str]:
    """By label."""
    return {fact.label: fact.text for fact in one.facts}


def uptime(bad: int, now: datetime = LATER, unknown: int = 0) -> Score:
    """A month with so many bad and unknown minutes."""
    letters = "b" * bad + "." * unknown + "g"
    return score_of(UPTIME, SEPTEMBER, {"eu": letters, "us": letters}, now)


def test_a_met_line_of_minutes_says_budget_and_both_readings_of_downtime() -> None:
    """43.2 minutes of this month's own, which is scored, and the document's 43.8."""
    found = row(uptime(20))
    assert (found.verdict, found.tone, found.is_told) == ("met", Tone.GOOD, False)
    assert (found.sli, found.left, found.coverage) == ("99.953 %", "23.2 min", "100 %")
    told = facts(found)
    assert told["downtime"] == (
        "20 min bad; allowed are 43.2 min in this window's own minutes, which is scored (23.2 left) "
        "and 43.8 min in the document's mean month (23.8 left)"
    )
    assert told["window"].startswith(
        "2026-09 (calendar month, UTC): 2026-09-01 00:00 UTC to 2026-10-01 00:00 UTC, 43,200"
    )
    assert told["SLI"].startswith("99.953 % (43,180 good, 20 bad, 0 unknown): minutes in which most regions")
    assert told["phase"] == "final since 2026-10-02 00:00 UTC"


def test_a_breached_line_of_minutes_says_how_far_it_is_over() -> None:
    """43 of 43.2 is met, 44 is over; the two readings may disagree and both are shown."""
    assert row(uptime(43)).verdict == "met"
    found = row(uptime(44))
    assert (found.verdict, found.tone, found.is_told, found.left) == ("breached", Tone.BAD, True, "0.8 min over")
    assert "(0.8 over)" in facts(found)["downtime"]
    assert "(0.2 over)" in facts(found)["downtime"]
    assert facts(found)["budget"] == "0.8 minutes over: 44 were bad, 43.2 may be"


def test_a_line_at_risk_says_what_the_unknown_minutes_can_have_been() -> None:
    """From the worst case to the best one."""
    found = row(uptime(30, unknown=20))
    assert (found.verdict, found.tone) == ("at risk", Tone.WARN)
    assert facts(found)["interval"] == "99.884 % to 99.931 %, whatever the 20 unknown minutes were"


def test_an_open_line_says_what_is_missing_and_how_long_that_takes() -> None:
    """In minutes at the present rate, and that the window is open."""
    now = SEPTEMBER.from_at + timedelta(minutes=100)
    letters = "g" * 90 + "." * 10 + "g"
    found = row(score_of(UPTIME, SEPTEMBER, {"eu": letters, "us": letters}, now), now)
    assert found.verdict == "not enough data"
    assert facts(found)["missing"] == (
        "900 more minutes, all good, would be enough for a verdict; at the present rate that takes 15 h"
    )
    assert facts(found)["phase"] == "provisional: the window is open until 2026-10-01 00:00 UTC"


def test_an_open_line_that_is_overspent_is_final() -> None:
    """Nothing that is still to come can mend it."""
    now = SEPTEMBER.from_at + timedelta(days=10)
    found = row(uptime(50, now), now)
    assert found.verdict == "breached"
    assert facts(found)["phase"].startswith("final although the window is open until 2026-10-01 00:00 UTC")


def test_a_line_of_events_says_how_sure_it_is() -> None:
    """Its bounds, and what is missing where they prove nothing."""
    found = row(score_of(EVENTS, SMALL, {"eu": "g"}))
    assert found.verdict == "not enough data"
    assert facts(found)["interval"].endswith("each with 95 % confidence")
    assert facts(found)["missing"].startswith("39 more events, all good, would be enough for a verdict")
    assert "downtime" not in facts(found)
    bad = row(score_of(EVENTS, SMALL, {"eu": "bbbbg"}))
    assert (bad.verdict, bad.left) == ("breached", "3 events over")


def test_a_line_without_any_event_has_no_figures_and_says_so() -> None:
    """None of them is zero: nothing is known."""
    found = row(score_of(EVENTS, SMALL, {"eu": "."}))
    assert (found.verdict, found.sli, found.left) == ("not enough data", "", "")
    assert facts(found)["SLI"].startswith("nothing was measured")
    assert "budget" not in facts(found)


def test_regions_are_told_apart_where_one_has_another_verdict() -> None:
    """A region that is down alone is outvoted, and shows."""
    one_down = score_of(UPTIME, SEPTEMBER, {"eu": "g", "us": "g", "ap": "b" * 100 + "g"}, LATER)
    found = row(one_down)
    assert (found.verdict, found.regions_differ) == ("met", True)
    by_region = {one.region: (one.verdict, one.bad, one.left) for one in found.regions}
    assert by_region["ap"] == ("breached", "100", "56.8 min over")
    assert by_region["eu"] == ("met", "0", "43.2 min")
    assert "region ap by itself has overspent the budget" in found.notes
    assert not row(uptime(3)).regions_differ


def test_a_what_if_is_labelled_and_is_no_verdict() -> None:
    """Nor does it decide the exit code."""
    reading = Reading(UPTIME, measured(SEPTEMBER, {"eu": "b" * 30 + "g", "us": "b" * 30 + "g"}))
    found = score([reading], frame(SEPTEMBER, LATER), what_if=Fraction(1, 2000))
    tried = row(found)
    assert (tried.verdict, tried.tone, tried.is_told) == ("what if: breached", Tone.NONE, True)
    assert {one.verdict for one in tried.regions} == {"what if: breached"}
    assert tried.facts[0].text == "tried with a target of 99.95 % instead of its own: this is no verdict on anybody"
    card = Scorecard(asked(what_if=Fraction(1, 2000)), (scored(found, UPTIME),))
    assert exit_code_of(card) is ExitCode.PASSED
    page = page_of(card, ObjectiveSet(), {})
    assert "no verdict" in page.what_if
    assert page.headline.startswith("What if")
    assert "Breached" not in page.headline


def test_maintenance_is_shown_with_and_without() -> None:
    """What the share would be if nothing were left out, and which windows count."""
    window = MaintenanceWindow(
        name="upgrade",
        starts_at=SEPTEMBER.from_at,
        duration_minutes=30,
        announced_at=SEPTEMBER.from_at - timedelta(days=3),
        reason="database",
    )
    reading = Reading(
        UPTIME,
        measured(SEPTEMBER, {"eu": "b" * 30 + "g", "us": "b" * 30 + "g"}),
        exclusions_of([window], UPTIME, SEPTEMBER, ("eu", "us")),
    )
    found = row(score([reading], frame(SEPTEMBER, LATER)))
    assert (found.sli, found.verdict) == ("100 %", "met")
    assert facts(found)["with maintenance"] == "99.93 % if no maintenance were left out"
    assert "30 left out" in facts(found)["SLI"]
    assert any("upgrade" in note for note in found.notes)


def owed(*days: int, now: datetime = LATER) -> Row:
    """The backup line with backups of these days of September."""
    seen = [
        Observation(f"2026-09-{day:02}", datetime(2026, 9, day, 3, tzinfo=UTC) + timedelta(days=1), good=True)
        for day in days
    ]
    found = judge_duty(BACKUP, seen, SEPTEMBER, now)
    return row_of(scored(found, BACKUP), asked(now), None, window=CalendarMonths())


def test_an_obligation_tells_the_days_that_were_not_kept_together() -> None:
    """Those in a row as one, others by themselves with their deadline."""
    found = owed(*[day for day in range(1, 31) if day not in (4, 10, 11, 12)])
    assert (found.verdict, found.left, found.sli) == ("breached", "4 days not kept", "86.666 %")
    assert facts(found)["counted"] == "26 satisfied, 4 violated"
    assert facts(found)["not kept"] == (
        "2026-09-04: never seen (due 2026-09-05 06:00 UTC); 2026-09-10 to 2026-09-12 (3 days): never seen"
    )
    assert facts(found)["owed"] == "one for every day, seen good within 6 h of its end"


def test_an_obligation_that_is_kept_is_met_and_one_that_runs_has_open_days() -> None:
    """With the deadline of a single open day."""
    assert owed(*range(1, 31)).verdict == "met"
    running = owed(*range(1, 29), now=datetime(2026, 9, 30, 5, 0, tzinfo=UTC))
    assert running.verdict == "met"
    assert facts(running)["open"].startswith("2026-09-29 to 2026-09-30 (2 days): not seen yet")
    assert facts(running)["phase"].startswith("provisional")


def test_an_age_in_every_minute_is_told_in_minutes() -> None:
    """Good, bad and unknown ones."""
    gauge = replace(BACKUP, duty=Duty.GAUGE, limit_ns=86_400 * 10**9, name="age", line="20")
    seen = [Observation("2026-09-01T00:00:00+00:00", SEPTEMBER.from_at + timedelta(hours=1), good=True)]
    found = row_of(scored(judge_duty(gauge, seen, SEPTEMBER, LATER), gauge), asked(), None, window=CalendarMonths())
    assert found.verdict == "not enough data"
    assert facts(found)["minutes"] == "1,440 good, 0 bad, 41,760 unknown"
    assert facts(found)["owed"] == "in every minute one that is younger than 1 d"


def test_a_line_without_a_score_says_why() -> None:
    """And is neither met nor breached."""
    silent = LineScore(
        "23", "critical", "Critical alert answered", Tier.CONTRACT, None, reason="not measured: no alerts"
    )
    found = row_of(silent, asked(), None, window=None)
    assert (found.verdict, found.tone) == (NO_SCORE, Tone.NONE)
    assert facts(found) == {"why": "not measured: no alerts"}
    assert exit_code_of(Scorecard(asked(), (silent,))) is ExitCode.INCONCLUSIVE


def code_of(*lines: LineScore) -> ExitCode:
    """The exit code of a card."""
    return exit_code_of(Scorecard(asked(), lines))


def test_only_a_promised_line_that_is_breached_fails() -> None:
    """A stretch line is nobody's promise; a month without data says nothing at all."""
    broken, well = scored(uptime(44), UPTIME), scored(uptime(0), UPTIME)
    stretch = scored(uptime(44), replace(UPTIME, tier=Tier.STRETCH, name="stretch"))
    nothing = scored(score_of(UPTIME, SEPTEMBER, {"eu": ".", "us": "."}, LATER), UPTIME)
    assert code_of(broken, well) is ExitCode.PLATFORM_FAILED
    assert code_of(well, stretch, nothing) is ExitCode.PASSED
    assert code_of(nothing) is ExitCode.INCONCLUSIVE
    assert code_of() is ExitCode.INCONCLUSIVE


def headline(lines: Sequence[LineScore]) -> str:
    """The sentence over the card."""
    return page_of(Scorecard(asked(), tuple(lines)), ObjectiveSet(), {}).headline


def test_the_headline_counts_promised_lines_and_names_the_breached_ones() -> None:
    """With their numbers."""
    lines = [scored(uptime(0), UPTIME), scored(uptime(44), replace(UPTIME, name="other", line="2"))]
    assert headline(lines) == "Of 2 contract lines: 1 met, 1 breached. Breached: 2 API uptime 99.9 %."
    assert headline([]) == "No contract line was asked for."


def test_the_note_on_people_is_printed_once_and_not_beside_the_line() -> None:
    """99.99 % leaves less than it takes to answer an alert."""
    strict = replace(UPTIME, name="four-nines", line="29", allowed_bad=Fraction(1, 10_000), tier=Tier.STRETCH)
    found = score_of(strict, SEPTEMBER, {"eu": "g", "us": "g"}, LATER)
    page = page_of(Scorecard(asked(), (scored(found, strict),)), ObjectiveSet(objectives={strict.name: (strict,)}), {})
    assert len(page.notes) == 1
    assert page.notes[0].startswith("Line 29, API uptime 99.9 %: this target allows 4.32 minutes in 30 days")
    assert all(not one.notes for one in page.rows)


@given(st.fractions(0, 1), st.sampled_from([Fraction(1, 1000), Fraction(1, 2000), Fraction(1, 20), Fraction(1, 10)]))
def test_a_rounded_share_is_on_the_same_side_of_the_target(share: Fraction, allowed: Fraction) -> None:
    """What is below 99.9 % never reads 99.9 %, and what is not all never reads 100 %."""
    shown = Fraction(percent_text(share).removesuffix(" %")) / 100
    assert shown <= share
    assert (shown >= 1 - allowed) == (share >= 1 - allowed)
    if 1 - share > Fraction(1, 10**9):
        assert (shown == 1) == (share == 1)


@given(st.integers(0, 10**6), st.fractions(0, 10**6))
def test_a_rounded_budget_is_never_larger_than_it_is(bad: int, allowed: Fraction) -> None:
    """What is left is rounded down, what is over is rounded up."""
    budget = Budget(allowed, bad, Unit.MINUTES)
    shown = Fraction(left_cell(budget).split()[0].replace(",", ""))
    assert left_cell(budget).endswith("over") == (bad > allowed)
    assert -shown <= budget.left if bad > allowed else shown <= budget.left


def test_amounts_and_times_read_as_people_write_them() -> None:
    """Thousands are set apart, zeros are not padded."""
    assert amount_text(Fraction(22_433)) == "22,433"
    assert amount_text(Fraction(10, 3)) == "3.33"
    assert [minutes_text(one) for one in (0, 45, 60, 200, 1440, 2880, 3000)] == [
        "0 min",
        "45 min",
        "1 h",
        "3 h 20 min",
        "24 h",
        "2 d",
        "2 d 2 h",
    ]
    assert [limit_text(one * 10**6) for one in (500, 1500, 30_000, 240_000, 14_400_000, 86_400_000)] == [
        "500 ms",
        "1.5 s",
        "30 s",
        "4 min",
        "4 h",
        "1 d",
    ]


def test_what_is_measured_is_said_in_words() -> None:
    """For votes, for silence, and for times."""
    assert (
        sli_text(UPTIME)
        == "minutes in which most regions that could tell had steps of api-health (api-health) that passed"
    )
    heard = replace(UPTIME, slices=SliceRule(quorum=Quorum.ANY, silence=Silence.BAD))
    assert sli_text(heard).endswith("that passed; silence counts as bad")
    fast = replace(EVENTS, time=EventTime.STEP, limit_ns=500 * 10**6)
    assert sli_text(fast) == "steps of api-health (api-health) that passed in less than 500 ms"
