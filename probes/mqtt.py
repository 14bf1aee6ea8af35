"""A connection to an MQTT broker: settings in, an open client out, the library's errors translated once.

MQTT 5 first, 3.1.1 where the broker speaks no other. The client's bound on queued incoming messages stays unset: at the bound
the library drops messages that it has already acknowledged (measured with aiomqtt 2.5), and the stream's own window bounds
what can arrive.

Refuses to know topics and payloads (`probes.messages`). Called by `probes.stream` on the probe and `collector.ingest` behind
the broker.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
import structlog
from aiomqtt.exceptions import MqttConnectError
from pydantic import SecretStr

from probes.errors import DependencyError, OperatorError
from probes.mqtt_connection import Connection, DisconnectedError, LoginCutOffError, PublishRefusedError
from probes.mqtt_dial import dial

__all__ = [
    "BrokerAddress",
    "BrokerUnavailableError",
    "Connection",
    "LastWill",
    "acknowledge_at_once",
    "open_client",
    "payload_of",
    "subscribe",
]

log = structlog.get_logger(__name__)

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
KEEPALIVE_S: Final = 15
CONNECT_TIMEOUT_S: Final = 10.0
NO_PASSWORD: Final = SecretStr("")
MAX_INFLIGHT_MESSAGES: Final = 100
REFUSED_FROM_CODE: Final = 128  # MQTT 5.0 section 3.9.3, and 0x80 in 3.1.1 section 3.9.3
# Codes of a CONNACK: 3.1.1 section 3.2.2.3 (below 128), 5.0 section 3.2.2.2.
UNSUPPORTED_PROTOCOL: Final = (1, 132)
IDENTITY_REFUSED: Final = (4, 5, 134, 135, 140)
SESSION_TAKEN_OVER: Final = 142
CLOSED_WITHOUT_A_WORD: Final = 128  # what paho makes of it
OPENSSL_EXPIRED: Final = 10


class BrokerUnavailableError(DependencyError):
    """The broker cannot be reached, refuses us, or went away; worth trying again later."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how we prove who we are; `url` is `mqtt://host[:port]` or `mqtts://host[:port]`."""

    url: str
    username: str = ""
    password: SecretStr = NO_PASSWORD
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def endpoint(self) -> tuple[str, int, bool]:
        """Host, port and whether TLS is on; raises OperatorError for anything that is not an MQTT URL."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        odd = parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or odd or port == 0:
            message = f"{without_password(self.url)!r} is not the address of a broker"
            remedy = "Write mqtt://host:1883 or mqtts://host:8883; user name and password are settings of their own"
            raise OperatorError(message, where="broker.url", remedy=remedy)
        return parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.scheme == "mqtts"


@dataclass(frozen=True, slots=True)
class LastWill:
    """What the broker says, retained, for a client that vanishes."""

    topic: str
    payload: bytes


@asynccontextmanager
async def open_client(
    address: BrokerAddress, *, client_id: str, last_will: LastWill | None = None
) -> AsyncIterator[Connection]:
    """A connected client; closed, with a proper DISCONNECT where the broker listens, on the way out.

    Raises BrokerUnavailableError when connecting fails and when the connection breaks inside the block, OperatorError for
    an address or certificates that a person must correct.
    """
    address.endpoint()
    try:
        client = await logged_in(address, client_id, last_will)
        try:
            yield client
        finally:
            await client.close()
    except aiomqtt.MqttError as error:
        raise unavailable(address, error) from error


async def subscribe(client: aiomqtt.Client, address: BrokerAddress, topic_filter: str) -> None:
    """Subscribe with QoS 1; raises BrokerUnavailableError when the broker refuses, which it does in a mere result code."""
    for code in await client.subscribe(topic_filter, qos=1):
        value = code if isinstance(code, int) else code.value
        if value >= REFUSED_FROM_CODE:
            message = f"the broker refuses the subscription to {topic_filter}"
            raise BrokerUnavailableError(message, where=address.url, remedy="Check the access rules for this user name")


def payload_of(message: aiomqtt.Message) -> bytes:
    """The bytes of a message; empty for the one that clears a retained topic."""
    payload: object = message.payload
    return payload if isinstance(payload, bytes) else b""


def acknowledge_at_once(client: aiomqtt.Client) -> None:
    """Have the kernel confirm what has come in; a connection of `open_client` does so by itself after every message."""
    if isinstance(client, Connection):
        client.confirm_at_once()


async def logged_in(address: BrokerAddress, client_id: str, last_will: LastWill | None) -> Connection:
    """A connection of the newest version that the broker speaks."""
    try:
        return await logged_in_with(aiomqtt.ProtocolVersion.V5, address, client_id, last_will)
    except aiomqtt.MqttError as error:
        if not speaks_no_mqtt_5(error):
            raise
        client = await logged_in_with(aiomqtt.ProtocolVersion.V311, address, client_id, last_will)
        log.info("mqtt.older_version", broker=address.url, version="3.1.1", because=str(error))
        return client


async def logged_in_with(
    version: aiomqtt.ProtocolVersion, address: BrokerAddress, client_id: str, last_will: LastWill | None
) -> Connection:
    """A connection of this version; raises MqttError when the broker answers otherwise, BrokerUnavailableError before that."""
    is_v5 = version is aiomqtt.ProtocolVersion.V5
    sock = await connected(address)
    client = Connection(
        sock,
        version=version,
        identifier=client_id,
        username=address.username or None,
        password=address.password.get_secret_value() or None,
        will=aiomqtt.Will(last_will.topic, last_will.payload, qos=1, retain=True) if last_will else None,
        clean_session=None if is_v5 else True,
        keepalive=KEEPALIVE_S,
        max_inflight_messages=MAX_INFLIGHT_MESSAGES,
    )
    return await client.__aenter__()


async def connected(address: BrokerAddress) -> socket.socket:
    """A socket to the broker, TLS included; raises BrokerUnavailableError."""
    host, port, with_tls = address.endpoint()
    context = tls_context(address) if with_tls else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await dial(host, port, context)
    except (OSError, UnicodeError) as error:
        what, remedy = explained(error)
        raise BrokerUnavailableError(what, where=address.url, remedy=remedy) from error


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """Server always verified; our own certificate when one is configured."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.certificate_file is not None:
            context.load_cert_chain(address.certificate_file, address.key_file)
    except OSError as error:
        message = f"the certificates for the broker cannot be read: {error}"
        where = ", ".join(str(path) for path in (address.ca_file, address.certificate_file, address.key_file) if path)
        raise OperatorError(message, where=where, remedy="Check the paths and that this user may read them") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def speaks_no_mqtt_5(error: aiomqtt.MqttError) -> bool:
    """True when the failure of a login with MQTT 5 may be because of the version: said so, hung up, or kept silent."""
    return isinstance(error, LoginCutOffError) or code_of(error) in UNSUPPORTED_PROTOCOL


