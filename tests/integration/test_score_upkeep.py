"""Beside the ingest: objectives are read again, new checks catch up with the past, and final scores go on record."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.finals import on_record_as
from collector.score_upkeep import ScoreUpkeep, months_before
from collector.store import Store, open_store
from console.objectives import BUILT_IN_OBJECTIVES
from console.watched_objectives import WatchedObjectives
from slo.document_text import Problem
from slo.objective_set import ObjectiveSet
from tests.clock import JumpingClock
from tests.report_kit import AFTERWARDS, MINUTES, MORNING, REGIONS, asked, file_all, morning_of

DEADLINE_S = 60.0
FILES = ("01-api-uptime.yaml", "alert-presets.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one line of its own."""
    made = tmp_path / "slos"
    made.mkdir()
    for name in FILES:
        shutil.copy(BUILT_IN_OBJECTIVES / name, made)
    return made


def upkeep_of(store: Store, folder: Path) -> ScoreUpkeep:
    """The upkeep of a store, some days after the made-up morning."""
    return ScoreUpkeep(
        store, WatchedObjectives(folder), fleet="simulated", regions=REGIONS, clock=JumpingClock(AFTERWARDS)
    )


async def until(holds: Callable[[], object]) -> None:
    """Let the tasks go on until it holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for is said by no event
            await asyncio.sleep(0)


async def running(upkeep: ScoreUpkeep, holds: Callable[[], object]) -> None:
    """Run it until something holds."""
    task = asyncio.create_task(upkeep.run())
    try:
        await until(lambda: task.done() or holds())
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_line_that_joins_is_scored_over_the_past(tmp_path: Path, folder: Path) -> None:
    """Without a restart, and until that is done nobody says that it is complete."""
    async with open_store(str(tmp_path / "some.db")) as store:
        upkeep = upkeep_of(store, folder)
        await upkeep.begin()
        await file_all(store, morning_of(tmp_path))
        assert upkeep.status()["unscored"] == 0
        shutil.copy(BUILT_IN_OBJECTIVES / "13-api-errors.yaml", folder)
        before = store.scores.scorer
        with capture_logs() as logs:
            await running(upkeep, lambda: any(one["event"] == "scores.complete" for one in logs))
        assert store.scores.scorer is not before
        assert upkeep.status()["unscored"] == 0
        (line,) = WatchedObjectives(folder).current.objectives["api-errors"]
        assert await store.scores.incomplete([line.check]) == frozenset()
        cells = await store.scores.cells(line.check, target="simulated", fleet="simulated", span=MORNING)
        assert sum(cell.total for of_probe in cells.values() for cell in of_probe.values()) >= 3 * MINUTES


async def test_a_broken_folder_keeps_the_last_good_set_and_says_so(tmp_path: Path, folder: Path) -> None:
    """In the log, on the status page and in the line for systemd; when it is mended that is over."""
    async with open_store(str(tmp_path / "some.db")) as store:
        upkeep = upkeep_of(store, folder)
        await upkeep.begin()
        scorer = store.scores.scorer
        assert upkeep.trouble() == ""
        broken = folder / "99-broken.yaml"
        broken.write_text("apiVersion: openslo/v1\nkind: Nonsense\n", encoding="utf-8")
        with capture_logs() as logs:
            await running(upkeep, upkeep.trouble)
        assert [one["event"] for one in logs if one["event"].startswith("objectives.")] == ["objectives.kept_last_good"]
        assert store.scores.scorer is scorer
        told = upkeep.status()["objectives"]
        assert isinstance(told, dict)
        assert told["kept_last_good"] is True
        assert "99-broken.yaml" in str(told["problems"])
        assert "the last good ones are used" in upkeep.trouble()
        broken.unlink()
        await running(upkeep, lambda: not upkeep.trouble())
        assert upkeep.status()["objectives"] == {"lines": 1, "kept_last_good": False, "problems": []}


async def test_final_scores_of_the_last_months_go_on_record(tmp_path: Path, folder: Path) -> None:
    """Those with data; once, however often they are looked at."""
    async with open_store(str(tmp_path / "some.db")) as store:
        upkeep = upkeep_of(store, folder)
        await upkeep.begin()
        await file_all(store, morning_of(tmp_path))
        for _ in range(3):
            await upkeep.keep_some()
        name = on_record_as(asked())
        assert len(await store.scores.revisions("api-uptime", name, "2026-09")) == 1
        assert await store.scores.revisions("api-uptime", name, "2026-08") == []


@dataclass
class Told:
    """Objectives as a test says them."""

    current: ObjectiveSet
    problems: tuple[Problem, ...] = ()

    def reload(self) -> tuple[Problem, ...]:
        """They stay as they are."""
        return self.problems


async def test_a_line_that_cannot_be_scored_costs_no_other_line_its_record(tmp_path: Path, folder: Path) -> None:
    """It is our bug, and the log says which line it was."""
    good = WatchedObjectives(folder).current
    (uptime,) = good.objectives["api-uptime"]
    later = datetime(2026, 9, 10, tzinfo=UTC)
    events = replace(uptime, version=2, effective_from=later, slices=None)
    torn = [
        replace(one, name="torn") for one in (uptime, events)
    ]  # minutes and events in one window cannot be added up
    known = replace(good, objectives={"torn": tuple(torn), **good.objectives})
    async with open_store(str(tmp_path / "some.db")) as store:
        upkeep = ScoreUpkeep(store, Told(known), fleet="simulated", regions=REGIONS, clock=JumpingClock(AFTERWARDS))
        await upkeep.begin()
        await file_all(store, morning_of(tmp_path))
        with capture_logs() as logs:
            await upkeep.keep_some()
        assert {one["line"] for one in logs if one["event"] == "finals.failed"} == {"torn"}
        assert len(await store.scores.revisions("api-uptime", on_record_as(asked()), "2026-09")) == 1


def test_months_are_counted_back_over_the_turn_of_the_year() -> None:
    """From any day of a month."""
    assert list(months_before(datetime(2026, 1, 31, 23, 59, tzinfo=UTC), 2)) == ["2025-12", "2025-11"]
