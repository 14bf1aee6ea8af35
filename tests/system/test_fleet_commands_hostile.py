"""Commands that a probe must not obey, sent by somebody who hears everything: refused, counted, and nothing runs."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.store import open_store
from probes.clock import SystemClock
from probes.commands import RunCommand, command_topic, sign_command
from probes.mqtt import BrokerAddress, open_client, payload_of, subscribe
from tests.fleet_kit import DEAF_S, running_fleet, told
from tests.free_ports import free_port

FLEET, REGION, SCENARIO = "local", "eu-west", "sign-in"
REGIONS = ("eu-west", "us-east", "ap-south")
KEY = "0123456789abcdef0123456789abcdef"
REPLAYS = 20


def command(*, key: str = KEY, life_s: float = 200, age_s: float = 0, **changes: str) -> bytes:
    """A command as it travels; in order, but for the changes. It outlives every pause of a busy machine."""
    issued_at = SystemClock().now() - timedelta(seconds=age_s)
    fields = {"fleet": FLEET, "region": REGION, "request_id": "0123456789abcdef", "scenario": SCENARIO}
    asked = RunCommand.model_validate(
        {**fields, **changes, "issued_at": issued_at, "expires_at": issued_at + timedelta(seconds=life_s)}
    )
    return sign_command(asked, SecretStr(key))


def tampered(payload: bytes) -> bytes:
    """The same signature over another scenario."""
    signed = json.loads(payload)
    signed["command"] = signed["command"].replace(SCENARIO, "payment")
    return json.dumps(signed).encode()


async def ask_for_mischief(broker: BrokerAddress) -> int:
    """One good command, and everything that must not be obeyed; the answer is how many of these were sent."""
    good = command()
    bad = [
        *(good for _ in range(REPLAYS)),
        command(request_id="f" * 16, life_s=30, age_s=40),  # expired
        command(request_id="e" * 16, age_s=-3_600),  # from the future
        command(request_id="d" * 16, life_s=86_400),  # would live for a day
        command(request_id="c" * 16, region="us-east"),  # for another region, and said in ours
        command(request_id="b" * 16, fleet="another"),
        command(request_id="a" * 16, key="f" * 32),  # somebody else's key
        tampered(command(request_id="9" * 16)),
        good[:-5],
        b"[" * 8_000,
        b"x" * 100_000,
    ]
    topic = command_topic(FLEET, REGION)
    async with open_client(broker, client_id="mallory") as client, asyncio.timeout(90):
        await subscribe(client, broker, f"fleet/v1/{FLEET}/live/+/+")
        for payload in (good, *bad):
            await client.publish_soon(topic, payload)
        async for message in client.messages:
            if json.loads(payload_of(message))["what"] == "run_finished":
                break
    return len(bad)


@pytest.mark.timeout(300)
async def test_commands_that_are_replayed_expired_or_not_the_fleets_are_refused_and_counted(tmp_path: Path) -> None:
    """Of thirty commands in one region one is obeyed, and once; `status` counts the others, and no other region does anything."""
    own = tmp_path / "own.toml"
    own.write_text('[secrets.fleet_key]\nenv = "FLEET_KEY"\n', encoding="utf-8")
    port = str(free_port())
    environ = {"FLEET_KEY": KEY, "PROBE_FLEET_BROKER_PORT": port}
    options = ("--scenario", SCENARIO, "--every", "30m", "--settings", str(own))
    with running_fleet(tmp_path, *options, environ=environ) as fleet:
        fleet.wait_for(lambda: any("all lanes are up" in line for line in fleet.lines), "lanes")
        listening_from_s = time.monotonic()
        fleet.wait_for(lambda: time.monotonic() > listening_from_s + DEAF_S, "the end of the time without commands")
        sent = await ask_for_mischief(BrokerAddress(f"mqtt://127.0.0.1:{port}"))
        fleet.wait_for(
            lambda: refused(tmp_path, fleet.database) == {**dict.fromkeys(REGIONS, 0), REGION: sent},
            f"word of {sent} refusals there and of none elsewhere",
        )
        assert fleet.stop() == 0, "".join(fleet.lines)
    now = SystemClock().now()
    async with open_store(str(fleet.database)) as store:
        runs = await store.runs(now - timedelta(hours=1), now)
        probes = await store.probes()
    asked = [run.identity for run in runs if run.identity.attempt == 1]
    assert [(identity.region, identity.scenario) for identity in asked] == [(REGION, SCENARIO)]
    assert [(probe.missing, probe.conflicts, probe.quarantined) for probe in probes] == [(0, 0, 0)] * 3


def refused(folder: Path, database: Path) -> dict[str, int]:
    """What each region's probe says that it refused, as `status` has it."""
    said = json.loads(told(folder, "status", "--database", str(database), "--json", "-").stdout or "{}")
    probes = said.get("probes", [])
    return {probe["region"]: probe["said"]["stream"]["messages_refused"] for probe in probes if probe["said"]}
