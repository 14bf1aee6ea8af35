"""What tests of the release gate share: stories made by hand, faults of a stand-in, and the command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import runner
from console.gate_rounds import GateRun
from console.gate_story import GateStory
from probes.records import FailureKind, Run
from slo.latency_test import Margin
from slo.release_gate import GateTerms, ReleaseGate
from tests.runner_kit import ROOT
from tests.sample_runs import MS, STARTED_AT, make_run, make_step
from tests.system.fault_runs import plan_of

__all__ = ["Smoke", "faulty", "make_story", "smoke", "smoke_process"]

REPORT = "gate.json"


def make_story(*, failures: int = 0, message: str = "it broke", baseline: str = "", rounds: int = 120) -> GateStory:
    """A gate over two checks; the first `failures` rounds of `quote` fail in their step `price`."""
    terms = GateTerms(margin=Margin() if baseline else None)
    gate = ReleaseGate(terms, ["quote", "web-health"])
    runs: list[GateRun] = []
    for number in range(1, rounds + 1):
        for name in ("quote", "web-health"):
            if not gate.wants(name) or gate.answer() is not None:
                continue
            failing = name == "quote" and number <= failures
            runs.append(GateRun(_run(name, 2 * len(runs), message if failing else ""), number))
            gate.add_round(name, passed=not failing)
            if baseline and not failing and gate.wants_times(name):
                runs.append(GateRun(_run(name, 2 * len(runs) + 1, ""), number, is_baseline=True))
                gate.add_times(name, {"price": 100 * MS + number}, [{"price": 100 * MS + number % 7}])
    return GateStory(
        gate=gate,
        answer=gate.answer_at_the_end(),
        runs=tuple(runs),
        target="stand-in",
        baseline=baseline,
        started_at=STARTED_AT,
        elapsed_s=90.0,
        rounds=rounds,
        seed=7,
        plan=("The gate excludes that 3 % or more fail.",),
        evidence_folder="evidence",
    )


def _run(name: str, number: int, message: str) -> Run:
    kind = FailureKind.ASSERTION if message else None
    return make_run(make_step("price", kind=kind, message=message), scenario=name, number=number)


@contextmanager
def faulty(urls: Mapping[str, str], fault: str, *, seed: int = 1) -> Iterator[None]:
    """The fault switched on at a stand-in that is already up, for the length of the block."""
    _control(urls, "PUT", json.dumps({"seed": seed, "faults": [plan_of(fault)]}).encode())
    try:
        yield
    finally:
        _control(urls, "DELETE", None)


def _control(urls: Mapping[str, str], method: str, body: bytes | None) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{urls['control']}/faults", data=body, method=method, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        assert answer.status == 200


@dataclass(frozen=True, slots=True)
class Smoke:
    """How a gate ended: exit code, what it printed, and its JSON report."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    @property
    def checks(self) -> dict[str, Any]:
        """The checks of the report by name."""
        return {check["name"]: check for check in self.report["checks"]}


def smoke(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Smoke:
    """Run the gate to its end in this process, with a state folder of its own; `environ` are more variables."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in _environ(folder, environ).items():
            patch.setenv(name, value)
        code = runner.main(["smoke", "--json", str(folder / REPORT), *arguments])
    return Smoke(int(code), out.getvalue(), err.getvalue(), _report(folder))


def smoke_process(folder: Path, *arguments: str, deadline_s: float) -> Smoke:
    """The same in a process of its own, which has its deadline."""
    done = subprocess.run(
        [sys.executable, "runner.py", "smoke", "--json", str(folder / REPORT), *arguments],
        cwd=ROOT,
        env={**os.environ, **_environ(folder, None)},
        capture_output=True,
        text=True,
        check=False,
        timeout=deadline_s,
    )
    return Smoke(done.returncode, done.stdout, done.stderr, _report(folder))


def _environ(folder: Path, more: Mapping[str, str] | None) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "160", **(more or {})}


def _report(folder: Path) -> dict[str, Any]:
    """Empty when there is none: the gate did not start."""
    report = folder / REPORT
    return dict(json.loads(report.read_bytes())) if report.exists() else {}
