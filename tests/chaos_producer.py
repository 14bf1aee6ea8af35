"""A probe for tests of exactly-once: a real process with the real outbox and stream, which makes records as fast as it is told.

It works off slots as a lane does, several open at once: announcements, endings without a run and its place in the schedule in
one transaction, each run's record in the place of its announcement. Everything that it makes is in its journal first. Started
again after `kill -9` it goes on where its mark says. Refuses to measure anything. Started by `tests.chaos_fleet`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import structlog
from pydantic import SecretStr

from probes.clock import SystemClock
from probes.ledger_entries import OwedSlots, SlotEnd, SlotReason, render_entry
from probes.messages import Address
from probes.mqtt import BrokerAddress
from probes.outbox import EntryKind, Outbox
from probes.stream import Stream
from probes.wire import render_run
from probes.worker_intents import aborted_because, aborted_entry, intent_key
from tests.chaos_journal import JournalWriter
from tests.store_kit import run_at

__all__ = ["SCENARIOS", "Order", "slot_of"]

SCENARIOS: Final = ("cad-large", "quote", "sign-in")
INTERVAL: Final = timedelta(seconds=1)
TIMEOUT_MS: Final = 10_000
MOST_OPEN: Final = 6
MISSED_SHARE: Final = 0.1
LARGE_SHARE: Final = 0.02
LARGE_BYTES: Final = 40_000
MARK: Final = "producer/next"


@dataclass(frozen=True, slots=True)
class Order:
    """What a producer is told, as JSON on its command line. It owes `slots` slots from `from_at` on, some `per_s` a second."""

    folder: str
    region: str
    probe: str
    fleet: str
    broker_url: str
    username: str
    password: str
    ca_file: str
    from_at: str
    slots: int
    per_s: float
    seed: int

    @property
    def address(self) -> Address:
        """Who it is."""
        return Address(self.fleet, self.region, self.probe)

    @property
    def outbox_path(self) -> Path:
        """Its outbox."""
        return Path(self.folder) / f"{self.probe}.outbox"

    @property
    def journal_path(self) -> Path:
        """Its journal."""
        return Path(self.folder) / f"{self.probe}.journal"

    def command(self) -> list[str]:
        """What starts it."""
        code = "from tests.chaos_producer import main; main()"
        return [sys.executable, "-c", code, json.dumps(asdict(self))]


def slot_of(number: int, from_at: datetime) -> tuple[str, datetime]:
    """Scenario and instant of the producer's slot with this number; every scenario has each second once."""
    return SCENARIOS[number % len(SCENARIOS)], from_at + number // len(SCENARIOS) * INTERVAL


class Producer:
    """Makes the slots in a thread of its own, with an outbox of its own, as a lane does in its process."""

    def __init__(self, order: Order, wake: Callable[[], None]) -> None:
        self._order = order
        self._wake = wake
        self._from_at = datetime.fromisoformat(order.from_at)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin, or go on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and end what is open."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        order, journal = self._order, JournalWriter(self._order.journal_path)
        journal.note("life")
        with Outbox(order.outbox_path) as outbox:
            outbox.abandon(aborted_because("the producer was killed"))
            marks = outbox.marks(MARK)
            if MARK not in marks:
                outbox.put_all(self._owed(is_over=False), marks={MARK: b"0"})
            number = int(marks.get(MARK, b"0"))
            random = Random(f"{order.seed}/{order.probe}/{number}")
            while number < order.slots and not self._stop.is_set():
                after = min(number + random.randint(1, MOST_OPEN), order.slots)
                self._make(range(number, after), outbox, journal, random)
                number = after
            if number == order.slots:
                outbox.put_all(self._owed(is_over=True), marks={MARK: str(number + 1).encode()})
            if number >= order.slots:
                journal.note("done")
        self._wake()

    def _make(self, numbers: range, outbox: Outbox, journal: JournalWriter, random: Random) -> None:
        """Announce these slots, or end one of them without a run; then end the others with theirs, in any order."""
        for number in numbers:
            journal.note("start", number)
        runs, entries = list(numbers), []
        if random.random() < MISSED_SHARE * len(runs):
            missed = runs.pop(random.randrange(len(runs)))
            body = self._missed(missed)
            journal.note("end", missed, SlotReason.MISSED.value, digest(body))
            entries.append((EntryKind.SLOT, body))
        keys = {number: intent_key(*slot_of(number, self._from_at), 0) for number in runs}
        intents = {keys[number]: aborted_entry(*slot_of(number, self._from_at), 0, lag_ns=0) for number in runs}
        outbox.put_all(entries, intents=intents, owner="lane", marks={MARK: str(numbers.stop).encode()})
        random.shuffle(runs)
        for number in runs:
            body = self._run_body(number, random)
            self._pause(random)
            journal.note("end", number, "run", digest(body))
            self._pause(random)
            outbox.put(EntryKind.RUN, body, intent_key=keys[number])
            self._wake()

    def _pause(self, random: Random) -> None:
        """A run takes its time; some kills find it between announcement and record, some between journal and outbox."""
        self._stop.wait(random.uniform(0, 1) / self._order.per_s)

    def _owed(self, *, is_over: bool) -> list[tuple[EntryKind, bytes]]:
        """The word about what is owed, for each scenario; the later one ends the debt."""
        return [
            (
                EntryKind.SCHEDULE,
                render_entry(
                    OwedSlots(
                        scenario=scenario,
                        interval_ms=INTERVAL // timedelta(milliseconds=1),
                        phase_ms=0,
                        tolerance_ms=400,
                        timeout_ms=TIMEOUT_MS,
                        from_at=self._from_at,
                        until_at=self._over_at(place) if is_over else None,
                    )
                ),
            )
            for place, scenario in enumerate(SCENARIOS)
        ]

    def _over_at(self, place: int) -> datetime:
        """The end of a scenario's last slot."""
        last = (self._order.slots - 1 - place) // len(SCENARIOS)
        return self._from_at + (last + 1) * INTERVAL

    def _missed(self, number: int) -> bytes:
        scenario, slot_at = slot_of(number, self._from_at)
        return render_entry(SlotEnd(scenario=scenario, slot_at=slot_at, reason=SlotReason.MISSED))

    def _run_body(self, number: int, random: Random) -> bytes:
        """A record like no other; one in fifty is large."""
        scenario, slot_at = slot_of(number, self._from_at)
        run = run_at(slot_at, probe=self._order.address, scenario=scenario, number=number + 1)
        room = LARGE_BYTES if random.random() < LARGE_SHARE else 20
        return render_run(replace(run, attributes={"note": random.randbytes(room).hex()}))


def digest(body: bytes) -> str:
    """What tells two records apart."""
    return hashlib.sha256(body).hexdigest()


async def live(order: Order) -> None:
    """Make and stream until SIGTERM."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    broker = BrokerAddress(
        order.broker_url, order.username, SecretStr(order.password), Path(order.ca_file) if order.ca_file else None
    )
    with Outbox(order.outbox_path) as outbox:
        stream = Stream(outbox, order.address, broker, clock=SystemClock())

        def wake() -> None:
            loop.call_soon_threadsafe(stream.wake)

        producer = Producer(order, wake)
        producer.start()
        streaming = asyncio.create_task(stream.run())
        await asyncio.wait({streaming, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        producer.stop()
        streaming.cancel()
        await asyncio.wait({streaming})
        if not streaming.cancelled():
            streaming.result()


def main() -> None:
    """Started with an order as JSON."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    asyncio.run(live(Order(**json.loads(sys.argv[1]))))
