"""Whether a second collector helps: eight probes' backlogs into one PostgreSQL, through mosquitto, by one collector and by two.

Two collectors, the server, the broker and the probes want a core each. With fewer the rate says nothing, and what is judged is
the CPU time of a record: two collectors that need no more of it than one can do twice the work. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.catchup import drained, outboxes_of
from bench.ingest import bodies, collector, quiet, said_by
from bench.report import Findings, Goal
from bench.stream import mosquitto
from probes.mqtt import BrokerAddress
from tests.postgres_kit import find_programs, postgres_server

__all__ = ["run"]

PROBES = 8
RECORDS_EACH = 2_500
STEPS = 4
ROUNDS = 2
CORES_WANTED = 5
TIMES_GOAL = 1.6
CPU_GOAL = 2 / TIMES_GOAL
RECORDS = PROBES * RECORDS_EACH


@dataclass(frozen=True, slots=True)
class Drain:
    """What it took to commit everything: time, and the collectors' CPU time, each one's."""

    wall_s: float
    cpu_s: tuple[float, ...]


def run() -> list[Findings]:
    """One collector and two, in turns."""
    quiet()
    findings = Findings(
        "Two collectors on one PostgreSQL", ("collectors", "records/s", "us CPU a record", "share of the work")
    )
    programs = find_programs()
    with mosquitto() as address:
        if programs is None or address is None:
            note = "PostgreSQL or mosquitto is not installed"
            findings.goals.append(
                Goal("rate of two collectors by that of one", TIMES_GOAL, None, at_least=True, note=note)
            )
            return [findings]
        with postgres_server(programs, durable=True) as server:
            rounds = [
                {count: asyncio.run(measured(server.make_database(), address, count)) for count in (1, 2)}
                for _ in range(ROUNDS)
            ]
    one, two = (min((of_round[count] for of_round in rounds), key=lambda drain: sum(drain.cpu_s)) for count in (1, 2))
    for drain in (one, two):
        shares = " ".join(f"{cpu_s / sum(drain.cpu_s):.0%}" for cpu_s in drain.cpu_s)
        us = f"{sum(drain.cpu_s) / RECORDS * 1e6:.1f}"
        findings.rows.append((str(len(drain.cpu_s)), f"{RECORDS / drain.wall_s:,.0f}", us, shares))
    times = one.wall_s / two.wall_s
    cores = len(os.sched_getaffinity(0))
    note = "" if cores >= CORES_WANTED else f"cores do not allow: {cores}, wanted {CORES_WANTED}; it was {times:.2f}"
    findings.goals.append(
        Goal("rate of two collectors by that of one", TIMES_GOAL, None if note else times, at_least=True, note=note)
    )
    findings.goals.append(
        Goal("CPU time a record of two collectors by that of one", CPU_GOAL, sum(two.cpu_s) / sum(one.cpu_s))
    )
    return [findings]


async def measured(url: str, address: BrokerAddress, count: int) -> Drain:
    """Drain the probes' outboxes with so many collectors."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        outboxes = outboxes_of(folder, PROBES, bodies(RECORDS_EACH, STEPS))
        closing = opened.enter_context(ExitStack())
        for outbox in outboxes.values():
            closing.enter_context(outbox)
        processes = [
            await opened.enter_async_context(collector(url, address, f"bench-{number}")) for number in range(count)
        ]
        started_s = time.perf_counter()
        await drained(outboxes, address)
        wall_s = time.perf_counter() - started_s
        return Drain(wall_s, tuple([await said_by(process, "cpu") for process in processes]))
