"""Pages and the API say the same: each figure of a page is read off it and stands beside the API's answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from collector.texts.figures import bytes_text, count_text, duration_text
from collector.texts.scorecard_texts import percent_text
from probes.ledger_entries import OwedSlots
from probes.outbox import EntryKind
from tests.page_tables import rows_of, text_of
from tests.store_kit import NOW, PROBE, deliver, other_entry
from tests.web_kit import Pages, QuickClock, open_filled
from tests.web_runs_kit import failed_run, store_run

asking = pytest.mark.asyncio(loop_scope="module")
DASH = "\N{EN DASH}"
SAID = {
    "online": True,
    "ready": True,
    "outbox": {"entries": 7, "body_bytes": 2100, "oldest_at": (NOW + timedelta(minutes=55)).isoformat()},
    "clock": {"offset_ns": 1_500_000, "bound_ns": 300_000},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    """Pages over runs, some of them owed and missing, a failed one, a probe that told about itself, and an incident."""
    async with open_filled(tmp_path_factory.mktemp("figures"), clock=QuickClock()) as opened:
        owed = OwedSlots(
            scenario="quote",
            interval_ms=15_000,
            phase_ms=0,
            tolerance_ms=5_000,
            timeout_ms=30_000,
            from_at=NOW,
            until_at=NOW + timedelta(minutes=10),
        )
        await opened.store.file([deliver([other_entry(EntryKind.SCHEDULE, owed)], first_seq=500)])
        await opened.store.note_status(PROBE, json.dumps(SAID).encode(), NOW + timedelta(minutes=59, seconds=50))
        await store_run(opened, failed_run(NOW + timedelta(minutes=40)))
        yield opened.pages


async def told(pages: Pages, path: str) -> Any:  # noqa: ANN401 - whatever the API answers
    """What the API answers."""
    return json.loads((await pages.ask(f"/api/v1{path}")).text)


def instant(text: str, *, seconds: bool = False) -> str:
    """An instant of the API as pages write it."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


@asking
async def test_service_levels(pages: Pages) -> None:
    """SLI, verdict's count, and which of them burn; on the page of one what it cost."""
    rows = rows_of((await pages.read("/")).text, "Line", "Service level")
    answer = await told(pages, "/levels")
    compared = 0
    for level in answer["levels"]:
        (row,) = [one for one in rows if one["Service level"] == level["title"] + level["window"]]
        if level["reason"]:
            assert level["reason"] in row["Count"]
            continue
        compared += 1
        assert row["Count"] == (level["contract"] or DASH)
        assert row["SLI"] == (percent_text(level["sli"]) if level["sli"] is not None else DASH)
        detail = await told(pages, f"/levels/{level['name']}")
        assert detail["level"] == level
        text = text_of((await pages.read(f"/levels/{level['name']}")).text)
        assert all(fact["text"] in text for fact in level["facts"])
        regions = rows_of((await pages.read(f"/levels/{level['name']}")).text, "Region", "Verdict", "Conclusive")
        assert [(row["Region"], row["SLI"], row["Bad"], row["Budget left"], row["Conclusive"]) for row in regions] == [
            (one["region"], one["sli"] or DASH, one["bad"], one["left"], one["coverage"]) for one in detail["regions"]
        ]
    assert compared >= 5


