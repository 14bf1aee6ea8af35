"""A real Alertmanager is told of an incident, reminded of it, and told that it is over."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import Dispatcher
from collector.alerting.outbox import MessageOutbox
from collector.alerting.senders_alertmanager import ALERT_NAME
from collector.store import Store, open_store
from slo.burn_tiers import Severity
from tests.alert_kit import open_an_incident
from tests.clock import JumpingClock
from tests.free_ports import free_port
from tests.message_kit import ALL, Target, end_incident, know_incident, target, until, upgrade_incident
from tests.prometheus_kit import need

START_TIMEOUT_S = 60.0
OUTBOX = MessageOutbox({"am": ALL})
Alert = dict[str, object]


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running one that passes everything on to a webhook of ours."""

    port: int

    @property
    def url(self) -> str:
        """Its address, as settings have it."""
        return f"http://127.0.0.1:{self.port}"

    def alerts(self) -> dict[str, Alert]:
        """What is on, by severity."""
        found = self.ask("/api/v2/alerts")
        assert isinstance(found, list)
        return {one["labels"]["severity"]: one for one in found}

    def ask(self, path: str) -> object:
        """What it answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read() or b"null")
        finally:
            connection.close()


@contextmanager
def alertmanager(folder: Path, hook_url: str) -> Iterator[Alertmanager]:
    """On a free port with a folder of its own; stopped by its pid."""
    program, port = need("prometheus-alertmanager"), free_port()
    config = {
        "route": {"receiver": "us", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "us", "webhook_configs": [{"url": hook_url, "send_resolved": True}]}],
    }
    (folder / "alertmanager.json").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    options = {
        "--config.file": folder / "alertmanager.json",
        "--storage.path": folder / "data",
        "--web.listen-address": f"127.0.0.1:{port}",
        "--cluster.listen-address": "",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, *(f"{name}={value}" for name, value in options.items())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while not _is_ready(port):
            said = (folder / "log").read_text(errors="replace")[-2000:]
            assert server.poll() is None, said
            assert time.monotonic() < give_up_s, said
            time.sleep(0.05)
        yield Alertmanager(port)
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(30)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as found:
        yield found


def ends_at(alert: Alert) -> datetime:
    """Until when an alert is promised."""
    return datetime.fromisoformat(str(alert["endsAt"]))


@pytest.fixture
def passed_on() -> Iterator[Target]:
    """Where the Alertmanager passes things on to."""
    with target() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, passed_on: Target) -> Iterator[Alertmanager]:
    """A real one."""
    with alertmanager(tmp_path, passed_on.url) as found:
        yield found


def dispatcher_to(server: Alertmanager, store: Store, clock: JumpingClock) -> Dispatcher:
    """Sends to it alone."""
    channel = Channel("am", "alertmanager", sender_of("alertmanager", server.url, where="test"))
    return Dispatcher(store, [channel], name="one", clock=clock, base_url="https://fleet.example")


async def test_a_real_alertmanager_is_told_reminded_and_told_the_end(
    store: Store, server: Alertmanager, passed_on: Target
) -> None:
    """Once a minute it is promised for longer; what it passes on says firing, then resolved; nothing brings it back."""
    clock = JumpingClock(datetime.now(UTC))
    sending = dispatcher_to(server, store, clock)
    incident = await open_an_incident(store, clock.now(), severity=Severity.HIGH, outbox=OUTBOX)
    await sending.tick()
    (fired,) = server.alerts().values()
    assert fired["labels"] == {
        "alertname": ALERT_NAME,
        "fleet": "simulated",
        "target": "simulated",
        "origin": "platform",
        "severity": "high",
        "incident": str(incident.incident_id),
        "incident_key": incident.key,
    }
    assert str(fired["generatorURL"]) == f"https://fleet.example/alerts/{incident.incident_id}"
    await until(lambda: passed_on.taken, "it is passed on")
    for passed_s, promised_s in (61, 61), (20, 61), (41, 122):
        clock.advance(passed_s)
        await sending.tick()
        assert ends_at(server.alerts()["high"]) - ends_at(fired) == timedelta(seconds=promised_s)
    await end_incident(store, incident, datetime.now(UTC), OUTBOX)
    await sending.tick()
    await until(lambda: not server.alerts(), "it is over")
    clock.advance(61)
    await sending.tick()
    assert server.alerts() == {}
    await until(
        lambda: [one.json["status"] for one in passed_on.taken] == ["firing", "resolved"], "the end is passed on"
    )


async def test_an_alert_stays_the_same_until_it_becomes_worse(store: Store, server: Alertmanager) -> None:
    """Who knows of it stands beside it; with a new severity a new alert begins and the one with the old severity ends."""
    now = datetime.now(UTC)
    clock = JumpingClock(now)
    sending = dispatcher_to(server, store, clock)
    incident = await open_an_incident(store, now, severity=Severity.HIGH, outbox=OUTBOX)
    await sending.tick()
    (fired,) = server.alerts().values()
    await know_incident(store, incident, now, OUTBOX)
    await sending.tick()
    (known,) = server.alerts().values()
    assert known["fingerprint"] == fired["fingerprint"]
    annotations = known["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["acknowledged_by"] == "Ada"
    await upgrade_incident(store, incident, Severity.CRITICAL, now, OUTBOX)
    await sending.tick()
    await until(lambda: set(server.alerts()) == {"critical"}, "the lesser one is over")
    await end_incident(store, incident, datetime.now(UTC), OUTBOX)
    await sending.tick()
    await until(lambda: not server.alerts(), "it is over")
