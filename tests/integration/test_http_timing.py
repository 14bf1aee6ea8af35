"""The phases against what a target of its own process really did, one request at a time. `make bench` does it at 50 in flight."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from probes.http import FileBody, HttpEngine, TlsSettings
from tests.http_kit import make_tls

pytestmark = pytest.mark.serial

ROOT = Path(__file__).parents[2]
MEDIAN_LIMIT_MS = 1.0
REQUESTS = 9


@dataclass(frozen=True)
class TruthfulTarget:
    """The target's ports, and who signed its certificate."""

    ports: dict[str, int]
    tls: TlsSettings
    body: Path


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TruthfulTarget]:
    """`bench.target`, until the end of the file."""
    folder = tmp_path_factory.mktemp("target")
    files = make_tls(folder)
    leaf = files.authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    (folder / "body").write_bytes(bytes(1_000_000))
    command = [sys.executable, "-m", "bench.target", "--cert", str(folder / "cert.pem")]
    command += ["--key", str(folder / "key.pem")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        yield TruthfulTarget(json.loads(process.stdout.readline())["ports"], files.settings, folder / "body")


@pytest.mark.parametrize(
    ("port", "phases"),
    [
        ("plain", ("connect", "tls", "send", "wait", "receive")),
        ("late", ("connect", "wait", "receive")),
        ("tls", ("connect", "tls", "send", "wait", "receive")),
        ("body", ("connect", "send", "wait", "receive")),
    ],
)
async def test_each_phase_is_what_the_target_did(target: TruthfulTarget, port: str, phases: tuple[str, ...]) -> None:
    """Within a millisecond at the median; the waits are 10 to 40 ms, so a wait in the wrong phase cannot hide."""
    scheme = "https" if port == "tls" else "http"
    body = FileBody(target.body) if port == "body" else None
    seen = {}
    async with HttpEngine() as engine, engine.client(origin_ns=time.monotonic_ns(), tls=target.tls) as client:
        for number in range(REQUESTS):
            url = f"{scheme}://127.0.0.1:{target.ports[port]}/{port}/{number}"
            response = await client.request("PUT" if body else "GET", url, body=body, deadline_s=10)
            assert response.failure is None
            seen[f"/{port}/{number}"] = response.exchanges[0].phases
        told = await client.request("GET", f"http://127.0.0.1:{target.ports['swift']}/reports", deadline_s=10)
        reports = told.json()
    assert client.unstamped == 0
    assert isinstance(reports, dict)
    for phase in phases:
        errors = [abs(getattr(seen[path], f"{phase}_ns") - reports[path].get(phase, 0)) / 1e6 for path in seen]
        assert statistics.median(errors) < MEDIAN_LIMIT_MS, f"{phase}: {errors}"
