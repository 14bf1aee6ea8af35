"""The command against a real platform: what it prints, writes, keeps and returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from junitparser import JUnitXml

from probes.wire import parse_run
from tests.free_ports import free_port
from tests.platform_kit import start_stand_in
from tests.runner_kit import ROOT, Runner, run_process, write_target


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """A healthy stand-in for this file."""
    with start_stand_in("--warm", "0") as stand_in:
        yield dict(stand_in.urls)


@pytest.fixture(scope="module")
def faulty_urls() -> Iterator[dict[str, str]]:
    """One that answers 201 to every price, and 0."""
    with start_stand_in("--fault", "zero-price", "--workers", "1") as stand_in:
        yield dict(stand_in.urls)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The command, with a state folder of its own."""
    return Runner(tmp_path, monkeypatch, capsys)


def test_a_run_without_a_target_starts_a_stand_in_and_says_so_first(call: Runner) -> None:
    """Nothing but the scenario's name is needed; the first line says what is probed and why."""
    outcome = call("--scenario", "sign-in")
    assert outcome.code == 0, outcome.err
    first, second = outcome.out.splitlines()[:2]
    assert first == "Probing a stand-in that is started for it: no target is configured (--target names one)"
    assert second.startswith("the stand-in is ready: http://127.0.0.1:")
    assert "PASSED: 1 run" in outcome.out
    assert outcome.err == ""


