"""Truth of the connect phase on a network that really delays a SYN. Needs root; elsewhere the row is not measured.

A network namespace of its own gets a TUN device whose other end is a small reflector: it swaps source and destination of
every packet (checksums stay valid), so that a connection to 10.77.0.2 comes back to the listener on 10.77.0.1, and holds
each SYN for a random time that it writes down. The namespace ends with the process. Called by `bench.__main__`; runs itself
inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

from bench.report import Findings, Goal, median, percentile
from bench.truth import MEDIAN_LIMIT_MS, P99_LIMIT_MS
from probes.http import HttpEngine

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parent.parent
_HERE, _THERE, _PORT = "10.77.0.1", "10.77.0.2", 8080
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SYN, _ACK = 0x02, 0x10
_LOADS = ((1, 40), (50, 400))
_DELAY_S = (0.02, 0.2)
_DEADLINE_S = 60


def run() -> list[Findings]:
    """Starts itself inside a new network namespace."""
    findings = Findings(
        "Truth of a slow connect: error against the delay of the SYN, ms", ("in flight", "median", "p99")
    )
    reason = _unable()
    if not reason:
        command = ["unshare", "--net", sys.executable, "-m", "bench.slow_connect"]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
        reason = "" if done.returncode == 0 else f"the namespace could not be used: {done.stderr.strip()[-300:]}"
    if reason:
        for in_flight, _requests in _LOADS:
            findings.goals.append(Goal(f"p99 of connect, {in_flight} in flight, ms", P99_LIMIT_MS, None, note=reason))
        return [findings]
    for in_flight, errors in json.loads(done.stdout).items():
        middle, tail = median(errors), percentile(errors, 0.99)
        findings.rows.append((in_flight, f"{middle:.3f}", f"{tail:.3f}"))
        findings.goals.append(Goal(f"median of connect, {in_flight} in flight, ms", MEDIAN_LIMIT_MS, middle))
        findings.goals.append(Goal(f"p99 of connect, {in_flight} in flight, ms", P99_LIMIT_MS, tail))
    return [findings]


def _unable() -> str:
    if os.geteuid() != 0:
        return "only root may make a network namespace with a TUN device"
    if not Path("/dev/net/tun").exists():
        return "this host has no /dev/net/tun"
    for program in ("ip", "unshare"):
        if not shutil.which(program):
            return f"{program} is not installed: apt-get install iproute2 util-linux"
    return ""


class Reflector:
    """The other end of the device. A process of its own, so that its delays are its own too."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._loop = asyncio.get_running_loop()
        self._dice = random.Random(3)  # noqa: S311 - delays, not secrets
        self.delays_ns: dict[int, int] = {}
        self._loop.add_reader(device, self._readable)

    def _readable(self) -> None:
        packet = os.read(self._device, 65_536)
        came_ns = time.monotonic_ns()
        if packet[0] >> 4 != 4:
            return
        header_bytes = (packet[0] & 15) * 4
        turned = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
        flags = packet[header_bytes + 13]
        if flags & _SYN and not flags & _ACK:
            port = struct.unpack_from("!H", packet, header_bytes)[0]
            self._loop.call_later(self._dice.uniform(*_DELAY_S), self._let_go, turned, port, came_ns)
        else:
            os.write(self._device, turned)

    def _let_go(self, packet: bytes, port: int, came_ns: int) -> None:
        self.delays_ns[port] = time.monotonic_ns() - came_ns
        os.write(self._device, packet)


async def _reflect(device: int, report: int) -> None:
    """Says a line when it is ready; when the parent closes its end of the pipe to us, the delays."""
    with contextlib.suppress(PermissionError):
        # It stands for a network, and a network does not wait for a CPU.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    reflector = Reflector(device)
    os.write(report, b"ready\n")
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    os.write(report, json.dumps(reflector.delays_ns).encode())


def _open_device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"bench0", _IFF_TUN | _IFF_NO_PI))
    for words in ("link set lo up", f"addr add {_HERE}/24 dev bench0", "link set bench0 up"):
        subprocess.run(["ip", *words.split()], check=True)
    return device


async def _connect_many(in_flight: int, requests: int) -> dict[int, int]:
    """The connect phase in nanoseconds by local port, which the server tells us: it sees it as the peer's."""
    found: dict[int, int] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            port = str(writer.get_extra_info("peername")[1]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(port) + port)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, _HERE, _PORT)
    numbers = iter(range(requests))

    dice = random.Random(4)  # noqa: S311 - staggers starts

    async def walk(engine: HttpEngine) -> None:
        await asyncio.sleep(dice.uniform(0, _DELAY_S[1]))
        for _number in numbers:
            async with engine.client(origin_ns=0) as client:
                response = await client.request("GET", f"http://{_THERE}:{_PORT}/", deadline_s=10)
                if response.failure is not None:
                    raise RuntimeError(response.failure.message)
                found[int(response.body)] = response.exchanges[0].phases.connect_ns

    async with server, HttpEngine() as engine, asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(walk(engine))
    return found


def _inside() -> None:
    """Both ends, in the namespace."""
    device = _open_device()
    errors: dict[int, list[float]] = {}
    for in_flight, requests in _LOADS:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "bench.slow_connect", "reflect", str(device), str(writing)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(device, writing)) as reflector:
            os.close(writing)
            assert reflector.stdin is not None  # noqa: S101 - for the type checker
            with os.fdopen(reading) as pipe:
                pipe.readline()
                found = asyncio.run(_connect_many(in_flight, requests))
                reflector.stdin.close()
                delays = json.load(pipe)
        errors[in_flight] = [abs(found_ns - delays[str(port)]) / 1e6 for port, found_ns in found.items()]
    print(json.dumps(errors))


if __name__ == "__main__":
    if sys.argv[1:2] == ["reflect"]:
        asyncio.run(_reflect(int(sys.argv[2]), int(sys.argv[3])))
    else:
        _inside()
