"""Upload of a 50 MB part on loopback beside curl, and what it costs in memory. Called by `bench.__main__`.

Both ends of the comparison are measured by the same judge: the target says how long the bytes took to come. Runs
alternate, so that a noisy moment hits both, and the lower quartile of each counts: the runs that others disturbed least.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.programs import start_sink
from bench.report import Findings, Goal, percentile
from probes.http import Body, FileBody, FormFile, HttpEngine, MultipartBody

__all__ = ["run"]

_PART_BYTES = 52_428_800
_RUNS = 24
_RATIO_GOAL = 1.1
_GROWTH_LIMIT_MB = 16.0
_DEADLINE_S = 60


def run() -> list[Findings]:
    """Form and plain PUT, ours and curl's."""
    findings = Findings("Upload of 50 MB on loopback", ("request", "ours MB/s", "curl MB/s", "ratio"))
    if not shutil.which("curl"):
        findings.goals.append(Goal("throughput against curl", _RATIO_GOAL, None, note="curl is not installed"))
        return [findings]
    with tempfile.TemporaryDirectory() as folder, start_sink() as port:
        part = Path(folder) / "part.step"
        with part.open("wb") as file:
            for _ in range(_PART_BYTES // 65_536):
                file.write(bytes(range(256)) * 256)
        asyncio.run(_measure(findings, part, f"http://127.0.0.1:{port}/"))
    return [findings]


async def _measure(findings: Findings, part: Path, url: str) -> None:
    form: tuple[str, Body, list[str]] = (
        "POST",
        MultipartBody((FormFile("file", part, part.name),)),
        ["-F", f"file=@{part}"],
    )
    kinds: dict[str, tuple[str, Body, list[str]]] = {"form": form, "put": ("PUT", FileBody(part), ["-T", str(part)])}
    async with HttpEngine() as engine, engine.client(origin_ns=0) as client:
        await client.request("PUT", url, body=FileBody(part), deadline_s=_DEADLINE_S)
        before_kb = _reset_peak()
        for name, (method, body, arguments) in kinds.items():
            ours, theirs = [], []
            for _ in range(_RUNS):
                response = await client.request(method, url, body=body, deadline_s=_DEADLINE_S)
                ours.append(_seconds(response.body))
                theirs.append(_seconds(_curl(arguments, url)))
            speeds = [_PART_BYTES / percentile(seconds, 0.25) / 1e6 for seconds in (ours, theirs)]
            ratio = speeds[0] / speeds[1]
            findings.rows.append((name, f"{speeds[0]:.0f}", f"{speeds[1]:.0f}", f"{ratio:.2f}"))
            findings.goals.append(Goal(f"throughput of a {name} against curl's", _RATIO_GOAL, ratio, at_least=True))
        growth_mb = (_memory_kb("VmHWM") - before_kb) / 1024
        findings.goals.append(Goal("growth of memory during the uploads, MB", _GROWTH_LIMIT_MB, growth_mb))


def _curl(arguments: list[str], url: str) -> bytes:
    # Without `Expect:` curl would wait for a 100 Continue first.
    command = ["curl", "--silent", "--show-error", "--header", "Expect:", *arguments, url]
    return subprocess.run(command, capture_output=True, check=True, timeout=_DEADLINE_S).stdout


def _seconds(body: bytes) -> float:
    return float(json.loads(body)["seconds"])


def _reset_peak() -> int:
    """Forgets the peak of this process's memory; the size now, in kB. Source: proc(5), clear_refs and status."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory_kb("VmRSS")


def _memory_kb(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)