@asking
async def test_the_fleet(pages: Pages) -> None:
    """Each probe and each scenario with all figures."""
    page, answer = (await pages.read("/fleet")).text, await told(pages, "/fleet")
    assert answer["headline"] in text_of(page)
    rows = {row["Probe"]: row for row in rows_of(page, "Probe", "Heard", "Waiting")}
    assert rows.keys() == {one["probe"] for one in answer["probes"]}
    for one in answer["probes"]:
        row, slots = rows[one["probe"]], one["slots"]
        assert row["Region"] == one["region"]
        assert row["Is"].endswith(one["condition"])
        assert row["Gaps"] == str(one["missing"]) + (f" ({one['lost']} dropped)" if one["lost"] else "")
        assert row["Late"] == str(slots["late"])
        assert row["Covered"] == (f"{slots['ran'] * 1000 // slots['due'] / 10:.1f} %" if slots["due"] else "-")
        assert row["Unfit"] == ("0 min" if not one["unfit_minutes"] else row["Unfit"])
        waiting = one["waiting_entries"]
        assert row["Waiting"].startswith("-" if waiting is None else f"{waiting} ({bytes_text(one['waiting_bytes'])})")
        if one["clock_offset_ns"] is not None:
            assert row["Clock"] == f"{one['clock_offset_ns'] / 1e6:+.1f} ± {one['clock_bound_ns'] / 1e6:.1f} ms"
    columns = ("due", "ran", "late", "missed", "missing", "inconclusive")
    wholes = {row["Scenario"]: row for row in rows_of(page, "Scenario", "Due", "Ran", "Missing")}
    assert wholes.keys() == {one["scenario"] for one in answer["slots"]}
    for scenario, whole in wholes.items():
        own = {one["region"]: one["slots"] for one in answer["slots"] if one["scenario"] == scenario}
        regions = rows_of((await pages.read(f"/fleet?scenario={scenario}")).text, "Region", "Due", "Ran", "Missing")
        assert [row["Region"] for row in regions] == sorted(own)
        for column in columns:
            assert [row[column.capitalize()] for row in regions] == [str(own[name][column]) for name in sorted(own)]
            assert whole[column.capitalize()] == str(sum(one[column] for one in own.values()))
    assert any(one["slots"]["missing"] and one["slots"]["ran"] for one in answer["slots"])


@asking
async def test_the_status(pages: Pages) -> None:
    """The shares of the promised uptimes, disruptions, and when it was worked out."""
    page, answer = text_of((await pages.read("/status")).text), await told(pages, "/status")
    assert answer["headline"] in page
    assert f"As of {instant(answer['as_of'])}" in page
    assert answer["components"]
    for one in answer["components"]:
        known = one["good"] + one["bad"]
        share = f"{one['good'] * 100_000 // known / 1000:.3f} %" if known else "unknown"
        assert one["title"] in page
        assert share in page
        assert sum(day["bad"] for day in one["days"]) == one["bad"]
    (disruption,) = answer["disruptions"]
    assert disruption["until_at"] is None
    assert f"{instant(disruption['since_at'])} , going on" in page


@asking
async def test_a_comparison(pages: Pages) -> None:
    """How runs ended, and the times of each step with the findings."""
    query = "/compare?by=region&a=eu-west&b=us-east&days=1"
    page, answer = (await pages.read(query)).text, await told(pages, query)
    found = answer["found"]
    for row, side in zip(rows_of(page, "Side", "Passed"), (found["first"], found["second"]), strict=True):
        assert (row["Passed"], row["Failed"]) == (str(side["passed"]), str(side["failed"]))
        decided = side["passed"] + side["failed"]
        assert row["Share"] == f"{side['failed'] * 100 / decided:.2f} %"
        assert row["Inconclusive"] == str(side["inconclusive"])
    rows = {row["Step"]: row for row in rows_of(page, "Step", "Median")}
    assert rows.keys() == {one["step"] for one in found["steps"]}
    for step in found["steps"]:
        row, sides = rows[step["step"]], (step["first"], step["second"])
        assert row["Times"] == " → ".join(str(side["count"]) for side in sides)
        assert row["Hours"] == " → ".join(str(side["hours"]) for side in sides)
        for column, name in (("Median", "median_ns"), ("p95", "p95_ns")):
            times = ["too few" if side[name] is None else duration_text(side[name]) for side in sides]
            assert row[column] == " → ".join(times)
        assert (step["middle"], step["tail"]) == ("too_few", "too_few")
        assert row["Typical times"].endswith("too few hours")


