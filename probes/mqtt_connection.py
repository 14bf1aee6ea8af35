"""aiomqtt's client on a socket of ours: what the library leaves out between connecting, publishing and leaving.

Written against aiomqtt 2.5 with paho-mqtt 2; everything that touches their insides is in this file, for these reasons:

- The library waits ten seconds for an answer on a connection that the broker has closed. Here that ends at once, with the
  last thing that OpenSSL or the kernel said. A broker that does not know MQTT 5 closes like that (iotcore 0.4 without a
  configuration), and so does one that refuses a client's certificate under TLS 1.3, where the alert follows the handshake.
- A failed or cancelled connect leaves its socket, its reader and a task behind. Here `close` leaves nothing.
- Leaving a broker that has stopped reading takes ten seconds and then replaces the cancellation by an error of its own, which
  a loop that reconnects would take for one more break. Here leaving is bounded and raises nothing.
- A publish that the broker denies (a reason code in its PUBACK) passes for a success. Here it is a refusal.
- One publish waits for its PUBACK before the next: one batch a round trip. Here any number can be on the way.
- To write, the library wakes the loop through a pipe, as from another thread, and waits until the socket can be written to, which
  it nearly always can: three turns of the loop. Here the next turn writes, and only what is left over waits.
- To read, it takes three system calls and a dozen objects a packet, words for a log that nobody keeps, and a task for each
  message that somebody waits for. Here `probes.mqtt_reader` cuts up what has come, and `hand_over` calls whoever listens.

Refuses to know addresses and settings. Called by `probes.mqtt`. To be deleted with aiomqtt 3, once that is out of its alphas.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from probes.mqtt_reader import KIND, PUBACK, PUBLISH, BrokenPacketError, PacketCutter, confirmed_number, published

__all__ = ["Connection", "DisconnectedError", "LoginCutOffError", "PublishRefusedError"]

ANSWER_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
MANY_CALLS: Final = 1 << 30
READ_BYTES: Final = 1 << 16
Listener = Callable[[str, bytes, bool], None]
"""Takes topic, payload, and whether the message was retained."""
QUIET: Final = logging.getLogger("probes.mqtt.library")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False  # what matters of it is in our errors


class LoginCutOffError(aiomqtt.MqttError):
    """The broker closed the connection, or was silent, instead of answering our CONNECT."""


class DisconnectedError(aiomqtt.MqttError):
    """The connection is gone, and whoever listened hears nothing more."""


class PublishRefusedError(aiomqtt.MqttError):
    """The broker has received a message and will not pass it on. Source: MQTT 5.0 section 3.4.2.1."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the broker refuses a message on {topic}: {reason}")


