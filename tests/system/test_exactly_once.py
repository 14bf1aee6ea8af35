"""Everything is killed and every link breaks, again and again: each record is in the database once, and nothing else is.

Real processes, two ways: the embedded broker with SQLite, and mosquitto (TLS, passwords, rules) with PostgreSQL and two
collectors on a shared subscription. The seed is printed; CHAOS_SEED sets it. What is promised: docs/explanation/exactly-once.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from collector.ledger import SlotClass
from collector.store import open_store
from tests.broker_kit import PROBES, Broker, Iotcore, make_mosquitto
from tests.chaos_fleet import ChaosFleet, FleetPlan, open_fleet
from tests.chaos_judge import Verdict, judge
from tests.chaos_plan import SEED_VARIABLE, Blow, chosen_seed, plan_blows
from tests.chaos_producer import SCENARIOS, slot_of
from tests.chaos_rows import StoredBooks, read_books
from tests.postgres_kit import find_programs, postgres_server

STEPS_OF_A_RUN = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how hard; kills of the broker, of each collector, and of each probe."""

    slots: int
    seconds: float
    broker_kills: int
    collector_kills: int
    probe_kills: int
    breaks: int
    longest_s: float
    deadline_s: float


SHORT = Size(1_200, 8, 1, 1, 1, 6, 1.5, 150)
LONG = Size(20_000, 150, 5, 5, 2, 30, 6.0, 300)
SIZES = [
    pytest.param(SHORT, id="short", marks=pytest.mark.timeout(480)),
    pytest.param(LONG, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(480)]),
]


@pytest.mark.serial
@pytest.mark.parametrize("size", SIZES)
async def test_each_record_is_stored_once_by_the_embedded_broker_and_sqlite(tmp_path: Path, size: Size) -> None:
    """One collector; broker, collector, probes and links fail while they work, and the books agree to the byte."""
    await break_everything(Iotcore(), str(tmp_path / "collector.db"), tmp_path, size, collectors=("one",))


@pytest.mark.serial
@pytest.mark.parametrize("size", SIZES)
async def test_each_record_is_stored_once_by_mosquitto_postgresql_and_two_collectors(
    tmp_path: Path, size: Size
) -> None:
    """Two collectors share the stream, and take over from each other what the other did not acknowledge."""
    with empty_database() as database:
        await break_everything(make_mosquitto(tmp_path), database, tmp_path, size, collectors=("one", "two"))


@contextmanager
def empty_database() -> Iterator[str]:
    """Of a PostgreSQL server of our own; skips the test where there is none."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server(programs) as server:
        yield server.make_database()


async def break_everything(
    broker: Broker, database: str, folder: Path, size: Size, *, collectors: tuple[str, ...]
) -> None:
    """The whole story, from an empty database to the verdict."""
    seed = chosen_seed()
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - whoever looks into a failure needs it
    random = Random(seed)
    slots_each = -(-size.slots // len(PROBES))
    from_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=slots_each // len(SCENARIOS) + 60)
    plan = FleetPlan(collectors, slots_each, slots_each / size.seconds, seed, from_at)
    kills = {
        "broker": size.broker_kills,
        **{f"collector-{name}": size.collector_kills for name in collectors},
        **{probe.probe: size.probe_kills for probe in PROBES},
    }
    blows = plan_blows(
        random,
        slots=slots_each * len(PROBES),
        kills=kills,
        links=plan.linked,
        breaks=size.breaks,
        longest_s=size.longest_s,
    )
    print(*blows, sep="\n")  # noqa: T201 - the same
    async with open_fleet(broker, database, folder, plan=plan) as fleet:
        await fleet.strike(blows, deadline_s=size.deadline_s)
        drained_s = await fleet.wait_empty(deadline_s=size.deadline_s)
        await fleet.wait_begun()
        codes = {process.name: await asyncio.to_thread(process.stop) for process in fleet.processes}
        assert set(codes.values()) == {0}, (codes, fleet.all_said())
        assert fleet.left() == [0] * len(PROBES)
        books = await read_books(database, from_at)
        verdict = judge(fleet.stories(), books.endings, slots=slots_each)
        print(  # noqa: T201 - what was measured
            f"{dict(verdict.endings)}, in doubt: {dict(verdict.of_doubt)}; {books.duplicates} entries came again; "
            f"the last was stored {drained_s:.0f} s after the last blow"
        )
        assert verdict.problems == []
        check_books(books, verdict, fleet)
        check_that_it_hurt(fleet, blows, kills)
    await check_ledger(database, plan, verdict, fleet)


def check_books(books: StoredBooks, verdict: Verdict, fleet: ChaosFleet) -> None:
    """Nothing stands beside the slots: no gap, no conflict, nothing in quarantine, every number entered once."""
    assert (books.gaps, books.losses, books.quarantine, books.conflicts) == (0, 0, 0, 0)
    assert books.steps == STEPS_OF_A_RUN * verdict.endings["run"]
    debts = 2 * len(SCENARIOS)
    assert books.entries == {order.probe: order.slots + debts for order in fleet.orders}


def check_that_it_hurt(fleet: ChaosFleet, blows: list[Blow], kills: dict[str, int]) -> None:
    """A test in which nothing broke would pass as well: every kill was done, and every link was made anew."""
    assert sum(kills.values()) == sum(blow.link_break is None for blow in blows)
    assert {process.name: process.lives - 1 for process in fleet.processes} == {
        name: count for name, count in kills.items() if name != "broker"
    }
    for name, story in fleet.stories().items():
        assert story.lives - 1 == kills[name]
    assert all(link.connections > 1 for link in fleet.links.values())


async def check_ledger(database: str, plan: FleetPlan, verdict: Verdict, fleet: ChaosFleet) -> None:
    """The collector's own account: every slot that was owed once, in the class that its ending says, nothing missing."""
    until_at = plan.from_at + timedelta(days=1)
    async with open_store(database) as store:
        lines = await store.slots(plan.from_at, until_at, now=until_at)
        accounts = await store.accounts(plan.from_at, until_at, now=until_at)
    owed = {(order.probe, *slot_of(number, plan.from_at)) for order in fleet.orders for number in range(order.slots)}
    told = Counter((line.series.address.probe, line.series.scenario, line.slot_at) for line in lines)
    assert set(told) == owed
    assert set(told.values()) == {1}
    assert Counter(line.slot_class for line in lines) == Counter(
        {
            SlotClass.ON_TIME: verdict.endings["run"],
            SlotClass.MISSED: verdict.endings["missed"],
            SlotClass.ABORTED: verdict.endings["aborted"],
        }
    )
    assert sum(account.counts.unowed for account in accounts) == 0
