"""The stand-in as a process: it starts, stays small, limits what a part may cost, and is gone when it should be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform_kit import ROOT, StandIn, command, form_headers, part, start_stand_in, until

MEBIBYTE = 1024 * 1024
TOO_LONG = "the analysis took longer than 1.5 s"


def memory_bytes(pid: int, field: str) -> int:
    """A field of /proc/PID/status in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    """True when the process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def measures_the_bracket(stand_in: StandIn) -> bool:
    """True when an analysis still gives the right answer."""
    answer = stand_in.analyse(stand_in.uploaded(part("bracket").path, "bracket.step"))
    return answer.number("metrics.volume") == pytest.approx(27.694885, rel=1e-6)


def measures_the_bracket_in_time(stand_in: StandIn) -> bool:
    """The same under a time limit, which on a busy machine may be too short for a small part, too."""
    answer = stand_in.analyse(stand_in.uploaded(part("bracket").path, "bracket.step"))
    if answer.status == 400:
        assert answer.text("detail") == TOO_LONG
        return False
    return answer.number("metrics.volume") == pytest.approx(27.694885, rel=1e-6)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One platform with one worker, for the tests that leave it as it was."""
    with start_stand_in("--workers", "1") as found:
        yield found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_upload_is_streamed_and_measured(stand_in: StandIn) -> None:
    """A part just under the limit costs the platform little memory, and comes out as the part that it is."""
    assert measures_the_bracket(stand_in)
    Path(f"/proc/{stand_in.pid}/clear_refs").write_text("5")
    before = memory_bytes(stand_in.pid, "VmRSS")
    path = stand_in.uploaded(part("padded-52428799").path, "large.step")
    assert memory_bytes(stand_in.pid, "VmHWM") - before < 16 * MEBIBYTE
    assert stand_in.analyse(path).number("metrics.volume") == pytest.approx(27.694885, rel=1e-6)


def test_a_part_that_takes_too_long_or_too_much_costs_its_sender_only() -> None:
    """400 with the reason for both; the process that was killed is replaced, and the next part is measured."""
    with start_stand_in("--workers", "1", "--analysis-timeout", "1.5") as stand_in:
        slow = stand_in.analyse(stand_in.uploaded(part("waffle-5m").path, "slow.step"))
        assert (slow.status, slow.text("detail")) == (400, TOO_LONG)
        until(lambda: measures_the_bracket_in_time(stand_in), "analysis of a small part", deadline_s=90)
    with start_stand_in("--workers", "1", "--analysis-memory", "700") as stand_in:
        greedy = stand_in.analyse(stand_in.uploaded(part("relief-stl-500000").path, "greedy.stl"))
        assert greedy.status == 400
        assert "memory" in greedy.text("detail") or "ended before" in greedy.text("detail")
        assert measures_the_bracket(stand_in)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_a_warm_process_the_first_part_starts_one() -> None:
    """`--warm 0`: whoever sends no part pays for no kernel, and a part that comes is measured as ever."""
    with start_stand_in("--warm", "0") as stand_in:
        assert children(stand_in.pid) == []
        assert measures_the_bracket(stand_in)
        assert len(children(stand_in.pid)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_measuring_process_that_dies_is_replaced(stand_in: StandIn) -> None:
    """Whoever kills it: the next analysis is right, and nobody sees a 5xx."""
    (worker,) = children(stand_in.pid)
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in children(stand_in.pid), "end of the killed worker")
    assert measures_the_bracket(stand_in)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_everything_it_started(number: int, tmp_path: Path) -> None:
    """Exit code 0, no process left, no file left, and the ports are free, even while an upload hangs."""
    with start_stand_in("--data-dir", str(tmp_path), "--fault", "stall", "--workers", "1") as stand_in:
        started = children(stand_in.pid)
        assert started
        with contextlib.closing(stand_in.connection("api")) as hanging:
            hanging.putrequest("POST", "/storage/upload")
            for name, value in {**form_headers(), "Content-Length": "1000"}.items():
                hanging.putheader(name, value)
            hanging.endheaders(b"x" * 900)
            stand_in.process.send_signal(number)
            assert stand_in.process.wait(60) == 0
        assert all(is_gone(pid) for pid in started)
        assert list(tmp_path.iterdir()) == []
        with contextlib.closing(stand_in.connection("api")) as refused, pytest.raises(ConnectionRefusedError):
            refused.connect()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_ends_when_its_parent_dies() -> None:
    """With --exit-with-parent, killing the parent outright leaves neither the platform nor its workers."""
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    arguments = [sys.executable, "-c", script, *command("--exit-with-parent", "--workers", "1")]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(json.loads(parent.stdout.readline())["pid"])
        left = [pid, *children(pid)]
        assert len(left) == 2
        parent.kill()
        parent.wait()
        until(lambda: all(is_gone(one) for one in left), "end of the orphaned platform")


def test_tls_is_trusted_through_its_own_authority_and_expires_on_demand() -> None:
    """Every site shows a certificate for loopback; the fault makes the same sites show one that has expired, and back."""
    with start_stand_in("--tls", "--warm", "0") as stand_in:
        assert len(stand_in.spki) == 1
        for site in ("api", "web", "cad", "host"):
            assert stand_in.urls[site].startswith("https://127.0.0.1:")
            assert stand_in.call("GET", site, "/health").status in (200, 404)
        with stand_in.fault("tls-expired"), pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            stand_in.call("GET", "api", "/health")
        assert stand_in.call("GET", "api", "/health").status == 200


def test_the_rate_limit_is_kept_per_route() -> None:
    """The fourth of three allowed requests answers 429 and says when to come back; another route is not affected."""
    with start_stand_in("--rate-limit", "3", "--warm", "0") as stand_in:
        statuses = [stand_in.call("GET", "web", "/health").status for _ in range(6)]
        # A minute may begin in between; then three more are allowed.
        assert statuses.count(429) >= 1 or statuses == [200] * 6
        assert 429 not in statuses[:3]
        assert stand_in.call("GET", "web", "/api/health").status == 200


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--fault", "slwo"), "did you mean 'slow'"),
        (("--fault", "slow:ms"), "is not key=value"),
        (("--fault", "slow@often"), "is not a number"),
        (("--fault", "tls-expired"), "add --tls"),
        (("--fault", "stall", "--fault", "stall"), "given twice"),
        (("--rate-limit", "0"), "at least 1"),
        (("--port", "70000"), "not between"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(arguments: tuple[str, ...], hint: str) -> None:
    """Exit code 2 and a message that names the argument; nothing on stdout."""
    ended = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert hint in ended.stderr


def test_a_port_that_is_taken_is_named(stand_in: StandIn) -> None:
    """Two platforms do not share a port: the second one says which it wanted, and ends."""
    taken = stand_in.urls["control"].rpartition(":")[2]
    arguments = command("--control-port", taken)
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, f"port {taken}" in ended.stderr) == (2, True), ended.stderr