def code_of(error: aiomqtt.MqttError) -> int:
    """The broker's reason as a number, -1 when it gave none: a bare number is the library's own, but for an answer to a login."""
    reason = getattr(error, "rc", None)
    if isinstance(reason, int) and not isinstance(error, MqttConnectError):
        return -1
    value = getattr(reason, "value", reason)
    return value if isinstance(value, int) else -1


def explained(error: Exception) -> tuple[str, str]:
    """What stopped us before MQTT began, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code):
            what = (
                "the broker's certificate has expired"
                if code == OPENSSL_EXPIRED
                else (f"the broker's certificate is not trusted: {error.verify_message}")
            )
            return what, "Renew the broker's certificate, or name the right authority in the setting of its CA file"
        case ssl.SSLError():
            return (
                f"no TLS with the broker: {error.reason or error}",
                "Check that this port speaks TLS, and our certificate",
            )
        case TimeoutError():
            return f"the broker does not answer within {CONNECT_TIMEOUT_S:g} s", "Check the network and the firewall"
        case ConnectionRefusedError():
            return "nobody listens there", "Start the broker, or correct the port"
        case socket.gaierror():
            return f"the broker's name cannot be resolved: {error.strerror}", "Check the name and this host's resolver"
    return f"the broker cannot be reached: {error}", "Check the network between here and the broker"


def unavailable(address: BrokerAddress, error: aiomqtt.MqttError) -> BrokerUnavailableError:
    """The library's error in our words."""
    root = error.__cause__ if isinstance(error.__cause__, aiomqtt.MqttError) else error
    user = address.username or "us without a user name"
    remedy = "Look into the broker's log if this stays"
    what = f"the connection to the broker broke: {root}"
    if isinstance(root, LoginCutOffError):
        what = str(root)
        remedy = "Check the user name and password, the client's certificate, and that this port speaks MQTT"
    elif isinstance(root, PublishRefusedError):
        what, remedy = str(root), f"Let the broker's access rules allow {user} to write there"
    elif code_of(root) in IDENTITY_REFUSED:
        what = f"the broker refuses {user}: {root}"
        remedy = "Check the user name, the password, and that its access rules allow this user its last will"
    elif isinstance(root, DisconnectedError) or code_of(root) == CLOSED_WITHOUT_A_WORD:
        what = "the broker closed the connection, or is gone"
        remedy = "If this repeats, two processes may use one name: the broker's log tells"
    elif code_of(root) == SESSION_TAKEN_OVER:
        what = "another client has connected under our name"
        remedy = "Give each probe and collector a name of its own"
    return BrokerUnavailableError(what, where=address.url, remedy=remedy)


def without_password(url: str) -> str:
    """The address with what stands before an @ left out: it may hold a password."""
    head, slashes, rest = url.partition("://")
    return f"{head}{slashes}{rest.rpartition('@')[2]}"
