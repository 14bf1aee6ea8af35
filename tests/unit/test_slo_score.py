"""Lines of minutes, scored: verdicts, phases, regions, versions, maintenance, what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from slo.evidence import Verdict
from slo.maintenance import Exclusions, MaintenanceWindow, exclusions_of
from slo.objective import Objective, Quorum, Silence, SliceRule, Tier
from slo.pieces import pieces_of
from slo.score import Missing, Phase, Reading, Score, SliceDetail
from slo.scoring import score
from slo.slices import SliceCounts
from slo.window import CalendarMonths, Span, instant_of_minute, month_span
from tests.slo_kit import SEPTEMBER, UPTIME, frame, line, measured, minutes, score_of

REGIONS = ("eu", "us")
LATER = SEPTEMBER.until_at + timedelta(days=2)
METRICS = line(
    name="metrics-every-minute",
    slices=SliceRule(quorum=Quorum.ANY, silence=Silence.BAD, max_gap_minutes=2),
)


def down(bad: int, unknown: int = 0) -> dict[str, str]:
    """Two regions that were down so long, then silent so long, then well."""
    return dict.fromkeys(REGIONS, "b" * bad + "." * unknown + "g")


def detail_of(found: Score) -> SliceDetail:
    """What only minutes have."""
    assert isinstance(found.detail, SliceDetail)
    return found.detail


@pytest.mark.parametrize(
    ("month", "zone", "allowed"),
    [
        ("2026-02", "UTC", 40),
        ("2028-02", "UTC", 41),
        ("2026-09", "UTC", 43),
        ("2026-10", "UTC", 44),
        ("2026-03", "America/New_York", 44),
        ("2026-11", "America/New_York", 43),
        ("2026-03", "Europe/Berlin", 44),
        ("2026-10", "Europe/Berlin", 44),
    ],
)
def test_a_month_is_kept_to_its_own_last_minute(month: str, zone: str, allowed: int) -> None:
    """28 to 31 days and both changes of clocks: one bad minute more than the whole budget breaks it."""
    span = month_span(month, zone)
    objective = line(window=CalendarMonths(zone))
    kept, broken = (score_of(objective, span, down(bad)) for bad in (allowed, allowed + 1))
    assert (kept.verdict, broken.verdict) == (Verdict.MET, Verdict.BREACHED)
    assert kept.budget.allowed == Fraction(span.minutes, 1000)
    assert kept.sli is not None
    assert kept.sli.point == 1 - Fraction(allowed, span.minutes)
    assert detail_of(kept).mean_month_minutes == Fraction("43.8")


def test_a_month_without_data_is_not_enough_data() -> None:
    """It has no SLI, and all of it is missing."""
    found = score_of(UPTIME, SEPTEMBER, dict.fromkeys(REGIONS, "."), LATER)
    assert (found.verdict, found.sli, found.coverage) == (Verdict.NOT_ENOUGH_DATA, None, Fraction(0))
    assert found.missing == Missing(42_768, None)
    assert all(not region.is_conclusive_enough and region.sli is None for region in found.regions)


def test_a_month_that_is_all_maintenance_is_not_enough_data() -> None:
    """No minute counts, so that nothing was kept."""
    everywhere = Exclusions(dict.fromkeys(REGIONS, (1 << SEPTEMBER.minutes) - 1))
    found = score([Reading(UPTIME, measured(SEPTEMBER, down(0)), everywhere)], frame(SEPTEMBER, LATER))
    assert (found.verdict, found.coverage, found.budget.allowed) == (Verdict.NOT_ENOUGH_DATA, None, Fraction(0))


def test_one_region_alone_decides_and_the_score_says_so() -> None:
    """Nobody could confirm it."""
    found = score_of(UPTIME, SEPTEMBER, {"eu": "b" * 44 + "g"}, LATER)
    assert found.verdict is Verdict.BREACHED
    assert "one region only: what eu sees is the whole truth" in found.notes


def test_an_outage_of_one_region_shows_although_the_global_budget_is_whole() -> None:
    """The region's own objective is breached, the minutes are ties or outvoted."""
    found = score_of(UPTIME, SEPTEMBER, {"eu": "b" * 600 + "g", "us": "g", "ap": "g"}, LATER)
    assert (found.verdict, found.budget.bad) == (Verdict.MET, 0)
    assert {region.region: region.verdict for region in found.regions} == {
        "eu": Verdict.BREACHED,
        "us": Verdict.MET,
        "ap": Verdict.MET,
    }
    assert found.regions[0].sli == 1 - Fraction(600, 43_200)
    assert "region eu by itself has overspent the budget" in found.notes


