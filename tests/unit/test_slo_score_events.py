"""Lines of events, scored: evidence, design effects, budgets in events, maintenance, versions, what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from slo.cells import Cell, Measured, Track
from slo.evidence import Verdict, clean_events_to_claim, evidence_verdict
from slo.maintenance import MaintenanceWindow, exclusions_of
from slo.objective import Objective
from slo.score import EventDetail, Missing, Phase, Reading, Score
from slo.scoring import score
from slo.window import Span
from tests.slo_kit import SEPTEMBER, frame, line, measured, minutes, score_of

LATER = SEPTEMBER.until_at + timedelta(days=2)
ERRORS = line(name="api-errors", slices=None, strict=True)


def ratio(allowed_bad: str, **more: object) -> Objective:
    """A line of events that allows this share."""
    return replace(ERRORS, allowed_bad=Fraction(allowed_bad), **more)  # type: ignore[arg-type] # fields of the line


def spread(bad: int, total: int) -> str:
    """So many bad ones among so many, none beside another."""
    return "".join("b" if i % 2 == 0 and i < 2 * bad else "g" for i in range(total)) if 2 * bad <= total else "b" * bad


def detail_of(found: Score) -> EventDetail:
    """What only events have."""
    assert isinstance(found.detail, EventDetail)
    return found.detail


@pytest.mark.parametrize(
    ("bad", "total", "allowed", "is_correlated", "verdict", "low", "high"),
    [
        (0, 58, ".05", False, Verdict.NOT_ENOUGH_DATA, 0.0, 0.0503393383),
        (0, 59, ".05", False, Verdict.MET, 0.0, 0.0495076099),
        (2, 7, ".05", False, Verdict.BREACHED, 0.0533755005, 0.658738564),
        (5, 100, ".05", False, Verdict.AT_RISK, 0.0199055637, 0.102253378),
        (0, 299, ".01", False, Verdict.MET, 0.0, 0.00996914679),
        (1, 472, ".01", False, Verdict.AT_RISK, 0.000108666329, 0.0100107882),
        (0, 2995, ".001", False, Verdict.MET, 0.0, 0.000999744421),
        (33, 43_200, ".001", False, Verdict.AT_RISK, 0.000559140815, 0.00102128241),
        (55, 43_200, ".001", False, Verdict.BREACHED, 0.00100465607, 0.0015935114),
        (5, 43_200, ".001", True, Verdict.MET, 7.69467888e-07, 0.000833708918),
    ],
)
def test_the_evidence_of_a_window_is_what_the_reference_values_say(
    bad: int, total: int, allowed: str, is_correlated: bool, verdict: Verdict, low: float, high: float
) -> None:
    """One region, one event a slot: the counts are the evidence, a ninth of it where failures come in outages."""
    found = score_of(ratio(allowed, is_correlated=is_correlated), minutes(total), {"eu": spread(bad, total)})
    assert found.verdict is verdict
    bounds = detail_of(found).bounds
    assert bounds is not None
    assert bounds.low == pytest.approx(low, rel=1e-8, abs=0)
    assert bounds.high == pytest.approx(high, rel=1e-8, abs=0)
    assert found.sli is not None
    assert (found.sli.low, found.sli.high) == (1 - bounds.high, 1 - bounds.low)


def test_no_event_is_not_enough_data() -> None:
    """No SLI, no rule kept, and all of the claim missing with no rate to tell when."""
    found = score_of(ratio(".05"), minutes(9), {"eu": "."})
    assert (found.verdict, found.sli, found.coverage) == (Verdict.NOT_ENOUGH_DATA, None, None)
    assert (found.missing, detail_of(found).is_within) == (Missing(59, None), None)
    assert found.notes[0] == "no valid event was measured"


@pytest.mark.parametrize(
    ("letters", "trailing", "outages"),
    [
        ("g", "1", "9"),
        ("gb" * 5 + "g", "1", "9"),
        ("b" * 30 + "g", "1", "30"),
        ("b" * 30 + "g", "41/2", "30"),
        ("b" * 30 + "gb" * 6 + "g", "1", "151/6"),
        ("b" * 3 + "g", "41/2", "41/2"),
    ],
)
def test_correlated_failures_weigh_as_the_longest_of_three(letters: str, trailing: str, outages: str) -> None:
    """The outages of the window, those of the ninety days before, and the floor of nine."""
    objective = ratio(".001", is_correlated=True)
    found = score_of(objective, minutes(1000), {"eu": letters}, trailing_effect=Fraction(trailing))
    assert detail_of(found).effect.outages == Fraction(outages)
    alone = score_of(ratio(".001"), minutes(1000), {"eu": letters}, trailing_effect=Fraction(trailing))
    assert detail_of(alone).effect.events == 1


def test_regions_of_one_slot_are_one_cluster() -> None:
    """Three regions do not make three times the evidence of one."""
    found = score_of(ratio(".05"), minutes(58), {"eu": "g", "us": "g", "ap": "g"})
    assert (found.verdict, detail_of(found).clusters, detail_of(found).effect.cluster) == (
        Verdict.NOT_ENOUGH_DATA,
        58,
        Fraction(3),
    )
    assert found.missing == Missing(3, 1)
    assert "174 events count as 58.0 independent ones (design effect 3)" in found.notes


def test_events_of_one_run_are_one_cluster() -> None:
    """Twenty requests in each of three slots prove what three slots prove."""
    span = minutes(3)
    many = Measured(span, (Track("eu", "one", Cell(60, 0, 0, 3), 0b111, 0, 0),))
    found = score([Reading(ratio(".05"), many)], frame(span, regions=("eu",)))
    assert (detail_of(found).effect.events, found.verdict) == (Fraction(20), Verdict.NOT_ENOUGH_DATA)
    assert (found.budget.allowed, found.budget.left) == (Fraction(3), Fraction(3))


def test_both_effects_multiply_where_regions_share_outages() -> None:
    """An outage of thirty minutes seen by two regions is sixty events and one incident."""
    objective = ratio(".001", is_correlated=True)
    found = score_of(objective, minutes(1000), dict.fromkeys(("eu", "us"), "b" * 30 + "g"))
    assert detail_of(found).effect.events == 60


@pytest.mark.parametrize(("bad", "within"), [(9, True), (10, False)])
def test_the_count_rule_of_a_strict_line_is_told_beside_the_evidence(bad: int, within: bool) -> None:
    """Ten of a thousand are not fewer than one in a hundred; neither count proves anything."""
    found = score_of(ratio(".01"), minutes(1000), {"eu": spread(bad, 1000)})
    assert (detail_of(found).is_within, found.verdict) == (within, Verdict.AT_RISK)
    assert (found.budget.allowed, found.budget.whole) == (Fraction(10), 9)
    assert (
        "more events were bad than the line allows, but not enough to prove it at 95 %" in found.notes
    ) is not within


@pytest.mark.parametrize(("bad", "total", "allowed"), [(0, 58, ".05"), (3, 100, ".05"), (0, 1, ".001"), (5, 90, ".1")])
def test_what_is_missing_is_the_fewest_clean_events_that_make_a_claim(bad: int, total: int, allowed: str) -> None:
    """One less would not do."""
    more = clean_events_to_claim(bad, total, Fraction(allowed))
    assert evidence_verdict(bad, total + more, Fraction(allowed)) is Verdict.MET
    assert evidence_verdict(bad, total + more - 1, Fraction(allowed)) is not Verdict.MET


def test_the_rate_of_the_window_so_far_says_how_long_it_takes() -> None:
    """A slot every five minutes, ten clean ones in fifty minutes: forty-nine more take 245."""
    now = SEPTEMBER.from_at + timedelta(minutes=50)
    found = score_of(ratio(".05"), SEPTEMBER, {"eu": "g...." * 10 + "."}, now)
    assert (found.phase, found.missing) == (Phase.PROVISIONAL, Missing(49, 245))


def test_a_claim_lacks_nothing() -> None:
    """Neither a pass nor a breach."""
    assert score_of(ratio(".05"), minutes(59), {"eu": "g"}).missing is None
    assert clean_events_to_claim(0, 59, Fraction(".05")) == 0
    assert (
        score_of(ratio(".05"), minutes(7), {"eu": "bb"}).missing
        == score_of(ratio(".05"), minutes(7), {"eu": "b"}).missing
    )


def test_coverage_is_the_share_of_runs_that_said_something() -> None:
    """And a region with too many that did not is named."""
    found = score_of(ratio(".05"), minutes(1000), {"eu": "mm" + "g", "us": "g"})
    assert found.coverage == Fraction(1998, 2000)
    assert [region.is_conclusive_enough for region in found.regions] == [False, True]
    assert "region eu: only 998 of 1000 minutes were conclusive, 99.9 % must be" in found.notes


def test_each_region_has_a_verdict_of_its_own() -> None:
    """On its own events and slots."""
    found = score_of(ratio(".05"), minutes(100), {"eu": "b" * 20 + "g", "us": "g", "ap": "g"})
    assert {region.region: region.verdict for region in found.regions} == {
        "eu": Verdict.BREACHED,
        "us": Verdict.MET,
        "ap": Verdict.MET,
    }
    assert found.regions[0].sli == Fraction(80, 100)


def aside(span: Span, letters: str) -> Reading:
    """Two hours of works, with what was measured in them set aside."""
    works = MaintenanceWindow("move", span.from_at, 120, span.from_at - timedelta(days=3), regions=("eu",))
    votes = {"eu": letters, "us": "g"}
    exclusions = exclusions_of([works], ratio(".05"), span, ("eu", "us"))
    return Reading(ratio(".05"), measured(span, votes), exclusions, measured(minutes(120, span.from_minute), votes))


def test_events_of_announced_works_are_left_out_where_the_works_are() -> None:
    """Only in that region; the figure with them is told beside it."""
    found = score([aside(SEPTEMBER, "b" * 120 + "g")], frame(SEPTEMBER, LATER))
    assert (found.budget.bad, detail_of(found).cell.total) == (0, 2 * 43_200 - 120)
    assert found.sli_with_maintenance is not None
    assert found.sli_with_maintenance.point == 1 - Fraction(120, 86_400)
    assert detail_of(found).clusters == 43_200


def test_leaving_out_what_nobody_handed_over_is_refused() -> None:
    """Totals alone do not say what lay in the works."""
    reading = replace(aside(SEPTEMBER, "g"), set_aside=None)
    with pytest.raises(ValueError, match="must be handed over"):
        score([reading], frame(SEPTEMBER, LATER))


def test_versions_with_different_targets_are_added_piece_by_piece() -> None:
    """100 events at 1/20 and 300 at 1/100 allow 8 bad ones."""
    first, second = ratio(".05"), ratio(".01", version=2, effective_from=datetime(2026, 9, 1, 1, 40, tzinfo=UTC))
    start = SEPTEMBER.from_minute
    spans = (Span("few", start, start + 100), Span("few", start + 100, start + 400))
    readings = [
        Reading(version, measured(span, {"eu": spread(4, span.minutes)}))
        for version, span in zip((first, second), spans, strict=True)
    ]
    found = score(readings, frame(Span("few", start, start + 400), regions=("eu",)))
    assert (found.budget.allowed, found.budget.bad, found.budget.left) == (Fraction(8), 8, Fraction(0))
    assert (detail_of(found).is_within, found.verdict) == (False, Verdict.AT_RISK)
    tried = score(readings, frame(Span("few", start, start + 400), regions=("eu",)), what_if=Fraction(1, 10))
    assert (tried.budget.allowed, tried.verdict) == (Fraction(40), Verdict.MET)


def test_a_region_where_nothing_was_measured_is_named() -> None:
    """A scenario that never runs there is no gap in what was heard, and would not be seen."""
    found = score_of(ratio(".05"), minutes(900), {"eu": "g", "us": "."})
    assert "region us: nothing was measured there; these figures are of the others" in found.notes
    assert not any("eu" in note for note in found.notes)
    nowhere = score_of(ratio(".05"), minutes(900), {"eu": ".", "us": "."})
    assert not any("nothing was measured there" in note for note in nowhere.notes)