class Connection(aiomqtt.Client):
    """A client on an open socket: `async with` logs in and leaves; what happens between is aiomqtt's, and `publish_soon`."""

    def __init__(self, sock: socket.socket, *, version: aiomqtt.ProtocolVersion, **settings: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__("broker", logger=QUIET, protocol=version, **settings)
        self.version = version
        self.max_packet_bytes = 0
        """The largest packet that the broker takes, 0 when it did not say. Source: MQTT 5.0 section 3.2.2.3.6."""
        self.pending_calls_threshold = MANY_CALLS
        self._our_socket = sock
        self._last_words = ""
        self._answers: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._cutter = PacketCutter()
        self._listener: Listener | None = None
        self._fell: asyncio.Future[None] = self._loop.create_future()
        self._client.disable_logger()
        self._client._easy_log = self._note_log  # type: ignore[assignment]  # noqa: SLF001 - words only when it matters

    async def __aenter__(self) -> Self:
        """Log in; raises MqttConnectError when refused and LoginCutOffError when there is no answer."""
        try:
            self._client._create_socket = lambda: self._our_socket  # type: ignore[method-assign]  # noqa: SLF001
            self._client_connect()
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._connected
        except TimeoutError:
            await self.close()
            raise LoginCutOffError(f"no answer to our login within {ANSWER_TIMEOUT_S:g} s") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see `close`."""
        await self.close()

    async def close(self) -> None:
        """Say goodbye if the broker listens, then let go of socket, reader and task; takes a second at most."""
        await asyncio.sleep(
            0
        )  # the library opens its reader in the next turn of the loop: closing before would leave it
        try:
            if self._is_logged_in() and not self._disconnected.done():
                self._client.disconnect()
                await asyncio.wait([self._disconnected], timeout=CLOSE_TIMEOUT_S)
        finally:
            self._client._sock_close()  # noqa: SLF001
            self._our_socket.close()
            for _, answer in self._answers.values():
                answer.cancel()
            self._answers.clear()
            for future in (self._connected, self._disconnected, self._fell):
                future.cancel()
                looked_at(future)
            if self._misc_task is not None:
                self._misc_task.cancel()
                await asyncio.gather(self._misc_task, return_exceptions=True)

    def publish_soon(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> asyncio.Future[None]:
        """Hand a message to the library and return what becomes of it: done once the broker has it (QoS 0: at once).

        The future fails with PublishRefusedError, and is cancelled when the connection closes. Raises MqttError when there
        is no connection.
        """
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "Could not publish message")
        answer: asyncio.Future[None] = self._loop.create_future()
        if qos == 0:
            answer.set_result(None)
        else:
            self._answers[info.mid] = (topic, answer)
        return answer

    async def hand_over(self, listener: Listener) -> None:
        """Call the listener with topic, payload and whether it was retained, for every message, as soon as it comes.

        Does not return: raises MqttError when the connection breaks, and whatever the listener raises. Nobody else may wait for
        `messages` meanwhile.
        """
        try:
            while not self._queue.empty():
                message = self._queue.get_nowait()
                payload: object = message.payload
                listener(message.topic.value, payload if isinstance(payload, bytes) else b"", message.retain)
            self._listener = listener
            await asyncio.wait((self._disconnected, self._fell), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listener = None
        if self._fell.done():
            self._fell.result()
        raise DisconnectedError("disconnected while listening") from self._disconnected.exception()

    def confirm_at_once(self) -> None:
        """Let the kernel confirm what it has received now, and not 40 ms later; done after whatever comes in.

        A broker that leaves Nagle's delay on (iotcore 0.4 does) holds its next small packet until the last one is confirmed
        at the TCP level: after a PUBACK that packet is the collector's acknowledgement. Linux forgets the option by itself,
        so it is set again each time. Source: tcp(7), TCP_QUICKACK. Does nothing where the system has no such option.
        """
        if hasattr(socket, "TCP_QUICKACK") and self._our_socket.fileno() >= 0:
            self._our_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    @property
    def is_encrypted(self) -> bool:
        """True with TLS."""
        return isinstance(self._our_socket, ssl.SSLSocket)

    def _is_logged_in(self) -> bool:
        return self._connected.done() and not self._connected.cancelled() and self._connected.exception() is None

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)
        most_at_once = getattr(properties, "ReceiveMaximum", client.max_inflight_messages)
        client._max_inflight_messages = min(client.max_inflight_messages, most_at_once)  # noqa: SLF001 - paho ignores it
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            words = f": {self._last_words}" if self._last_words else ""
            self._connected.set_exception(
                LoginCutOffError(f"the connection was closed before our login was answered{words}")
            )
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_open(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        sock: Any,  # noqa: ANN401
    ) -> None:
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon(self._loop.add_reader, sock.fileno(), self._read)  # in the place of the library's reader

    def _read(self) -> None:
        """Take what has come."""
        client = self._client
        try:
            while self._our_socket.fileno() >= 0:
                if self._is_logged_in():
                    if not self._take_packets():
                        return
                elif client.loop_read() != paho.MQTT_ERR_SUCCESS or not self._has_more():
                    return
        except Exception as error:  # noqa: BLE001 - a broken connection, whatever the library calls it
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _has_more(self) -> bool:
        return isinstance(self._our_socket, ssl.SSLSocket) and self._our_socket.pending() > 0

    def _take_packets(self) -> bool:
        """Read once and handle every packet that is whole; True when more is there already."""
        client = self._client
        try:
            data = self._our_socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            self._note_log(paho.MQTT_LOG_ERR, "failed to receive on socket: %s", error)
            data = b""
        if not data:
            client._loop_rc_handle(paho.MQTT_ERR_CONN_LOST)  # noqa: SLF001
            return False
        client._last_bytes_received = time.monotonic()  # noqa: SLF001 - for its keep-alive
        self.confirm_at_once()
        try:
            for first_byte, body in self._cutter.take(data):
                if not self._handled(first_byte, body) and not self._handled_by_library(first_byte, body):
                    return False
        except BrokenPacketError:
            client._loop_rc_handle(paho.MQTT_ERR_PROTOCOL)  # noqa: SLF001
            return False
        return self._has_more()

    def _handled(self, first_byte: int, body: bytes) -> bool:
        """Handle a packet if it is of the two kinds that come all the time, and needs nothing special."""
        kind = first_byte & KIND
        if kind == PUBACK:
            number = confirmed_number(body)
            if number not in self._answers:
                return False
            self._settle(number)
            return True
        if kind != PUBLISH or self._listener is None:
            return False
        arrived = published(first_byte, body, has_properties=self.version is aiomqtt.ProtocolVersion.V5)
        if arrived is None:
            return False
        try:
            self._listener(arrived.topic, arrived.payload, arrived.is_retained)
        except Exception as error:  # noqa: BLE001 - it is the listener's, and raised by `hand_over`
            self._listener = None
            self._fell.set_exception(error)
            looked_at(self._fell)
        else:
            if arrived.number:
                self._client._send_puback(arrived.number)  # noqa: SLF001
        return True

    def _settle(self, number: int) -> None:
        """What the library does with a PUBACK, without the objects that say that it was one."""
        client = self._client
        if client._out_messages.pop(number, None) is not None:  # noqa: SLF001
            client._inflight_messages -= 1  # noqa: SLF001
            if len(client._out_messages) > client._inflight_messages:  # noqa: SLF001
                client._update_inflight()  # noqa: SLF001 - others wait for their turn
        _, answer = self._answers.pop(number)
        if not answer.done():
            answer.set_result(None)

    def _handled_by_library(self, first_byte: int, body: bytes) -> bool:
        """Give a packet to the library; False when it ends the connection for it."""
        client = self._client
        client._in_packet |= {  # noqa: SLF001
            "command": first_byte,
            "remaining_length": len(body),
            "packet": bytearray(body),
        }
        try:
            code = client._packet_handle()  # noqa: SLF001
        except MalformedPacket:
            code = paho.MQTT_ERR_PROTOCOL
        finally:
            client._in_packet |= {"command": 0, "remaining_length": 0, "packet": bytearray()}  # noqa: SLF001
        return client._loop_rc_handle(code) == paho.MQTT_ERR_SUCCESS  # noqa: SLF001

    def _on_socket_register_write(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        sock: Any,  # noqa: ANN401
    ) -> None:
        if self._is_logged_in():
            self._loop.call_soon(self._write, client, sock)
        else:  # not before the alert of a refused certificate has been read: a write would lose its words
            super()._on_socket_register_write(client, userdata, sock)

    def _write(self, client: paho.Client, sock: Any) -> None:  # noqa: ANN401
        """Write what waits; the loop calls again once there is room for what is left."""
        if sock.fileno() < 0:
            return
        try:
            client.loop_write()
        except Exception as error:  # noqa: BLE001 - a broken connection, whatever the library calls it
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            return
        if client.want_write() and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write, client, sock)

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        if mid not in self._answers:
            super()._on_publish(client, userdata, mid, reason_code, properties)
            return
        topic, answer = self._answers.pop(mid)
        if answer.done():
            return
        if reason_code.is_failure:
            answer.set_exception(PublishRefusedError(topic, str(reason_code)))
            looked_at(answer)
        else:
            answer.set_result(None)

    def _note_log(self, level: int, text: str, *values: object) -> None:
        if level == paho.MQTT_LOG_ERR:
            self._last_words = text % values


def looked_at(future: asyncio.Future[None]) -> None:
    """Look at what became of a future that nobody may wait for, so that the loop does not complain of a lost error."""
    if not future.cancelled():
        future.exception()
