"""A hostile probe beside an honest one, on real brokers, against a real collector: refused, counted, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import zlib
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from collector.store import open_store
from probes.clock import SystemClock
from probes.messages import MAX_PAYLOAD_BYTES, Address, render_batch
from probes.mqtt import BrokerUnavailableError, Connection, open_client
from probes.outbox import Entry, EntryKind, Outbox
from probes.stream import Stream, StreamLimits
from probes.wire import render_run
from tests.broker_kit import PROBES, Broker, Iotcore, Mosquitto, going, make_mosquitto, running, until
from tests.collector_kit import CollectorProcess, running_collector
from tests.store_kit import NOW, run_at

HONEST, HOSTILE, VICTIM = PROBES
ROUNDS = 4
RUNS_A_ROUND = 400
MOST_EXTRA_MEMORY_MIB = 150
"""What forty deliveries of the largest size, and eight megabytes of one while it is judged, may add; 40 were measured."""
BOMB = b"\x02" + zlib.compress(b" " * (1 << 28), 9, -15)
HEAD = {"v": 1, "fleet": HOSTILE.fleet, "region": HOSTILE.region, "probe": HOSTILE.probe, "epoch": 7}


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers; mosquitto with the rules that `broker-config` writes."""
    with running(Iotcore() if request.param == "iotcore" else make_mosquitto(tmp_path / "broker")) as started:
        yield started


def body_of(number: int, probe: Address, wait_ms: int = 5) -> bytes:
    """A run's entry."""
    slot_at = NOW + timedelta(seconds=15 * number)
    return render_run(run_at(slot_at, probe=probe, number=number + 1, wait_ms=wait_ms))


def batch(
    bodies: list[bytes], *, first_seq: int = 1, kind: EntryKind = EntryKind.RUN, probe: Address = HOSTILE
) -> bytes:
    """A payload that keeps the rules of the wire."""
    return render_batch(probe, 7, [Entry(first_seq + place, kind, NOW, body) for place, body in enumerate(bodies)])


def packed(*lines: bytes) -> bytes:
    """A deflated payload with the hostile probe's own header."""
    return b"\x02" + zlib.compress(b"\n".join((json.dumps(HEAD).encode(), *lines)), 9, -15)


MALFORMED = (
    b"",
    b"\x01",
    b"\x09hello",
    b"\x01" + b"\x00\xff" * 500,
    b"\x02" + b"\xff" * 500,
    packed(b"1 run {}")[:-3],
    packed(b"2 run {}", b"1 run {}"),
    packed(b"0 run {}"),
    b"\x01[" + b"[" * 100_000,
    b"\x01" + json.dumps({**HEAD, "epoch": -1}).encode(),
    b"\x01" + json.dumps({**HEAD, "v": 2}).encode(),
)
IN_ANOTHERS_NAME = (
    batch([body_of(0, HONEST)], probe=HONEST),  # the header names somebody else than the topic does
    b"\x01" + json.dumps({**HEAD, "fleet": "another"}).encode() + b"\n1 run {}",
)
POISON = (
    batch([body_of(number, HONEST) for number in range(3)], first_seq=1),  # my header, and somebody else's runs
    batch([b'{"schema_version":1,"steps":[' + b"{}," * 600_000 + b"{}]}"], first_seq=4),
    batch([b'{"schema_version":1,"x":' + b"[" * 1_000_000 + b"}"], first_seq=5),
    batch([b'{"schema_version":1,"duration_ns":' + b"9" * 1_000_000 + b"}"], first_seq=6),
    batch([b"{}"] * 400, first_seq=7, kind=EntryKind.LOSS),
    packed(b'407 run {"' + b"\\ud800" * 200_000 + b'":1}'),
    packed(b"408 novelty {}"),
)
POISONED_ENTRIES = 3 + 1 + 1 + 1 + 400 + 1 + 1
TOO_LARGE = (BOMB, BOMB[:-1] + b"x", b"\x01" + b"x" * (MAX_PAYLOAD_BYTES - 1))
STATUSES = (
    b"\xff\x00",
    b'{"clock":{"offset_ns":%s,"bound_ns":1},"online":true}' % (b"9" * 400),
    b'{"lanes":{"\\u001b[2J":{"restarts":1}},"online":true}',
    b"[" * 60_000,
)


@asynccontextmanager
async def connected(broker: Broker) -> AsyncIterator[Connection]:
    """The hostile probe with credentials of its own, which are good."""
    async with open_client(broker.as_probe(HOSTILE), client_id="hostile") as client:
        yield client


async def attack(broker: Broker, replayed: bytes) -> None:
    """Everything at once, on its own topics."""
    async with connected(broker) as client:
        said = [client.publish_soon(HOSTILE.topic("results"), payload) for payload in (*MALFORMED, *IN_ANOTHERS_NAME)]
        said += [client.publish_soon(HOSTILE.topic("results"), payload) for payload in (*POISON, *TOO_LARGE)]
        said += [client.publish_soon(HOSTILE.topic("results"), replayed) for _ in range(10)]
        said += [client.publish_soon(HOSTILE.topic("status"), payload, retain=True) for payload in STATUSES]
        said.append(client.publish_soon(HOSTILE.topic("status"), b"x" * 70_000))
        for payload in (b"what time is it?", b"\xff" * 900, b"x" * 5_000):
            said.append(client.publish_soon(HOSTILE.topic("time"), payload))
        async with asyncio.timeout(120):
            await asyncio.gather(*said)


