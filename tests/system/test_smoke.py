"""The release gate against a real stand-in: healthy, with named faults, slower, and interrupted.

A few faults at 100 % and one at 10 % of the requests; the whole table is `slow`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from junitparser import JUnitXml
from playwright.async_api import async_playwright

from collector.scoring import Scorer
from collector.store import open_store
from console.objectives import load_set
from fixtures.platform.faults import FAULTS
from probes.browser import find_browser
from probes.browser_chromium import FLAGS
from probes.clock import SystemClock
from probes.messages import Address
from probes.records import RunIdentity
from tests.gate_kit import Smoke, faulty, smoke, smoke_process
from tests.platform_kit import start_stand_in, until
from tests.runner_kit import ROOT, Runner, write_target
from tests.sample_runs import make_run, make_step
from tests.store_kit import deliver, run_entry
from tests.system.fault_table import ROWS, FaultRow
from tests.web_kit import WRITE, served_with_nothing

# The gate's own rounds are timed; beside another test this host may be unfit, and rounds then say nothing.
pytestmark = pytest.mark.serial

CUT_OFF = """() => [...document.querySelectorAll('svg text')].filter(text => {
  const own = text.getBoundingClientRect(), plot = text.closest('svg').getBoundingClientRect();
  return own.left < plot.left - 1 || own.right > plot.right + 1 || own.top < plot.top - 1 || own.bottom > plot.bottom + 1;
}).map(text => text.textContent)"""
"""The labels of plots that reach beyond them."""

SLOWED_ROUTE = """url = "{web}/health"
answer = "text"

[operations.web_health.requests.checks]
body = { path = "@", matches = '^OK\\s*$' }

[[operations.web_health.requests]]
"""
"""The first of the two requests of web-health, as the built-in description has it."""

QUICK = ("--exclude", "40%")
"""Six clean rounds a check."""


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """A stand-in whose faults are switched on and off."""
    with start_stand_in("--warm", "1") as stand_in:
        yield dict(stand_in.urls)


@pytest.fixture
def target(tmp_path: Path, urls: dict[str, str]) -> str:
    """The description of the one with the faults."""
    return str(write_target(tmp_path, urls))


def test_a_healthy_candidate_passes_and_every_file_says_so(tmp_path: Path, target: str) -> None:
    """Exit code 0; said before the start: how long at best and worst, what is excluded and what is not; JUnit, HTML, Markdown."""
    files = {kind: tmp_path / f"gate.{kind}" for kind in ("xml", "html", "md")}
    outputs = ("--junit", str(files["xml"]), "--html", str(files["html"]), "--markdown", str(files["md"]))
    done = smoke(tmp_path, "--target", target, "--scenario", "sign-in", "--scenario", "web-health", *QUICK, *outputs)
    assert done.code == 0, done.out + done.err
    before, _, after = done.out.partition("\nPASS: 40 % or more failing is excluded in 2 checks, after ")
    assert after
    for sentence in (
        "Pass: at best after 6 rounds",
        "Fail: at best after 1 failure",
        "at worst about",
        "It cannot exclude",
    ):
        assert sentence in before
    assert {name: check["decision"] for name, check in done.checks.items()} == {
        "sign-in": "accept",
        "web-health": "accept",
    }
    assert JUnitXml.fromfile(str(files["xml"])).tests == 2
    assert files["md"].read_text("utf-8").startswith("## PASS: ")
    asyncio.run(look_at(files["html"].as_uri()))


async def look_at(url: str) -> None:
    """Open the page offline: nothing is asked for but itself, nothing complains, plots are drawn, no sideways scrolling."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_browser().path), args=["--no-sandbox", *FLAGS]
        )
        try:
            context = await browser.new_context(offline=True, viewport={"width": 360, "height": 800})
            page = await context.new_page()
            asked: list[str] = []
            trouble: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: trouble.append(message.text))
            await page.goto(url)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360
            assert await page.locator("svg polyline.path").count() == 2
            assert await page.evaluate(CUT_OFF) == []
            assert set(asked) == {url}
            assert trouble == []
        finally:
            await browser.close()


