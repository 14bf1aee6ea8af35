"""What tests of brokers and of the stream share: brokers to start, kill and start again, and a small collector.

Both brokers have the same face, so that one contract holds them: iotcore on plain loopback, Debian's mosquitto with our own
generated configuration, which means TLS, passwords and access rules. Used by tests named broker, stream, mqtt and mosquitto.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from collector.embedded_broker import EmbeddedBroker
from collector.mosquitto import MosquittoPlan, client_name, probe_username, write_mosquitto_config
from probes.messages import Acknowledgement, Address, Hello, parse_address, parse_batch, ranges_of
from probes.mqtt import BrokerAddress, Connection, LastWill, open_client, payload_of, subscribe
from tests.free_ports import free_port

FLEET = "cnc-quote"
PROBES = (
    Address(FLEET, "eu-west", "probe-1"),
    Address(FLEET, "eu-west", "probe-2"),
    Address(FLEET, "us-east", "probe-3"),
)
COLLECTORS = ("one", "two")
DEADLINE_S = 60.0


@contextlib.contextmanager
def running_embedded() -> Iterator[EmbeddedBroker]:
    """The broker that comes with the install, on a free port; a test may stop it before."""
    embedded = EmbeddedBroker()
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


class Iotcore(EmbeddedBroker):
    """The embedded broker: everybody is anybody."""

    name = "iotcore"

    def as_probe(self, _probe: Address) -> BrokerAddress:
        """The one address."""
        return self.address

    def as_collector(self, _name: str) -> BrokerAddress:
        """The one address."""
        return self.address


@dataclass
class Mosquitto:
    """Debian's mosquitto in a folder; `settings` replace lines of the generated ones at the next start."""

    folder: Path
    plan: MosquittoPlan
    ca_file: Path
    settings: dict[str, int] = field(default_factory=dict)
    name: str = "mosquitto"
    passwords: dict[str, SecretStr] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def as_user(self, username: str) -> BrokerAddress:
        """The address with the user's password, over TLS."""
        url = f"mqtts://localhost:{self.plan.port}"
        password = self.passwords.get(username, SecretStr(""))
        return BrokerAddress(url=url, username=username, password=password, ca_file=self.ca_file)

    def as_probe(self, probe: Address) -> BrokerAddress:
        """As that probe."""
        return self.as_user(probe_username(probe))

    def as_collector(self, name: str) -> BrokerAddress:
        """As that collector."""
        return self.as_user(client_name("collector", name))

    def start(self) -> None:
        """Write the configuration, start it, wait until it listens."""
        written = write_mosquitto_config(self.plan, self.folder)
        self.passwords = {user: SecretStr(file.read_text()) for user, file in written.credential_files.items()}
        text = written.config_file.read_text()
        for name, value in self.settings.items():
            text = re.sub(rf"(?m)^{name} .*$", f"{name} {value}", text)
        written.config_file.write_text(text)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", str(written.config_file)], stderr=log, stdout=log)
        give_up_at_s = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < give_up_at_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.plan.port), timeout=1):
                return
            time.sleep(0.01)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """End it as the kernel would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Stop it in an orderly way."""
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(DEADLINE_S)


Broker = Iotcore | Mosquitto
"""A broker under test; `start` after `kill` listens on the same port."""


def make_certificates(folder: Path, *, expired: bool = False) -> Path:
    """An authority's certificate; beside it `broker.pem` and `broker.key` for localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    not_after = datetime.now(UTC) - timedelta(days=1) if expired else None
    issue_certificate(authority, folder / "broker", "localhost", not_after=not_after)
    return folder / "ca.pem"


def issue_certificate(
    authority: trustme.CA, stem: Path, *names: str, common_name: str | None = None, not_after: datetime | None = None
) -> None:
    """`stem`.pem and `stem`.key."""
    certificate = authority.issue_cert(*names, common_name=common_name, not_after=not_after)
    stem.with_suffix(".key").write_bytes(certificate.private_key_pem.bytes())
    stem.with_suffix(".pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


def make_mosquitto(folder: Path, *, expired: bool = False) -> Mosquitto:
    """Not started yet; skips the test where mosquitto is not installed."""
    if not shutil.which("mosquitto"):
        pytest.skip("mosquitto is not installed")
    ca_file = make_certificates(folder / "tls", expired=expired)
    plan = MosquittoPlan(
        probes=PROBES,
        certificate_file=folder / "tls" / "broker.pem",
        key_file=folder / "tls" / "broker.key",
        collectors=COLLECTORS,
        bind="127.0.0.1",
        port=free_port(),
        run_as="root" if os.geteuid() == 0 else "",
    )
    return Mosquitto(folder / "config", plan, ca_file)


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    """Started, and stopped whatever happens."""
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait on a condition that becomes true by itself."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def going(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is cancelled at the end; an error of its own fails the test."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class SmallCollector:
    """Acknowledges what it gets, or keeps silent; `seen` has every number it got, in order, by probe."""

    broker: BrokerAddress
    name: str = "one"
    boot: str = "b1"
    filter: str = f"fleet/v1/{FLEET}/results/+/+"
    last_will: LastWill | None = None
    silent: bool = False
    seen: dict[Address, list[int]] = field(default_factory=dict)
    batches: list[bytes] = field(default_factory=list)
    entries: list[tuple[int, str, bytes]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    client: Connection | None = None

    async def run(self) -> None:
        """Once; raises when the connection breaks."""
        async with open_client(self.broker, client_id=f"small-{self.name}", last_will=self.last_will) as client:
            self.client = client
            await subscribe(client, self.broker, self.filter)
            await self.say_hello(client)
            self.ready.set()
            async for message in client.messages:
                self.take(client, message.topic.value, payload_of(message))

    def vanish(self) -> None:
        """Lose the connection without a word, as a process that dies does."""
        assert self.client is not None
        self.client._our_socket.shutdown(socket.SHUT_RDWR)

    async def say_hello(self, client: Connection) -> None:
        """With the boot as it is now."""
        hello = Hello(collector=self.name, boot=self.boot).model_dump_json().encode()
        await client.publish_soon(f"fleet/v1/{FLEET}/hello", hello, retain=True)

    def take(self, client: Connection, topic: str, payload: bytes) -> None:
        """Note a batch and acknowledge it."""
        _, sender = parse_address(topic)
        batch = parse_batch(payload)
        numbers = [entry.seq for entry in batch.entries]
        self.seen.setdefault(sender, []).extend(numbers)
        self.batches.append(payload)
        self.entries.extend((entry.seq, entry.kind, entry.body) for entry in batch.entries)
        if not self.silent:
            answer = Acknowledgement(epoch=batch.epoch, ranges=ranges_of(numbers), collector=self.name)
            client.publish_soon(sender.topic("acks"), answer.model_dump_json().encode())


def without_user(address: BrokerAddress) -> BrokerAddress:
    """The same broker, as nobody."""
    return replace(address, username="", password=SecretStr(""))


@contextlib.asynccontextmanager
async def far_away(port: int, *, one_way_s: float) -> AsyncIterator[int]:
    """A port that leads to `port` over a link on which every byte takes that long, each way, at full bandwidth."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            loop.call_later(one_way_s, writer.write, data)
        loop.call_later(one_way_s, writer.close)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, there_writer))
        tasks.add(asyncio.create_task(carry(reader, there_writer)))
        tasks.add(asyncio.create_task(carry(there_reader, writer)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in writers:
            one.transport.abort()
        await asyncio.gather(*(one.wait_closed() for one in writers), return_exceptions=True)
