"""What systemd hears from a service, over a real datagram socket, and that a service without one goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from probes.clock import SystemClock
from probes.systemd import Notices, service_manager, tell_systemd
from tests.broker_kit import until
from tests.clock import JumpingClock

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


@dataclass(slots=True)
class Listener:
    """The manager's end of the socket."""

    path: str
    socket: socket.socket
    heard: list[str]

    def lines(self) -> list[str]:
        """Everything that was said so far, line by line."""
        while True:
            try:
                self.heard += self.socket.recv(65_536).decode().split("\n")
            except BlockingIOError:
                return self.heard


@pytest.fixture
def manager() -> Iterator[Listener]:
    """A socket as systemd makes it; its path must be short."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        path = f"{folder}/notify"
        end.bind(path)
        end.setblocking(False)
        yield Listener(path, end, [])


def told_by(*, begun: bool = True, status: str = "", ending: bool = False) -> Notices:
    """A service in one state."""
    return Notices(lambda: begun, lambda: status, lambda: ending)


async def test_each_thing_is_said_once_and_the_end_for_certain(manager: Listener) -> None:
    """Begun, how it is, and that it ends; a line break in a status cannot become a message of its own."""
    begun, ending, status = False, False, "waiting"
    notices = Notices(lambda: begun, lambda: status, lambda: ending)
    async with tell_systemd({"NOTIFY_SOCKET": manager.path}, notices, clock=SystemClock()):
        await until(lambda: manager.lines() == ["STATUS=waiting"])
        begun, status = True, "well\nREADY=0"
        await until(lambda: len(manager.lines()) >= 3)
        ending = True
        await until(lambda: len(manager.lines()) >= 4)
    assert manager.lines() == ["STATUS=waiting", "READY=1", "STATUS=well READY=0", "STOPPING=1"]


async def test_a_service_that_ends_by_itself_says_so_too(manager: Listener) -> None:
    """Nobody asked it to."""
    async with tell_systemd({"NOTIFY_SOCKET": manager.path}, told_by(), clock=JumpingClock()):
        await until(manager.lines)
    assert manager.lines() == ["READY=1", "STOPPING=1"]


async def test_the_watchdog_hears_from_the_loop_well_before_its_patience_ends(manager: Listener) -> None:
    """On a clock that jumps: in each third of its time once, and oftener never."""
    clock = JumpingClock()
    environ = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    # Asked for its status in each round, the service makes room in the socket, which holds ten messages.
    notices = Notices(lambda: True, lambda: f"{bool(manager.lines())}", lambda: False)
    async with tell_systemd(environ, notices, clock=clock):
        await until(lambda: manager.lines().count("WATCHDOG=1") >= 20)
        passed_s = (clock.monotonic_ns() - 1_000_000_000) / 1e9
        fed = manager.lines().count("WATCHDOG=1")
    assert passed_s / 10 - 1 <= fed <= passed_s / 9 + 1


async def test_what_a_full_socket_did_not_take_is_said_again(manager: Listener) -> None:
    """A service whose READY got lost would be ended by systemd for not having begun."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"noise", manager.path)
    clock = JumpingClock()
    async with tell_systemd({"NOTIFY_SOCKET": manager.path}, told_by(), clock=clock):
        await until(lambda: len(clock.slept_s) >= 3)
        assert "READY=1" not in manager.heard
        await until(lambda: "READY=1" in manager.lines())


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_watch_over_another_process_is_not_ours(environ: dict[str, str], watchdog_s: float) -> None:
    """The variables are inherited; source: sd_watchdog_enabled(3)."""
    found = service_manager({"NOTIFY_SOCKET": "/run/n", **environ}, pid=7)
    assert found is not None
    assert found.watchdog_s == watchdog_s


@pytest.mark.parametrize("address", ["", "vsock:2:1", "notify"])
def test_who_is_not_there_is_not_told(address: str) -> None:
    """Started by hand, or a kind of socket that no service of this host has."""
    assert service_manager({"NOTIFY_SOCKET": address}, pid=7) is None


async def test_an_abstract_socket_is_reached() -> None:
    """The other form of the address: a name that begins with a zero byte, written as @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0probe-fleet-test-{os.getpid()}")
        end.setblocking(False)
        listener = Listener("", end, [])
        environ = {"NOTIFY_SOCKET": f"@probe-fleet-test-{os.getpid()}"}
        async with tell_systemd(environ, told_by(), clock=JumpingClock()):
            await until(listener.lines)
        assert listener.lines() == ["READY=1", "STOPPING=1"]


async def test_a_service_goes_on_when_nobody_takes_its_word(tmp_path: Path) -> None:
    """One warning, and no more."""
    clock = JumpingClock()
    notices = Notices(lambda: True, lambda: str(clock.monotonic_ns()), lambda: False)
    with capture_logs() as logs:
        async with tell_systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, notices, clock=clock):
            await until(lambda: len(clock.slept_s) >= 5)
    assert [entry["event"] for entry in logs] == ["systemd.not_told"]


@pytest.mark.parametrize(
    "words",
    [
        ["collector", "--broker", "mqtt://127.0.0.1:1", "--database", "x.db"],
        [
            "worker",
            "--region",
            "eu-west",
            "--broker",
            "mqtt://127.0.0.1:1",
            "--target",
            "stand-in",
            "--scenario",
            "api-health",
        ],
    ],
    ids=["collector", "worker"],
)
async def test_the_commands_tell_systemd_that_they_have_begun_and_that_they_end(
    manager: Listener, tmp_path: Path, words: list[str]
) -> None:
    """Also without a broker: a restart would not bring one. SIGTERM is answered before the work is put down."""
    environ = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PROBE_FLEET_COLLECTOR_HEALTH": "",
        "PROBE_FLEET_WORKER_HEALTH": "",
        "PROBE_FLEET_WORKER_STOP_S": "1",
        "PYTHONPATH": str(ROOT),
        "NOTIFY_SOCKET": manager.path,
        "WATCHDOG_USEC": "3000000",
    }
    command = [sys.executable, "-P", "-m", "runner", *words]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=log) as process,  # noqa: ASYNC220 - it takes a moment
    ):
        try:
            await until(lambda: {"READY=1", "WATCHDOG=1"} <= set(manager.lines()), DEADLINE_S)
            assert any("waiting for the broker" in line for line in manager.lines())
            process.terminate()
            await until(lambda: "STOPPING=1" in manager.lines(), DEADLINE_S)
            await until(lambda: process.poll() is not None, DEADLINE_S)
        finally:
            process.kill()
