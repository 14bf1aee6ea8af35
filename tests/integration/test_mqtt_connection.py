"""Connecting says what is wrong and leaves nothing behind, whoever is at the other end."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
import trustme
from iotcore import Broker as OldBroker
from pydantic import SecretStr

from collector.mosquitto import probe_username
from probes import mqtt, mqtt_connection
from probes.errors import OperatorError
from probes.mqtt import BrokerAddress, BrokerUnavailableError, open_client
from tests.broker_kit import (
    DEADLINE_S,
    PROBES,
    Mosquitto,
    issue_certificate,
    make_certificates,
    make_mosquitto,
    running,
    until,
    without_user,
)
from tests.free_ports import free_port

PROBE = PROBES[0]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    """Every test here: no task and no thread stays behind (the resolver's threads belong to the loop)."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    yield
    # The servers of these tests are no part of the promise: they hear of an end some turns of the loop after it.
    await until(lambda: not [task for task in asyncio.all_tasks() - tasks if "guarded" in repr(task)])
    assert not asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not {one for one in set(threading.enumerate()) - threads if not one.name.startswith("asyncio_")}


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running one."""
    broker = make_mosquitto(tmp_path)
    with running(broker):
        yield broker


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server whose every byte the test decides; its port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def failure_of(address: BrokerAddress) -> BrokerUnavailableError:
    """Why no connection comes about; soon."""
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BrokerUnavailableError) as caught:
            async with open_client(address, client_id="p"):
                pass
    return caught.value


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read a login and close."""
    await reader.read(100)


async def keep_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read whatever comes and say nothing."""
    while await reader.read(65_536):
        pass


async def test_a_broker_that_speaks_only_3_1_1_is_spoken_to_in_it() -> None:
    """Iotcore without a configuration hangs up on MQTT 5; the older version follows at once."""
    with OldBroker(port=free_port(), listen="127.0.0.1") as broker:
        async with asyncio.timeout(mqtt_connection.ANSWER_TIMEOUT_S):
            async with open_client(BrokerAddress(f"mqtt://127.0.0.1:{broker.port}"), client_id="p") as client:
                assert client.version is aiomqtt.ProtocolVersion.V311
                await client.publish_soon("somewhere", b"something")


async def test_a_broker_that_hangs_up_is_told_from_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both versions are tried; the error says what happened, and the first needs no time-out to show."""
    async with serving(hang_up) as port:
        error = await failure_of(BrokerAddress(f"mqtt://127.0.0.1:{port}"))
    assert "closed before our login was answered" in str(error)
    monkeypatch.setattr(mqtt_connection, "ANSWER_TIMEOUT_S", 0.05)
    async with serving(keep_silent) as port:
        error = await failure_of(BrokerAddress(f"mqtt://127.0.0.1:{port}"))
    assert "no answer to our login within 0.05 s" in str(error)


async def test_a_wrong_password_and_an_unknown_user_are_told(mosquitto: Mosquitto) -> None:
    """The error names the user and what to check, and never the password."""
    wrong = replace(mosquitto.as_probe(PROBE), password=SecretStr("a-wrong-secret"))
    error = await failure_of(wrong)
    assert "the broker refuses eu-west/probe-1" in error.what
    assert "password" in error.remedy
    assert "a-wrong-secret" not in f"{error}{error!r}{wrong!r}"
    assert "refuses us without a user name" in (await failure_of(without_user(wrong))).what
    assert "refuses nobody" in (await failure_of(replace(wrong, username="nobody"))).what


async def test_an_expired_certificate_of_the_broker_is_told(tmp_path: Path) -> None:
    """In words, not in OpenSSL's."""
    with running(make_mosquitto(tmp_path, expired=True)) as broker:
        error = await failure_of(broker.as_probe(PROBE))
    assert error.what == "the broker's certificate has expired"


async def test_a_broker_of_another_authority_is_not_trusted(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The system's trust store alone, or another authority's file: no connection, and never without the check."""
    assert "is not trusted" in (await failure_of(replace(mosquitto.as_probe(PROBE), ca_file=None))).what
    other = make_certificates(tmp_path / "other")
    assert "is not trusted" in (await failure_of(replace(mosquitto.as_probe(PROBE), ca_file=other))).what
    by_number = replace(mosquitto.as_probe(PROBE), url=f"mqtts://127.0.0.1:{mosquitto.plan.port}")
    assert "is not trusted" in (await failure_of(by_number)).what


async def test_a_second_client_of_our_name_is_told(mosquitto: Mosquitto) -> None:
    """Two processes with one name cut each other off. Mosquitto 2.0.11 does not say why over TLS: the remedy names it."""
    address = mosquitto.as_probe(PROBE)

    async def be_replaced() -> None:
        async with open_client(address, client_id="p") as client, open_client(address, client_id="q"):
            await anext(client.messages)

    with pytest.raises(
        BrokerUnavailableError, match=r"two processes may use one name|another client has connected under our name"
    ):
        async with asyncio.timeout(DEADLINE_S):
            await be_replaced()


async def test_tls_with_a_port_that_has_none_is_told(mosquitto: Mosquitto) -> None:
    """And the other way round."""
    async with serving(hang_up) as port:
        error = await failure_of(replace(mosquitto.as_probe(PROBE), url=f"mqtts://localhost:{port}"))
    assert "no TLS with the broker" in error.what or "cannot be reached" in error.what
    error = await failure_of(replace(mosquitto.as_probe(PROBE), url=f"mqtt://localhost:{mosquitto.plan.port}"))
    assert "before our login was answered" in error.what


async def test_a_certificate_proves_who_we_are_and_an_expired_one_does_not(tmp_path: Path) -> None:
    """The common name is the user name; without a valid certificate the broker's reason is passed on."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    username = probe_username(PROBE)
    issue_certificate(authority, tmp_path / "good", "probe-1.test", common_name=username)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issue_certificate(authority, tmp_path / "old", "probe-1.test", common_name=username, not_after=yesterday)
    broker = make_mosquitto(tmp_path)
    broker.plan = replace(broker.plan, client_authority_file=tmp_path / "clients.pem")
    with running(broker):
        bare = BrokerAddress(f"mqtts://localhost:{broker.plan.port}", ca_file=broker.ca_file)
        good = replace(bare, certificate_file=tmp_path / "good.pem", key_file=tmp_path / "good.key")
        async with open_client(good, client_id="p") as client:
            await client.publish_soon(PROBE.topic("results"), b"mine")
        old = replace(bare, certificate_file=tmp_path / "old.pem", key_file=tmp_path / "old.key")
        assert "expired" in (await failure_of(old)).what.lower()
        assert "certificate" in str(await failure_of(bare)).lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://host:1",
        "mqtt://",
        "mqtt://user:geheim@host",
        "mqtt://host/path",
        "mqtt://host:x",
        "mqtt://host:0",
        "host:1883",
        "mqtt://host:99999",
        "mqtt://[::1",
        "mqtt://host?x=1",
    ],
)
async def test_what_is_no_address_of_a_broker_is_refused(url: str) -> None:
    """Before anything is connected, with the form to write; a password in it is not repeated."""
    with pytest.raises(OperatorError, match="is not the address of a broker") as caught:
        async with open_client(BrokerAddress(url), client_id="p"):
            pass
    assert "geheim" not in str(caught.value)


