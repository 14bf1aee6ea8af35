"""A fleet to be broken: producers, collectors and a broker as real processes, and before the broker a link for each that breaks.

Everything is killed with SIGKILL and started again from here. Refuses to say whether anything was lost (`tests.chaos_judge`).
Used by tests named exactly_once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final, Protocol

from probes.messages import Address
from probes.mqtt import BrokerAddress
from tests.broker_kit import FLEET, PROBES, Broker
from tests.chaos_journal import Story, read_story
from tests.chaos_plan import Blow
from tests.chaos_producer import Order
from tests.faulty_proxy import FaultyProxy

__all__ = ["ChaosFleet", "FleetPlan", "open_fleet"]

ROOT: Final = Path(__file__).resolve().parents[1]
LOOK_EVERY_S: Final = 0.03
AT_WORK_BYTES: Final = 4_096
AT_WORK_DEADLINE_S: Final = 5.0
BEGIN_DEADLINE_S: Final = 90.0
STOP_DEADLINE_S: Final = 60.0


class Part(Protocol):
    """What can be killed and started again."""

    def start(self) -> None:
        """Start it; it may take a moment to be ready."""

    def kill(self) -> None:
        """End it as the kernel would."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How large it is: slots of each of the three producers and how many of them they make a second."""

    collectors: tuple[str, ...]
    slots_each: int
    per_s: float
    seed: int
    from_at: datetime

    @property
    def linked(self) -> list[str]:
        """Everybody who speaks with the broker."""
        return [probe.probe for probe in PROBES] + [f"collector-{name}" for name in self.collectors]


@dataclass(slots=True)
class ProcessPart:
    """A program of ours."""

    name: str
    command: list[str]
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0

    def start(self) -> None:
        """One more life."""
        self.lives += 1
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL; a part that has ended by itself is a failure of the test."""
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"{self.name} ended by itself with {code}: {self.said()}"
        self.process.kill()
        self.process.wait()

    def hears_sigterm(self) -> bool:
        """Whether it is so far that it ends in order: it has a handler. Source: proc_pid_status(5)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
        return bool(int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1)

    def stop(self) -> int:
        """In order, also when it was only just started; the exit code."""
        assert self.process is not None
        give_up_s = time.monotonic() + STOP_DEADLINE_S
        while self.process.poll() is None and not self.hears_sigterm() and time.monotonic() < give_up_s:
            time.sleep(LOOK_EVERY_S)
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self.log_path.read_text(errors="replace")[-3_000:]


