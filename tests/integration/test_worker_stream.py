"""The worker beside a real broker: entries leave at once, the end waits for them, and what stays is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from collector.embedded_broker import embedded_broker
from probes.clock import SystemClock
from probes.errors import OperatorError
from probes.messages import Acknowledgement, Address, parse_batch, ranges_of
from probes.mqtt import BrokerAddress
from probes.outbox import Outbox
from probes.stream import Stream
from probes.worker import Worker
from tests.journey_kit import open_target
from tests.worker_kit import plan_of, until

WHO = Address("test", "here", "one")


@asynccontextmanager
async def acknowledging(broker: BrokerAddress) -> AsyncIterator[list[int]]:
    """A collector that has a memory and nothing else: it acknowledges everything, and lists the numbers."""
    host, port, _ = broker.endpoint()
    heard: list[int] = []
    listens = asyncio.Event()

    async def work() -> None:
        async with aiomqtt.Client(host, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe(WHO.topic("results"), qos=1)
            listens.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                batch = parse_batch(message.payload)
                numbers = [entry.seq for entry in batch.entries]
                heard.extend(numbers)
                answer = Acknowledgement(epoch=batch.epoch, ranges=ranges_of(numbers), collector="c")
                await client.publish(WHO.topic("acks"), answer.model_dump_json().encode(), qos=1)

    task = asyncio.create_task(work())
    try:
        await asyncio.wait_for(listens.wait(), 60)  # what was sent before would come again after many seconds only
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_what_lanes_find_leaves_at_once_and_the_end_waits_for_the_rest(tmp_path: Path) -> None:
    """With a collector behind the broker the outbox is empty after an orderly stop, and every number arrived."""
    clock = SystemClock()
    async with open_target() as target:
        plan = plan_of(tmp_path, target.url, {"steady": 1000})
        with embedded_broker() as broker:
            async with acknowledging(broker) as heard:
                worker = Worker(plan, clock=clock, open_stream=lambda outbox: Stream(outbox, WHO, broker, clock=clock))
                task = asyncio.create_task(worker.run())
                await until(lambda: len(heard) >= 3, "entries at the collector")
                worker.stop()
                report = await task
    assert (report.left.entries, report.left.intents, report.left.lost) == (0, 0, 0)
    assert sorted(set(heard)) == list(range(1, max(heard) + 1))


async def test_a_broker_that_is_away_keeps_nobody_from_measuring_and_what_stays_is_said(tmp_path: Path) -> None:
    """The runs wait in the outbox for the next start; the stop does not wait longer than its deadline."""
    clock = SystemClock()
    broker = BrokerAddress("mqtt://127.0.0.1:9")
    async with open_target() as target:
        plan = plan_of(tmp_path, target.url, {"steady": 1000}, flush_deadline_s=0.2)
        worker = Worker(plan, clock=clock, open_stream=lambda outbox: Stream(outbox, WHO, broker, clock=clock))
        task = asyncio.create_task(worker.run())
        await until(lambda: len(target.seen) >= 2, "runs without a broker")
        worker.stop()
        report = await asyncio.wait_for(task, 60)
    with Outbox(plan.outbox_path) as outbox:
        assert report.left.entries == outbox.depth().entries >= 3


async def test_a_broker_that_can_never_be_reached_stops_the_worker_with_the_reason(tmp_path: Path) -> None:
    """A slip in the settings is told at once, after an orderly end, not when the outbox is full."""
    clock = SystemClock()
    broker = BrokerAddress("http://127.0.0.1:9")
    async with open_target() as target:
        plan = plan_of(tmp_path, target.url, {"steady": 1000})
        worker = Worker(plan, clock=clock, open_stream=lambda outbox: Stream(outbox, WHO, broker, clock=clock))
        with pytest.raises(OperatorError, match="not the address of a broker"):
            await asyncio.wait_for(worker.run(), 60)
