"""What must hold for any month: order, duplication of work, failures and unknowns cannot be played with."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from slo.cells import Cell, Measured, track_of
from slo.evidence import Verdict
from slo.objective import Objective, Quorum, Silence, SliceRule
from slo.score import Frame, Reading, Score
from slo.scoring import score
from slo.window import instant_of_minute
from tests.slo_kit import line, minutes

REGIONS = ("eu", "us", "ap")
SPAN = minutes(12)
Cells = dict[tuple[str, str, int], Cell]

PLACES = st.tuples(st.sampled_from(REGIONS), st.sampled_from(["one", "two"]), st.integers(0, 11))
CELLS: st.SearchStrategy[Cells] = st.dictionaries(
    PLACES, st.builds(Cell, *[st.integers(0, 2)] * 3, st.just(1)), max_size=60
)
RULES = st.builds(
    SliceRule, st.sampled_from(Quorum), st.sampled_from(Silence), st.integers(1, 3), st.sampled_from([None, 1, 3])
)
LINES = st.builds(
    lambda share, rule, strict: line(allowed_bad=share, slices=rule, strict=strict, min_coverage=Fraction(1, 2)),
    st.fractions("1/40", "1/2", max_denominator=40),
    st.one_of(RULES, st.none()),
    st.booleans(),
)
NOWS = st.integers(0, 30).map(lambda after: instant_of_minute(SPAN.from_minute + after))


def scored(objective: Objective, cells: Cells, now: datetime) -> Score:
    """The score of these cells."""
    places = sorted({(region, probe) for region, probe, _ in cells})
    tracks = [
        track_of(
            *place,
            {SPAN.from_minute + m: cell for (region, probe, m), cell in cells.items() if (region, probe) == place},
            SPAN,
        )
        for place in places
    ]
    return score([Reading(objective, Measured(SPAN, tuple(tracks)))], Frame(SPAN, now, REGIONS))


@given(LINES, CELLS, NOWS, st.randoms(use_true_random=False))
def test_neither_order_nor_how_cells_were_split_changes_a_score(
    objective: Objective, cells: Cells, now: datetime, dice: random.Random
) -> None:
    """Cells come in any number of parts, in any order; their sum is what is scored."""
    parts = []
    for place, cell in cells.items():
        first = Cell(*(dice.randint(0, count) for count in (cell.good, cell.bad, cell.inconclusive, cell.runs)))
        rest = Cell(
            cell.good - first.good, cell.bad - first.bad, cell.inconclusive - first.inconclusive, cell.runs - first.runs
        )
        parts += [(place, first), (place, rest)]
    dice.shuffle(parts)
    merged: Cells = {}
    for place, part in parts:
        merged[place] = merged.get(place, Cell()) + part
    assert scored(objective, merged, now) == scored(objective, cells, now)


@given(LINES, CELLS, NOWS, PLACES)
def test_a_failure_never_raises_the_budget_left_of_minutes_nor_undoes_a_breach(
    objective: Objective, cells: Cells, now: datetime, place: tuple[str, str, int]
) -> None:
    """Wherever it falls: in a good minute, an unknown one, one with nothing in it."""
    failed = {**cells, place: cells.get(place, Cell()) + Cell(bad=1, runs=1)}
    before, after = scored(objective, cells, now), scored(objective, failed, now)
    assert after.budget.left <= before.budget.left
    for one, other in zip(before.regions, after.regions, strict=True):
        assert other.budget.left <= one.budget.left
    if objective.slices is not None and before.verdict is Verdict.BREACHED:
        assert after.verdict is Verdict.BREACHED


@given(LINES, CELLS, NOWS, st.lists(PLACES, max_size=20))
def test_a_good_event_turned_bad_never_turns_a_breach_into_anything_else(
    objective: Objective, cells: Cells, now: datetime, places: list[tuple[str, str, int]]
) -> None:
    """Of minutes and of events alike, when the evidence takes slots as independent."""
    turned = dict(cells)
    for place in places:
        cell = turned.get(place, Cell())
        if cell.good:
            turned[place] = replace(cell, good=cell.good - 1, bad=cell.bad + 1)
    if scored(objective, cells, now).verdict is Verdict.BREACHED:
        assert scored(objective, turned, now).verdict is Verdict.BREACHED


@given(LINES.filter(lambda objective: objective.slices is not None), CELLS, NOWS, st.lists(PLACES, max_size=20))
def test_an_unknown_never_turns_a_breach_into_anything_else(
    objective: Objective, cells: Cells, now: datetime, places: list[tuple[str, str, int]]
) -> None:
    """Slots that say nothing may be added anywhere, and what was good may get lost: what broke the line stays broken."""
    muted = dict(cells)
    for place in places:
        cell = muted.get(place, Cell())
        # A failure that is lost is another matter: who mutes it must have had a reason that did not look at it.
        lost = cell.runs if cell.good and not cell.bad else 0
        muted[place] = Cell(inconclusive=cell.inconclusive + lost) if lost else cell + Cell(inconclusive=1)
    if scored(objective, cells, now).verdict is Verdict.BREACHED:
        assert scored(objective, muted, now).verdict is Verdict.BREACHED


@given(LINES.filter(lambda objective: objective.slices is not None), CELLS)
def test_a_breach_in_a_running_window_is_one_when_it_is_over(objective: Objective, cells: Cells) -> None:
    """Final at once: the budget of the whole window is the one that it is held against."""
    verdicts = [scored(objective, cells, instant_of_minute(SPAN.from_minute + after)).verdict for after in range(13)]
    first = next((i for i, verdict in enumerate(verdicts) if verdict is Verdict.BREACHED), len(verdicts))
    assert set(verdicts[first:]) <= {Verdict.BREACHED}


@given(LINES, CELLS, NOWS)
def test_nothing_conclusive_is_never_a_pass(objective: Objective, cells: Cells, now: datetime) -> None:
    """However generous the line is."""
    mute = {place: cell.muted for place, cell in cells.items()}
    heard = objective.slices is None or objective.slices.silence is Silence.UNKNOWN
    verdict = scored(objective, mute, now).verdict
    assert verdict is not Verdict.MET
    assert verdict is Verdict.NOT_ENOUGH_DATA or not heard
