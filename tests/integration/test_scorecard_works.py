"""Agreed works in the days before a window: what lay in them is no outage that makes the evidence of the window weaker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.scorecard import make_scorecard
from collector.scoring import Scorer
from collector.store import open_store
from console.objectives import load_set
from slo.maintenance import MaintenanceWindow
from slo.score import EventDetail, Score
from slo.window import Span
from tests.report_kit import MORNING, asked, morning_of

WORKS_MINUTES = 60
BEFORE = Span("before", MORNING.from_minute - 3 * 1440, MORNING.from_minute - 3 * 1440 + WORKS_MINUTES)
DOWN = """
[[statement]]
what = "fail"
kind = "connect"
"""


@pytest.mark.parametrize(
    ("notice", "outage_slots"),
    [
        pytest.param(timedelta(days=2), 9, id="announced in time"),
        pytest.param(timedelta(hours=1), WORKS_MINUTES, id="announced too late"),
    ],
)
async def test_only_works_that_were_announced_in_time_are_no_outage_of_the_ninety_days_before(
    tmp_path: Path, notice: timedelta, outage_slots: int
) -> None:
    """An hour without an answer weighs as sixty slots, or not at all: then the least that is assumed counts."""
    works = MaintenanceWindow(
        name="move", starts_at=BEFORE.from_at, duration_minutes=WORKS_MINUTES, announced_at=BEFORE.from_at - notice
    )
    known = load_set()
    known = replace(known, maintenance=(*known.maintenance, works))
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(known))
        await store.file([*morning_of(tmp_path, DOWN, BEFORE), *morning_of(tmp_path)])
        card = await make_scorecard(store, known, asked("api-errors"))
    (line,) = card.lines
    assert isinstance(line.score, Score)
    assert isinstance(line.score.detail, EventDetail)
    assert line.score.detail.effect.outages == outage_slots