@asking
async def test_the_list_of_runs(pages: Pages) -> None:
    """The same runs in the same order; each leads to the whole of it."""
    for query in ("/runs", "/runs?outcome=fail", "/runs?region=us-east&hours=6", "/runs?scenario=nothing"):
        page, answer = (await pages.read(query)).text, await told(pages, query)
        rows = rows_of(page, "Slot", "Outcome")
        assert [row["Slot"] for row in rows] == [instant(one["slot_at"], seconds=True) for one in answer["runs"]]
        for row, one in zip(rows, answer["runs"], strict=True):
            assert row["Took"] == duration_text(one["duration_ns"])
            assert row["From"] == f"{one['region']} / {one['probe']}"
            assert row["Outcome"] == ("✓ passed" if one["outcome"] == "pass" else "✗ failed assertion at upload")
        if answer["runs"]:
            assert count_text(len(rows), "run") in text_of(page)
            whole = json.loads((await pages.ask(answer["runs"][0]["href"])).text)
            assert (whole["slot_at"], whole["scenario"]) == (answer["runs"][0]["slot_at"], "quote")


@asking
async def test_one_run(pages: Pages) -> None:
    """Steps, requests with their phases, checks, host, clock, evidence, and what differs from the nearest good run."""
    page, answer = (await pages.read("/runs/run00099")).text, await told(pages, "/runs/run00099")
    text = text_of(page)
    bars = rows_of(page, "Step or request", "Took")
    shown = [row["Took"] for row in bars]
    expected = []
    for step in answer["steps"]:
        expected += [step["duration_ns"], *(one["phases"]["total_ns"] for one in step["exchanges"])]
    assert shown == [duration_text(one) for one in expected]
    for step in answer["steps"]:
        for one in step["exchanges"]:
            phases = one["phases"]
            assert sum(length for name, length in phases.items() if name != "total_ns") == phases["total_ns"]
            assert duration_text(phases["wait_ns"]) in page
        assert all(note in text for note in step["notes"])
    checks = [check for step in answer["steps"] for check in step["expectations"]]
    rows = rows_of(page, "Check", "Expected")
    assert [(row["Check"], row["Expected"], row["Found"], "not" in row["Result"]) for row in rows] == [
        (one["name"], one["expected"], one["found"], not one["ok"]) for one in checks
    ]
    clock, host = answer["clock"], answer["host"]
    assert f"by {duration_text(clock['offset_ns'])}, give or take {duration_text(clock['bound_ns'])}" in text
    assert f"late by {duration_text(host['loop_lag_ns'])}" in text
    assert f"{percent_text(host['steal_ratio'])} of the CPU stolen" in text
    (file,), (row,) = answer["evidence"], rows_of(page, "File", "SHA-256")
    assert (row["File"], row["Kind"]) == (file["name"], file["kind"])
    assert (row["Size"], row["SHA-256"]) == (bytes_text(file["file_bytes"]), file["sha256"][:16])
    nearest = answer["nearest"]
    assert f'href="/runs/{nearest["run_id"]}"' in page
    assert nearest["differences"]
    assert all(line in text for line in nearest["differences"])
    beside = rows_of(page, "This run", "The other")
    assert [row["Step"] for row in beside] == [one["name"] for one in nearest["steps"]]
    assert [row["This run"] == "not reached" for row in beside] == [one["outcome"] is None for one in nearest["steps"]]


@asking
async def test_alerts(pages: Pages) -> None:
    """What is said of each, and what happened to it."""
    (incident,) = (await told(pages, "/alerts"))["incidents"]
    page = text_of((await pages.read("/alerts")).text)
    assert all(line in page for line in incident["lines"])
    detail = await told(pages, f"/alerts/{incident['number']}")
    text = text_of((await pages.read(f"/alerts/{incident['number']}")).text)
    assert detail["title"] in text
    for event in detail["events"]:
        assert f"{instant(event['at'], seconds=True)} {event['what']}" in text
    assert detail["events"]