@pytest.mark.parametrize(("mute", "enough"), [(43, True), (44, False)])
def test_a_region_has_a_budget_for_minutes_that_say_nothing(mute: int, enough: bool) -> None:
    """999 of 1000 must be conclusive, so that taint cannot hide an outage."""
    votes = {"eu": "m" * mute + "g", "us": "g", "ap": "g"}
    found = score_of(UPTIME, SEPTEMBER, votes, LATER)
    assert [region.is_conclusive_enough for region in found.regions] == [enough, True, True]
    assert found.regions[0].conclusive == 43_200 - mute
    assert any("99.9 % must be" in note for note in found.notes) is not enough


def test_best_and_worst_case_are_the_interval_of_an_uptime() -> None:
    """The unknown minutes can all have been good, or all bad."""
    found = score_of(UPTIME, SEPTEMBER, down(20, unknown=30), LATER)
    assert found.sli is not None
    assert found.sli.point == Fraction(43_150, 43_170)
    assert (found.sli.low, found.sli.high) == (43_150 / 43_200, 43_180 / 43_200)
    assert found.coverage == Fraction(43_170, 43_200)
    assert found.verdict is Verdict.AT_RISK


def test_unknown_minutes_over_the_budget_say_how_many_must_be_known() -> None:
    """Only late records can still tell."""
    found = score_of(UPTIME, SEPTEMBER, down(0, unknown=50), LATER)
    assert (found.verdict, found.missing) == (Verdict.NOT_ENOUGH_DATA, Missing(7, None))


@pytest.mark.parametrize(
    ("after", "bad", "phase", "verdict"),
    [
        (timedelta(days=10), 0, Phase.PROVISIONAL, Verdict.MET),
        (timedelta(days=10), 12, Phase.PROVISIONAL, Verdict.MET),
        (timedelta(days=10), 15, Phase.PROVISIONAL, Verdict.AT_RISK),
        (timedelta(days=29), 33, Phase.PROVISIONAL, Verdict.AT_RISK),
        (timedelta(hours=1), 44, Phase.FINAL, Verdict.BREACHED),
        (timedelta(days=30), 43, Phase.CLOSED, Verdict.MET),
        (timedelta(days=31) - timedelta(seconds=1), 43, Phase.CLOSED, Verdict.MET),
        (timedelta(days=31), 43, Phase.FINAL, Verdict.MET),
        (timedelta(days=30), 44, Phase.FINAL, Verdict.BREACHED),
    ],
)
def test_a_breach_is_final_at_once_and_anything_else_a_day_after_the_end(
    after: timedelta, bad: int, phase: Phase, verdict: Verdict
) -> None:
    """Until then it is provisional while the window runs, and closed while late records may come."""
    found = score_of(UPTIME, SEPTEMBER, down(bad), SEPTEMBER.from_at + after)
    assert (found.phase, found.verdict) == (phase, verdict)
    assert found.budget.allowed == Fraction("43.2")


def test_an_open_window_projects_what_will_be_bad_at_its_end() -> None:
    """A third over, fifteen bad: forty-five at the end, more than there are."""
    found = score_of(UPTIME, SEPTEMBER, down(15), SEPTEMBER.from_at + timedelta(days=10))
    assert detail_of(found).projected_bad == 45
    assert "at the rate so far 45.0 minutes will be bad at the end" in found.notes
    assert detail_of(found).counts.future == 28_800


def test_an_open_window_that_lacks_minutes_says_how_long_it_takes_to_have_them() -> None:
    """Ten of a thousand may be undecided: after ten silent minutes, 990 clean ones make up for them."""
    found = score_of(
        UPTIME, SEPTEMBER, dict.fromkeys(REGIONS, "." * 10 + "g"), SEPTEMBER.from_at + timedelta(minutes=110)
    )
    assert found.verdict is Verdict.NOT_ENOUGH_DATA
    assert found.missing == Missing(890, 890)
    then = score_of(
        UPTIME, SEPTEMBER, dict.fromkeys(REGIONS, "." * 10 + "g"), SEPTEMBER.from_at + timedelta(minutes=1000)
    )
    assert then.verdict is Verdict.MET


