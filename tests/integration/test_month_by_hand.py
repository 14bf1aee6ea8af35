"""A month that was worked out by hand: the literals below, a brute force that knows nothing of ours, and the real commands agree.

The literals are those of docs/reference/simulation.md. Its first three days run with every other test, the whole of it with the
slow ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.simulate_command import simulate_month
from console.slo_command import run_slo
from slo.window import Span, month_span
from tests.desk_kit import call, simulated
from tests.hand_month import HandMonth, alerts_by_hand, month_by_hand
from tests.runner_kit import ROOT

PLAN = ROOT / "docs" / "examples" / "month-2026-09.toml"
WORKS = ROOT / "docs" / "examples" / "works-2026-09.yaml"
SEPTEMBER = month_span("2026-09")
BURNS = {
    "critical": [("burn", "03 10:01", "03 10:16"), ("burn", "26 15:01", "26 15:29")],
    "high": [("burn", "03 10:02", "03 10:41"), ("burn", "26 15:02", "26 15:54")],
    "medium": [("burn", "03 10:04", "03 12:11"), ("burn", "26 15:04", "26 17:24")],
    "report": [("burn", "03 10:03", "03 16:11"), ("burn", "26 15:04", "26 21:24")],
}
NO_DATA = ("no_data", "23 10:30", "23 11:09")
OF_THE_MONTH = {**BURNS, "critical": [BURNS["critical"][0], NO_DATA, BURNS["critical"][1]]}


def slos_in(folder: Path) -> Path:
    """The built-in objectives with the works beside them."""
    slos = folder / "slos"
    shutil.copytree(ROOT / "config" / "slos", slos)
    shutil.copy(WORKS, slos)
    return slos


async def said(words: Sequence[str], slos: Path, now: datetime) -> str:
    """What a command of `slo` prints, on one line."""
    called = await call(run_slo, ["slo", *words], now, environ={"PROBE_FLEET_SLO_DIR": str(slos)})
    assert called.code == 0
    return called.said


async def alerts(database: Path, window: str, slos: Path, now: datetime) -> dict[str, list[tuple[str, str, str]]]:
    """By tier of `api-uptime`: cause, fired, resolved."""
    file = database.with_suffix(".json")
    where = ["--database", str(database), "--json", str(file)]
    await said(["alerts", "--window", window, "--objective", "api-uptime", *where], slos, now)
    (line,) = json.loads(file.read_text(encoding="utf-8"))["lines"]
    return {
        tier["severity"]: [
            (one["cause"], *(f"{datetime.fromisoformat(one[end]):%d %H:%M}" for end in ("fired_at", "resolved_at")))
            for one in tier["episodes"]
        ]
        for tier in line["tiers"]
    }


def counts_of(month: HandMonth) -> tuple[int, ...]:
    """How many minutes were good, bad, unknown and left out, tied and doubtful."""
    return (*(month.states.count(letter) for letter in "gbux"), len(month.ties), len(month.suspects))


async def test_three_days_of_the_month_are_as_worked_out(tmp_path: Path) -> None:
    """One outage everywhere, and noise that never is one."""
    by_hand = month_by_hand(PLAN, 3)
    assert counts_of(by_hand) == (4308, 12, 0, 0, 0, 0)
    firsts = {tier: episodes[:1] for tier, episodes in BURNS.items()}
    assert alerts_by_hand(by_hand.states) == firsts
    slos, database = slos_in(tmp_path), tmp_path / "days.db"
    days = Span("days", SEPTEMBER.from_minute, SEPTEMBER.from_minute + 3 * 1440)
    await simulated(database, PLAN.read_text(encoding="utf-8"), days, slos)
    assert await alerts(database, "3d", slos, days.until_at + timedelta(minutes=2)) == firsts
    told = await said(["explain", "api-uptime", "--window", "3d", "--database", str(database)], slos, days.until_at)
    # The last two minutes may still report: they are to come.
    assert "4,320 minutes: 4,306 good, 12 bad, 0 unknown, 0 left out, 2 to come" in told
    assert "0.1 % of 4,320 = 4.32 minutes" in told
    assert "the budget is overspent by 7.68 minutes" in told
    assert "Breached: 12 bad minutes are more than 4.32" in told
    assert "2026-09-03 10:00 for 12 min: 12 bad minutes" in told
    assert "bad events: ap-south 12, eu-west 12, us-east 12" in told
    assert "timeout at api-health" in told


@pytest.mark.slow
async def test_the_whole_month_is_as_worked_out(tmp_path: Path) -> None:
    """With ties, doubtful minutes, works, silence, and a statement that overwrites another."""
    by_hand = month_by_hand(PLAN, 30)
    assert counts_of(by_hand) == (43005, 35, 40, 120, 2, 1)
    assert alerts_by_hand(by_hand.states) == OF_THE_MONTH
    slos, database, now = slos_in(tmp_path), tmp_path / "month.db", datetime(2026, 10, 15, tzinfo=UTC)
    words = ["simulate", "--month", "2026-09", "--plan", str(PLAN), "--database", str(database), "--quiet"]
    assert (await call(simulate_month, words, now, environ={"PROBE_FLEET_SLO_DIR": str(slos)})).code == 0
    assert await alerts(database, "2026-09", slos, now) == OF_THE_MONTH
    told = await said(["explain", "api-uptime", "--window", "2026-09", "--database", str(database)], slos, now)
    assert "43,200 minutes: 43,005 good, 35 bad, 40 unknown, 120 left out, 0 to come" in told
    assert "2 of the good ones were a tie" in told
    assert "1 of the unknown ones hold a failure" in told
    assert "Ties: 2026-09-17 16:11 UTC for 1 min, 2026-09-17 17:51 UTC for 1 min" in told
    assert "Suspect: 2026-09-23 10:31 UTC for 1 min" in told
    assert "maintenance september-works of 2026-09-13 02:00 UTC, 120 min: left out" in told
    assert "0.1 % of 43,080 = 43.08 minutes, which is 43 whole ones" in told
    assert "Were bad: 35; 8.08 minutes are left" in told
    assert "between 35 (best case) and 75 minutes (worst case) were bad" in told
    assert "At risk: 35 bad minutes are within 43.08, the worst case of 75 is not" in told
    assert "35 bad minutes in 4 episodes" in told
    assert "2026-09-10 09:11 for 1 min: 1 bad minute" in told