async def test_certificates_that_cannot_be_read_are_a_persons_to_correct(tmp_path: Path) -> None:
    """A missing file, or one that is no certificate, is named."""
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for ca_file in (tmp_path / "missing.pem", nothing):
        with pytest.raises(OperatorError, match=ca_file.name):
            async with open_client(BrokerAddress("mqtts://localhost:1", ca_file=ca_file), client_id="p"):
                pass


async def test_a_name_that_does_not_exist_is_told() -> None:
    """Not as a number of the C library."""
    assert "name cannot be resolved" in (await failure_of(BrokerAddress("mqtt://broker.invalid:1883"))).what


@pytest.mark.parametrize("phase", ["handshake", "login", "connected"])
async def test_cancelling_is_quick_and_leaves_nothing(phase: str, tmp_path: Path) -> None:
    """In the middle of a handshake, of a login, or on a connection to a broker that has stopped reading."""
    make_certificates(tmp_path)
    scheme = "mqtts" if phase == "handshake" else "mqtt"
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if phase == "connected":
            writer.write(b"\x20\x03\x00\x00\x00")
        arrived.set()
        await asyncio.get_running_loop().create_future()

    async def connect(port: int) -> None:
        address = BrokerAddress(f"{scheme}://localhost:{port}", ca_file=tmp_path / "ca.pem")
        async with open_client(address, client_id="p") as client:
            for _ in range(64):
                client.publish_soon("somewhere", bytes(1 << 20))
            await asyncio.get_running_loop().create_future()

    async with serving(talk) as port:
        task = asyncio.create_task(connect(port))
        await asyncio.wait_for(arrived.wait(), DEADLINE_S)
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(8):  # the library takes ten seconds
            await asyncio.wait([task])
        assert task.cancelled()
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            if "guarded" in repr(other):
                other.cancel()
                await asyncio.wait([other])


def test_the_limits_are_what_the_documents_say() -> None:
    """docs/reference/topics-and-payloads.md names these."""
    assert (mqtt.KEEPALIVE_S, mqtt.CONNECT_TIMEOUT_S, mqtt_connection.ANSWER_TIMEOUT_S) == (15, 10.0, 10.0)