def test_minutes_that_may_still_report_are_not_yet_unknown() -> None:
    """Slots have their timeout and a minute to arrive."""
    now = SEPTEMBER.from_at + timedelta(minutes=100)
    votes = measured(SEPTEMBER, dict.fromkeys(REGIONS, "g" * 98 + "."))
    early = score([Reading(UPTIME, votes)], frame(SEPTEMBER, now))
    settled = score([Reading(UPTIME, votes)], frame(SEPTEMBER, now, settle_minutes=2))
    assert (early.verdict, settled.verdict) == (Verdict.NOT_ENOUGH_DATA, Verdict.MET)
    end = frame(SEPTEMBER, SEPTEMBER.until_at, settle_minutes=2)
    assert (end.phase, frame(SEPTEMBER, SEPTEMBER.until_at + timedelta(minutes=2), settle_minutes=2).phase) == (
        Phase.PROVISIONAL,
        Phase.CLOSED,
    )


def test_a_rolling_window_is_never_final() -> None:
    """It moves on, and a breach can leave it."""
    found = score([Reading(UPTIME, measured(SEPTEMBER, down(44)))], frame(SEPTEMBER, LATER, is_rolling=True))
    assert (found.verdict, found.phase) == (Verdict.BREACHED, Phase.CLOSED)


@pytest.mark.parametrize(
    ("letters", "verdict", "longest"),
    [("..g", Verdict.MET, 2), ("...g", Verdict.BREACHED, 3), ("..g..g", Verdict.MET, 2), ("bmbg", Verdict.BREACHED, 3)],
)
def test_a_gap_longer_than_is_allowed_is_a_breach_by_itself(letters: str, verdict: Verdict, longest: int) -> None:
    """Metrics every minute: two silent minutes in a row at most, however much budget is left."""
    found = score_of(METRICS, SEPTEMBER, dict.fromkeys(REGIONS, letters), LATER)
    assert (found.verdict, detail_of(found).longest_bad) == (verdict, longest)
    assert ("3 bad minutes in a row are a breach by themselves" in found.notes) is (verdict is Verdict.BREACHED)


def test_one_region_that_is_heard_keeps_metrics_coming() -> None:
    """The silent one shows by itself."""
    found = score_of(METRICS, SEPTEMBER, {"eu": "...g", "us": "g"}, LATER)
    assert (found.verdict, found.regions[0].verdict) == (Verdict.MET, Verdict.BREACHED)


def halves(first: Objective, second: Objective, bad: int) -> Score:
    """September with a new version from the sixteenth on, down around the change."""
    pieces = pieces_of([first, second], SEPTEMBER)
    readings = []
    for piece in pieces:
        letters = "g" * (piece.span.minutes - bad) + "b" * bad if piece.objective is first else "b" * bad + "g"
        readings.append(Reading(piece.objective, measured(piece.span, dict.fromkeys(REGIONS, letters))))
    return score(readings, frame(SEPTEMBER, LATER))


def test_a_window_that_straddles_a_change_has_the_budget_of_both_versions() -> None:
    """Half a month at 1/1000 and half at 1/2000: 21.6 and 10.8 minutes are one budget of 32.4."""
    second = line(version=2, allowed_bad=Fraction(1, 2000), effective_from=datetime(2026, 9, 16, tzinfo=UTC))
    kept, broken = halves(UPTIME, second, 16), halves(UPTIME, second, 17)
    assert (kept.budget.allowed, kept.budget.bad, broken.budget.bad) == (Fraction("32.4"), 32, 34)
    assert (kept.verdict, broken.verdict) == (Verdict.MET, Verdict.BREACHED)
    assert [version.version for version in kept.versions] == [1, 2]
    assert kept.objective.version == 2
    assert any(note.startswith("version 1 until 2026-09-16 00:00 UTC") for note in kept.notes)


def test_a_change_of_version_ends_no_gap() -> None:
    """Two silent minutes before it and two after it are four in a row."""
    second = line(name=METRICS.name, version=2, slices=METRICS.slices, effective_from=datetime(2026, 9, 16, tzinfo=UTC))
    assert detail_of(halves(METRICS, second, 2)).longest_bad == 4
    assert halves(METRICS, second, 2).verdict is Verdict.BREACHED
    assert halves(METRICS, second, 1).verdict is Verdict.MET


def test_a_line_that_came_into_force_within_the_window_has_the_budget_of_its_own_minutes() -> None:
    """And the score says from when on."""
    first = line(effective_from=datetime(2026, 9, 21, tzinfo=UTC))
    (piece,) = pieces_of([first], SEPTEMBER)
    found = score([Reading(first, measured(piece.span, down(0)))], frame(SEPTEMBER, LATER))
    assert found.budget.allowed == Fraction("14.4")
    assert found.notes[0].startswith("counted from 2026-09-21 00:00 UTC on; the 28800 minutes before")


