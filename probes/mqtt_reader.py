"""Bytes from a broker to packets: cuts them up, and reads the two kinds that come with every batch. Pure.

The library reads a packet in three system calls and unpacks it into a dozen objects, which costs a probe as much as all that it
does with the packet. Here whatever has come is cut up at once; only a PUBLISH and a PUBACK that says nothing but yes are
read, everything else goes to the library as it came.

Source: MQTT 5.0 and 3.1.1, sections 2.1.4 (lengths), 3.3 (PUBLISH), 3.4 (PUBACK). Called by `probes.mqtt_connection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["PUBACK", "PUBLISH", "Arrived", "BrokenPacketError", "PacketCutter", "confirmed_number", "published"]

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
KIND: Final = 0xF0
RETAIN: Final = 0x01
MAX_LENGTH_BYTES: Final = 4
MORE: Final = 0x80
SUCCESSES_BELOW: Final = 0x80
"""Reason codes from here on are failures. Source: MQTT 5.0, section 2.4."""


class BrokenPacketError(ValueError):
    """What came is not MQTT; nothing after it can be believed."""


class Arrived(NamedTuple):
    """A message with QoS 0 or 1; `number` is that to confirm it by, 0 with QoS 0."""

    topic: str
    payload: bytes
    number: int
    is_retained: bool


class PacketCutter:
    """Takes bytes as they come, gives whole packets: the first byte and what follows the length."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are whole now. Raises BrokenPacketError; to be used up before it is called again."""
        if self._rest:
            data = self._rest + data
        start = 0
        while (borders := body_of(data, start)) is not None:
            first, end = borders
            yield data[start], data[first:end]
            start = end
        self._rest = data[start:]


def body_of(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends; None while it is not all there."""
    length, at = 0, start + 1
    for place in range(MAX_LENGTH_BYTES):
        if at >= len(data):
            return None
        byte = data[at]
        at += 1
        length |= (byte & ~MORE) << (7 * place)
        if byte < MORE:
            return (at, at + length) if at + length <= len(data) else None
    message = "a packet's length has more than four bytes"
    raise BrokenPacketError(message)


def published(first_byte: int, body: bytes, *, has_properties: bool) -> Arrived | None:
    """The message of a PUBLISH; None where it wants more than to be handed over, or breaks a rule: let the library look."""
    qos = (first_byte >> 1) & 3
    at = 2 + (body[0] << 8 | body[1]) if len(body) > 2 else 0
    if qos > 1 or not 2 < at <= len(body) - 2 * qos:
        return None
    try:
        topic = body[2:at].decode()
    except UnicodeDecodeError:
        return None
    number = 0
    if qos:
        number = body[at] << 8 | body[at + 1]
        at += 2
    if has_properties:
        if at >= len(body) or body[at] >= MORE:
            return None  # more than 127 bytes of them
        at += 1 + body[at]
    if at > len(body) or (qos and not number):
        return None
    return Arrived(topic, body[at:], number, bool(first_byte & RETAIN))


def confirmed_number(body: bytes) -> int:
    """The number in a PUBACK that says yes; 0 where it says no, or more than that: let the library look."""
    if len(body) < 2 or (len(body) > 2 and body[2] >= SUCCESSES_BELOW):
        return 0
    return body[0] << 8 | body[1]