def test_the_table_shows_steps_phases_limits_and_levels(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """Every step of the journey with what it bears on."""
    outcome = call("--scenario", "sign-in", "--target", str(write_target(tmp_path, urls)))
    assert outcome.out.startswith("Probing stand-in at http://127.0.0.1:")
    rows = [line.split() for line in outcome.out.splitlines() if line.startswith("✓ ") and "<" in line]
    assert [row[1] for row in rows] == ["sign-in", "session", "wrong-password"]
    assert all(row[-3:] == ["3", "4", "13"] for row in rows)
    assert "API p95 < 500 ms" in outcome.out


def test_a_platform_that_lies_with_status_201_is_found_out(
    call: Runner, tmp_path: Path, faulty_urls: dict[str, str]
) -> None:
    """Exit code 1; step, expectation and the lines that it breaks; in JUnit a failure of kind assertion."""
    target = str(write_target(tmp_path, faulty_urls))
    outcome = call("--scenario", "quote", "--target", target, "--junit", str(tmp_path / "junit.xml"))
    assert outcome.code == 1
    assert "price assertion:" in outcome.said
    assert "FAILED: 1 run found the platform at fault." in outcome.out
    assert "Quote errors < 1 % (line 12)" in outcome.said
    (case,) = (case for suite in JUnitXml.fromfile(str(tmp_path / "junit.xml")) for case in suite)
    assert [result.type for result in case.result] == ["assertion"]


def test_json_has_the_whole_records_and_the_verdict(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """Three rounds: three records that read back as runs, the lines with their counts, and the exit code."""
    path = tmp_path / "report.json"
    target = str(write_target(tmp_path, urls))
    outcome = call("--scenario", "sign-in", "--target", target, "--repeat", "3", "--json", str(path), "--seed", "7")
    assert outcome.code == 0, outcome.out
    report = json.loads(path.read_bytes())
    assert (report["schema"], report["schema_version"], report["exit_code"]) == ("probe-fleet/report", 1, 0)
    assert report["interrupted"] is False
    runs = [parse_run(json.dumps(record).encode()) for record in report["runs"]]
    assert [run.identity.scenario for run in runs] == ["sign-in"] * 3
    assert {run.attributes["run.seed"] for run in runs} == {7}
    line = next(level for level in report["service_levels"] if level["line"] == "3")
    assert (line["runs"], line["runs_needed"], line["bad"], line["verdict"]) == (3, 59, 0, "not_enough_data")
    assert line["percentile_ns"] is None


def test_json_to_stdout_leaves_stdout_to_the_program(tmp_path: Path, urls: dict[str, str]) -> None:
    """Stdout is one JSON document; what a person reads goes to stderr."""
    target = str(write_target(tmp_path, urls))
    done = run_process(
        [sys.executable, "runner.py", "--scenario", "api-health", "--target", target, "--json", "-"],
        cwd=ROOT,
        environ={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["outcome"] == "passed"
    assert "PASSED: 1 run" in done.err


def test_a_reader_that_leaves_is_no_failure_of_the_platform(tmp_path: Path, urls: dict[str, str]) -> None:
    """As under `| head`: the files are written all the same, and the exit code is not 1."""
    target, report = str(write_target(tmp_path, urls)), tmp_path / "report.json"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "runner.py", "--scenario", "api-health", "--target", target, "--json", str(report), "--quiet"],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (3, b"")
    assert json.loads(report.read_bytes())["runs"]


def test_quiet_prints_the_verdict_and_nothing_else(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """For cron: one look says whether to look further."""
    outcome = call("--scenario", "api-health", "--quiet", "--target", str(write_target(tmp_path, urls)))
    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == "PASSED: 1 run, every check as expected."
    assert len(outcome.out.splitlines()) == 3


def test_a_past_run_can_be_shown_by_its_id_or_an_end_of_it(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """`show` lists what was kept, and draws one run as a waterfall."""
    assert "No run was kept yet" in call("show").out
    call("--scenario", "sign-in", "--target", str(write_target(tmp_path, urls)))
    listed = call("show").out.split()
    run_id = listed[1]
    shown = call("show", run_id)
    assert shown.code == 0
    assert "/api/auth/signin" in shown.out
    assert "bars: q queue" in shown.out
    assert "Checked" in shown.out
    assert call("show", run_id[-6:]).out == shown.out


def test_a_repeated_scenario_is_told_as_one_table(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """Five runs say a median and no p90; the slowest run is told in full."""
    target = str(write_target(tmp_path, urls))
    outcome = call("--scenario", "web-health", "--target", target, "--repeat", "5")
    assert outcome.code == 0, outcome.out
    row = next(line for line in outcome.out.splitlines() if line.startswith("web-health "))
    assert row.split()[1:3] == ["5", "0"]
    assert "needs 29" in row
    assert "needs 5 " not in row
    assert "the slowest of them:" in outcome.out


def test_rounds_start_on_time_and_runs_say_how_late_they_were(
    call: Runner, tmp_path: Path, urls: dict[str, str]
) -> None:
    """Slots are fixed in advance: three rounds every 200 ms begin 200 ms apart, the lag is recorded."""
    path = tmp_path / "report.json"
    target = str(write_target(tmp_path, urls))
    call("--scenario", "sign-in", "--target", target, "--repeat", "3", "--every", "200ms", "--json", str(path))
    runs = [parse_run(json.dumps(record).encode()) for record in json.loads(path.read_bytes())["runs"]]
    first = runs[0].scheduled_at
    offsets_ms = [round((run.scheduled_at - first).total_seconds() * 1000) for run in runs]
    assert all(abs(offset_ms - round(offset_ms / 200) * 200) <= 5 for offset_ms in offsets_ms), offsets_ms
    assert offsets_ms == sorted(set(offsets_ms))
    assert all(run.started_at >= run.scheduled_at for run in runs[1:])


def test_a_scenario_that_a_glob_chose_and_the_target_forbids_is_left_out_with_its_reason(
    call: Runner, tmp_path: Path, urls: dict[str, str]
) -> None:
    """By name it is an error, by glob it is told; JUnit has it as skipped."""
    path = write_target(tmp_path, urls, ('payment = "test"', 'payment = "none"'))
    junit = tmp_path / "junit.xml"
    by_glob = call("--scenario", "pay*", "--scenario", "api-health", "--target", str(path), "--junit", str(junit))
    assert by_glob.code == 0
    assert "Left out: payment:" in by_glob.out
    assert JUnitXml.fromfile(str(junit)).skipped == 1
    by_name = call("--scenario", "payment", "--target", str(path))
    assert by_name.code == 2
    assert "declares no test mode" in by_name.err


def test_the_list_says_what_every_scenario_does(call: Runner) -> None:
    """Name, interval, what it touches, and its first line."""
    outcome = call("list")
    assert outcome.code == 0
    text = " ".join(outcome.out.split())
    assert "cad-large every 15m writes" in text
    assert "widget-load every 1m browser" in text
    assert "payment (test mode only)" in text


def test_the_stand_in_can_be_started_in_the_foreground() -> None:
    """`platform` hands its options over, prints the ready line, and ends on SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "runner.py", "platform", "--port", "0", "--fault", "zero-price"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "platform.ready"
        assert ready["pid"] == process.pid
        process.terminate()
        assert process.wait(timeout=30) in (0, -15)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_shows_every_journey_and_catches_its_fault(tmp_path: Path) -> None:
    """Everything on a machine that has nothing else: a fleet, an incident with its alert, every journey, a fault on demand."""
    pages = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "runner.py", "demo"],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "120", "PROBE_FLEET_PAGES_LISTEN": pages},
        capture_output=True,
        text=True,
        check=False,
        timeout=880,  # all that the demo itself waits for at most, and its journeys
    )
    log_file = tmp_path / "probe-fleet" / "demo.log"
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"what its parts log is in {log_file}\n" in done.stdout
    assert "alert.fired" not in done.stdout
    assert '"event": "alert.fired"' in log_file.read_text("utf-8")
    assert "by api-health from" in done.stdout
    assert "critical alert" in done.stdout
    assert f"http://{pages}/alerts/" in done.stdout
    assert "Caught by 'quote' in the step 'price' (assertion)" in done.stdout
    assert "A check of status codes would have said: all is well." in done.stdout
    assert "The demo went as it should" in done.stdout
