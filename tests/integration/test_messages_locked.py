"""Messages whose delivery the database does not take at once: they are noted when it does, and nothing is sent twice for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import Dispatcher
from collector.alerting.message import Message
from collector.alerting.outbox import MessageOutbox
from collector.alerting.senders import Sender
from collector.store import Store, open_store
from collector.store_sqlite import SqliteBackend
from tests.alert_kit import open_an_incident
from tests.clock import JumpingClock
from tests.message_kit import ALL, target
from tests.store_kit import NOW

OUTBOX = MessageOutbox({"hook": ALL})


class Locking:
    """Sends, and has somebody else hold the database from the first delivery on."""

    resends_every_s = 0.0

    def __init__(self, sender: Sender, other: sqlite3.Connection) -> None:
        self._sender = sender
        self._other = other
        self._is_first = True

    async def send(self, message: Message) -> None:
        """Deliver, then lock."""
        await self._sender.send(message)
        if self._is_first:
            self._is_first = False
            self._other.execute("BEGIN IMMEDIATE")

    async def remind(self, messages: Sequence[Message]) -> None:
        """Nothing."""


class LettingGo(JumpingClock):
    """A clock in whose second sleep the other one is done."""

    def __init__(self, other: sqlite3.Connection) -> None:
        super().__init__(NOW)
        self._other = other

    async def sleep(self, duration_s: float) -> None:
        """Sleep."""
        await super().sleep(duration_s)
        if len(self.slept_s) == 2:
            self._other.rollback()


async def test_a_delivery_is_noted_when_the_database_is_free_again_and_is_not_repeated(tmp_path: Path) -> None:
    """Three messages are under way while another program holds the database; each arrives once."""
    file = tmp_path / "some.db"
    async with open_store(str(file), survives_power_cut=False) as store:
        for number in range(3):
            await open_an_incident(store, NOW, key=f"k{number}", outbox=OUTBOX)
    backend = SqliteBackend(file, survives_power_cut=False, busy_timeout_s=0.05)
    await backend.open()
    try:
        with target() as there, closing(sqlite3.connect(file, isolation_level=None)) as other:
            store, clock = Store(backend), LettingGo(other)
            sender = sender_of("webhook", there.url, where="test")
            channel = Channel("hook", "webhook", Locking(sender, other))
            sending = Dispatcher(store, [channel], name="one", clock=clock)
            await sending.tick()
            assert await store.messages.waiting() == []
            clock.advance(600)
            await sending.tick()
            assert sorted(one.key for one in there.taken) == ["k0/fired", "k1/fired", "k2/fired"]
    finally:
        await backend.close()
