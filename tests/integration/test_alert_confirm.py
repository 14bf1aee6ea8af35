"""A first failure is looked at from another region at once: one question, signed, and never scored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.alerting.ask import BrokerAsker
from collector.alerting.confirm import MOST_PER_HOUR, Confirmer
from collector.ingest import Ingest
from collector.simulation_plan import Statement
from collector.store import Store, open_store
from probes.clock import SystemClock
from probes.commands import CommandGate, command_topic
from probes.errors import DependencyError
from probes.mqtt import BrokerUnavailableError, open_client, payload_of, subscribe
from slo.window import Span, instant_of_minute, month_span
from tests.alert_feed import Feed, FixedObjectives, plan_of, some_lines
from tests.broker_kit import DEADLINE_S, FLEET, PROBES, Broker, Iotcore, going, make_mosquitto, running, until
from tests.clock import JumpingClock

START = month_span("2026-09").from_minute + 600
KEY = SecretStr("0123456789abcdef0123456789abcdef")
UPTIME = some_lines("api-uptime")
PROBE = PROBES[0]


class Asked:
    """Who was asked for what; `is_away`: nobody can be."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.is_away = False

    async def ask(self, region: str, scenario: str, request_id: str) -> None:
        """Remember it."""
        assert len(request_id) == 32
        if self.is_away:
            raise DependencyError("the broker is away", where="broker")
        self.asked.append((region, scenario))


async def watch(
    store: Store, fails: list[Statement], asker: Asked, minutes: int, watchers: int = 1, scenarios: tuple[str, ...] = ()
) -> None:
    """Play so many minutes to some confirmers."""
    plan = plan_of(*fails, every_s=dict.fromkeys(scenarios or ("api-health",), 60.0))
    clock = JumpingClock(instant_of_minute(START))
    feed = Feed(plan, Span("play", START, START + minutes))
    confirmers = [
        Confirmer(store, FixedObjectives(UPTIME), asker, fleet=plan.fleet, clock=clock) for _ in range(watchers)
    ]
    while clock.now() < instant_of_minute(START + minutes):
        arrived = feed.until(clock.now())
        if arrived:
            await store.file(arrived)
        for confirmer in confirmers:
            await confirmer.look()
        clock.advance(5)


def failing(from_minute: int, minutes: int, regions: list[str]) -> Statement:
    """Everything fails there and then."""
    begin = instant_of_minute(START + from_minute)
    return Statement.model_validate(
        {"from": begin, "until": begin + timedelta(minutes=minutes), "what": "fail", "regions": regions}
    )


async def test_another_region_is_asked_once_in_an_outage(tmp_path: Path) -> None:
    """By one of two collectors, and again in the next outage."""
    asker = Asked()
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as store:
        fails = [failing(5, 4, ["eu-west"]), failing(30, 2, ["ap-south"])]
        await watch(store, fails, asker, 36, watchers=2)
    assert asker.asked == [("ap-south", "api-health"), ("eu-west", "api-health")]


async def test_nobody_is_asked_about_journeys_that_page_nobody(tmp_path: Path) -> None:
    """Only lines with a critical tier are worth a run out of turn."""
    asker = Asked()
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as store:
        await watch(store, [failing(2, 4, ["eu-west"])], asker, 8, scenarios=("quote",))
    assert asker.asked == []


async def test_a_flood_of_failures_asks_only_so_often(tmp_path: Path) -> None:
    """Twenty questions an hour, whatever happens, and a broker that is away stops nothing."""
    asker = Asked()
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as store:
        asker.is_away = True
        await watch(store, [failing(2, 2, ["eu-west"])], asker, 6)
        assert asker.asked == []
        asker.is_away = False
        clock = JumpingClock(instant_of_minute(START + 30))
        confirmer = Confirmer(store, FixedObjectives(UPTIME), asker, fleet="simulated", clock=clock)
        for number in range(MOST_PER_HOUR + 5):
            await confirmer._ask(f"outage {number}", "eu-west", "api-health", clock.now())
    assert len(asker.asked) == MOST_PER_HOUR


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers, running."""
    with running(Iotcore() if request.param == "iotcore" else make_mosquitto(tmp_path)) as started:
        yield started


async def test_what_is_asked_is_signed_so_that_a_probe_obeys(broker: Broker, tmp_path: Path) -> None:
    """It goes over the collector's own connection, as the broker's access rules let it, and arrives where probes listen."""
    clock = SystemClock()
    gate = CommandGate(KEY, fleet=FLEET, region=PROBE.region, now=clock.now() - timedelta(minutes=1))
    async with open_store(str(tmp_path / "some.db")) as store:
        ingest = Ingest(store, broker.as_collector("one"), fleet=FLEET, name="one", clock=clock)
        asker = BrokerAsker(ingest.say, KEY, fleet=FLEET, clock=clock)
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await asker.ask(PROBE.region, "quote", "0123456789abcdef")
        listener = broker.as_probe(PROBE)
        async with going(ingest.run()), open_client(listener, client_id=f"{FLEET}:listener") as client:
            await until(lambda: ingest.state.connected)
            await subscribe(client, listener, command_topic(FLEET, PROBE.region))
            await asker.ask(PROBE.region, "quote", "0123456789abcdef")
            async with asyncio.timeout(DEADLINE_S):
                message = await anext(aiter(client.messages))
            assert ingest.state.connects == 1
    command = gate.admit(payload_of(message), now=clock.now())
    assert (command.scenario, command.region) == ("quote", PROBE.region)
