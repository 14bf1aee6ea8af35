"""Packets out of a stream of bytes: the same however the network cut it, and read as the library reads them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt import client as paho

from probes.mqtt_reader import BrokenPacketError, PacketCutter, confirmed_number, published

topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=30)
numbers = st.integers(1, 65_535)
USER_PROPERTY = b"\x26\x00\x03who\x00\x02me"
"""Source: MQTT 5.0, section 3.3.2.3.7."""


def length_of(size: int) -> bytes:
    """A remaining length as MQTT writes it. Source: MQTT 5.0, section 1.5.5."""
    digits = b""
    while True:
        size, digit = divmod(size, 128)
        digits += bytes([digit | (0x80 if size else 0)])
        if not size:
            return digits


def packet(first_byte: int, body: bytes) -> bytes:
    """A whole packet."""
    return bytes([first_byte]) + length_of(len(body)) + body


def body_of(topic: str, number: int, properties: bytes | None, payload: bytes) -> bytes:
    """What a PUBLISH has behind its length; `number` is 0 with QoS 0, `properties` None before MQTT 5."""
    name = topic.encode()
    parts = [len(name).to_bytes(2, "big"), name, number.to_bytes(2, "big") if number else b""]
    return b"".join([*parts, b"" if properties is None else length_of(len(properties)) + properties, payload])


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=6),
    st.lists(st.integers(0, 2_000), max_size=8),
)
def test_packets_are_the_same_however_the_stream_was_cut(packets: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Byte by byte or all at once: each packet comes once, whole, in its order."""
    stream = b"".join(packet(*one) for one in packets)
    borders = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    cutter = PacketCutter()
    found = [one for start, end in pairwise(borders) for one in cutter.take(stream[start:end])]
    assert found == packets


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_every_length_is_read_at_its_borders(size: int) -> None:
    """From one byte of length to four."""
    assert list(PacketCutter().take(packet(0x30, bytes(size)))) == [(0x30, bytes(size))]


def test_a_length_that_never_ends_breaks_the_connection() -> None:
    """No more than four bytes are a length; what follows a fifth cannot be believed."""
    with pytest.raises(BrokenPacketError):
        list(PacketCutter().take(b"\x30\xff\xff\xff\xff\x01"))


@given(topics, st.sampled_from([0, 1]), numbers, st.binary(max_size=50), st.booleans(), st.booleans())
def test_a_message_is_read_as_the_library_reads_it(
    topic: str, qos: int, number: int, payload: bytes, is_retained: bool, is_v5: bool
) -> None:
    """In both versions, with properties and without."""
    said = USER_PROPERTY if is_v5 else None
    first_byte = 0x30 | qos << 1 | is_retained
    body = body_of(topic, number if qos else 0, said, payload)
    theirs = _packet.decode_publish(first_byte, bytearray(body), paho.MQTTv5 if is_v5 else paho.MQTTv311)
    assert published(first_byte, body, has_properties=is_v5) == (
        theirs.topic.decode(),
        bytes(theirs.payload),
        theirs.mid if qos else 0,
        theirs.retain,
    )


@given(st.integers(0, 15), st.binary(max_size=40), st.booleans())
def test_no_bytes_are_more_than_a_message_or_left_to_the_library(flags: int, body: bytes, is_v5: bool) -> None:
    """Whatever a broker sends, nothing else happens."""
    arrived = published(0x30 | flags, body, has_properties=is_v5)
    if arrived is not None:
        assert (flags >> 1) & 3 <= 1
        assert body.endswith(arrived.payload)


@pytest.mark.parametrize(
    ("first_byte", "body"),
    [
        (0x34, body_of("a", 5, b"", b"QoS 2")),
        (0x32, body_of("a", 0, b"", b"")),
        (0x30, body_of("", 0, b"\x23\x00\x01", b"a topic alias")),
        (0x30, body_of("a", 0, bytes(130), b"many properties")),
        (0x30, b"\x00\x01\xff\x00no Unicode"),
    ],
)
def test_what_is_special_is_left_to_the_library(first_byte: int, body: bytes) -> None:
    """It knows all of MQTT; only what comes all the time is read here."""
    assert published(first_byte, body, has_properties=True) is None


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"\x01\x02", 258),
        (b"\x01\x02\x00", 258),
        (b"\x01\x02\x10\x00", 258),
        (b"\x01\x02\x87", 0),
        (b"\x01", 0),
        (b"", 0),
    ],
)
def test_only_a_confirmation_that_says_yes_is_read(body: bytes, number: int) -> None:
    """A refusal has words, which the library finds."""
    assert confirmed_number(body) == number
