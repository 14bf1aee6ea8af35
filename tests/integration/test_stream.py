"""The stream carries every entry, whatever is refused, oversized, hostile, slow or broken on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from probes import outbox as outbox_module
from probes.clock import SystemClock
from probes.clock_offset import answer_time_request
from probes.errors import OperatorError
from probes.messages import MAX_BODY_BYTES, Acknowledgement, MessageError, parse_address
from probes.mqtt import BrokerAddress, Connection, open_client, payload_of, subscribe
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream, StreamLimits
from probes.stream_batches import SUBSTITUTE_KIND
from tests.broker_kit import (
    DEADLINE_S,
    FLEET,
    PROBES,
    Iotcore,
    Mosquitto,
    SmallCollector,
    far_away,
    going,
    make_mosquitto,
    running,
    until,
)

PROBE = PROBES[0]
LIMITS = StreamLimits(ack_timeout_s=0.3, ack_timeout_most_s=2.0, retry_first_s=0.05, retry_most_s=0.2)
PATIENT = replace(LIMITS, ack_timeout_s=3_600.0, ack_timeout_most_s=3_600.0)
"""For tests in which each entry is to come once, however slow this machine is."""


@pytest.fixture
def broker() -> Iterator[Iotcore]:
    """The embedded one, running."""
    embedded = Iotcore()
    with running(embedded):
        yield embedded


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """One with our rules, running."""
    with running(made := make_mosquitto(tmp_path)):
        yield made


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An empty one."""
    with Outbox(tmp_path / "outbox") as opened:
        yield opened


@asynccontextmanager
async def streaming(outbox: Outbox, address: BrokerAddress, limits: StreamLimits = LIMITS) -> AsyncIterator[Stream]:
    """A running stream."""
    stream = Stream(outbox, PROBE, address, clock=SystemClock(), limits=limits)
    async with going(stream.run()):
        yield stream


@asynccontextmanager
async def collecting(address: BrokerAddress, *, silent: bool = False) -> AsyncIterator[SmallCollector]:
    """A collector that is there."""
    collector = SmallCollector(address, silent=silent)
    async with going(collector.run()):
        await asyncio.wait_for(collector.ready.wait(), DEADLINE_S)
        yield collector


def put(outbox: Outbox, count: int) -> None:
    """Small entries."""
    for _ in range(count):
        outbox.put(EntryKind.RUN, b"{}")


async def test_an_entry_that_no_collector_would_take_goes_as_a_substitute(broker: Iotcore, outbox: Outbox) -> None:
    """Over the bound, or not one line: its number, digest and beginning arrive for the quarantine, all others as they are."""
    put(outbox, 2)
    huge = b'{"identity":"me","x":"' + b"y" * MAX_BODY_BYTES + b'"}'
    outbox.put(EntryKind.RUN, huge)
    outbox.put(EntryKind.RUN, b'{\n"pretty":1}')
    outbox.put(EntryKind.SLOT, b"nonsense")
    put(outbox, 2)
    async with collecting(broker.address) as collector, streaming(outbox, broker.address, PATIENT) as stream:
        assert await stream.flush(DEADLINE_S)
    kinds = {seq: kind for seq, kind, _ in collector.entries}
    assert kinds == dict.fromkeys((1, 2, 6, 7), "run") | dict.fromkeys((3, 4, 5), SUBSTITUTE_KIND)
    substitute = json.loads({seq: body for seq, _, body in collector.entries}[3])
    assert (substitute["kind"], substitute["body_bytes"]) == ("run", len(huge))
    assert substitute["sha256"] == hashlib.sha256(huge).hexdigest()
    assert substitute["head"].startswith('{"identity":"me"')
    assert stream.state.entries_replaced == 3


