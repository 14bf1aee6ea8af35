"""The embedded broker is for this machine alone, comes back when it dies, and is gone when its parent is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.embedded_broker import EmbeddedBroker, embedded_broker
from probes.clock import SystemClock
from probes.errors import DependencyError
from probes.mqtt import BrokerAddress, open_client, subscribe
from tests.broker_kit import DEADLINE_S, going, running_embedded, until

ROOT = Path(__file__).parents[2]
OWNER = """
from collector.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.address.url, broker.pid, flush=True)
input()
"""


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A running one."""
    with running_embedded() as embedded:
        yield embedded


def listening(address: BrokerAddress) -> bool:
    """True when somebody takes connections there."""
    host, port, _ = address.endpoint()
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def test_it_listens_on_loopback_alone(broker: EmbeddedBroker) -> None:
    """Its own default is every interface."""
    _, port, _ = broker.address.endpoint()
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listeners = [fields[1] for fields in sockets if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")]
    assert listeners == [f"0100007F:{port:04X}"]


async def test_it_is_started_again_on_its_port_when_it_dies(broker: EmbeddedBroker) -> None:
    """Whatever ended it: clients find the next one at the same address."""
    async with going(broker.keep_running(SystemClock())):
        for _ in range(2):
            before = broker.pid
            os.kill(before, signal.SIGKILL)
            await until(lambda before=before: broker.pid not in {0, before} and listening(broker.address))  # type: ignore[misc]
    async with open_client(broker.address, client_id="p") as client:
        await client.publish_soon("somewhere", b"something")


def test_it_is_gone_when_its_parent_was_killed() -> None:
    """No orphan holds the port after kill -9 of whoever started it."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    assert owner.stdin
    url, pid = owner.stdout.readline().split()
    assert listening(BrokerAddress(url))
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    give_up_at_s = time.monotonic() + DEADLINE_S
    # A process whose first thread has ended may hold its sockets until the last one has.
    while (held := is_running(int(pid)) or listening(BrokerAddress(url))) and time.monotonic() < give_up_at_s:
        time.sleep(0.02)
    assert not held


def is_running(pid: int) -> bool:
    """True while the process is there and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_taken_port_is_told() -> None:
    """With the port, and what to do."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(DependencyError, match=f"127.0.0.1:{port}: the embedded broker does not start"):
            EmbeddedBroker(port).start()


def test_started_twice_it_runs_once(broker: EmbeddedBroker) -> None:
    """And stopped twice it is stopped."""
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    broker.stop()
    broker.stop()
    assert (broker.pid, listening(broker.address)) == (0, False)


def test_the_context_manager_stops_what_it_started() -> None:
    """Also with an error inside."""
    addresses = []
    with contextlib.suppress(KeyError), embedded_broker() as address:
        addresses.append(address)
        assert listening(address)
        raise KeyError
    assert not listening(addresses[0])


async def test_its_memory_has_a_bound(broker: EmbeddedBroker) -> None:
    """Four hundred megabytes through one topic leave it far below that: what it keeps for who lags is limited."""
    payload = os.urandom(1 << 20)
    async with open_client(broker.address, client_id="c") as there, open_client(broker.address, client_id="p") as here:
        await subscribe(there, broker.address, "big")
        async with asyncio.timeout(DEADLINE_S * 2):
            for _ in range(400):
                await here.publish_soon("big", payload)
                await anext(there.messages)
    assert resident_kb(broker.pid) < 200_000


def resident_kb(pid: int) -> int:
    """The memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
