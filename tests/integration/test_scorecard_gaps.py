"""Lines that nobody measured: the scorecard says so, and charges nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from collector.scorecard import make_scorecard
from collector.scoring import Scorer
from collector.store import Delivery, open_store
from console.objectives import load_set
from slo.duties import DutyScore
from slo.evidence import Verdict
from slo.score import Score, SliceDetail
from slo.window import Span
from tests.report_kit import MORNING, asked, look_at_backups, morning_of

NAMES = ("backup-daily", "backup-retention", "recovery-point")


@pytest.mark.parametrize("somebody_looked", [True, False])
async def test_days_are_violated_by_silence_only_where_somebody_looked(
    tmp_path: Path, *, somebody_looked: bool
) -> None:
    """Backups that no probe ever looked for are our gap: no verdict, and the reason instead of one."""
    known = load_set()
    async with open_store(str(tmp_path / "some.db")) as store:
        await store.scores.begin(Scorer.of(known))
        await store.file([*morning_of(tmp_path), *([look_at_backups(MORNING.from_at)] if somebody_looked else [])])
        card = await make_scorecard(store, known, asked(*NAMES))
    daily, *_ = card.lines
    if somebody_looked:
        assert isinstance(daily.score, DutyScore)
        assert daily.score.verdict is Verdict.BREACHED
    else:
        assert {line.score for line in card.lines} == {None}
        assert {line.reason for line in card.lines} == {
            "not measured: no run of backups says anything about this window"
        }


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(look_at_backups(MORNING.from_at, target="another"), id="another target"),
        pytest.param(look_at_backups(MORNING.from_at, attempt=1), id="on demand"),
        pytest.param(look_at_backups(MORNING.from_at, is_unfit=True), id="unfit host"),
        pytest.param(look_at_backups(MORNING.from_at - timedelta(days=3)), id="before the window"),
    ],
)
async def test_a_look_that_says_nothing_about_this_target_and_window_is_none(tmp_path: Path, look: Delivery) -> None:
    """What no fact can come from cannot make silence the platform's fault."""
    known = load_set()
    async with open_store(str(tmp_path / "some.db")) as store:
        await store.scores.begin(Scorer.of(known))
        await store.file([*morning_of(tmp_path), look])
        card = await make_scorecard(store, known, asked(*NAMES))
    assert {line.reason for line in card.lines} == {"not measured: no run of backups says anything about this window"}


LATER = Span("later", MORNING.from_minute + 14 * 1440 + 37, MORNING.from_minute + 14 * 1440 + 97)


async def test_a_fleet_that_begins_in_a_month_is_not_charged_for_the_silence_before_it(tmp_path: Path) -> None:
    """Where silence is bad, minutes count from the first word on; from then on nobody is forgiven."""
    known = load_set()
    async with open_store(str(tmp_path / "some.db")) as store:
        await store.scores.begin(Scorer.of(known))
        none = await make_scorecard(store, known, asked("metrics-every-minute"))
        await store.file(morning_of(tmp_path, span=LATER))
        running = asked("metrics-every-minute", now=LATER.until_at + timedelta(minutes=2))
        card, later = [await make_scorecard(store, known, one) for one in (running, asked("metrics-every-minute"))]
        before = await make_scorecard(store, known, asked("metrics-every-minute", window="2026-08"))
    for nothing, month in ((none, "2026-09"), (before, "2026-08")):
        assert [line.score for line in nothing.lines] == [None]
        assert nothing.lines[0].reason == f"not measured: nothing had said a word about it yet in {month}"
    (found,) = [line.score for line in card.lines]
    assert isinstance(found, Score)
    assert isinstance(found.detail, SliceDetail)
    assert (found.verdict, found.detail.counts.bad, found.detail.counts.good) == (Verdict.MET, 0, 60)
    assert found.notes[0].startswith("counted from 2026-09-15 00:37 UTC on; the 20197 minutes before")
    (score,) = [line.score for line in later.lines]
    assert isinstance(score, Score)
    assert score.verdict is Verdict.BREACHED