@dataclass(slots=True)
class ChaosFleet:
    """The parts by name, and their links; `strike` carries out a plan."""

    orders: Sequence[Order]
    parts: Mapping[str, Part]
    links: Mapping[str, FaultyProxy]
    counted: dict[Path, tuple[int, int]] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    """How many connections a part's link had seen when its present life began; none in its first."""

    @property
    def processes(self) -> list[ProcessPart]:
        """The parts that are ours: producers first."""
        return [part for part in self.parts.values() if isinstance(part, ProcessPart)]

    def stories(self) -> dict[str, Story]:
        """What each producer says."""
        return {order.probe: read_story(order.journal_path.read_text().splitlines()) for order in self.orders}

    def ended(self) -> int:
        """How many endings the journals have; reads only what is new."""
        for path in (order.journal_path for order in self.orders):
            offset, count = self.counted.get(path, (0, 0))
            if path.exists():
                with path.open("rb") as file:
                    file.seek(offset)
                    news = file.read()
                self.counted[path] = (
                    offset + len(news),
                    count + sum(line.startswith(b"end ") for line in news.splitlines()),
                )
        return sum(count for _, count in self.counted.values())

    def left(self) -> list[int]:
        """How much is left in each outbox."""
        return [left_in(order.outbox_path) for order in self.orders]

    async def strike(self, blows: Sequence[Blow], *, deadline_s: float) -> None:
        """Carry out the plan as the fleet gets on; what is struck while it still lies there is struck after that."""
        give_up_s = time.monotonic() + deadline_s
        turns = {name: asyncio.Lock() for name in (*self.parts, *(f"link of {name}" for name in self.links))}
        async with asyncio.TaskGroup() as group:
            for blow in blows:
                while self.ended() < blow.at_ended:
                    assert time.monotonic() < give_up_s, f"only {self.ended()} slots ended: {self.all_said()}"
                    await asyncio.sleep(LOOK_EVERY_S)
                group.create_task(self._carry_out(blow, turns))

    async def _carry_out(self, blow: Blow, turns: Mapping[str, asyncio.Lock]) -> None:
        if blow.link_break is not None:
            async with turns[f"link of {blow.victim}"]:
                link = self.links[blow.victim]
                link.fail(blow.link_break)
                await asyncio.sleep(blow.hold_s)
                link.heal()
            return
        async with turns[blow.victim]:
            part = self.parts[blow.victim]
            await self._until_begun(blow.victim)
            await self._until_at_work(blow.victim)
            await asyncio.to_thread(part.kill)
            await asyncio.sleep(blow.hold_s)
            if blow.victim in self.links:
                self.met[blow.victim] = self.links[blow.victim].connections
            await asyncio.to_thread(part.start)

    async def _until_begun(self, victim: str) -> None:
        """A process that is killed while it still loads its modules has no life that could be lost: until it has connected."""
        if victim not in self.links:
            return
        link, give_up_s = self.links[victim], time.monotonic() + BEGIN_DEADLINE_S
        while link.connections <= self.met.get(victim, 0) or not self._has_first_word(victim):
            assert time.monotonic() < give_up_s, f"{victim} does not begin: {self.all_said()}"
            await asyncio.sleep(LOOK_EVERY_S)

    def _has_first_word(self, victim: str) -> bool:
        """Whether a producer's journal knows of its present life; others have no journal."""
        for order in self.orders:
            if order.probe == victim:
                lives = sum(part.lives for part in self.processes if part.name == victim)
                return order.journal_path.exists() and order.journal_path.read_bytes().count(b"life\n") >= lives
        return True

    async def _until_at_work(self, victim: str) -> None:
        """A kill of somebody who waits for a connection shows little: until its link carries something, but not for ever."""
        links = [self.links[victim]] if victim in self.links else [*self.links.values()]
        before_bytes = sum(link.carried_bytes for link in links)
        give_up_s = time.monotonic() + AT_WORK_DEADLINE_S
        while time.monotonic() < give_up_s:
            await asyncio.sleep(LOOK_EVERY_S)
            if sum(link.carried_bytes for link in links) >= before_bytes + AT_WORK_BYTES:
                return

    async def wait_empty(self, *, deadline_s: float) -> float:
        """Until every producer is done and its outbox empty; how long that took."""
        began_s = time.monotonic()
        while not all(story.is_done for story in self.stories().values()) or any(self.left()):
            assert time.monotonic() - began_s < deadline_s, f"not empty: {self.left()}; {self.all_said()}"
            await asyncio.sleep(0.2)
        return time.monotonic() - began_s

    async def wait_begun(self) -> None:
        """Until whoever was started last is there, too; the others may have done all the work without it."""
        for name in self.links:
            await self._until_begun(name)

    def all_said(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {part.name}:\n{part.said()}" for part in self.processes)


def left_in(path: Path) -> int:
    """Entries and announcements in an outbox, looked at without our own code; one that is not there yet is empty."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=10)) as db:
        (count,) = db.execute("SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM intents)").fetchone()
    return int(count)


@asynccontextmanager
async def open_fleet(broker: Broker, database: str, folder: Path, *, plan: FleetPlan) -> AsyncIterator[ChaosFleet]:
    """Everything started, with a link before the broker for each; every process is gone afterwards."""
    links: dict[str, FaultyProxy] = {}
    async with AsyncExitStack() as opened:
        await asyncio.to_thread(broker.start)
        opened.callback(broker.stop)
        _, port, _ = broker.as_collector(plan.collectors[0]).endpoint()
        for name in plan.linked:
            links[name] = await opened.enter_async_context(FaultyProxy(port, Random(f"{plan.seed}/{name}")))
        orders = [
            order_for(probe, through(links[probe.probe], broker.as_probe(probe)), folder, plan) for probe in PROBES
        ]
        processes = [ProcessPart(order.probe, order.command(), folder / f"{order.probe}.log") for order in orders]
        for name in plan.collectors:
            part = f"collector-{name}"
            command = collector_command(name, through(links[part], broker.as_collector(name)), database, folder)
            processes.append(ProcessPart(part, command, folder / f"{part}.log"))
        for process in processes:
            opened.callback(process.end)
            process.start()
        yield ChaosFleet(orders, {"broker": broker, **{process.name: process for process in processes}}, links)


def through(link: FaultyProxy, address: BrokerAddress) -> BrokerAddress:
    """The same broker, behind the link."""
    host, _, with_tls = address.endpoint()
    return replace(address, url=f"{'mqtts' if with_tls else 'mqtt'}://{host}:{link.port}")


def order_for(probe: Address, broker: BrokerAddress, folder: Path, plan: FleetPlan) -> Order:
    """What a producer is told."""
    return Order(
        folder=str(folder),
        region=probe.region,
        probe=probe.probe,
        fleet=probe.fleet,
        broker_url=broker.url,
        username=broker.username,
        password=broker.password.get_secret_value(),
        ca_file=str(broker.ca_file or ""),
        from_at=plan.from_at.isoformat(),
        slots=plan.slots_each,
        per_s=plan.per_s,
        seed=plan.seed,
    )


def collector_command(name: str, broker: BrokerAddress, database: str, folder: Path) -> list[str]:
    """What starts a collector, with a settings file of its own."""
    secret, settings = folder / f"{name}.secret", folder / f"{name}.toml"
    secret.write_text(broker.password.get_secret_value() or "none")
    lines = [
        f'fleet = "{FLEET}"',
        f'broker.username = "{broker.username}"',
        f'broker.ca_file = "{broker.ca_file or ""}"',
        f'collector.name = "{name}"',
        'collector.health = ""',
        f'secrets.broker.file = "{secret}"',
    ]
    settings.write_text("\n".join(lines))
    options = ["--broker", broker.url, "--database", database, "--settings", str(settings)]
    return [sys.executable, "runner.py", "collector", "--quiet", "--exit-with-parent", *options]
