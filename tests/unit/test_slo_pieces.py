"""Which version of a line was in force when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from slo.pieces import pieces_of
from slo.window import minute_of
from tests.slo_kit import SEPTEMBER, UPTIME, line

TENTH = datetime(2026, 9, 10, tzinfo=UTC)


def cuts(*versions: object) -> list[tuple[int, int, int]]:
    """Each piece as (version, from, until), in minutes of September."""
    pieces = pieces_of(versions, SEPTEMBER)  # type: ignore[arg-type] # the objectives of this file
    first = SEPTEMBER.from_minute
    return [(p.objective.version, p.span.from_minute - first, p.span.until_minute - first) for p in pieces]


def test_one_version_without_a_date_is_in_force_all_the_time() -> None:
    """It always was."""
    assert cuts(UPTIME) == [(1, 0, 43_200)]


def test_a_window_that_straddles_a_change_is_cut_at_it() -> None:
    """In whatever order the versions are given."""
    second = line(version=2, effective_from=TENTH, allowed_bad=Fraction(1, 2000))
    expected = [(1, 0, 12_960), (2, 12_960, 43_200)]
    assert cuts(UPTIME, second) == cuts(second, UPTIME) == expected


def test_a_version_begins_with_the_first_whole_minute_of_its_own() -> None:
    """A minute is judged by one version."""
    second = line(version=2, effective_from=TENTH + timedelta(seconds=1))
    assert cuts(UPTIME, second) == [(1, 0, 12_961), (2, 12_961, 43_200)]


def test_versions_of_other_times_have_no_piece() -> None:
    """Replaced before the window, or not yet in force in it."""
    old = line(effective_from=datetime(2026, 1, 1, tzinfo=UTC))
    second = line(version=2, effective_from=datetime(2026, 5, 1, tzinfo=UTC))
    coming = line(version=3, effective_from=datetime(2026, 10, 1, tzinfo=UTC))
    assert cuts(old, second, coming) == [(2, 0, 43_200)]
    assert cuts(coming) == []


def test_minutes_before_the_first_version_belong_to_none() -> None:
    """A line that came into force on the tenth promised nothing before."""
    first = line(effective_from=TENTH)
    (piece,) = pieces_of([first], SEPTEMBER)
    assert (piece.span.from_minute, piece.span.name) == (minute_of(TENTH), "2026-09")


def test_of_two_versions_from_one_instant_the_higher_one_counts() -> None:
    """The later word."""
    assert cuts(line(version=2, effective_from=TENTH), line(version=3, effective_from=TENTH)) == [(3, 12_960, 43_200)]


def test_lines_that_cannot_be_added_up_are_refused() -> None:
    """Two lines, or minutes and events under one name in one window."""
    with pytest.raises(ValueError, match="no versions of one line"):
        pieces_of([UPTIME, line(name="other")], SEPTEMBER)
    with pytest.raises(ValueError, match="another name"):
        pieces_of([UPTIME, line(version=2, slices=None, effective_from=TENTH)], SEPTEMBER)
    later = line(version=2, slices=None, effective_from=datetime(2026, 10, 1, tzinfo=UTC))
    assert len(pieces_of([UPTIME, later], SEPTEMBER)) == 1
