"""Takes results from the broker, has them committed, and only then acknowledges them to the probes.

What arrives while one transaction is being written goes into the next one together: with little to do a lone record is
acknowledged after one commit, under load hundreds share one. Nothing is acknowledged that is not committed; what cannot be
committed now is tried again, and what overflows meanwhile is left to the probes, which send everything again that stays
unacknowledged. Each connection says a new `hello`, which asks them to do so at once.

Several collectors may run beside each other on a shared subscription; each takes a part of the stream.

Refuses to know SQL (`collector.store`) and to trust a header that does not match its topic (`collector.store_intake`).
Called by the wiring of `collector` and `fleet`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

import aiomqtt
import structlog

from collector.store import Delivery, Receipt, Store
from collector.store_session import StoreError, StoreRefusedError
from collector.store_status import MAX_STATUS_BYTES
from probes.clock import Clock
from probes.clock_offset import answer_time_request
from probes.messages import Acknowledgement, Address, Hello, MessageError, parse_address, ranges_of
from probes.mqtt import BrokerAddress, BrokerUnavailableError, Connection, open_client, subscribe
from probes.mqtt_breaks import ShortConnections

__all__ = ["Ingest", "IngestLimits", "IngestState"]

log = structlog.get_logger(__name__)

NANOSECONDS = 1_000_000_000
SHARED_BY = "collectors"
MAX_STATUSES = 10_000
MAX_TOLD_TOPIC = 120
RANGES_AT_ONCE = 5_000  # a message holds at most twice as many; an honest probe's numbers are few ranges
SAY_DEADLINE_S = 10.0
LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much is taken at once and kept in memory, and how patient the ingest is; times in seconds."""

    group_bytes: int = 1 << 20
    group_deliveries: int = 200
    inbox_bytes: int = 64 << 20
    retry_first_s: float = 0.2
    retry_most_s: float = 10.0


@dataclass(slots=True)
class IngestState:
    """What the ingest did since the start of this process, for status pages and readiness."""

    connected: bool = False
    connects: int = 0
    deliveries: int = 0
    commits: int = 0
    entries: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    acknowledgements: int = 0
    deliveries_shed: int = 0
    messages_refused: int = 0
    groups_given_up: int = 0
    commit_failures: int = 0
    inbox_bytes: int = 0
    inbox_most_bytes: int = 0
    last_commit_s: float = 0.0
    storing: bool = True
    last_error: str = ""