async def is_refused_by_the_broker(broker: Broker, topic: str, payload: bytes) -> bool:
    """Whether the broker takes no such message from the hostile probe; a connection of its own, for it may be cut."""
    with contextlib.suppress(BrokerUnavailableError):
        async with connected(broker) as client:
            confirmed = client.publish_soon(topic, payload)
            done, _ = await asyncio.wait({confirmed, client._disconnected}, timeout=60, return_when=FIRST_COMPLETED)
            assert done, "the broker says nothing"
            return not confirmed.done() or confirmed.exception() is not None
    return True


def counted(collector: CollectorProcess) -> dict[str, dict[str, int]]:
    """What `runner.py status` counts, by probe."""
    return {row["probe"]: row for row in collector.status()["probes"]}


@pytest.mark.timeout(480)
async def test_a_hostile_probe_is_refused_and_counted_and_the_honest_one_does_not_notice(
    broker: Broker, tmp_path: Path
) -> None:
    """Malformed, oversized, bombs, replays, another's identity, another's topics: the honest runs are all stored, and once.

    The collector goes on, in bounded memory, and says what it refused and from whom.
    """
    replayed = batch([body_of(number, HOSTILE) for number in range(5)], first_seq=1_001)
    contrary = batch([body_of(number, HOSTILE, wait_ms=50) for number in range(5)], first_seq=2_001)
    with running_collector(tmp_path / "collector", broker) as collector, Outbox(tmp_path / "outbox") as outbox:
        stream = Stream(
            outbox, HONEST, broker.as_probe(HONEST), clock=SystemClock(), limits=StreamLimits(ack_timeout_s=20)
        )
        async with going(stream.run()):
            for number in range(50):
                outbox.put(EntryKind.RUN, body_of(number, HONEST))
            assert await stream.flush(60)
            memory_before_mib = collector.most_memory_mib()
            for number in range(ROUNDS):
                for slot in range(RUNS_A_ROUND):
                    outbox.put(EntryKind.RUN, body_of(50 + number * RUNS_A_ROUND + slot, HONEST))
                stream.wake()
                await attack(broker, replayed)
            async with connected(broker) as client:
                await client.publish_soon(HOSTILE.topic("results"), contrary)
            await refused_elsewhere(broker)
            assert await stream.flush(60)
            await until(lambda: collector.ingest().get("conflicts") == 5, 60)
            await until(lambda: collector.ingest().get("messages_refused", 0) >= 4 * ROUNDS, 60)
        strays = 0 if isinstance(broker, Mosquitto) else 1
        await until(lambda: collector.status()["strays"] == strays, 60)
        await until(collector.is_ready, 60)
        assert collector.most_memory_mib() - memory_before_mib < MOST_EXTRA_MEMORY_MIB
        told, status = counted(collector), collector.status()
        assert stream.state.connects == 1
        assert collector.stop() == 0
        assert not re.search(r"Traceback|given_up|store\.refused", collector.log.read_text(errors="replace"))
    honest, hostile = told[HONEST.probe], told[HOSTILE.probe]
    expected = 50 + ROUNDS * RUNS_A_ROUND
    assert [honest[name] for name in ("entries", "conflicts", "quarantined", "missing")] == [expected, 0, 0, 0]
    assert hostile["conflicts"] == 5
    assert hostile["duplicates"] >= 5 * (10 * ROUNDS - 1)
    refused = len(MALFORMED) + len(IN_ANOTHERS_NAME) + len(TOO_LARGE)
    assert hostile["quarantined"] >= ROUNDS * refused + POISONED_ENTRIES
    assert status["strays"] == strays
    await holds_the_honest_runs_once(collector.database, expected)


async def refused_elsewhere(broker: Broker) -> None:
    """What never comes as far as the collector: the broker's own bound, and with mosquitto its access rules."""
    assert await is_refused_by_the_broker(broker, HOSTILE.topic("results"), b"x" * (MAX_PAYLOAD_BYTES + 100_000))
    has_rules = isinstance(broker, Mosquitto)
    elsewhere = (VICTIM.topic("results"), f"fleet/v1/{HOSTILE.fleet}/results/EU WEST/x")
    for topic in elsewhere:
        assert await is_refused_by_the_broker(broker, topic, b"\x01junk") is has_rules
    if has_rules:
        for topic in (HONEST.topic("acks"), f"fleet/v1/{HOSTILE.fleet}/hello", HONEST.topic("status")):
            assert await is_refused_by_the_broker(broker, topic, b"{}")


async def holds_the_honest_runs_once(database: Path, count: int) -> None:
    """Every run of the honest probe is there, in its own slot, and no run of anybody in its name beside."""
    async with open_store(str(database)) as store:
        runs = await store.runs(NOW, NOW + timedelta(days=30), region=HONEST.region, limit=100_000)
        quarantine = await store.quarantine(5_000)
    slots = [run.identity.slot_at for run in runs if run.identity.probe == HONEST.probe]
    assert sorted(slots) == [NOW + timedelta(seconds=15 * number) for number in range(count)]
    with contextlib.suppress(StopIteration):
        stray = next(entry for entry in quarantine if entry.sender is None)
        assert "not a topic of a probe" in stray.reason
    assert {entry.sender for entry in quarantine} <= {HOSTILE, VICTIM, None}
