"""`rescore`: looks without touching, corrects what differs, and says what was complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from collector.scoring import Scorer
from collector.simulation import deliveries_of
from collector.simulation_plan import read_plan
from collector.store import open_store
from collector.store_session import Session
from collector.store_tables import cells
from console.objectives import load_set
from console.rescore_command import rescore
from console.slo_command import run_slo
from slo.window import Span, month_span
from tests.desk_kit import Called, call, simulated

MONTH = month_span("2026-09")
HOURS = Span("hours", MONTH.from_minute, MONTH.from_minute + 120)
PLAN = '[journeys]\napi-health = "1m"\n[[statement]]\nminutes = [[10, 20]]\nwhat = "fail"\n'


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Two hours with an outage."""
    file = tmp_path / "hours.db"
    await simulated(file, PLAN, HOURS)
    return file


async def called(database: Path, *words: str) -> Called:
    """`rescore` with these options."""
    return await call(rescore, ["rescore", *words, "--database", str(database)], HOURS.until_at)


async def test_cells_that_are_right_stay_and_the_check_says_so(database: Path) -> None:
    """With the exit code 0."""
    found = await called(database, "--check")
    assert found.code == 0
    assert "28 of 28 checks were complete before" in found.said
    assert "361 slots in 2 hours: no cells and no facts differ: every number is what the stored runs say" in found.said


async def test_a_wrong_cell_is_seen_left_alone_by_a_check_and_corrected_by_the_command(database: Path) -> None:
    """Exit code 3 for the check, 0 when it is corrected, and then the check is content."""
    line = load_set().objectives["api-uptime"][-1]

    async def spoil(session: Session) -> None:
        await session.execute(update(cells).where(cells.c.minute == HOURS.from_minute + 50).values(bad=7))

    async with open_store(str(database)) as store:
        await store.scores._write(spoil)
        before = await store.scores.cells(line.check, target="simulated", fleet="simulated", span=HOURS)
    for _ in range(2):
        found = await called(database, "--check")
        assert found.code == 3
        assert "differ from what the stored runs say" in found.said
    async with open_store(str(database)) as store:
        assert before == await store.scores.cells(line.check, target="simulated", fleet="simulated", span=HOURS)
    corrected = await called(database)
    assert corrected.code == 0
    assert "were corrected; all checks are complete" in corrected.said
    assert (await called(database, "--check")).code == 0


async def test_a_check_that_is_new_is_told_apart_and_becomes_complete(database: Path) -> None:
    """Looking alone does not make it known; afterwards the line has a number."""
    fresh = database.with_name("fresh.db")
    file = database.with_suffix(".toml")
    async with open_store(str(fresh)) as store:
        await store.scores.begin(Scorer(()))
        for delivery in deliveries_of(read_plan(file), HOURS):
            await store.file([delivery])
    looked = await called(fresh, "--check")
    assert looked.code == 3
    assert "0 of 28 checks were complete before" in looked.said
    words = ["slo", "explain", "api-uptime", "--window", "2026-09", "--database", str(fresh)]
    assert "have still to be scored" in (await call(run_slo, words, HOURS.until_at)).said
    assert (await called(fresh)).code == 0
    assert "10 bad minutes in 1 episode" in (await call(run_slo, words, HOURS.until_at)).said