class Ingest:
    """One collector's connection to the stream; `run` until cancelled."""

    def __init__(
        self,
        store: Store,
        broker: BrokerAddress,
        *,
        fleet: str,
        name: str,
        clock: Clock,
        limits: IngestLimits | None = None,
    ) -> None:
        self.state = IngestState()
        self._store = store
        self._broker = broker
        self._fleet = fleet
        self._status_topics = f"fleet/v1/{fleet}/status/"
        self._time_topics = f"fleet/v1/{fleet}/time/"
        self._name = name
        self._clock = clock
        self._limits = limits or IngestLimits()
        self._inbox: deque[Delivery] = deque()
        self._statuses: dict[Address, tuple[bytes, Delivery]] = {}
        self._receipts: deque[Receipt] = deque()
        self._owes_hello = False
        self._client: Connection | None = None
        self._arrived = asyncio.Event()
        self._committed = asyncio.Event()

    async def run(self) -> None:
        """Receive, commit, acknowledge, through every break of the broker and of the database. Ends when cancelled.

        Results that were not committed by then come again. What probes said about themselves does not, and one that said
        goodbye would be called up by whoever looks later: that is stored before the end, within some seconds.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stay_connected())
                for _ in range(self._store.groups_at_once):
                    group.create_task(self._keep_committing())
        finally:
            await self._keep_last_words()

    async def _stay_connected(self) -> None:
        pause_s = self._limits.retry_first_s
        short = ShortConnections()
        while True:
            connected_at_s, connects = self._now_s(), self.state.connects
            try:
                await self._converse()
            except BrokerUnavailableError as error:
                likely = short.ended(self._now_s() - connected_at_s, was_made=self.state.connects > connects)
                self.state.last_error = f"{error} ({likely})" if likely else str(error)
                more = {"likely": likely} if likely else {}
                log.warning(
                    "ingest.disconnected", broker=self._broker.url, error=error.what, retry_in_s=pause_s, **more
                )
            finally:
                self.state.connected = False
            if self._now_s() - connected_at_s > self._limits.retry_most_s:
                pause_s = self._limits.retry_first_s
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, self._limits.retry_most_s)

    async def _converse(self) -> None:
        client_id = f"{self._fleet}::{self._name}"  # no probe's: each of those has a region between its colons
        async with open_client(self._broker, client_id=client_id) as client:
            await self._subscribe(client)
            self._receipts.clear()  # after a hello everything unacknowledged comes again
            self._say_hello(client)
            self.state.connected = True
            self.state.connects += 1
            log.info("ingest.connected", broker=self._broker.url, mqtt_version=int(client.version))
            self._client = client
            try:
                await first_to_end(self._listen(client), self._keep_acknowledging(client))
            finally:
                self._client = None

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish on this connection, for a broker may allow a user no second one; returns when the broker has it.

        Raises BrokerUnavailableError when it does not take it.
        """
        client = self._client
        if client is None:
            raise BrokerUnavailableError("not connected to the broker", where=self._broker.url)
        try:
            async with asyncio.timeout(SAY_DEADLINE_S):
                await client.publish_soon(topic, payload)
        except (TimeoutError, aiomqtt.MqttError) as error:
            raise BrokerUnavailableError("the broker did not take a message", where=self._broker.url) from error

    def _say_hello(self, client: Connection) -> None:
        """Ask every probe, by a boot that is new to it, to send again what is unacknowledged."""
        self._owes_hello = False
        hello = Hello(collector=self._name, boot=secrets.token_hex(8)).model_dump_json().encode()
        client.publish_soon(f"fleet/v1/{self._fleet}/hello", hello, retain=True)

    async def _subscribe(self, client: Connection) -> None:
        """Share the results with other collectors where the broker can, else take them all."""
        topics = f"fleet/v1/{self._fleet}"
        try:
            await subscribe(client, self._broker, f"$share/{SHARED_BY}/{topics}/results/+/+")
        except BrokerUnavailableError:
            log.warning("ingest.not_shared", broker=self._broker.url)
            await subscribe(client, self._broker, f"{topics}/results/+/+")
        await subscribe(client, self._broker, f"{topics}/status/+/+")
        await subscribe(client, self._broker, f"{topics}/time/+/+")

    async def _listen(self, client: Connection) -> None:
        def heard(topic: str, payload: bytes, _is_retained: bool) -> None:  # noqa: FBT001 - the connection says so
            self._heard(client, Delivery(topic, payload, self._clock.now()))

        await client.hand_over(heard)

    def _heard(self, client: Connection, delivery: Delivery) -> None:
        state, topic, payload_bytes = self.state, delivery.topic, len(delivery.payload)
        state.deliveries += 1
        if topic.startswith(self._status_topics):
            self._heard_status(delivery)
        elif topic.startswith(self._time_topics):
            self._answer_time(client, delivery)
        elif state.inbox_bytes + payload_bytes > self._limits.inbox_bytes:
            self._shed()
        else:
            self._inbox.append(delivery)
            state.inbox_bytes += payload_bytes
            state.inbox_most_bytes = max(state.inbox_most_bytes, state.inbox_bytes)
        self._arrived.set()

    def _shed(self) -> None:
        """The database is too slow or away: leave this to the probe, which keeps it and sends it again."""
        if self.state.deliveries_shed % 1000 == 0:
            log.error("ingest.inbox_full", inbox_bytes=self.state.inbox_bytes, shed=self.state.deliveries_shed + 1)
        self.state.deliveries_shed += 1
        self._owes_hello = True

    def _heard_status(self, delivery: Delivery) -> None:
        try:
            _, sender = parse_address(delivery.topic)
        except MessageError as error:
            self._refuse(delivery, str(error))
            return
        if len(delivery.payload) > MAX_STATUS_BYTES:
            self._refuse(delivery, f"a status of {len(delivery.payload)} bytes is over the bound of {MAX_STATUS_BYTES}")
        elif sender not in self._statuses and len(self._statuses) >= MAX_STATUSES:
            self._refuse(delivery, "the status of too many probes waits to be stored")  # each says it again soon
        else:
            self._statuses[sender] = (delivery.payload, delivery)

    def _refuse(self, delivery: Delivery, reason: str) -> None:
        self.state.messages_refused += 1
        log.warning("ingest.message_refused", topic=delivery.topic[:MAX_TOLD_TOPIC], error=reason)

    def _answer_time(self, client: Connection, delivery: Delivery) -> None:
        """Tell a probe what time it is here: at once, because every delay between the stamps is its error bound."""
        try:
            _, sender = parse_address(delivery.topic)
            answer = answer_time_request(delivery.payload, received_at=delivery.received_at, clock=self._clock)
        except MessageError as error:
            self._refuse(delivery, str(error))
            return
        client.publish_soon(sender.topic("clock"), answer, qos=0)

    async def _keep_committing(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox or self._statuses:
                await self._commit_group(self._next_group())
                await self._commit_statuses()

    def _next_group(self) -> list[Delivery]:
        group: list[Delivery] = []
        group_bytes = 0
        while self._inbox and len(group) < self._limits.group_deliveries and group_bytes < self._limits.group_bytes:
            group.append(self._inbox.popleft())
            group_bytes += len(group[-1].payload)
        return group

    async def _commit_group(self, group: Sequence[Delivery]) -> None:
        """Commit a group, however long the database takes to come back; give up only what it refuses for good."""
        pause_s = self._limits.retry_first_s
        while group:
            try:
                started_s = self._now_s()
                filed = await self._store.file(group)
            except StoreError as error:
                self._note_failure(error, pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, self._limits.retry_most_s)
                continue
            except StoreRefusedError as error:
                self.state.groups_given_up += 1
                self.state.last_error = str(error)
                log.exception("ingest.group_given_up", deliveries=len(group))
                break
            state, result = self.state, filed.result
            state.storing = True
            state.commits += 1
            state.last_commit_s = self._now_s() - started_s
            state.entries += result.entries
            state.duplicates += result.duplicates
            state.conflicts += result.conflicts
            state.quarantined += result.quarantined
            if self.state.connected:
                self._receipts.extend(filed.receipts)
                self._committed.set()
            break
        self.state.inbox_bytes -= sum(len(delivery.payload) for delivery in group)

    async def _commit_statuses(self) -> None:
        """What probes said about themselves; where this is cancelled, what is not stored yet stays for the last words."""
        while self._statuses:
            sender, said = next(iter(self._statuses.items()))
            try:
                await self._store.note_status(sender, said[0], said[1].received_at)
            except (StoreError, StoreRefusedError) as error:
                self._note_failure(error, 0.0)
            if self._statuses.get(sender) is said:  # it may have said more meanwhile
                del self._statuses[sender]

    async def _keep_last_words(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._commit_statuses()
        except TimeoutError:
            log.warning("ingest.last_words_not_stored", probes=len(self._statuses))

    def _note_failure(self, error: StoreError | StoreRefusedError, retry_in_s: float) -> None:
        self.state.commit_failures += 1
        self.state.storing = False
        self.state.last_error = str(error)
        log.error("ingest.not_stored", where=error.where, error=error.what, retry_in_s=retry_in_s)

    async def _keep_acknowledging(self, client: Connection) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            numbers: dict[tuple[Address, int], list[int]] = {}
            while self._receipts:
                receipt = self._receipts.popleft()
                numbers.setdefault((receipt.sender, receipt.epoch), []).extend(receipt.numbers)
            confirmations = []
            for (sender, epoch), of_epoch in numbers.items():
                ranges = ranges_of(of_epoch)
                for start in range(0, len(ranges), RANGES_AT_ONCE):
                    some = ranges[start : start + RANGES_AT_ONCE]
                    acknowledgement = Acknowledgement(epoch=epoch, ranges=some, collector=self._name)
                    payload = acknowledgement.model_dump_json().encode()
                    confirmations.append(client.publish_soon(sender.topic("acks"), payload))
                    self.state.acknowledgements += 1
            for confirmation in confirmations:
                await confirmation
            if self._owes_hello and self.state.inbox_bytes < self._limits.inbox_bytes // 2:
                self._say_hello(client)  # there is room again for what had to be left to the probes

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / NANOSECONDS


async def first_to_end(*works: Coroutine[object, object, None]) -> None:
    """Run the coroutines until one of them ends or fails; the others are cancelled and the first failure is passed on."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
