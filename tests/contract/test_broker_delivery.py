"""What the fleet needs of a broker, kept by the embedded one and by mosquitto with our configuration (TLS, passwords, rules)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiomqtt
import pytest

from probes.messages import MAX_PAYLOAD_BYTES, Hello
from probes.mqtt import BrokerAddress, BrokerUnavailableError, LastWill, open_client, payload_of, subscribe
from tests.broker_kit import (
    DEADLINE_S,
    FLEET,
    PROBES,
    Broker,
    Iotcore,
    SmallCollector,
    going,
    make_mosquitto,
    running,
    until,
)

PROBE = PROBES[0]
HELLO_TOPIC = f"fleet/v1/{FLEET}/hello"
SHARED = f"$share/collectors/fleet/v1/{FLEET}/results/+/+"


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers, running."""
    with running(Iotcore() if request.param == "iotcore" else make_mosquitto(tmp_path)) as started:
        yield started


async def next_payload(client: aiomqtt.Client) -> bytes:
    """The next message, soon."""
    async with asyncio.timeout(DEADLINE_S):
        return payload_of(await anext(client.messages))


async def vanish(address: BrokerAddress, will: LastWill) -> None:
    """Connect, and lose the connection without a word, as a process that dies does."""
    async with open_client(address, client_id="p", last_will=will) as client:
        client._our_socket.shutdown(socket.SHUT_RDWR)
        await anext(client.messages)


async def see_the_end(broker: Broker) -> None:
    """Be connected while the broker is killed."""
    async with open_client(broker.as_probe(PROBE), client_id="p") as client:
        broker.kill()
        await anext(client.messages)


async def test_a_message_is_delivered_in_full_and_in_order(broker: Broker) -> None:
    """Five hundred messages at QoS 1, many on the way at once, arrive as they were sent."""
    sent = [f"{number} {'x' * (number * 7 % 900)}".encode() for number in range(500)]
    probe, collector = broker.as_probe(PROBE), broker.as_collector("one")
    async with open_client(collector, client_id="c") as there, open_client(probe, client_id="p") as here:
        await subscribe(there, collector, f"fleet/v1/{FLEET}/results/+/+")
        for payload in sent:
            here.publish_soon(PROBE.topic("results"), payload)
        assert [await next_payload(there) for _ in sent] == sent


async def test_mqtt_5_is_spoken(broker: Broker) -> None:
    """Reason codes and shared subscriptions need it."""
    async with open_client(broker.as_probe(PROBE), client_id="p") as client:
        assert client.version is aiomqtt.ProtocolVersion.V5


async def test_the_largest_payload_travels(broker: Broker) -> None:
    """A record may be as large as the wire allows, and goes in one message."""
    payload = os.urandom(MAX_PAYLOAD_BYTES)
    probe, collector = broker.as_probe(PROBE), broker.as_collector("one")
    async with open_client(collector, client_id="c") as there, open_client(probe, client_id="p") as here:
        await subscribe(there, collector, PROBE.topic("results"))
        async with asyncio.timeout(DEADLINE_S):
            await here.publish_soon(PROBE.topic("results"), payload)
        assert await next_payload(there) == payload


async def test_a_retained_hello_waits_for_who_comes_later_and_is_news_for_who_is_there(broker: Broker) -> None:
    """A probe tells by the retain flag whether a hello was there before it: only news makes it send again."""
    probe, collector = broker.as_probe(PROBE), broker.as_collector("one")
    hello = Hello(collector="one", boot="b1").model_dump_json().encode()
    async with open_client(collector, client_id="c") as there, open_client(probe, client_id="p") as here:
        await there.publish_soon(HELLO_TOPIC, hello, retain=True)
        await subscribe(here, probe, HELLO_TOPIC)
        async with asyncio.timeout(DEADLINE_S):
            waiting = await anext(here.messages)
            await there.publish_soon(HELLO_TOPIC, hello, retain=True)
            news = await anext(here.messages)
    assert (waiting.retain, payload_of(waiting)) == (True, hello)
    assert (news.retain, payload_of(news)) == (False, hello)


