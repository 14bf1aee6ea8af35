"""What travels between a probe and the collector, as bytes: result batches, acknowledgements, hellos, and their topics.

A batch is one byte that names its form (`1` plain, `2` deflated), then lines: a JSON header that says who speaks, and one
line per entry, `<seq> <kind> <JSON body>`. Lines, because the collector must be able to file a body that it does not
understand under the right number without parsing it, and because cutting at line ends costs next to nothing.

Everything is bounded before it is believed: length on the wire, length when inflated, number of entries. Anything that
breaks a rule is a `MessageError`, which is data about the sender; it never takes the receiver down.

Refuses to know records (`probes.wire`) and MQTT (`probes.stream`, `collector.ingest`). Source: RFC 1951 for deflate.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from probes.outbox import Entry

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_ENTRIES",
    "MAX_INFLATED_BYTES",
    "MAX_PAYLOAD_BYTES",
    "Acknowledgement",
    "Address",
    "Channel",
    "Hello",
    "MessageError",
    "RawEntry",
    "ResultBatch",
    "parse_acknowledgement",
    "parse_address",
    "parse_batch",
    "parse_hello",
    "ranges_of",
    "render_batch",
]

PLAIN = b"\x01"
DEFLATED = b"\x02"
MAX_BODY_BYTES = 2 << 20  # what a record may have (`probes.wire`); the other bounds follow from it
MAX_PAYLOAD_BYTES = MAX_BODY_BYTES + (64 << 10)  # the largest body, its header, and what deflate may add
MAX_INFLATED_BYTES = 8 << 20
MAX_ENTRIES = 500
MAX_HEADER_BYTES = 4_096  # ten times an honest one; the parser takes seconds for eight megabytes of brackets
DEFLATE_FROM_BYTES = 2_048
DEFLATE_LEVEL = 1
RAW_DEFLATE_WINDOW = -15

NAME = r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?"
NAME_FORM = re.compile(NAME)
TOPIC_FORM = re.compile(rf"fleet/v1/({NAME})/(results|acks|status|live|time|clock)/({NAME})/({NAME})")
AnyMessage = TypeVar("AnyMessage", bound=BaseModel)
Channel = Literal["results", "acks", "status", "live", "time", "clock"]
ENTRY_PARTS = 3
ZERO = ord("0")
MAX_SEQ_DIGITS = 18
MAX_KIND_LETTERS = 16


class MessageError(ValueError):
    """A payload that breaks the rules; the text says which one, and never repeats more than a little of the payload."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    v: Literal[1] = 1


class Acknowledgement(_Message):
    """The collector has committed these closed ranges of sequence numbers of one outbox epoch."""

    epoch: int = Field(ge=0)
    ranges: Annotated[list[tuple[int, int]], FailFast()] = Field(max_length=10_000)
    collector: str = Field(max_length=200)


class Hello(_Message):
    """A collector says that it is (newly) there: a new `boot` asks every probe to send again what is unacknowledged."""

    collector: str = Field(max_length=200)
    boot: str = Field(max_length=64)


class _Header(_Message):
    fleet: str = Field(max_length=64)
    region: str = Field(max_length=64)
    probe: str = Field(max_length=64)
    epoch: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Address:
    """Who speaks: a probe of a region of a fleet. Each name is 1-64 lower-case letters, digits, dots and hyphens."""

    fleet: str
    region: str
    probe: str

    def __post_init__(self) -> None:
        """Refuse names that could change the meaning of a topic."""
        for name in (self.fleet, self.region, self.probe):
            if not NAME_FORM.fullmatch(name):
                message = f"{name[:80]!r} is not a name: use 1 to 64 lower-case letters, digits, dots and hyphens"
                raise MessageError(message)

    def topic(self, channel: Channel) -> str:
        """The probe's own topic for a channel."""
        return f"fleet/v1/{self.fleet}/{channel}/{self.region}/{self.probe}"


class RawEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry as it came: its number, its kind as the sender calls it, and a body that nobody has parsed yet.

    A collector makes tens of thousands a second; a frozen dataclass takes ten times as long to make.
    """

    seq: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ResultBatch:
    """Entries of one outbox, in ascending order of their numbers."""

    sender: Address
    epoch: int
    entries: tuple[RawEntry, ...]


def parse_address(topic: str) -> tuple[str, Address]:
    """The channel and the probe that a topic belongs to; raises MessageError for any other topic."""
    match = TOPIC_FORM.fullmatch(topic)
    if match is None:
        message = f"{topic[:120]!r} is not a topic of a probe"
        raise MessageError(message)
    fleet, channel, region, probe = match.groups()
    return channel, Address(fleet, region, probe)


def render_batch(sender: Address, epoch: int, entries: Sequence[Entry | RawEntry]) -> bytes:
    """The payload for the entries: plain when small, deflated when that pays. Bodies must be JSON objects on one line."""
    lines = [rendered_header(sender, epoch)]
    lines += [b"%d %s %s" % (entry.seq, entry.kind.encode(), entry.body) for entry in entries]
    text = b"\n".join(lines)
    if len(text) < DEFLATE_FROM_BYTES:
        return PLAIN + text
    deflate = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, RAW_DEFLATE_WINDOW)
    return DEFLATED + deflate.compress(text) + deflate.flush()


@lru_cache(maxsize=64)
def rendered_header(sender: Address, epoch: int) -> bytes:
    """The line that says who speaks; remembered, because a stream says it with every batch."""
    header = _Header(fleet=sender.fleet, region=sender.region, probe=sender.probe, epoch=epoch)
    return header.model_dump_json().encode()


def parse_batch(payload: bytes) -> ResultBatch:
    """The batch in a payload; raises MessageError. Bodies are cut out, not parsed."""
    header_line, *lines = unpacked(payload).split(b"\n", MAX_ENTRIES + 1)
    if len(header_line) > MAX_HEADER_BYTES:
        message = f"a header of {len(header_line)} bytes is over the bound of {MAX_HEADER_BYTES}"
        raise MessageError(message)
    header = _validated(_Header, header_line)
    sender = Address(header.fleet, header.region, header.probe)
    if lines == [b""]:
        lines = []
    if len(lines) > MAX_ENTRIES:
        message = f"more than {MAX_ENTRIES} entries in one batch"
        raise MessageError(message)
    return ResultBatch(sender, header.epoch, tuple(parsed_entries(lines)))


def parse_acknowledgement(payload: bytes) -> Acknowledgement:
    """The acknowledgement in a payload; raises MessageError."""
    acknowledgement = _validated(Acknowledgement, bounded(payload))
    if any(first > last or first < 1 for first, last in acknowledgement.ranges):
        message = "an acknowledged range runs backwards"
        raise MessageError(message)
    return acknowledgement


def parse_hello(payload: bytes) -> Hello:
    """The hello in a payload; raises MessageError."""
    return _validated(Hello, bounded(payload))


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The numbers as closed ranges, ascending, each number covered once."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def parsed_entries(lines: Iterable[bytes]) -> Iterable[RawEntry]:
    """The entries of the lines, refused unless their numbers ascend."""
    previous_seq = 0
    for line in lines:
        entry = parsed_entry(line)
        if entry.seq <= previous_seq:
            message = f"entry {entry.seq} comes after entry {previous_seq}"
            raise MessageError(message)
        previous_seq = entry.seq
        yield entry


def parsed_entry(line: bytes) -> RawEntry:
    """The entry of a line; without a regular expression, which would walk through every body."""
    parts = line.split(b" ", 2)
    if len(parts) == ENTRY_PARTS:
        number, kind, body = parts
        if (
            (number.isdigit() and number[0] != ZERO and len(number) <= MAX_SEQ_DIGITS)
            and (kind.isalpha() and kind.islower() and len(kind) <= MAX_KIND_LETTERS)
            and (body.startswith(b"{") and body.endswith(b"}"))
        ):
            return RawEntry(int(number), kind.decode(), body)
    message = f"a line is not an entry: {line[:60]!r}"
    raise MessageError(message)


def unpacked(payload: bytes) -> bytes:
    """The text behind the form byte, inflated within bounds."""
    form, text = bounded(payload)[:1], payload[1:]
    if form == PLAIN:
        return text
    if form == DEFLATED:
        return inflated(text)
    message = f"unknown payload form {form!r}"
    raise MessageError(message)


def inflated(data: bytes) -> bytes:
    """The inflated data; a bomb is stopped at the bound, before it has cost more memory than that."""
    inflate = zlib.decompressobj(RAW_DEFLATE_WINDOW)
    try:
        text = inflate.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        message = f"the payload cannot be inflated: {error}"
        raise MessageError(message) from error
    if not inflate.eof or inflate.unused_data:
        message = f"the payload is cut short, has a tail, or inflates to more than {MAX_INFLATED_BYTES} bytes"
        raise MessageError(message)
    return text


def bounded(payload: bytes) -> bytes:
    """The payload, unless it is longer than any honest sender makes it."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        message = f"a payload of {len(payload)} bytes is over the bound of {MAX_PAYLOAD_BYTES}"
        raise MessageError(message)
    return payload


def _validated(model: type[AnyMessage], text: bytes) -> AnyMessage:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the JSON"
        message = f"{model.__name__.strip('_').lower()}: {place}: {first['msg']}"
        raise MessageError(message) from error