@pytest.mark.parametrize(
    ("fault", "scenario", "cause"),
    [
        ("zero-price", "quote", "FAIL: price (assertion) in quote: unit price: expected above 0"),
        ("error-5xx:route=session", "sign-in", "FAIL: session (status) in sign-in:"),
    ],
)
def test_a_fault_of_every_request_fails_at_once_and_is_named(
    tmp_path: Path, target: str, urls: dict[str, str], fault: str, scenario: str, cause: str
) -> None:
    """Exit code 1 after one failing round, or two where more checks share the risk; the first line names step and kind."""
    with faulty(urls, fault):
        done = smoke(tmp_path, "--target", target, "--scenario", scenario)
    assert done.code == 1, done.out + done.err
    assert done.report["headline"].startswith(cause)
    assert done.checks[scenario]["failures"] == done.checks[scenario]["rounds"] == 1
    assert done.report["runs"][0]["record"]["evidence"]


def test_a_gate_tells_the_collector_and_one_that_cannot_ends_the_same(
    tmp_path: Path, target: str, urls: dict[str, str]
) -> None:
    """The release is on the pages as the gate ended; with nobody at the address the exit code is the gate's, and it waits."""
    gate = ("--target", target, "--scenario", "sign-in", "--exclude", "40%", "--release", "2026.11.4")
    token = {"FLEET_RELEASE_TOKEN": WRITE}
    with served_with_nothing(tmp_path / "pages", clock=SystemClock()) as served:
        passed = smoke(tmp_path, *gate, "--announce", served.url, environ=token)
        assert passed.code == 0, passed.out + passed.err
        assert "The collector knows of release 2026.11.4" in passed.out
        with faulty(urls, "error-5xx:route=session"):
            failed = smoke(tmp_path, *gate, "--announce", "http://127.0.0.1:9", environ=token)
        assert failed.code == 1, failed.out + failed.err
        assert failed.report["headline"].startswith("FAIL: session (status) in sign-in:")
        (kept,) = (tmp_path / "state" / "probe-fleet" / "releases").iterdir()
        assert f"releases send {kept} --announce" in failed.out
        command = [sys.executable, "runner.py", "releases", "send", str(kept), "--announce", served.url]
        sent = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **token}, capture_output=True, check=False, timeout=60
        )
        assert sent.returncode == 0, sent.stderr
        request = urllib.request.Request(f"{served.url}/api/v1/releases", headers={"Authorization": f"Bearer {WRITE}"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            told = json.load(answer)["releases"]
    assert [one["outcome"] for one in told] == ["fail", "pass"]
    assert told[0]["cause"].startswith("session (status) in sign-in:")
    assert {one["target"] for one in told} == {failed.report["target"]}


def test_a_failed_run_is_made_again_from_its_bundle(
    tmp_path: Path,
    target: str,
    urls: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the fault it fails again in the same step (1); without it passes (0), and what differs is said."""
    with faulty(urls, "zero-price"):
        done = smoke(tmp_path, "--target", target, "--scenario", "quote")
        (bundle,) = done.report["bundles"]
        call = Runner(tmp_path, monkeypatch, capsys)
        again = call("replay", bundle, "--target", target)
    assert again.code == 1, again.err
    assert "AGAIN: price failed (assertion): unit price: expected above 0, found 0.0" in again.said
    assert "Circumstances that differ: nothing" in again.said
    otherwise = call("replay", bundle, "--target", target)
    assert otherwise.code == 0, otherwise.err
    assert "NOT AGAIN: quote passes now" in otherwise.said
    assert "failed step: none here, price there" in otherwise.said


def test_a_fault_of_a_tenth_of_the_requests_fails_within_some_rounds(
    tmp_path: Path, target: str, urls: dict[str, str]
) -> None:
    """The rounds that it takes are said, and the report shows what the passing runs had otherwise."""
    with faulty(urls, "error-5xx:route=health.web@0.1", seed=2):
        done = smoke(tmp_path, "--target", target, "--scenario", "web-health")
    assert done.code == 1, done.out + done.err
    assert "web-health (status) in web-health" in done.report["headline"]
    check = done.checks["web-health"]
    assert check["failures"] < check["rounds"] < 60
    failing = [run for run in done.report["runs"] if run["record"]["outcome"] == "fail"]
    assert any("503 here, 200 there" in line for run in failing for line in run["difference"])


def test_a_slower_candidate_fails_beside_the_baseline(tmp_path: Path, target: str, urls: dict[str, str]) -> None:
    """150 ms more in its requests: the ranks know at the first look, and no check has failed.

    The baseline is the same stand-in, asked at another route, which the fault leaves alone.
    """
    (tmp_path / "other").mkdir()
    other = str(write_target(tmp_path / "other", urls, (SLOWED_ROUTE, "")))
    with faulty(urls, "slow:route=health.web,ms=150"):
        done = smoke(tmp_path, "--target", target, "--baseline", other, "--scenario", "web-health", *QUICK)
    assert done.code == 1, done.out + done.err
    assert done.report["headline"].startswith(f"FAIL: slower than {other}: web-health web-health: p95 ")
    assert done.checks["web-health"]["failures"] == 0
    (step,) = done.report["steps"]
    assert step["looks"][-1]["rounds"] == len(step["candidate_ns"]) == 20
    assert len(step["baseline_ns"]) == 40


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A collector's file with 120 quick runs of web-health in the last two hours."""
    file = tmp_path_factory.mktemp("past") / "past.db"
    now = datetime.now(UTC).replace(microsecond=0)
    runs = [
        replace(
            make_run(make_step("web-health", 20_000_000 + number * 50_000), scenario="web-health", number=number),
            identity=RunIdentity("local", "local", "probe", "web-health", now - timedelta(minutes=number)),
            scheduled_at=now - timedelta(minutes=number),
            started_at=now - timedelta(minutes=number),
        )
        for number in range(1, 121)
    ]

    async def fill() -> None:
        async with open_store(str(file)) as store:
            await store.scores.begin(Scorer.of(load_set()))
            probe = Address("local", "local", "probe")
            await store.file([deliver([run_entry(run) for run in runs], probe=probe, received_at=now)])

    asyncio.run(fill())
    return str(file)


def test_the_last_days_of_the_collector_are_loaded_as_a_baseline(tmp_path: Path, target: str, database: str) -> None:
    """All that passed is compared with, nothing runs beside, and a scenario with too short a past is refused."""
    past = ("--baseline", "1d", "--database", database, "--target", target)
    done = smoke(tmp_path, *past, "--scenario", "web-health", "--max-rounds", "1")
    assert done.code == 4, done.out + done.err
    assert (done.report["baseline"], len(done.report["steps"][0]["baseline_ns"])) == ("the last day of stand-in", 120)
    assert not any(run["baseline"] for run in done.report["runs"])
    refused = smoke(tmp_path, *past, "--scenario", "sign-in")
    assert refused.code == 2
    assert "sign-in passed 0 times against stand-in in the last day" in refused.err


@pytest.mark.slow
def test_a_candidate_slower_than_the_last_days_fails(
    tmp_path: Path, target: str, urls: dict[str, str], database: str
) -> None:
    """150 ms more than yesterday: found without any run beside."""
    past = ("--baseline", "1d", "--database", database, "--target", target)
    with faulty(urls, "slow:ms=150"):
        done = smoke(tmp_path, *past, "--scenario", "web-health", *QUICK)
    assert done.code == 1, done.out + done.err
    assert "FAIL: slower than the last day of stand-in: web-health web-health: p95 " in done.report["headline"]


def test_rounds_that_do_not_suffice_leave_it_undecided(tmp_path: Path, target: str) -> None:
    """Exit code 4, and it was said before the start that nothing could pass."""
    done = smoke(tmp_path, "--target", target, "--scenario", "web-health", "--max-rounds", "3")
    assert done.code == 4, done.out + done.err
    assert "It cannot pass anything: 3 rounds are fewer than the 102" in done.out
    assert done.report["headline"].startswith("UNDECIDED: 3 rounds did not suffice, 1 of 1 check not decided")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_tells_what_it_knew_and_leaves_nothing_behind(
    tmp_path: Path, target: str, number: signal.Signals
) -> None:
    """Exit code 4, a report, and of what was made on the platform how much was removed."""
    report = tmp_path / "gate.json"
    with subprocess.Popen(
        [sys.executable, "runner.py", "smoke", "--target", target, "--scenario", "cad-small", "--json", str(report)],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        kept = tmp_path / "probe-fleet" / "runs"
        until(lambda: any(kept.glob("*.json")) or process.poll() is not None, "first run")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4, out + err
    found = json.loads(report.read_bytes())
    assert found["headline"].startswith("UNDECIDED: interrupted, 1 of 1 check not decided")
    effects = [effect for run in found["runs"] for effect in run["record"].get("side_effects", ())]
    assert effects
    assert {effect["fate"] for effect in effects} == {"deleted"}
    assert f"made {len(effects)} objects: {len(effects)} deleted" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("smoke", "--exclude", "0"), "not a share"),
        (("smoke", "--exclude", "150%"), "not a share"),
        (("smoke", "--exclude", "0.05%"), "not above what is usual"),
        (("smoke", "--alpha", "1e-400"), "not a share"),
        (("smoke", "--max-rounds", "0"), "whole number from 1"),
        (("smoke", "--concurrency", "9"), "whole number from 1 to 8"),
        (("smoke", "--max-time", "soon"), "not a duration"),
        (("smoke", "--baseline", "nowhere"), "unknown target"),
        (("smoke", "--scenario", "no-such"), "no scenario"),
        (("smoke", "--html", "/no/such/folder/x.html"), "does not exist"),
        (("list", "--exclude", "3%"), "goes with smoke"),
    ],
)
def test_terms_that_make_no_test_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    """Exit code 2, what is wrong and where, before anything ran."""
    call = Runner(tmp_path, monkeypatch, capsys)
    outcome = call(*words)
    assert outcome.code == 2
    assert said in outcome.said


def gate_row(folder: Path, target: str, row: FaultRow) -> Smoke:
    """The gate over some scenarios that the row fails; of rows whose runs end by a deadline over one."""
    chosen = list(row.fails)[: 1 if row.waits else 3]
    scenarios = [word for name in chosen for word in ("--scenario", name)]
    return smoke_process(folder, "--target", target, *scenarios, "--max-time", "120s", deadline_s=280)


CAUGHT = [row for row in ROWS if row.fails and not row.tls and "restore-drill" not in row.fails]
RATED = [(row, rate) for row in CAUGHT for rate in ("", "@0.1") if not rate or FAULTS[row.name].takes_rate]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("row", "rate"), RATED, ids=[f"{row}{rate}" for row, rate in RATED])
def test_every_named_fault_is_caught_and_named(
    tmp_path: Path, target: str, urls: dict[str, str], row: FaultRow, rate: str
) -> None:
    """At 100 % the release fails with a cause of the row; at 10 % it never passes, and a cause that is named is the row's."""
    with faulty(urls, row.fault + rate):
        done = gate_row(tmp_path, target, row)
    endings = {(step, ending.kind) for ending in row.fails.values() for step in (ending.step, ending.then) if step}
    rounds = {name: check["rounds"] for name, check in done.checks.items()}
    print(f"{row}{rate}: exit {done.code} after {rounds}: {done.report.get('headline', done.err)}")  # noqa: T201 - the table
    assert done.code in ((1, 4) if rate else (1,)), done.out + done.err
    if done.code == 1:
        headline = done.report["headline"]
        assert any(headline.startswith(f"FAIL: {step} ({kind.value}) in ") for step, kind in endings), headline