async def test_the_last_will_is_said_for_who_vanishes_and_not_for_who_leaves(broker: Broker) -> None:
    """A probe whose process dies is shown as offline; one that says goodbye says so itself."""
    probe, collector = broker.as_probe(PROBE), broker.as_collector("one")
    will = LastWill(PROBE.topic("status"), b"vanished")
    async with open_client(collector, client_id="c") as there:
        await subscribe(there, collector, PROBE.topic("status"))
        async with open_client(probe, client_id="p", last_will=will) as here:
            await here.publish_soon(PROBE.topic("status"), b"left", retain=True)
        assert await next_payload(there) == b"left"
        with pytest.raises(BrokerUnavailableError):
            await vanish(probe, will)
        assert await next_payload(there) == b"vanished"
    async with open_client(collector, client_id="d") as later:
        await subscribe(later, collector, PROBE.topic("status"))
        assert await next_payload(later) == b"vanished"


async def test_collectors_share_the_results_and_one_takes_over_when_the_other_dies(broker: Broker) -> None:
    """Each message goes to one of two collectors, both get work, and after one has died the other gets all."""
    will = LastWill(HELLO_TOPIC, b"gone")
    one = SmallCollector(broker.as_collector("one"), "one", filter=SHARED, last_will=will)
    two = SmallCollector(broker.as_collector("two"), "two", filter=SHARED)
    probe = broker.as_probe(PROBE)

    def got() -> list[int]:
        return sorted(one.seen.get(PROBE, []) + two.seen.get(PROBE, []))

    async with AsyncExitStack() as stack, open_client(probe, client_id="p") as here:
        await subscribe(here, probe, HELLO_TOPIC)
        await stack.enter_async_context(going(until_it_dies(one)))
        await stack.enter_async_context(going(two.run()))
        await asyncio.wait_for(asyncio.gather(one.ready.wait(), two.ready.wait()), DEADLINE_S)
        for number in range(1, 101):
            here.publish_soon(PROBE.topic("results"), lone_batch(number))
        await until(lambda: len(got()) >= 100)
        assert got() == list(range(1, 101))
        assert one.seen[PROBE]
        assert two.seen[PROBE]
        one.vanish()
        while await next_payload(here) != will.payload:  # what comes before the broker knows would still be one's share
            pass
        before = len(two.seen[PROBE])
        for number in range(101, 151):
            await here.publish_soon(PROBE.topic("results"), lone_batch(number))
        await until(lambda: len(two.seen[PROBE]) >= before + 50)
        assert two.seen[PROBE][before:] == list(range(101, 151))


async def until_it_dies(collector: SmallCollector) -> None:
    """Collect until the connection is lost."""
    with pytest.raises(BrokerUnavailableError):
        await collector.run()


def lone_batch(number: int) -> bytes:
    """A batch of one entry."""
    return b'\x01{"v":1,"fleet":"%s","region":"%s","probe":"%s","epoch":7}\n%d run {}' % (
        PROBE.fleet.encode(),
        PROBE.region.encode(),
        PROBE.probe.encode(),
        number,
    )


async def test_after_kill_9_the_same_address_serves_again(broker: Broker) -> None:
    """Whoever was connected hears of the end at once, and can connect to the next one."""
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BrokerUnavailableError, match="closed the connection"):
            await see_the_end(broker)
        with pytest.raises(BrokerUnavailableError, match="nobody listens there"):
            async with open_client(broker.as_probe(PROBE), client_id="p"):
                pass
        await asyncio.to_thread(broker.start)
        async with open_client(broker.as_probe(PROBE), client_id="p") as client:
            await client.publish_soon(PROBE.topic("results"), b"again")


async def test_leaving_leaves_nothing(broker: Broker) -> None:
    """No task and no reader stays behind, whether the connection was left, failed or cancelled."""
    before = asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    async with open_client(broker.as_probe(PROBE), client_id="p") as client:
        number = client._our_socket.fileno()
    assert asyncio.all_tasks() == before
    assert not loop.remove_reader(number)
