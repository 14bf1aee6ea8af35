"""What travels is bounded, strict, and comes back as it was; anything else is refused with a reason."""

from __future__ import annotations

import itertools
import json
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.messages import (
    DEFLATED,
    MAX_ENTRIES,
    MAX_INFLATED_BYTES,
    MAX_PAYLOAD_BYTES,
    PLAIN,
    Acknowledgement,
    Address,
    MessageError,
    parse_acknowledgement,
    parse_address,
    parse_batch,
    parse_hello,
    ranges_of,
    render_batch,
)
from probes.outbox import Entry, EntryKind

SENDER = Address("cnc-quote", "eu-west", "probe-1")
NOON = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

json_objects = st.dictionaries(st.text(max_size=8), st.text(max_size=40) | st.integers() | st.booleans(), max_size=6)
batches = st.lists(st.tuples(st.integers(1, 10**17), st.sampled_from(EntryKind), json_objects), max_size=60).map(
    lambda rows: [
        Entry(seq, kind, NOON, json.dumps(body).encode())
        for seq, (kind, body) in sorted({seq: (kind, body) for seq, kind, body in rows}.items())
    ]
)


def deflated(text: bytes) -> bytes:
    """A payload of form 2."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return DEFLATED + packer.compress(text) + packer.flush()


@given(batches, st.integers(0, 2**62))
def test_a_batch_comes_back_as_it_was(entries: list[Entry], epoch: int) -> None:
    """Plain or deflated: sender, epoch, numbers, kinds and bodies are the same bytes."""
    batch = parse_batch(render_batch(SENDER, epoch, entries))
    assert (batch.sender, batch.epoch) == (SENDER, epoch)
    assert [(e.seq, e.kind, e.body) for e in batch.entries] == [(e.seq, e.kind.value, e.body) for e in entries]


@given(st.binary(max_size=2_000))
def test_any_bytes_are_a_batch_or_refused(payload: bytes) -> None:
    """No payload, however odd, raises anything but MessageError."""
    for form in (b"", PLAIN, DEFLATED):
        for parse in (parse_batch, parse_acknowledgement, parse_hello):
            try:
                parse(form + payload)
            except MessageError as error:
                assert len(str(error)) < 400  # noqa: PT017  the refusal is the promise


@given(batches.filter(bool), st.data())
def test_a_batch_with_a_changed_byte_never_breaks_the_receiver(entries: list[Entry], data: st.DataObject) -> None:
    """Bit rot and mischief end as a refusal or as a batch that still keeps the rules."""
    payload = bytearray(render_batch(SENDER, 1, entries))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        batch = parse_batch(bytes(payload))
    except MessageError:
        return
    numbers = [entry.seq for entry in batch.entries]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "unknown payload form"),
        (b"\x07{}", "unknown payload form"),
        (PLAIN + b"{}", "fleet"),
        (PLAIN + b"nonsense", "JSON"),
        (PLAIN + b'{"v":2,"fleet":"a","region":"b","probe":"c","epoch":1}', "v"),
        (PLAIN + b'{"v":1,"fleet":"a/#","region":"b","probe":"c","epoch":1}', "not a name"),
        (PLAIN + b'{"v":1,"fleet":"a","region":"b","probe":"c","epoch":1}\n1 run', "not an entry"),
        (PLAIN + b'{"v":1,"fleet":"a","region":"b","probe":"c","epoch":1}\n0 run {}', "not an entry"),
        (PLAIN + b'{"v":1,"fleet":"a","region":"b","probe":"c","epoch":1}\n2 run {}\n2 run {}', "comes after"),
        (PLAIN + b'{"v":1,"fleet":"a","region":"b","probe":"c","epoch":1}\n' + b"1 run {}\n" * 501, "more than 500"),
        (PLAIN + b"x" * MAX_PAYLOAD_BYTES, "over the bound"),
        (DEFLATED + b"garbage", "inflate"),
        (deflated(b"{}" * 10)[:-4], "cut short"),
        (deflated(b"{}") + b"tail", "tail"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_with_the_reason(payload: bytes, reason: str) -> None:
    """The refusal says which rule, so that the sender's owner can act."""
    with pytest.raises(MessageError, match=reason):
        parse_batch(payload)


def test_a_decompression_bomb_is_stopped_at_the_bound() -> None:
    """A few kilobytes that would inflate to a gigabyte cost no more than the bound."""
    bomb = deflated(b" " * (MAX_INFLATED_BYTES * 4))
    assert len(bomb) < MAX_PAYLOAD_BYTES
    with pytest.raises(MessageError, match="inflates to more"):
        parse_batch(bomb)


def test_the_largest_batch_of_usual_records_fits() -> None:
    """Five hundred records of two kilobytes stay far below the bound of the wire."""
    body = json.dumps({"text": "step " * 400}).encode()
    entries = [Entry(seq, EntryKind.RUN, NOON, body) for seq in range(1, MAX_ENTRIES + 1)]
    assert len(render_batch(SENDER, 1, entries)) < MAX_PAYLOAD_BYTES / 4


def test_a_topic_names_its_probe() -> None:
    """Topic and address are two forms of one thing."""
    assert parse_address(SENDER.topic("results")) == ("results", SENDER)


@pytest.mark.parametrize(
    "topic",
    [
        "fleet/v1/a/results/b",
        "fleet/v1/a/results/b/c/d",
        "fleet/v2/a/results/b/c",
        "fleet/v1/a/results/+/c",
        "",
        "x" * 500,
    ],
)
def test_a_foreign_topic_is_refused(topic: str) -> None:
    """Only a probe's own topics name a probe."""
    with pytest.raises(MessageError, match="not a topic"):
        parse_address(topic)


@given(st.sets(st.integers(1, 300)))
def test_ranges_cover_each_number_once(numbers: set[int]) -> None:
    """Ranges are closed, ascending, apart from each other, and cover exactly the numbers."""
    ranges = ranges_of(numbers)
    assert [n for first, last in ranges for n in range(first, last + 1)] == sorted(numbers)
    assert all(later[0] > earlier[1] + 1 for earlier, later in itertools.pairwise(ranges))


def test_an_acknowledgement_that_runs_backwards_is_refused() -> None:
    """Nobody may make a probe forget by a nonsense range."""
    good = Acknowledgement(epoch=1, ranges=[(1, 4), (6, 6)], collector="c")
    assert parse_acknowledgement(good.model_dump_json().encode()) == good
    with pytest.raises(MessageError, match="backwards"):
        parse_acknowledgement(b'{"v":1,"epoch":1,"ranges":[[4,1]],"collector":"c"}')
