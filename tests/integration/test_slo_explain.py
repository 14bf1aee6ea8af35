"""`slo explain` and `slo alerts`: how a number came about, down to a run that `show` finds."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from collector.scoring import Scorer
from collector.store import open_store
from console.show_stored import show_stored
from console.slo_command import run_slo
from probes.errors import OperatorError
from slo.window import Span, month_span
from tests.desk_kit import Called, call, simulated
from tests.runner_kit import ROOT

MONTH = month_span("2026-09")
HOURS = Span("hours", MONTH.from_minute, MONTH.from_minute + 360)
NOW = HOURS.until_at + timedelta(minutes=30)
PLAN = """
[journeys]
api-health = "1m"
quote = "5m"

[[statement]]
scenarios = ["api-health"]
minutes = [[100, 110]]
regions = ["eu-west", "us-east"]
what = "fail"
kind = "dns"

[[statement]]
scenarios = ["api-health"]
regions = ["ap-south"]
minutes = [[100, 130]]
what = "inconclusive"

[[statement]]
scenarios = ["api-health"]
regions = ["us-east"]
minutes = [[120, 125]]
what = "fail"
kind = "status"

[[statement]]
scenarios = ["quote"]
regions = ["us-east"]
minutes = [[200, 230]]
what = "slow"
step = "price"
times = 40.0
"""


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Six hours of the plan above."""
    file = tmp_path / "hours.db"
    await simulated(file, PLAN, HOURS)
    return file


async def slo(database: Path, *words: str, width: int = 400) -> Called:
    """A word of `slo` over the six hours, half an hour later."""
    return await call(run_slo, ["slo", *words, "--database", str(database)], NOW, width=width)


async def test_a_line_of_minutes_is_explained_down_to_a_run(database: Path) -> None:
    """Counts by region, ties, the episode with its regions, kind and step, and ids that `show --database` finds."""
    told = (await slo(database, "explain", "api-uptime")).said
    assert "43,200 minutes: 350 good, 10 bad, 28 unknown, 0 left out, 42,812 to come" in told
    assert "5 of the good ones were a tie between regions" in told
    assert re.search(r"ap-south simulated 330 0 30 28 0 .*us-east simulated 345 15 0 28 0", told)
    assert "Ties: 2026-09-01 02:00 UTC for 5 min" in told
    assert "10 bad minutes in 1 episode" in told
    assert (
        "2026-09-01 01:40 for 10 min: 10 bad minutes bad events: eu-west 10, us-east 10 dns at api-health (20)" in told
    )
    run_id = re.findall(r"run ([0-9a-f]{26}) \(api-health from", told)[0]
    shown = await call(show_stored, ["show", run_id, "--database", str(database)], NOW)
    assert shown.code == 0
    assert "api-health dns" in shown.said
    assert f"runner.py show RUN --database {database}" in told


async def test_a_run_that_is_not_stored_is_refused(database: Path) -> None:
    """A part of an id, an id that nothing has, and none."""
    for words, reason in ((["0" * 26], "no run"), (["abc"], "whole id"), ([], "needs the id")):
        with pytest.raises(OperatorError, match=reason):
            await call(show_stored, ["show", *words, "--database", str(database)], NOW)


async def test_a_line_of_events_says_which_step_was_too_slow(database: Path) -> None:
    """With the events of all regions in the same minutes."""
    told = (await slo(database, "explain", "api-p95")).said
    assert "It is good when it passed, and its slowest answer took less than 500 ms" in told
    assert "too slow at price" in told
    assert re.search(r"bad events: us-east \d+", told)
    assert "dns at api-health" in told
    assert "The count rule is kept" in told


async def test_lines_without_a_score_say_why(database: Path) -> None:
    """One that nobody measures here yet, and one whose past has still to be scored."""
    assert (
        "Why there is no number not measured: no collector has decided alerts"
        in (await slo(database, "explain", "critical-answered")).said
    )
    async with open_store(str(database)) as store:
        await store.scores.begin(Scorer(()))
    told = (await slo(database, "explain", "api-uptime")).said
    assert "stored runs have still to be scored for it: see `runner.py rescore`" in told


async def test_an_obligation_lists_what_was_found_and_why(database: Path) -> None:
    """Days with their deadlines, or the minutes of an age."""
    told = (await slo(database, "explain", "backup-daily")).said
    assert "Owed: one for every day, 6h after its end at the latest" in told
    assert "2026-09-02: pending, not seen yet; due 2026-09-03 06:00 UTC" in told
    assert "18 more not listed" in told
    told = (await slo(database, "explain", "recovery-point")).said
    assert "Owed: in every minute the newest good one is younger than 1d" in told
    assert "unknown from 2026-09-01 00:00 UTC" in told


