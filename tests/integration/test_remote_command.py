"""`--scenario NAME --region A,B` against a broker that runs and a probe of the test's own making: what the person is told."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.embedded_broker import EmbeddedBroker
from console.remote_command import ask_regions
from console.remote_regions import named_regions
from probes.commands import CommandGate, command_topic
from probes.errors import OperatorError
from probes.messages import Address
from probes.mqtt import Connection, open_client, payload_of, subscribe
from probes.records import Fitness, Outcome
from probes.wire import render_run
from tests.broker_kit import running_embedded
from tests.desk_kit import Called, desk_of
from tests.store_kit import run_at
from tests.worker_kit import until

KEY = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
PROBE = Address("local", "eu-west", "p1")
UNFIT = replace(
    run_at(NOW, probe=PROBE, scenario="sign-in"),
    outcome=Outcome.INCONCLUSIVE,
    fitness=Fitness(reasons=("all CPUs were busy",)),
)
Answer = Callable[[Connection, str], Awaitable[None]]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """The one that comes with the install."""
    with running_embedded() as embedded:
        yield embedded


async def tell(client: Connection, request_id: str, what: str, **data: object) -> None:
    """Say something about a run that was asked for, as a probe does."""
    event = {"request_id": request_id, "what": what, "data": data}
    await client.publish_soon(PROBE.topic("live"), json.dumps(event).encode())


@asynccontextmanager
async def probe(broker: EmbeddedBroker, answer: Answer) -> AsyncIterator[None]:
    """A probe that answers its first command so; whatever breaks its connection afterwards is the test's doing."""
    gate = CommandGate(SecretStr(KEY), fleet="local", region="eu-west", now=datetime(2026, 9, 1, tzinfo=UTC))
    async with asyncio.TaskGroup() as owner:
        listening = asyncio.Event()

        async def obey() -> None:
            async with open_client(broker.address, client_id="p1") as client:
                await subscribe(client, broker.address, command_topic("local", "eu-west"))
                listening.set()
                async for message in client.messages:
                    await answer(client, gate.admit(payload_of(message), now=NOW).request_id)
                    return

        owner.create_task(obey())
        await listening.wait()
        yield


async def ask(folder: Path, broker: EmbeddedBroker, *words: str, watch: Callable[[io.StringIO], object] = id) -> Called:
    """What `--scenario sign-in --region eu-west` leaves; `watch` is shown where it will print."""
    own = folder / "own.toml"
    own.write_text('[secrets.fleet_key]\nenv = "FLEET_KEY"\n', encoding="utf-8")
    asked = ("--scenario", "sign-in", "--region", "eu-west", "--broker", broker.address.url, *words)
    desk, printed = desk_of(asked, NOW, environ={"FLEET_KEY": KEY, "PROBE_FLEET_SETTINGS": str(own)})
    watch(printed)
    with closing(printed):
        code = await ask_regions(desk)
        return Called(code, tuple(printed.getvalue().splitlines()))


@pytest.mark.parametrize("words", [(), ("--quiet",)])
async def test_a_run_that_says_nothing_of_the_platform_says_why(
    tmp_path: Path, broker: EmbeddedBroker, words: tuple[str, ...]
) -> None:
    """Also when only the verdict is wanted: exit code 3 alone would leave a person to guess."""

    async def answer(client: Connection, request_id: str) -> None:
        await tell(client, request_id, "run_started", run_id=UNFIT.run_id)
        await tell(client, request_id, "run_finished", run=json.loads(render_run(UNFIT)))

    async with probe(broker, answer):
        called = await ask(tmp_path, broker, *words)
    assert called.code == 3
    assert "inconclusive after" in called.said
    assert "the host was not fit to measure: all CPUs were busy" in called.said
    assert ("run_id" not in called.said and len(called.lines) == 1) == bool(words)


async def test_a_run_whose_broker_went_away_is_told_to_be_on_its_way(tmp_path: Path, broker: EmbeddedBroker) -> None:
    """It goes on, and its outbox keeps the record: a person must not take it for lost, nor ask for a second one."""

    async def answer(client: Connection, request_id: str) -> None:
        await tell(client, request_id, "run_started", run_id=UNFIT.run_id)

    shown: list[io.StringIO] = []
    async with probe(broker, answer):
        asking = asyncio.create_task(ask(tmp_path, broker, watch=shown.append))
    await until(lambda: "run " + UNFIT.run_id in shown[0].getvalue(), "the begin of the run")
    await asyncio.to_thread(broker.stop)
    called = await asking
    assert called.code == 3
    assert "no end of sign-in was heard; it began, and its record goes to the collector" in called.said


def test_no_region_at_all_is_refused() -> None:
    """Whoever asks nobody would wait for minutes for nothing."""
    desk, _ = desk_of(("--scenario", "quote", "--region", " , "), NOW)
    with pytest.raises(OperatorError, match="no region is named"):
        named_regions(desk)
