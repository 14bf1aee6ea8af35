"""Carries the outbox to the collector: batches out, acknowledgements in, everything again after any doubt.

The rules: an entry leaves the outbox only when the collector says that it has committed it; the broker's own
acknowledgement means nothing; what is unacknowledged is sent again after a reconnect, when a collector says a new
hello, and when an acknowledgement is overdue. The window of unacknowledged entries is the back-pressure. A lone entry goes
at once, a backlog goes in batches, several of them on the way at once.

An entry that cannot travel never holds up the others: see `probes.stream_batches`. Neither a broker nor a disk that fails ends
the stream: it waits and begins again.

Refuses to look into a record. Called by the worker, one stream per outbox; the same connection carries the probe's status,
its progress, questions about time, and what others have to say to it (`handlers`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import aiomqtt
import structlog

from probes.clock import Clock
from probes.clock_offset import ClockOffset
from probes.errors import DependencyError, OperatorError
from probes.messages import Acknowledgement, Address, MessageError, parse_acknowledgement, parse_hello, ranges_of
from probes.mqtt import BrokerAddress, Connection, LastWill, open_client, subscribe
from probes.mqtt_breaks import ShortConnections
from probes.outbox import Outbox
from probes.stream_batches import Batch, BatchCutter
from probes.stream_window import StreamLimits, Window

__all__ = ["Stream", "StreamLimits", "StreamState"]

log = structlog.get_logger(__name__)

NANOSECONDS = 1_000_000_000
FAREWELL_S = 1.0
CLOCK_FIRST_S = 1.0
CLOCK_FIRST_QUESTIONS = 4

Handler = Callable[[bytes], None]


@dataclass(slots=True)
class StreamState:
    """What the stream did so far, for status pages; counts since the start of the process."""

    connected: bool = False
    mqtt_version: int = 0
    connects: int = 0
    batches_sent: int = 0
    entries_sent: int = 0
    entries_resent: int = 0
    entries_acknowledged: int = 0
    entries_in_flight: int = 0
    entries_replaced: int = 0
    entries_held_back: int = 0
    acks_overdue: int = 0
    messages_refused: int = 0
    last_error: str = ""
    last_ack_monotonic_s: float = 0.0


class Stream:
    """One probe's connection to the collector; `run` until cancelled, `wake` after each entry that was put.

    `handlers` maps topics to functions that take a payload and raise MessageError for one that they refuse; `status` adds
    to what the status topic says.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Address,
        broker: BrokerAddress,
        *,
        clock: Clock,
        limits: StreamLimits | None = None,
        status: Callable[[], Mapping[str, object]] = dict,
        handlers: Mapping[str, Handler] | None = None,
    ) -> None:
        self.state = StreamState()
        self.clock_offset = ClockOffset(clock)
        self._outbox = outbox
        self._sender = sender
        self._broker = broker
        self._clock = clock
        self._limits = limits or StreamLimits()
        self._status = status
        self._hello_topic = f"fleet/v1/{sender.fleet}/hello"
        self._handlers: dict[str, Handler] = {
            sender.topic("acks"): self._heard_acknowledgement,
            sender.topic("clock"): self.clock_offset.heard,
            **(handlers or {}),
        }
        self._window = Window(self._limits)
        self._wake = asyncio.Event()
        self._cutter: BatchCutter | None = None
        self._settled = asyncio.Event()
        self._hello_boots: dict[str, str] = {}
        self._client: Connection | None = None

    def wake(self) -> None:
        """Something new is in the outbox."""
        self._look_again()

    def publish_live(self, payload: bytes) -> bool:
        """Tell whoever looks how a run goes, once, without any promise; False when there is no connection."""
        if self._client is None:
            return False
        try:
            self._client.publish_soon(self._sender.topic("live"), payload, qos=0)
        except aiomqtt.MqttError:
            return False
        return True

    async def run(self) -> None:
        """Connect, send, listen; on any break wait a little longer each time and begin again. Ends when cancelled.

        Raises OperatorError when the first attempt shows that the address or the certificates must be corrected.
        """
        pause_s = self._limits.retry_first_s
        short = ShortConnections()
        while True:
            connected_at_s, connects = self._now_s(), self.state.connects
            try:
                await self._converse()
            except (OperatorError, DependencyError) as error:
                if isinstance(error, OperatorError) and not self.state.connects:
                    raise
                likely = short.ended(self._now_s() - connected_at_s, was_made=self.state.connects > connects)
                self._note_break(error, pause_s, likely)
            if self._now_s() - connected_at_s > self._limits.retry_most_s:
                pause_s = self._limits.retry_first_s
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, self._limits.retry_most_s)

    async def flush(self, deadline_s: float) -> bool:
        """Wait until the outbox is empty, at most `deadline_s` seconds; True when it is. `run` must be running."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._outbox.depth().entries:
                    self._settled.clear()
                    self.wake()
                    await self._settled.wait()
        except TimeoutError:
            return self._outbox.depth().entries == 0
        return True

    def _note_break(self, error: OperatorError | DependencyError, retry_in_s: float, likely: str) -> None:
        self.state.last_error = f"{error} ({likely})" if likely else str(error)
        more = {"likely": likely} if likely else {}
        log.warning("stream.disconnected", broker=self._broker.url, error=error.what, retry_in_s=retry_in_s, **more)

    async def _converse(self) -> None:
        will = LastWill(self._sender.topic("status"), self._status_payload(online=False))
        # The colon cannot be in a name, so that no two probes of a fleet have one client id.
        client_id = f"{self._sender.fleet}:{self._sender.region}:{self._sender.probe}"
        async with open_client(self._broker, client_id=client_id, last_will=will) as client:
            for topic in (self._hello_topic, *self._handlers):
                await subscribe(client, self._broker, topic)
            await self._exchange(client)

    async def _exchange(self, client: Connection) -> None:
        """Everything that goes on while a connection stands; raises when it breaks."""
        cutter = BatchCutter(self._outbox, self._sender, self._window, self._limits, client.max_packet_bytes)
        self._client, self._cutter = client, cutter
        self._window.doubt_everything()
        self.state.connected = True
        self.state.connects += 1
        self.state.mqtt_version = int(client.version)
        log.info("stream.connected", broker=self._broker.url, mqtt_version=self.state.mqtt_version)
        try:
            await until_one_fails(
                self._listen(client),
                self._send(client, cutter),
                self._keep_looking(),
                self._keep_status(client),
                self._keep_time(client),
            )
        finally:
            self._client = self._cutter = None
            self.state.connected = False
            self._say_goodbye(client)

    async def _listen(self, client: Connection) -> None:
        await client.hand_over(self._heard)

    def _heard(self, topic: str, payload: bytes, is_retained: bool) -> None:  # noqa: FBT001 - the connection says so
        try:
            if topic == self._hello_topic:
                self._heard_hello(payload, is_news=not is_retained)
            elif topic in self._handlers:
                self._handlers[topic](payload)
        except MessageError as error:
            self.state.messages_refused += 1
            log.warning("stream.message_refused", topic=topic, error=str(error))

    def _heard_hello(self, payload: bytes, *, is_news: bool) -> None:
        """A hello that was there before us needs nothing: its collector has heard all that this connection sent."""
        hello = parse_hello(payload)
        known_boot = self._hello_boots.pop(hello.collector, None)
        if len(self._hello_boots) >= 1_000:
            self._hello_boots.clear()
        self._hello_boots[hello.collector] = hello.boot
        if is_news and known_boot != hello.boot:
            log.info("stream.collector_is_new", collector=hello.collector, entries=self._window.in_flight)
            self._window.doubt_everything()
            self._look_again()

    def _heard_acknowledgement(self, payload: bytes) -> None:
        acknowledgement: Acknowledgement = parse_acknowledgement(payload)
        if acknowledgement.epoch != self._outbox.epoch:
            return
        now_s = self._now_s()
        settled = self._window.acknowledged(acknowledgement.ranges, now_s)
        if not settled:
            return
        self._outbox.acknowledge_soon(ranges_of(settled))
        self.state.entries_acknowledged += len(settled)
        self.state.entries_in_flight = self._window.in_flight
        self.state.last_ack_monotonic_s = now_s
        self._settled.set()
        if self._cutter is not None and not self._cutter.is_read_up:
            self._wake.set()

    def _look_again(self) -> None:
        """There may be more to send than the last look into the outbox has found."""
        if self._cutter is not None:
            self._cutter.look_again()
        self._wake.set()

    async def _send(self, client: Connection, cutter: BatchCutter) -> None:
        """Send what may go, and sleep until an event may have changed that: most events have not, and cost nothing."""
        unconfirmed: set[asyncio.Future[None]] = set()
        while True:
            self._wake.clear()
            overdue = self._window.doubt_overdue(self._now_s())
            if overdue:
                self.state.acks_overdue += overdue
                cutter.look_again()
                log.warning("stream.acknowledgement_overdue", entries=overdue, next_in_s=self._window.patience_s)
            while len(unconfirmed) < self._limits.unconfirmed_messages and (batch := cutter.next_batch()):
                confirmed = self._send_batch(client, batch)
                unconfirmed.add(confirmed)
                confirmed.add_done_callback(partial(self._confirmed, unconfirmed))
            self.state.entries_held_back = cutter.held_back
            await self._wake.wait()
            for confirmed in [future for future in unconfirmed if future.done()]:
                unconfirmed.remove(confirmed)
                confirmed.result()

    def _confirmed(self, unconfirmed: Collection[object], confirmed: asyncio.Future[None]) -> None:
        """The broker has a message, or refuses it: worth a turn when it was waited for, or went wrong."""
        was_full = len(unconfirmed) >= self._limits.unconfirmed_messages
        if was_full or confirmed.cancelled() or confirmed.exception() is not None:
            self._wake.set()

    async def _keep_looking(self) -> None:
        """Look by ourselves now and then: other processes write into the outbox too, and patience ends unseen."""
        while True:
            await self._clock.sleep(self._limits.poll_s)
            self._look_again()

    def _send_batch(self, client: Connection, batch: Batch) -> asyncio.Future[None]:
        confirmed = client.publish_soon(self._sender.topic("results"), batch.payload)
        state = self.state
        state.entries_resent += self._window.sent(batch.entries, self._now_s())
        state.entries_in_flight = self._window.in_flight
        state.entries_sent += len(batch.entries)
        state.entries_replaced += batch.replaced
        state.batches_sent += 1
        return confirmed

    async def _keep_status(self, client: Connection) -> None:
        while True:
            await client.publish_soon(self._sender.topic("status"), self._status_payload(online=True), retain=True)
            await self._clock.sleep(self._limits.status_every_s)

    async def _keep_time(self, client: Connection) -> None:
        """Ask the collector for the time: a few times soon, so that one slow answer does not count, then steadily."""
        asked = 0
        while True:
            client.publish_soon(self._sender.topic("time"), self.clock_offset.request(), qos=0)
            asked += 1
            await self._clock.sleep(CLOCK_FIRST_S if asked < CLOCK_FIRST_QUESTIONS else self._limits.clock_every_s)

    def _say_goodbye(self, client: Connection) -> None:
        """Say what stays; the broker gets it before our DISCONNECT, and gives our last will when it does not.

        It is a goodbye only when we are told to end: after a break we come back.
        """
        task = asyncio.current_task()
        leaves = task is not None and task.cancelling() > 0
        try:
            payload = self._status_payload(online=False, goodbye=leaves)
            client.publish_soon(self._sender.topic("status"), payload, retain=True)
        except (aiomqtt.MqttError, DependencyError):
            log.debug("stream.no_farewell")

    def _status_payload(self, *, online: bool, goodbye: bool = False) -> bytes:
        depth = self._outbox.depth()
        reading = self.clock_offset.reading()
        status: dict[str, object] = {
            "v": 1,
            "online": online,
            "goodbye": goodbye,
            "epoch": self._outbox.epoch,
            "at": self._clock.now().isoformat(),
            "outbox": {
                "entries": depth.entries,
                "body_bytes": depth.body_bytes,
                "oldest_at": depth.oldest_at and depth.oldest_at.isoformat(),
                "lost": depth.lost,
                "intents": depth.intents,
            },
            "stream": asdict(self.state),
            "clock": reading and asdict(reading),
        }
        return json.dumps({**self._status(), **status}).encode()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / NANOSECONDS


async def until_one_fails(*works: Coroutine[object, object, None]) -> None:
    """Run coroutines that never end by themselves; the first failure ends the others and is passed on."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
