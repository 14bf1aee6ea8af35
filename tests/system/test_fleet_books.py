"""A whole fleet on this machine, with real processes that are killed: every slot that was owed is in the ledger exactly once."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from collector.ledger import SlotClass
from collector.store import open_store
from probes.clock import SystemClock
from tests.fleet_kit import DEAF_S, children_of, running_fleet, told
from tests.free_ports import free_port

REGIONS = {"eu-west", "us-east", "ap-south"}
SCENARIOS = ("--scenario", "web-health", "--scenario", "sign-in", "--every", "2s")

# A fleet has ten processes to start, and three of them twice here; on a machine that is busy they take their time.
pytestmark = pytest.mark.timeout(300)


async def test_every_slot_is_in_the_ledger_once_although_collector_lane_and_broker_are_killed(tmp_path: Path) -> None:
    """`kill -9` to each of them while slots run: they come back, and the books are in order at the end."""
    with running_fleet(tmp_path, *SCENARIOS) as fleet:
        fleet.wait_for(lambda: fleet.slots_told() >= 6, "the first slots")
        pid = fleet.process.pid
        for word in ("runner\0collector", "probes.worker_lane", "iotcore"):
            (victim, *_) = children_of(pid, word)
            os.kill(victim, signal.SIGKILL)
            told = fleet.slots_told()
            fleet.wait_for(
                lambda victim=victim, word=word: set(children_of(pid, word)) - {victim},  # type: ignore[misc] # loop's own
                f"another {word}",
            )
            fleet.wait_for(lambda told=told: fleet.slots_told() > told + 8, f"slots after {word} was killed")  # type: ignore[misc] # loop's own
        code = fleet.stop()
        said = "".join(fleet.lines)
    assert code == 0, said
    assert "Each of them ended exactly once" in said
    now = SystemClock().now()
    async with open_store(str(fleet.database)) as store:
        lines = await store.slots(now - timedelta(hours=1), now, now=now + timedelta(hours=1))
        probes = await store.probes()
    endings = Counter((line.series, line.slot_at) for line in lines)
    assert set(endings.values()) == {1}
    assert {line.slot_class for line in lines} <= {
        SlotClass.ON_TIME,
        SlotClass.LATE,
        SlotClass.MISSED,
        SlotClass.ABORTED,
    }
    assert {line.series.address.region for line in lines} == REGIONS
    assert [(state.missing, state.conflicts, state.quarantined) for state in probes] == [(0, 0, 0)] * 3
    assert stored_slots(fleet.database) == len(lines)
    for outbox in (tmp_path / "state").rglob("outboxes/*.db"):
        assert left_in(outbox) == 0


def stored_slots(database: Path) -> int:
    """Rows of endings, looked at without our own code."""
    with closing(sqlite3.connect(database)) as db:
        (count,) = db.execute("SELECT count(*) FROM runs").fetchone()
    return int(count)


def left_in(outbox: Path) -> int:
    """Entries and announcements that an outbox still has."""
    with closing(sqlite3.connect(outbox)) as db:
        (count,) = db.execute("SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM intents)").fetchone()
    return int(count)


def test_status_export_and_import_tell_the_same_of_a_fleet_that_has_ended(tmp_path: Path) -> None:
    """`--for` ends it by itself; then the store can be asked, taken out and brought in elsewhere."""
    with running_fleet(tmp_path, "--scenario", "web-health", "--every", "2s", "--for", "4s") as fleet:
        assert fleet.process.wait(120) == 0, "".join(fleet.lines)
    archive, second = tmp_path / "all.jsonl.gz", tmp_path / "second.db"
    assert told(tmp_path, "export", str(archive), "--database", str(fleet.database)).returncode == 0
    assert told(tmp_path, "import", str(archive), "--database", str(second)).returncode == 0
    first, other = (
        json.loads(told(tmp_path, "status", "--database", str(database), "--json", "-").stdout)
        for database in (fleet.database, second)
    )
    assert {row["region"] for row in first["slots"]} == REGIONS
    assert first["slots"] == other["slots"]
    assert {probe["condition"] for probe in first["probes"]} == {"down"}
    assert {probe["said"]["outbox"]["entries"] for probe in first["probes"]} == {0}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_fleet_that_is_stopped_early_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """Also before its workers are up, and when the signal reaches the whole process group as Ctrl-C does."""
    with running_fleet(tmp_path, "--scenario", "web-health", "--every", "2s") as fleet:
        fleet.wait_for(lambda: children_of(fleet.process.pid, "worker_lane"), "a lane that starts")
        children = children_of(fleet.process.pid, "")
        os.killpg(fleet.process.pid, number)
        fleet.process.wait(120)
    gone = [pid for pid in children if not Path(f"/proc/{pid}").exists()]
    assert gone == children, "".join(fleet.lines)


async def test_probes_of_two_regions_run_something_when_they_are_asked_with_the_fleets_key(tmp_path: Path) -> None:
    """Steps come live from each; the runs are stored and owed to nobody; a command with another key is not obeyed."""
    own = tmp_path / "own.toml"
    own.write_text('[secrets.fleet_key]\nenv = "FLEET_KEY"\n', encoding="utf-8")
    port = str(free_port())
    key = {"FLEET_KEY": "0123456789abcdef0123456789abcdef", "PROBE_FLEET_BROKER_PORT": port}
    options = ("--scenario", "sign-in", "--every", "30m", "--settings", str(own))
    ask = ("--scenario", "sign-in", "--region", "eu-west,ap-south", "--settings", str(own))
    with running_fleet(tmp_path, *options, environ=key) as fleet:
        fleet.wait_for(lambda: any("workers (" in line for line in fleet.lines), "workers")
        listening_from_s = time.monotonic()
        fleet.wait_for(lambda: any("all lanes are up" in line for line in fleet.lines), "lanes")
        fleet.wait_for(lambda: time.monotonic() > listening_from_s + DEAF_S, "the end of the time without commands")
        answer = told(tmp_path, *ask, environ=key)
        said = answer.stdout + answer.stderr + "".join(fleet.lines)
        assert len(re.findall(r"(?m)^eu-west +sign-in +session +pass", answer.stdout)) == 1, said
        assert len(re.findall(r"(?m)^ap-south +sign-in +session +pass", answer.stdout)) == 1, said
        ends = dict(re.findall(r"(?m)^(\S+) +sign-in +(pass|inconclusive) after", answer.stdout))
        assert set(ends) == {"eu-west", "ap-south"}, said
        # In a minute in which this host is busy with something else a lane vouches for nothing, and the command must not.
        assert answer.returncode == (0 if set(ends.values()) == {"pass"} else 3), said
        assert fleet.stop() == 0, "".join(fleet.lines)
    now = SystemClock().now()
    async with open_store(str(fleet.database)) as store:
        runs = await store.runs(now - timedelta(hours=1), now)
    asked = [run.identity for run in runs if run.identity.attempt == 1]
    assert {identity.region for identity in asked} == {"eu-west", "ap-south"}
