"""`maintenance add|list|remove`: what is announced leaves minutes out, says which, and is not rewritten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.maintenance_command import run_maintenance
from console.slo_command import run_slo
from probes.errors import OperatorError
from slo.window import Span, month_span
from tests.desk_kit import Called, call, simulated
from tests.objective_texts import MAINTENANCE

MONTH = month_span("2026-09")
NOW = datetime(2026, 9, 1, 0, 10, tzinfo=UTC)
PLAN = '[journeys]\napi-health = "1m"\n'


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """A few minutes of a fleet that begins in September."""
    file = tmp_path / "few.db"
    await simulated(file, PLAN, Span("few", MONTH.from_minute, MONTH.from_minute + 5))
    return file


async def maintenance(database: Path, *words: str, now: datetime = NOW, width: int = 400) -> Called:
    """A word of `maintenance`."""
    return await call(run_maintenance, ["maintenance", *words, "--database", str(database)], now, width=width)


async def add(database: Path, name: str, starts: str, *more: str, now: datetime = NOW) -> Called:
    """Announce two hours."""
    words = ["add", name, "--starts", starts, "--duration", "2h", "--reason", "new disks", *more]
    return await maintenance(database, *words, now=now)


async def test_works_that_are_announced_in_time_are_left_out_of_the_lines_they_concern(database: Path) -> None:
    """And the explanation of a line says so."""
    said = (await add(database, "disks", "2026-09-03T02:00Z", "--objectives", "api-*")).said
    assert "It concerns 6 lines: api-uptime, api-p95, api-p99, api-errors" in said
    assert "2026-09-03 02:00 UTC for 2 h: left out (6 lines)" in said
    words = ["slo", "explain", "api-uptime", "--window", "2026-09", "--database", str(database)]
    told = (await call(run_slo, words, MONTH.until_at + timedelta(days=2))).said
    assert "maintenance disks of 2026-09-03 02:00 UTC, 120 min: left out" in told
    assert "43,200 minutes: 5 good, 0 bad, 43,075 unknown, 120 left out, 0 to come" in told


async def test_late_works_and_too_many_count_and_the_list_says_why(database: Path) -> None:
    """Four hours a month are left out, and nothing that was announced the day it began."""
    await add(database, "late", "2026-09-01T12:00Z")
    await add(database, "early", "2026-09-03T02:00Z")
    await add(database, "weekly", "2026-09-06T04:00+02:00", "--rrule", "FREQ=WEEKLY;COUNT=12")
    said = (await maintenance(database, "list")).said
    assert "2026-09-01 12:00 UTC for 2 h: counts, announced less than 24 h ahead (24 lines)" in said
    assert "2026-09-03 02:00 UTC for 2 h: left out (24 lines)" in said
    assert "2026-09-06 02:00 UTC for 2 h: left out (24 lines)" in said
    assert "2026-09-13 02:00 UTC for 2 h: counts, over the 4 h of its month (24 lines)" in said
    assert "2026-10-04 02:00 UTC for 2 h: left out (24 lines)" in said
    assert "from 2026-09-06 02:00 UTC for 2 h, FREQ=WEEKLY;COUNT=12" in said
    daily = await add(
        database, "daily", "2026-10-01T05:00Z", "--rrule", "FREQ=DAILY;COUNT=20", "--objectives", "widget-*"
    )
    assert "12 later ones not listed" in daily.said
    later = await maintenance(database, "list", now=NOW + timedelta(days=45), width=50)
    assert "2 earlier ones not listed" in later.said
    assert all(len(line) <= 50 for line in later.lines)


async def test_what_has_not_begun_can_be_taken_back_and_nothing_else(database: Path) -> None:
    """What has begun has left its marks on numbers that were reported."""
    await add(database, "disks", "2026-09-03T02:00Z")
    with pytest.raises(OperatorError, match="there is a maintenance 'disks' already"):
        await add(database, "disks", "2026-09-05T02:00Z")
    with pytest.raises(OperatorError, match="what was announced and has begun is not rewritten"):
        await maintenance(database, "remove", "disks", now=datetime(2026, 9, 3, 2, tzinfo=UTC))
    assert "Took back disks" in (await maintenance(database, "remove", "disks")).said
    assert "Nothing is announced" in (await maintenance(database, "list")).said
    with pytest.raises(OperatorError, match="no maintenance 'disks' was announced"):
        await maintenance(database, "remove", "disks")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("x --starts 2026-09-03T02:00 --duration 2h --reason r", "names no zone"),
        ("x --starts tomorrow --duration 2h --reason r", "is no instant"),
        ("x --duration 2h --reason r", "needs --starts"),
        ("x --starts 2026-09-03T02:00Z --duration 2h", "needs --reason"),
        ("x --starts 2026-09-03T02:00Z --reason r", "--duration of whole minutes"),
        ("x --starts 2026-09-03T02:00Z --duration 90s --reason r", "--duration of whole minutes"),
        ("x --starts 2026-09-03T02:00Z --duration 2h --reason r --rrule FREQ=HOURLY", "must be one rule"),
        ("x --starts 2026-09-03T02:00Z --duration 2h --reason r --objectives nope", "no line is concerned"),
        ("x --starts 2026-09-03T02:00Z --duration 2h --reason r --scenarios cad-lrge", "no line is concerned"),
        ("x --starts 2026-09-03T02:00Z --duration 2h --reason r --regions mars", "no line is concerned"),
        ("X_1 --starts 2026-09-03T02:00Z --duration 2h --reason r", "is no name"),
    ],
)
async def test_works_that_cannot_be_meant_are_refused(database: Path, words: str, reason: str) -> None:
    """And nothing is announced."""
    with pytest.raises(OperatorError, match=reason):
        await maintenance(database, "add", *words.split())
    assert "Nothing is announced" in (await maintenance(database, "list")).said


async def test_works_in_a_file_are_listed_and_stay_where_they_are(database: Path, tmp_path: Path) -> None:
    """The command cannot take a file's back, nor use its name again."""
    slos = tmp_path / "slos"
    slos.mkdir()
    (slos / "works.yaml").write_text(MAINTENANCE, encoding="utf-8")
    environ = {"PROBE_FLEET_SLO_DIR": str(slos)}
    words = ["--database", str(database)]
    called = await call(run_maintenance, ["maintenance", "list", *words], NOW, environ=environ)
    assert "sunday: new kernels" in called.said
    assert "announced 2026-09-01 00:00 UTC, in a file" in called.said
    assert "nothing within 60 days of now that a line is concerned with" in called.said
    with pytest.raises(OperatorError, match="was announced by command") as refused:
        await call(run_maintenance, ["maintenance", "remove", "sunday", *words], NOW, environ=environ)
    assert "It stands in a file" in refused.value.remedy
