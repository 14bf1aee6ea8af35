"""Cells and tracks: exact sums, and the votes of minutes as bits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slo.cells import Cell, Measured, track_of
from slo.window import Span

SPAN = Span("ten", 100, 110)
CELLS = st.builds(Cell, *[st.integers(0, 3)] * 4)


@given(st.lists(CELLS), st.randoms())
def test_cells_add_up_in_any_order(cells: list[Cell], dice: object) -> None:
    """Integers, so that no order and no grouping changes a sum."""
    shuffled = list(cells)
    dice.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis hands over a Random
    middle = len(cells) // 2
    assert sum(shuffled, Cell()) == sum(cells[:middle], Cell()) + sum(cells[middle:], Cell())


@given(st.dictionaries(st.integers(95, 115), CELLS))
def test_every_minute_of_a_track_has_at_most_one_vote_and_the_totals_are_those_of_the_span(
    cells: dict[int, Cell],
) -> None:
    """A minute votes good, bad or nothing; what lies outside the span counts nowhere."""
    track = track_of("eu", "one", cells, SPAN)
    assert track.good & track.bad == track.good & track.mute == track.bad & track.mute == 0
    inside = {minute: cell for minute, cell in cells.items() if 100 <= minute < 110}
    assert track.totals == sum(inside.values(), Cell())
    for minute, cell in inside.items():
        bit = 1 << (minute - 100)
        assert bool(track.bad & bit) == (cell.bad > cell.good)
        assert bool(track.good & bit) == (cell.good > 0 and cell.bad <= cell.good)


def test_a_muted_minute_says_nothing_and_forgets_nothing() -> None:
    """Its runs count as inconclusive, those that passed too."""
    assert Cell(good=3, bad=1, inconclusive=1, runs=2).muted == Cell(inconclusive=3)


def test_a_region_is_the_tracks_of_its_probes() -> None:
    """Others are left out, the span stays."""
    tracks = (
        track_of("eu", "one", {100: Cell(1, 0, 0, 1)}, SPAN),
        track_of("us", "one", {100: Cell(0, 1, 0, 1)}, SPAN),
    )
    assert Measured(SPAN, tracks).of_region("us") == Measured(SPAN, tracks[1:])
    assert Measured(SPAN, tracks).totals == Cell(1, 1, 0, 2)
