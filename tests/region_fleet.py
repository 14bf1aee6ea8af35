"""A fleet over real distance: broker, collector, platform and control target in the centre, a worker in each region's namespace.

The broker is mosquitto with our generated configuration, because the embedded one serves one machine only. Platform and control
target are served by this process, on sockets of the centre. Used by tests named regions.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import trustme
from aiohttp import web

from collector.ledger import SlotLine
from collector.mosquitto import MosquittoPlan, client_name, probe_username, write_mosquitto_config
from collector.store import Store, open_store
from collector.store_runs import RunSummary
from probes.messages import Address
from probes.wire import parse_run
from tests.broker_kit import issue_certificate, until
from tests.net_spaces import in_space, listen_in
from tests.region_net import BROKER, CONTROL, PLATFORM, RegionNet

__all__ = ["SCENARIO", "TIMEOUT_S", "RegionFleet", "open_region_fleet"]

ROOT: Final = Path(__file__).resolve().parents[1]
FLEET: Final = "far"
REGIONS: Final = ("near", "middle", "distant")
SCENARIO: Final = "reach"
TIMEOUT_S: Final = 6
BROKER_PORT: Final = 8_883
HTTP_PORT: Final = 8_080
UP_DEADLINE_S: Final = 60.0
STOP_DEADLINE_S: Final = 60.0
SCRIPT: Final = f'''
from probes.journey import Journey
from probes.registry import scenario

@scenario("{SCENARIO}", timeout="{TIMEOUT_S}s")
async def reach(probe: Journey) -> None:
    """Ask for a page that is always there."""
    async with probe.step("ask", deadline_s={TIMEOUT_S - 1}):
        await probe.request("GET", probe.target.base("api") + "/ok")
'''


@dataclass(slots=True)
class RegionFleet:
    """The running fleet. Regions are numbered as their links are."""

    net: RegionNet
    store: Store
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def runs(self, region: int, from_at: datetime, until_at: datetime) -> list[RunSummary]:
        """What is stored of a region."""
        return await self.store.runs(from_at, until_at, region=REGIONS[region])

    async def slots(self, region: int, from_at: datetime, until_at: datetime, *, now: datetime) -> list[SlotLine]:
        """What the ledger says of a region's slots at an instant."""
        lines = await self.store.slots(from_at, until_at, now=now)
        return [line for line in lines if line.series.address.region == REGIONS[region]]

    async def connects_ns(self, region: int, from_at: datetime, until_at: datetime) -> list[int]:
        """The connect phase of each stored run that got an answer."""
        found = []
        for summary in await self.runs(region, from_at, until_at):
            run = parse_run(await self.store.record(summary.identity))
            exchanges = [exchange for step in run.steps for exchange in step.exchanges]
            found += [exchange.phases.connect_ns or 0 for exchange in exchanges if exchange.failure is None]
        return found

    async def reasons(self, run: RunSummary) -> tuple[str, ...]:
        """What a stored run says against its own host."""
        record = parse_run(await self.store.record(run.identity))
        return record.fitness.reasons if record.fitness else ()

    def stop_workers(self) -> list[int]:
        """In order; their exit codes."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [worker.wait(STOP_DEADLINE_S) for worker in self.workers]

    def said(self) -> str:
        """The ends of all logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}:\n{log.read_text(errors='replace')[-2_000:]}" for log in logs)