@pytest.mark.parametrize(
    ("announced_at", "verdict", "eligible"),
    [
        (datetime(2026, 8, 30, tzinfo=UTC), Verdict.MET, 43_080),
        (datetime(2026, 8, 31, 12, tzinfo=UTC), Verdict.BREACHED, 43_200),
    ],
)
def test_maintenance_is_left_out_or_counts(announced_at: datetime, verdict: Verdict, eligible: int) -> None:
    """Two hours down in announced works are no downtime; in works announced too late they are."""
    works = MaintenanceWindow("move", SEPTEMBER.from_at, 120, announced_at)
    found = score(
        [Reading(UPTIME, measured(SEPTEMBER, down(120)), exclusions_of([works], UPTIME, SEPTEMBER, REGIONS))],
        frame(SEPTEMBER, LATER),
    )
    assert (found.verdict, detail_of(found).counts.eligible) == (verdict, eligible)
    assert any(note.startswith("maintenance move of 2026-09-01 00:00 UTC, 120 min") for note in found.notes)
    with_all = found.sli_with_maintenance
    if verdict is Verdict.MET:
        assert with_all is not None
        assert with_all.point == 1 - Fraction(120, 43_200)
        assert found.sli is not None
        assert found.sli.point == 1
    else:
        assert with_all is None


def test_another_target_can_be_tried_and_the_score_carries_it_as_a_label() -> None:
    """30 bad minutes keep 99.9 % and not 99.95 %."""
    tried = score_of(UPTIME, SEPTEMBER, down(30), LATER, what_if=Fraction(1, 2000))
    assert (tried.verdict, tried.what_if, tried.budget.allowed) == (
        Verdict.BREACHED,
        Fraction(1, 2000),
        Fraction("21.6"),
    )
    own = score_of(UPTIME, SEPTEMBER, down(30), LATER)
    assert (own.verdict, own.what_if) == (Verdict.MET, None)


def test_four_nines_come_with_a_word_about_people() -> None:
    """4.32 minutes in 30 days are less than the time in which a critical alert must be answered."""
    stretch = line(allowed_bad=Fraction(1, 10_000), tier=Tier.STRETCH)
    found = score_of(stretch, SEPTEMBER, down(0), LATER)
    assert any("allows 4.32 minutes in 30 days" in note for note in found.notes)
    assert not any("30 days" in note for note in score_of(UPTIME, SEPTEMBER, down(0), LATER).notes)


def test_the_minutes_that_cost_budget_can_be_listed() -> None:
    """For whoever asks how the number came about; ties and lone failures are counted apart."""
    span = minutes(6)
    found = score_of(UPTIME, span, {"eu": "gbbb.g", "us": "gbgm.g"})
    assert detail_of(found).bad_minutes == (span.from_minute + 1,)
    assert detail_of(found).counts == SliceCounts(good=3, bad=1, unknown=2, split=1, suspect=1)
    assert "1 unknown minutes hold a failure that too few regions confirm" in found.notes
    assert "1 minutes were a tie between regions and count as good" in found.notes


def test_what_cannot_be_scored_is_refused() -> None:
    """No version in force, or a share that is none."""
    with pytest.raises(ValueError, match="no version of the line was in force in 2026-09"):
        score([], frame(SEPTEMBER))
    with pytest.raises(ValueError, match="must lie in"):
        score_of(UPTIME, minutes(3), down(0), what_if=Fraction(1))


def test_a_region_that_joined_with_a_new_version_is_scored_on_its_own_minutes() -> None:
    """It was not asked before."""
    middle = SEPTEMBER.from_minute + 20_000
    first = line(regions=("eu", "us"))
    second = line(version=2, regions=("eu", "us", "ap"), effective_from=instant_of_minute(middle))
    spans = (Span("2026-09", SEPTEMBER.from_minute, middle), Span("2026-09", middle, SEPTEMBER.until_minute))
    votes = dict.fromkeys(("eu", "us", "ap"), "g")
    readings = [Reading(version, measured(span, votes)) for version, span in zip((first, second), spans, strict=True)]
    found = score(readings, frame(SEPTEMBER, LATER, ()))
    assert [(region.region, region.asked) for region in found.regions] == [
        ("eu", 43_200),
        ("us", 43_200),
        ("ap", 23_200),
    ]
