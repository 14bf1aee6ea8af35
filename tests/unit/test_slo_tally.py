"""The fast count of events agrees with `slo.events`, for every objective that is built in and for made-up ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.objectives import load_objectives
from probes.records import Run
from slo.objective import Objective
from slo.tally import Tally, count_events
from tests.run_strategies import objectives, runs


@given(runs(), st.lists(objectives(), min_size=1, max_size=6))
def test_made_up_objectives_are_counted_as_slo_events_counts_them(run: Run, lines: list[Objective]) -> None:
    """Twice, because what was worked out for the first run is used for the second."""
    tally = Tally(lines)
    expected = tuple(count_events(run, line) for line in lines)
    assert (tally.count(run), tally.count(run)) == (expected, expected)


@pytest.mark.parametrize("examples", [25, pytest.param(250, id="long", marks=pytest.mark.slow)])
def test_the_built_in_lines_are_counted_as_slo_events_counts_them(examples: int) -> None:
    """One tally for runs of many shapes; the glob of a line is its caller's concern."""
    lines = [replace(line, selector=replace(line.selector, scenarios=("*",))) for line in load_objectives()]

    @settings(max_examples=examples)
    @given(st.lists(runs(), max_size=4))
    def agree(some: list[Run]) -> None:
        tally = Tally(lines)
        for run in some:
            assert tally.count(run) == tuple(count_events(run, line) for line in lines)

    agree()