async def test_unknown_names_and_windows_are_refused_with_what_is_near(database: Path) -> None:
    """Nothing is read for them."""
    for words, reason in (
        (["explain", "api-uptme"], "no line is called 'api-uptme'"),
        (["explain", "api-uptime", "--window", "2026-13"], "is not a month"),
        (["explain", "api-uptime", "--window", "0d"], "0 days is none"),
        (["alerts", "--objective", "nope"], "no line is called"),
    ):
        with pytest.raises(OperatorError, match=reason):
            await slo(database, *words)
    with pytest.raises(OperatorError, match="no collector has stored anything there"):
        await slo(database.with_name("other.db"), "explain", "api-uptime")


@pytest.mark.parametrize("width", [80, 50])
@pytest.mark.parametrize("words", [("explain", "api-uptime"), ("explain", "backup-daily"), ("alerts",)])
async def test_nothing_is_cut_off_on_a_narrow_console(database: Path, words: tuple[str, ...], width: int) -> None:
    """Lines are broken between words; what is one word stays whole; only the path of the database is as long as it is."""
    called = await slo(database, *words, width=width)
    assert "…" not in called.said
    assert all(len(line) <= width or str(database) in line for line in called.lines)
    assert called.said.replace("- ", "").startswith((await slo(database, *words)).said[:60])


async def test_alerts_are_listed_with_their_cause_and_meaning(database: Path) -> None:
    """A fleet's first minutes are no alert: before it existed nobody owed a word."""
    called = await slo(database, "alerts", "--window", "2026-09", "--objective", "api-uptime")
    assert "critical: more than 1.44 % bad in 1 h and in 5 min (burn rate 14.4, 2 % of the budget)" in called.said
    assert "fired 2026-09-01 01:41, resolved 2026-09-01 01:54, on for 13 min (the budget burns)" in called.said
    assert "no data" not in called.said


async def test_alerts_for_programs_have_every_tier_with_those_that_are_refused(database: Path, tmp_path: Path) -> None:
    """And say why."""
    file = tmp_path / "alerts.json"
    await slo(database, "alerts", "--window", "2026-09", "--json", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["schema"], document["target"], document["fleet"]) == (
        "probe-fleet/alerts",
        "simulated",
        "simulated",
    )
    lines = {line["name"]: line for line in document["lines"]}
    assert "api-p95" in lines
    assert all(line["tiers"] for line in lines.values())
    (critical, *_) = lines["api-uptime"]["tiers"]
    assert critical["episodes"] == [
        {"fired_at": "2026-09-01T01:41:00+00:00", "resolved_at": "2026-09-01T01:54:00+00:00", "cause": "burn"}
    ]
    assert (critical["bad_ratio_above"], critical["refused"]) == ("9/625", "")
    unused = await slo(database, "alerts", "--window", "2026-09", "--objective", "api-uptime-stretch")
    assert "it has no alerts: no preset is named in its file" in unused.said


async def test_a_tier_that_can_never_fire_says_so(database: Path, tmp_path: Path) -> None:
    """A line that allows 5 % cannot burn fourteen times as fast."""
    slos = tmp_path / "slos"
    shutil.copytree(ROOT / "config" / "slos", slos)
    file = slos / "03-api-p95.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count('"coarse"') == 1
    file.write_text(text.replace('"coarse"', '"standard"'), encoding="utf-8")
    words = ["slo", "alerts", "--objective", "api-p95", "--database", str(database)]
    called = await call(run_slo, words, NOW, environ={"PROBE_FLEET_SLO_DIR": str(slos)})
    assert "critical: more than 72 % bad" in called.said
    assert "not used: it fires only when more than 72 % are bad; slower tiers see that line better" in called.said


async def test_a_fleet_that_fell_silent_is_an_alert_in_each_later_window(database: Path) -> None:
    """Unlike one that did not exist yet: it owed every minute."""
    later = month_span("2026-10").from_at + timedelta(days=1)
    words = ["slo", "alerts", "--window", "2026-10", "--objective", "api-uptime", "--database", str(database)]
    said = (await call(run_slo, words, later)).said
    assert said.count("still on (no data: under half of its long window is known)") == 4


async def test_an_alert_that_outlives_its_window_is_not_said_to_be_on_still(database: Path) -> None:
    """What came after a month that is over was not looked at."""
    words = ["slo", "alerts", "--window", "2026-10", "--objective", "api-uptime", "--database", str(database)]
    said = (await call(run_slo, words, month_span("2026-10").until_at)).said
    assert said.count("still on at the end of the window (no data: ") == 4