async def test_the_largest_record_travels_as_it_is(broker: Iotcore, outbox: Outbox) -> None:
    """Two megabytes of what deflate cannot pack well, and smaller ones around it."""
    largest = b'{"x":"' + os.urandom(MAX_BODY_BYTES // 2 - 4).hex().encode() + b'"}'
    assert len(largest) <= MAX_BODY_BYTES
    put(outbox, 1)
    outbox.put(EntryKind.RUN, largest)
    put(outbox, 1)
    async with collecting(broker.address) as collector, streaming(outbox, broker.address, PATIENT) as stream:
        assert await stream.flush(DEADLINE_S)
    assert [body for seq, _, body in collector.entries if seq == 2] == [largest]
    assert stream.state.entries_replaced == 0


async def test_an_entry_too_large_for_the_broker_waits_and_holds_up_nobody(tmp_path: Path, outbox: Outbox) -> None:
    """What the broker says it takes is respected; when it takes more, the entry goes, and nothing was lost or replaced."""
    broker = make_mosquitto(tmp_path)
    broker.settings |= {"max_packet_size": 20_000}
    put(outbox, 30)
    large = b'{"x":"' + os.urandom(40_000).hex().encode() + b'"}'
    outbox.put(EntryKind.RUN, large)
    put(outbox, 30)
    with running(broker):
        one, me = broker.as_collector("one"), broker.as_probe(PROBE)
        async with collecting(one) as collector, streaming(outbox, me, PATIENT) as stream:
            await until(lambda: outbox.depth().entries == 1)
            await until(lambda: stream.state.entries_held_back == 1)
        assert collector.seen[PROBE] == [*range(1, 31), *range(32, 62)]
        broker.stop()
        broker.settings.clear()
        broker.start()
        async with collecting(one) as collector, streaming(outbox, me, PATIENT) as stream:
            assert await stream.flush(DEADLINE_S)
        assert [(seq, body) for seq, _, body in collector.entries] == [(31, large)]


async def test_acknowledgements_that_are_not_ours_change_nothing(broker: Iotcore, outbox: Outbox) -> None:
    """Another epoch, numbers that never went, absurd ranges, malformed payloads: the entries stay, the stream goes on."""
    put(outbox, 300)
    async with (
        collecting(broker.address, silent=True) as collector,
        streaming(outbox, broker.address, PATIENT) as stream,
    ):
        await until(lambda: len(collector.seen.get(PROBE, [])) == 200)
        async with open_client(broker.address, client_id="hostile") as client:
            for payload in (
                acknowledgement(outbox.epoch + 1, [(1, 200)]),
                acknowledgement(outbox.epoch, [(201, 2**62)]),
                acknowledgement(outbox.epoch, [(number, 2**62) for number in range(300, 10_300)]),
                b"",
                b"\xff" * 1_000,
                b'{"v":1}',
                b'{"v":1,"epoch":1,"ranges":[[5,1]],"collector":"x"}',
                b'{"v":1,"epoch":1,"ranges":[[-1,"x"]],"collector":"x"}',
                b"[" * 100_000,
            ):
                await client.publish_soon(PROBE.topic("acks"), payload)
            await until(lambda: stream.state.messages_refused == 6)
            assert (outbox.depth().entries, stream.state.entries_acknowledged) == (300, 0)
            await client.publish_soon(PROBE.topic("acks"), acknowledgement(outbox.epoch, [(1, 2**62)]))
            await until(lambda: len(collector.seen[PROBE]) == 300)
        assert (outbox.depth().entries, stream.state.entries_acknowledged) == (100, 200)
        assert stream.state.connects == 1


def acknowledgement(epoch: int, ranges: list[tuple[int, int]]) -> bytes:
    """As a collector would say it."""
    return Acknowledgement(epoch=epoch, ranges=ranges, collector="x").model_dump_json().encode()


async def test_what_is_not_acknowledged_in_time_goes_again(broker: Iotcore, outbox: Outbox) -> None:
    """The collector took it and died before its commit: the same entries come again, without a new connection."""
    put(outbox, 50)
    async with collecting(broker.address, silent=True) as collector, streaming(outbox, broker.address) as stream:
        await until(lambda: len(collector.seen.get(PROBE, [])) >= 100)
        collector.silent = False
        assert await stream.flush(DEADLINE_S)
    assert stream.state.connects == 1
    assert stream.state.acks_overdue >= 50
    assert set(collector.seen[PROBE]) == set(range(1, 51))


async def test_a_new_boot_of_the_collector_asks_for_everything_again_and_the_same_does_not(
    broker: Iotcore, outbox: Outbox
) -> None:
    """A restarted collector need not wait for patience to end; a hello said twice costs nothing."""
    put(outbox, 50)
    async with (
        collecting(broker.address, silent=True) as collector,
        streaming(outbox, broker.address, PATIENT) as stream,
    ):
        await until(lambda: len(collector.seen.get(PROBE, [])) == 50)
        async with open_client(broker.address, client_id="other") as client:
            await collector.say_hello(client)
            collector.boot = "b2"
            await collector.say_hello(client)
            await until(lambda: len(collector.seen[PROBE]) >= 100)
            put(outbox, 1)
            stream.wake()
            await until(lambda: 51 in collector.seen[PROBE])
    assert len(collector.seen[PROBE]) == 101


async def test_a_refusal_by_the_access_rules_is_told_and_nothing_is_lost(mosquitto: Mosquitto, outbox: Outbox) -> None:
    """The broker takes the login and denies the results: the state says so, the entry stays, and once allowed it goes."""
    put(outbox, 5)
    other = mosquitto.as_probe(PROBES[1])
    async with streaming(outbox, other) as stream:
        await until(lambda: "Not authorized" in stream.state.last_error)
    assert "refuses a message on" in stream.state.last_error
    assert outbox.depth().entries == 5
    async with collecting(mosquitto.as_collector("one")), streaming(outbox, mosquitto.as_probe(PROBE)) as allowed:
        assert await allowed.flush(DEADLINE_S)


async def test_a_wrong_password_is_told_and_tried_again(mosquitto: Mosquitto, outbox: Outbox) -> None:
    """The stream does not end, says who is refused, and asks less and less often."""
    wrong = replace(mosquitto.as_probe(PROBE), password=mosquitto.as_probe(PROBES[1]).password)
    async with streaming(outbox, wrong) as stream:
        await until(lambda: "refuses eu-west/probe-1" in stream.state.last_error)
        assert not stream.state.connected


async def test_an_address_that_is_none_ends_the_stream_at_the_start(outbox: Outbox) -> None:
    """A person must correct it; trying again would hide it."""
    stream = Stream(outbox, PROBE, BrokerAddress("http://x"), clock=SystemClock())
    with pytest.raises(OperatorError, match="is not the address of a broker"):
        await stream.run()


async def test_a_far_collector_gets_many_batches_at_once(broker: Iotcore, outbox: Outbox) -> None:
    """Over a round trip of 0.8 s the window fills with batches, by no more than a handful of tasks."""
    put(outbox, 6_000)
    _, port, _ = broker.address.endpoint()
    limits = replace(PATIENT, window_entries=2_000)
    async with collecting(broker.address) as collector, far_away(port, one_way_s=0.4) as far_port:
        address = BrokerAddress(f"mqtt://127.0.0.1:{far_port}")
        tasks_before = len(asyncio.all_tasks())
        async with streaming(outbox, address, limits) as stream:
            await until(lambda: stream.state.entries_in_flight > 1_500)
            assert stream.state.entries_in_flight <= limits.window_entries
            assert len(asyncio.all_tasks()) - tasks_before < 15
            assert await stream.flush(DEADLINE_S)
    assert collector.seen[PROBE] == list(range(1, 6_001))


async def test_the_status_says_who_is_there_and_what_stays(broker: Iotcore, outbox: Outbox) -> None:
    """Retained: online with the depth of the outbox while connected, offline with what stays after a stop."""
    put(outbox, 3)
    said: Mapping[str, object] = {"version": "1.2.3", "online": "a lie"}
    stream = Stream(outbox, PROBE, broker.address, clock=SystemClock(), limits=LIMITS, status=lambda: said)
    async with going(stream.run()):
        await until(lambda: stream.state.connected)
        online = await kept_status(broker, online=True)
    offline = await kept_status(broker, online=False)
    assert (online["online"], online["version"], online["epoch"]) == (True, "1.2.3", outbox.epoch)
    assert (offline["online"], offline["outbox"]["entries"], offline["outbox"]["lost"]) == (False, 3, 0)  # type: ignore[index]
    assert (online["goodbye"], offline["goodbye"]) == (False, True)


async def test_a_probe_that_vanishes_says_no_goodbye(broker: Iotcore, tmp_path: Path) -> None:
    """The broker speaks for it: whoever counts on its coming back must not be told that it left."""
    patient = replace(LIMITS, retry_first_s=3_600.0, retry_most_s=3_600.0)
    with Outbox(tmp_path / "outbox") as outbox:
        stream = Stream(outbox, PROBE, broker.as_probe(PROBE), clock=SystemClock(), limits=patient)
        async with going(stream.run()):
            await kept_status(broker, online=True)
            assert stream._client is not None
            stream._client._our_socket.shutdown(socket.SHUT_RDWR)
            offline = await kept_status(broker, online=False)
    assert offline["goodbye"] is False


async def kept_status(broker: Iotcore, *, online: bool) -> dict[str, object]:
    """What the broker keeps of the probe's status, once that has come through to it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            async with open_client(broker.address, client_id="looker") as client:
                await subscribe(client, broker.address, PROBE.topic("status"))
                found = await anext(client.messages)
            status: dict[str, object] = json.loads(payload_of(found))
            if found.retain and status["online"] is online:
                return status


async def test_the_probe_learns_the_collectors_time(broker: Iotcore, outbox: Outbox) -> None:
    """Questions and answers travel beside the results."""

    async def answering(client: Connection) -> None:
        async for message in client.messages:
            _, sender = parse_address(message.topic.value)
            clock = SystemClock()
            answer = answer_time_request(payload_of(message), received_at=clock.now(), clock=clock)
            client.publish_soon(sender.topic("clock"), answer, qos=0)

    async with open_client(broker.address, client_id="clock") as client:
        await subscribe(client, broker.address, f"fleet/v1/{FLEET}/time/+/+")
        async with going(answering(client)), streaming(outbox, broker.address) as stream:
            await until(lambda: stream.clock_offset.reading() is not None)
    reading = stream.clock_offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns) <= reading.bound_ns + 3_000


async def test_others_speak_and_listen_over_the_same_connection(broker: Iotcore, outbox: Outbox) -> None:
    """Commands come in through handlers, one that is refused is counted, and live progress goes out, while connected."""
    topic = f"fleet/v1/{FLEET}/commands/eu-west"
    heard: list[bytes] = []

    def handler(payload: bytes) -> None:
        if payload == b"bad":
            raise MessageError(payload)
        heard.append(payload)

    stream = Stream(outbox, PROBE, broker.address, clock=SystemClock(), limits=LIMITS, handlers={topic: handler})
    assert not stream.publish_live(b"nobody there")
    async with open_client(broker.address, client_id="operator") as client, going(stream.run()):
        await subscribe(client, broker.address, PROBE.topic("live"))
        await until(lambda: stream.state.connected)
        for payload in (b"one", b"bad", b"two"):
            await client.publish_soon(topic, payload)
        await until(lambda: len(heard) == 2)
        assert stream.publish_live(b"a step")
        assert payload_of(await asyncio.wait_for(anext(client.messages), DEADLINE_S)) == b"a step"
    assert (heard, stream.state.messages_refused) == ([b"one", b"two"], 1)
    assert not stream.publish_live(b"too late")


async def test_an_outbox_that_fails_for_a_while_does_not_end_the_stream(
    broker: Iotcore, outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked by another program: the stream says so, waits, and goes on where it was."""
    monkeypatch.setattr(outbox_module, "BUSY_TIMEOUT_S", 0.02)
    with Outbox(tmp_path / "impatient") as impatient:
        put(impatient, 10)
        lock = sqlite3.connect(tmp_path / "impatient", isolation_level=None)
        async with collecting(broker.address), streaming(impatient, broker.address) as stream:
            lock.execute("BEGIN IMMEDIATE")
            put_failed = await failing(stream)
            lock.execute("ROLLBACK")
            lock.close()
            assert await stream.flush(DEADLINE_S)
    assert "database is locked" in put_failed


async def failing(stream: Stream) -> str:
    """The stream's first error."""
    await until(lambda: stream.state.last_error)
    return stream.state.last_error


async def test_a_stopped_stream_leaves_nothing(broker: Iotcore, outbox: Outbox) -> None:
    """Cancelled in the middle of a backlog: no task stays, and the same outbox can be streamed again."""
    put(outbox, 2_000)
    async with collecting(broker.address) as collector:
        tasks_before = len(asyncio.all_tasks())
        async with streaming(outbox, broker.address, replace(LIMITS, window_entries=20, batch_entries=10)) as stream:
            await until(lambda: stream.state.entries_acknowledged > 100)
        assert len(asyncio.all_tasks()) == tasks_before
        assert outbox.depth().entries > 0
        async with streaming(outbox, broker.address) as stream:
            assert await stream.flush(DEADLINE_S)
    assert set(collector.seen[PROBE]) == set(range(1, 2_001))