@asynccontextmanager
async def open_region_fleet(net: RegionNet, folder: Path, *, every_s: int) -> AsyncIterator[RegionFleet]:
    """Everything started; every process is gone afterwards."""
    passwords = write_broker(folder)
    async with AsyncExitStack() as opened:
        for address in (PLATFORM, CONTROL):
            await opened.enter_async_context(serving(listen_in(net.centre, address, HTTP_PORT)))
        start(opened, net.centre, ["mosquitto", "-c", str(folder / "broker" / "mosquitto.conf")], folder / "broker.log")
        await until(lambda: answers(net.centre), UP_DEADLINE_S)
        database = folder / "far.db"
        store = await opened.enter_async_context(open_store(str(database)))
        settings = write_settings(folder, client_name("collector", "one"), passwords)
        command = ["collector", "--database", str(database), "--settings", str(settings)]
        start(opened, net.centre, runner(*command), folder / "collector.log")
        fleet = RegionFleet(net, store, folder)
        (folder / "scripts").mkdir()
        (folder / "scripts" / "reach.py").write_text(SCRIPT)
        (folder / "target.toml").write_text(f'name = "far"\nbases.api = "http://{PLATFORM}:{HTTP_PORT}"\n')
        what = ["--scenarios", str(folder / "scripts"), "--scenario", SCENARIO, "--every", f"{every_s}s"]
        for region, name in zip(REGIONS, net.regions, strict=True):
            settings = write_settings(folder, probe_username(Address(FLEET, region, "probe")), passwords)
            to = ["--region", region, "--target", str(folder / "target.toml"), "--settings", str(settings)]
            fleet.workers.append(start(opened, name, runner("worker", *to, *what), folder / f"{region}.log"))
        yield fleet


def start(opened: AsyncExitStack, name: str, command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    """A program in the namespace, killed at the end if it is still there."""
    environ = {**os.environ, "XDG_STATE_HOME": str(log_path.with_suffix(".state")), "PYTHONPATH": str(ROOT)}
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", name, *command], cwd=ROOT, env=environ, stdout=log, stderr=log
        )

    def end() -> None:
        process.kill()
        process.wait()

    opened.callback(end)
    return process


def runner(*words: str) -> list[str]:
    """Our command."""
    return [sys.executable, "runner.py", *words, "--exit-with-parent"]


def write_broker(folder: Path) -> dict[str, Path]:
    """The broker's files, as `broker-config` makes them; the password file of each user."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issue_certificate(authority, folder / "cert", BROKER)
    plan = MosquittoPlan(
        probes=tuple(Address(FLEET, region, "probe") for region in REGIONS),
        certificate_file=folder / "cert.pem",
        key_file=folder / "cert.key",
        collectors=("one",),
        bind=BROKER,
        port=BROKER_PORT,
        run_as="root",
    )
    return dict(write_mosquitto_config(plan, folder / "broker").credential_files)


def write_settings(folder: Path, user: str, passwords: dict[str, Path]) -> Path:
    """The settings of one of the parts."""
    file = folder / f"{user.replace('/', '-')}.toml"
    regions = ", ".join(f'"{region}"' for region in REGIONS)
    lines = [
        f'fleet = "{FLEET}"',
        f"regions = [{regions}]",
        'probe = "probe"',
        f'broker.url = "mqtts://{BROKER}:{BROKER_PORT}"',
        f'broker.username = "{user}"',
        f'broker.ca_file = "{folder / "ca.pem"}"',
        'collector.name = "one"',
        'collector.health = ""',
        'worker.health = ""',
        f'worker.control_url = "http://{CONTROL}:{HTTP_PORT}/ok"',
        f'secrets.broker.file = "{passwords[user]}"',
    ]
    file.write_text("\n".join(lines))
    return file


def answers(centre: str) -> bool:
    """Whether the broker takes connections."""

    def connect() -> bool:
        with suppress(OSError), socket.create_connection((BROKER, BROKER_PORT), timeout=1):
            return True
        return False

    return in_space(centre, connect)


@asynccontextmanager
async def serving(listener: socket.socket) -> AsyncIterator[None]:
    """Answer `/ok` on the socket."""
    application = web.Application()
    application.router.add_get("/ok", answer_ok)
    app_runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await app_runner.setup()
    try:
        await web.SockSite(app_runner, listener).start()
        yield
    finally:
        await app_runner.cleanup()
        await asyncio.sleep(0)


async def answer_ok(_request: web.Request) -> web.StreamResponse:
    """All is well."""
    return web.Response(text="ok")
