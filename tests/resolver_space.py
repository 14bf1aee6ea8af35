"""A space of its own with a name server of ours and the system's real resolver, and what the probes make of its answers.

`answers_in_space` starts this module again with namespaces in which loopback, `/etc/resolv.conf` and `/etc/nsswitch.conf` are its
own. There the zone `control.test` always has addresses, and `dead.test` answers as it is told for each type. Skips the test where
there can be no namespaces. Used by tests named dead zone.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import pytest

from probes.browser_load import raise_if_unanswered
from probes.clock import SystemClock
from probes.errors import DependencyError
from probes.execute import RunEnvironment, run_scenario
from probes.fitness_control import ControlTarget
from probes.fitness_responder import open_responder
from probes.http import HttpEngine
from probes.journey import Journey
from probes.registry import scenario, spec_of
from tests.target_kit import target_at

__all__ = ["answers_in_space"]

ROOT: Final = Path(__file__).parents[1]
TYPE_A, TYPE_AAAA = 1, 28
CODES: Final = {"there": 0, "none": 0, "servfail": 2, "unknown": 3}
HERE: Final = b"\x7f\x00\x00\x01"
UP: Final = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # Source: netdevice(7), IFF_UP and IFF_RUNNING
SIOCSIFFLAGS: Final = 0x8914


def answers_in_space(a: str, aaaa: str, *, later: str = "") -> dict[str, str]:
    """What a run, its control target and a page say of `www.dead.test`, in words; `later` is what follows the first answers."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    apart = ["unshare", *user, "--net", "--mount"]
    if sys.platform != "linux" or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a resolver of its own needs Linux, unshare, and the right to make namespaces")
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.resolver_space", a, aaaa, later],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


def make_space(folder: Path) -> None:
    """Bring the loopback up, and make our name server the only one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, SIOCSIFFLAGS, UP)
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"), ("nsswitch.conf", "hosts: files dns\n")):
        (folder / name).write_text(text, encoding="ascii")
        subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)


def serve(names: socket.socket, said: dict[int, str], later: str) -> None:
    """Answer every question about names; once both types of `dead.test` were asked for, as `later` says."""
    asked: set[int] = set()
    while True:
        question, asker = names.recvfrom(4096)
        end = question.index(0, 12)
        (kind,) = struct.unpack(">H", question[end + 1 : end + 3])
        is_dead = b"\x04dead\x04test" in question[12:end]
        word = said[kind] if is_dead else ("there" if kind == TYPE_A else "none")
        if later and asked == {TYPE_A, TYPE_AAAA}:
            word = later if kind == TYPE_A else "none"
        asked |= {kind} if is_dead else set()
        found = b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, 5, len(HERE)) + HERE if word == "there" else b""
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | CODES[word], 1, bool(found), 0, 0)
        names.sendto(head + question[12 : end + 5] + found, asker)


async def run_beside_control() -> dict[str, str]:
    """One run that asks `www.dead.test`, beside a control target that has a name, too."""

    @scenario("ask", timeout="20s")
    async def ask(probe: Journey) -> None:
        """Ask."""
        async with probe.step("ask"):
            await probe.request("GET", "http://www.dead.test:9/")

    async with open_responder() as here, HttpEngine() as engine:
        control = ControlTarget(
            here.replace("127.0.0.1", "www.control.test"), engine=engine, clock=SystemClock(), deadline_s=10.0
        )
        target = target_at("http://www.dead.test:9")
        environment = RunEnvironment(clock=SystemClock(), http=engine, target=target, control=control)
        run = await run_scenario(spec_of(ask), environment=environment)
        against = await control.ask()
        await control.close()
    assert run.failure is not None
    return {
        "outcome": run.outcome.value,
        "kind": run.failure.kind.value,
        "error_type": run.failure.error_type,
        "against_host": against,
    }


async def page_says() -> str:
    """What becomes of a page whose name Chromium could not look up: empty when it is the page's."""
    try:
        await raise_if_unanswered("http://www.dead.test/")
    except DependencyError as error:
        return error.what
    return ""


def main(a: str, aaaa: str, later: str) -> None:
    """Serve names, ask, and say in JSON what came of it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        make_space(Path(folder))
        names.bind(("127.0.0.1", 53))
        said = {TYPE_A: a, TYPE_AAAA: aaaa}
        threading.Thread(target=serve, args=(names, said, later), daemon=True).start()
        found = asyncio.run(run_beside_control())
        sys.stdout.write(json.dumps({**found, "page": asyncio.run(page_says())}))
        sys.stdout.flush()
        os._exit(0)  # the server's thread waits for questions


if __name__ == "__main__":
    main(*sys.argv[1:])
