"""Sends what waits in the queue: each channel for itself, so that a dead one delays nobody else.

A message is tried until it is delivered or given up, after growing pauses, with a key that stays the same; it may arrive twice
(the collector died before it could note the delivery) and is never lost before `GIVE_UP_AFTER`. Refuses to decide what is said
and to hold up results: nothing here is waited for by the ingest. Called by the wiring as a companion of the collector.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from collector.alerting.channels import Channel
from collector.alerting.message import LinkMaker, Message
from collector.alerting.outbox import ack_key_of
from collector.alerting.senders import DEADLINE_S, SendError
from collector.store import Store, StoreError
from collector.store_messages import StoredMessage, Waiting
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from probes.retry_after import MAX_RETRY_AFTER_S
from slo.burn_tiers import Severity

__all__ = ["GIVE_UP_AFTER", "Dispatcher"]

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
AT_ONCE: Final = 4
"""Messages of one channel under way at a time; they are of different incidents."""
LEASE: Final = timedelta(seconds=3 * DEADLINE_S)
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0
LONGEST_WAIT: Final = timedelta(seconds=MAX_RETRY_AFTER_S) + LEASE
"""Nothing is put off, or taken, for longer."""
MOST_NOTES: Final = 5
"""So often a delivery is noted while the database does not take it; the lease lasts longer."""
GIVE_UP_AFTER: Final[Mapping[Severity, timedelta]] = {
    Severity.CRITICAL: timedelta(days=3),
    Severity.HIGH: timedelta(days=3),
    Severity.MEDIUM: timedelta(days=1),
    Severity.REPORT: timedelta(days=1),
}
KEPT_FOR: Final = timedelta(days=90)
TIDY_EVERY_S: Final = 30.0
STUCK_AFTER: Final = timedelta(minutes=15)
_PAGES: Final = (Severity.CRITICAL, Severity.HIGH)


class Dispatcher:
    """Sends; `run` until cancelled. `name` is this collector's: what one of that name took before it died is taken anew."""

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        *,
        name: str,
        clock: Clock,
        base_url: str = "",
        ack_key: str = "",
        chance: Callable[[], float] = lambda: secrets.randbelow(1_000) / 1_000,
    ) -> None:
        """`chance` draws from [0, 1): a part of each pause is left to it, so that messages do not come back all at once.

        `base_url` is where people reach the pages, empty: there are none; `ack_key` signs links, empty: the database's own key.
        """
        self._store = store
        self._channels = tuple(channels)
        self._base_url = base_url.rstrip("/")
        self._ack_key = ack_key
        self._links: LinkMaker | None = None
        self._name = name
        self._clock = clock
        self._chance = chance
        self._waiting: list[Waiting] = []
        self._looked_at: datetime | None = None
        self._reminded_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Send whenever something waits. A database that is away is waited for; a bug of ours is logged."""
        await _with_patience(self._take_back)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(self.tidy, TIDY_EVERY_S), name="messages-tidy")
            for channel in self._channels:
                group.create_task(self._keep(partial(self.serve, channel), POLL_S), name=f"messages-{channel.name}")

    async def tick(self) -> None:
        """Try everything that is due now, in all channels, each message once. Raises StoreError."""
        async with asyncio.TaskGroup() as group:
            for channel in self._channels:
                group.create_task(self.serve(channel))

    async def serve(self, channel: Channel) -> None:
        """Try what is due in a channel, and remind it of what is on. Raises StoreError."""
        while claimed := await self._claim(channel):
            async with asyncio.TaskGroup() as group:
                for stored in claimed:
                    group.create_task(self._deliver(channel, stored))
        await self._remind(channel)

    async def tidy(self) -> None:
        """Give up what is too old, forget what is long over, look at what waits. Raises StoreError."""
        now = self._clock.now()
        hastened = await self._store.messages.hasten(now + LONGEST_WAIT)
        if hastened:
            log.warning(
                "messages.hastened", count=hastened, reason="they wait for an instant that no clock should have shown"
            )
        for severity, after in GIVE_UP_AFTER.items():
            count = await self._store.messages.give_up(severity, now - after, now=now)
            if count:
                log.error("messages.given_up", severity=severity.value, count=count, after_h=after / timedelta(hours=1))
        await self._store.messages.prune(now - KEPT_FOR)
        self._waiting = await self._store.messages.waiting()
        self._looked_at = now

    def trouble(self) -> str:
        """Why messages do not flow, in a few words for people; empty when they do. Lesser ones that wait are no trouble."""
        now = self._clock.now()
        if self._looked_at is None or now - self._looked_at > STUCK_AFTER:
            return "the queue of messages is not looked after"
        for one in self._waiting:
            if one.severity in _PAGES and now - one.oldest_at > STUCK_AFTER:
                return f"a {one.severity.value} message for the channel {one.channel} waits since {one.oldest_at:%H:%M} UTC"
        return ""

    def status(self) -> Mapping[str, int]:
        """How many messages wait, by channel, when it was last looked."""
        counts: dict[str, int] = {channel.name: 0 for channel in self._channels}
        for one in self._waiting:
            counts[one.channel] = counts.get(one.channel, 0) + one.count
        return counts

    # one message

    async def _claim(self, channel: Channel) -> list[StoredMessage]:
        now = self._clock.now()
        return await self._store.messages.claim(channel.name, self._name, now=now, until_at=now + LEASE, limit=AT_ONCE)

    async def _deliver(self, channel: Channel, stored: StoredMessage) -> None:
        """Try one message. A database that does not take how it went stops none of the others that are under way."""
        message = (await self._links_now()).message(stored, self._clock.now())
        about = {"channel": channel.name, "key": message.key, "attempt": message.attempt}
        error = await _failure_of(channel, message)
        try:
            await (self._delivered(message, stored, about) if error is None else self._put_off(error, stored, about))
        except StoreError as trouble:
            log.warning("message.not_noted", **about, was_delivered=error is None, error=str(trouble))

    async def _delivered(self, message: Message, stored: StoredMessage, about: Mapping[str, object]) -> None:
        await self._note_delivered(stored.message_id, self._clock.now())
        log.info("message.delivered", **about, late_s=round(message.late_s, 1))

    async def _put_off(self, error: SendError, stored: StoredMessage, about: Mapping[str, object]) -> None:
        pause_s = max(error.retry_after_s, self._pause_s(stored.attempts))
        next_try_at = self._clock.now() + timedelta(seconds=pause_s)
        await self._store.messages.note_failed(stored.message_id, self._name, error.what, next_try_at=next_try_at)
        log.warning("message.put_off", **about, error=error.what, pause_s=round(pause_s, 1))

    async def _note_delivered(self, message_id: int, now: datetime) -> None:
        """Again and again while the lease lasts: what is not noted is sent a second time. Raises StoreError."""
        for left in reversed(range(MOST_NOTES)):
            try:
                await self._store.messages.note_delivered(message_id, now=now)
            except StoreError:
                if not left:
                    raise
                await self._clock.sleep(POLL_S)
            else:
                return

    def _pause_s(self, attempts: int) -> float:
        """Doubling from one to the next, a quarter of it by chance."""
        pause_s: float = min(FIRST_PAUSE_S * 2.0 ** min(attempts, 10), LONGEST_PAUSE_S)
        return pause_s * (0.75 + 0.25 * self._chance())

    # receivers that must be reminded

    async def _remind(self, channel: Channel) -> None:
        every_s, now_ns = channel.sender.resends_every_s, self._clock.monotonic_ns()
        before_ns = self._reminded_ns.get(channel.name)
        if not every_s or (before_ns is not None and now_ns - before_ns < every_s * 1e9):
            return
        self._reminded_ns[channel.name] = now_ns
        links, now = await self._links_now(), self._clock.now()
        running = [links.message(one, now) for one in await self._store.messages.running(channel.name)]
        if not running:
            return
        try:
            async with asyncio.timeout(DEADLINE_S):
                await channel.sender.remind(running)
        except (SendError, TimeoutError) as error:
            log.warning("messages.not_reminded", channel=channel.name, error=str(error), count=len(running))

    # going on

    async def _links_now(self) -> LinkMaker:
        if self._links is None:
            self._links = LinkMaker(self._base_url, await ack_key_of(self._store, self._ack_key))
        return self._links

    async def _take_back(self) -> None:
        """What we took before we were started again is due now."""
        count = await self._store.messages.release(self._name)
        if count:
            log.info("messages.taken_back", count=count)

    async def _keep(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await _with_patience(work)
            await self._clock.sleep(every_s)


async def _failure_of(channel: Channel, message: Message) -> SendError | None:
    """Send it; why it failed, None when it was taken. What nobody foresaw is logged and counts as a failure too."""
    try:
        async with asyncio.timeout(DEADLINE_S + 5):
            await channel.sender.send(message)
    except SendError as error:
        return error
    except TimeoutError:
        return SendError(f"it was not done within {DEADLINE_S:g} s")
    except Exception as error:
        log.exception("message.failed", channel=channel.name, key=message.key)
        return SendError(f"our own fault: {type(error).__name__}; see the log")
    return None


async def _with_patience(work: Callable[[], Awaitable[None]]) -> None:
    """Work that may fail; the next time is soon."""
    try:
        await work()
    except* (StoreError, StoreRefusedError) as errors:
        log.warning("messages.waiting_for_the_database", error=str(errors.exceptions[0]))
    except* Exception:
        log.exception("messages.failed")
