"""What is kept beside the record of a run over HTTP."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from probes.evidence import EvidenceMode, EvidenceStore
from probes.journey import Journey
from probes.records import Outcome, Run
from tests.journey_kit import open_target, run_script


def files_in(folder: Path) -> list[Path]:
    """Everything below the folder."""
    return sorted(folder.rglob("*"))


async def run_asking(folder: Path, mode: EvidenceMode, path: str) -> Run:
    """One request with a token, at this path, with this mode of evidence."""

    async def script(probe: Journey) -> None:
        token = probe.hide("s3cret-token")
        async with probe.step("ask"):
            await probe.request(
                "GET", f"{target.url}{path}?token={token}", headers={"Authorization": f"Bearer {token}"}
            )

    async with open_target() as target:
        return await run_script(script, target.url, evidence=EvidenceStore(folder, mode=mode))


async def test_a_failed_run_keeps_what_was_said_without_its_secrets(tmp_path: Path) -> None:
    """A HAR with headers, times and body, and the last answer; every file as the record says."""
    run = await run_asking(tmp_path, EvidenceMode.FAILURES, "/status/500")
    assert run.outcome is Outcome.FAIL
    assert {item.kind for item in run.evidence} == {"har", "body"}
    for item in run.evidence:
        data = (tmp_path / item.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (item.file_bytes, item.sha256)
        assert b"s3cret" not in data
    [har] = [item for item in run.evidence if item.kind == "har"]
    [entry] = json.loads((tmp_path / har.path).read_bytes())["log"]["entries"]
    assert entry["response"]["status"] == 500
    assert entry["response"]["content"]["text"] == "as you asked"
    assert "x-request-id" in {header["name"] for header in entry["request"]["headers"]}


async def test_a_passed_run_keeps_nothing_unless_asked(tmp_path: Path) -> None:
    """The default is for failures; `always` keeps every run's."""
    assert (await run_asking(tmp_path, EvidenceMode.FAILURES, "/ok")).evidence == ()
    assert files_in(tmp_path) == []
    assert len((await run_asking(tmp_path, EvidenceMode.ALWAYS, "/ok")).evidence) == 2


async def test_nothing_is_kept_when_nothing_is_wanted(tmp_path: Path) -> None:
    """Mode `never`: no file, no folder."""
    run = await run_asking(tmp_path, EvidenceMode.NEVER, "/status/500")
    assert run.evidence == ()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("path", ["/ok", "/status/500"])
async def test_a_folder_that_cannot_be_written_changes_no_outcome(tmp_path: Path, path: str) -> None:
    """The problem is noted in the record, and the measurement stands."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder", encoding="utf-8")
    run = await run_asking(in_the_way, EvidenceMode.ALWAYS, path)
    assert run.outcome is (Outcome.PASS if path == "/ok" else Outcome.FAIL)
    assert "was not kept" in str(run.attributes["evidence.problems"])
    assert run.evidence == ()


async def test_evidence_that_cannot_be_put_together_does_not_cost_the_finding(tmp_path: Path) -> None:
    """Only failed runs keep any: a slip in here would make outages vanish, and nothing else."""

    async def script(probe: Journey) -> None:
        probe.hide("::1]")  # what is left of the address in the record is no URL
        async with probe.step("ask"):
            await probe.request("GET", "http://[::1]:9/")

    run = await run_script(script, evidence=EvidenceStore(tmp_path))
    assert run.failed_step == "ask"
    assert run.failure is not None
    assert "cannot connect" in run.failure.message
    assert "what was said over HTTP was not kept: ValueError" in str(run.attributes["evidence.problems"])


async def test_the_time_of_evidence_is_not_the_platforms(tmp_path: Path) -> None:
    """It is written after the last border and after the end of the run."""
    more_ns = []
    for _ in range(5):  # a busy host may take its part of some of them
        run = await run_asking(tmp_path, EvidenceMode.ALWAYS, "/ok")
        [step] = run.steps
        [exchange] = step.exchanges
        more_ns.append(step.duration_ns - exchange.phases.total_ns)
        assert run.duration_ns >= step.started_ns + step.duration_ns
    assert min(more_ns) < 50e6, more_ns


async def test_what_is_kept_of_a_long_poll_is_bounded(tmp_path: Path) -> None:
    """The latest two hundred exchanges."""

    async def script(probe: Journey) -> None:
        async with probe.step("poll"):
            for _ in range(210):
                await probe.request("GET", f"{target.url}/ok")

    async with open_target() as target:
        run = await run_script(script, target.url, evidence=EvidenceStore(tmp_path, mode=EvidenceMode.ALWAYS))
    [har] = [item for item in run.evidence if item.kind == "har"]
    assert len(json.loads((tmp_path / har.path).read_bytes())["log"]["entries"]) == 200
