"""The release gate from running regions: every region's probe takes part, and a lost broker leaves a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet_kit import DEAF_S, fleet_environment, running_fleet
from tests.free_ports import free_port
from tests.runner_kit import ROOT

pytestmark = pytest.mark.serial
KEY = "0123456789abcdef0123456789abcdef"
REGIONS = ("eu-west", "us-east")
CLEAN_ROUNDS = 6
UNFIT = "the host was not fit to measure"


def gate(folder: Path, port: str, *words: str) -> subprocess.Popen[str]:
    """The gate of both regions, with its JSON in the folder."""
    asked = ("--region", ",".join(REGIONS), "--scenario", "sign-in", "--broker", f"mqtt://127.0.0.1:{port}")
    return subprocess.Popen(
        [sys.executable, "-u", "runner.py", "smoke", *asked, "--settings", str(folder / "own.toml"), *words],
        cwd=ROOT,
        env={**fleet_environment(folder), "FLEET_KEY": KEY, "PROBE_FLEET_BROKER_PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_running_regions_are_one_trial_and_a_lost_broker_leaves_a_report(tmp_path: Path) -> None:
    """A pass after six rounds of both regions; then the broker goes away in the middle: exit code 4 and what was known."""
    (tmp_path / "own.toml").write_text('[secrets.fleet_key]\nenv = "FLEET_KEY"\n', encoding="utf-8")
    port = str(free_port())
    environ = {"FLEET_KEY": KEY, "PROBE_FLEET_BROKER_PORT": port}
    options = ("--scenario", "sign-in", "--every", "30m", "--settings", str(tmp_path / "own.toml"))
    with running_fleet(tmp_path, *options, environ=environ) as fleet:
        fleet.wait_for(lambda: any("all lanes are up" in line for line in fleet.lines), "lanes")
        listening_from_s = time.monotonic()
        fleet.wait_for(lambda: time.monotonic() > listening_from_s + DEAF_S, "the end of the time without commands")
        report = tmp_path / "gate.json"
        with gate(tmp_path, port, "--exclude", "40%", "--max-time", "20s", "--json", str(report)) as process:
            out, err = process.communicate(timeout=100)
        found = json.loads(report.read_bytes())
        (check,) = found["checks"]
        regions = [run["record"]["identity"]["region"] for run in found["runs"]]
        assert {region: regions.count(region) for region in REGIONS} == dict.fromkeys(
            REGIONS, check["rounds"] + check["unmeasured"]
        )
        assert check["failures"] == 0
        if check["rounds"] == CLEAN_ROUNDS:
            assert process.returncode == 0, out + err
        else:
            # Lanes do not say a word on a host that is busy with something else, and the gate must not either.
            assert check["unmeasured"] > 0, out + err
            assert UNFIT in out
            assert process.returncode in (3, 4)

        report = tmp_path / "broken.json"
        kept = tmp_path / "state" / "probe-fleet" / "runs"
        before = len(list(kept.glob("*.json")))
        with gate(tmp_path, port, "--json", str(report)) as process:
            fleet.wait_for(lambda: len(list(kept.glob("*.json"))) > before or process.poll() is not None, "a run")
            os.killpg(fleet.process.pid, signal.SIGKILL)
            out, err = process.communicate(timeout=100)
    assert process.returncode == 4, out + err
    found = json.loads(report.read_bytes())
    assert found["answer"] == "undecided"
    assert "broker" in found["ended_by"]
    assert found["runs"]
