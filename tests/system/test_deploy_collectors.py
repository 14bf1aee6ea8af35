"""Two collectors started as the systemd units start them, on the broker whose files `broker-config` made. All of it is real."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_kit import make_certificates
from tests.deploy_kit import DEPLOY
from tests.free_ports import free_port

ROOT = DEPLOY.parent
DEADLINE_S = 60.0
NAMES = ("collector-1", "collector-2")


@contextlib.contextmanager
def process(log: Path, *command: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the length of the block."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=environ, stderr=output, stdout=output) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()
            running.wait(DEADLINE_S)


def wait_for_page(url: str, log: Path) -> None:
    """Until the page says 200."""
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def ingest_of(port: int) -> dict[str, object]:
    """What the collector says about its ingest."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=DEADLINE_S) as page:
        ingest: dict[str, object] = json.loads(page.read())["ingest"]
    return ingest


@pytest.fixture
def fleet(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The example of the settings with an address of this host, and the environment that all parts share."""
    if not shutil.which("mosquitto"):
        pytest.skip("mosquitto is not installed")
    ca_file = make_certificates(tmp_path / "tls")
    text = (DEPLOY / "systemd/fleet.toml.example").read_text("utf-8")
    text = text.replace("broker.example:8883", f"localhost:{free_port()}").replace(
        "/etc/probe-fleet/ca.pem", str(ca_file)
    )
    (tmp_path / "fleet.toml").write_text(text)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PROBE_FLEET_")}
    return tmp_path, {**ours, "PROBE_FLEET_SETTINGS": str(tmp_path / "fleet.toml"), "XDG_STATE_HOME": str(tmp_path)}


def broker_command(folder: Path, environ: dict[str, str]) -> list[str]:
    """Have the files made; mosquitto on the address of the settings, as whoever we are."""
    made = ["broker-config", "broker", "--certificate", "tls/broker.pem", "--key", "tls/broker.key"]
    command = [sys.executable, str(ROOT / "runner.py"), *made]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=DEADLINE_S)
    config = folder / "broker/mosquitto.conf"
    port = (folder / "fleet.toml").read_text().partition("localhost:")[2].partition('"')[0]
    text = config.read_text().replace("listener 8883", f"listener {port} 127.0.0.1")
    config.write_text(("user root\n" if os.geteuid() == 0 else "") + text)
    return ["mosquitto", "-c", str(config)]


@pytest.mark.timeout(300)
def test_two_collectors_stay_connected_each_under_its_own_user(fleet: tuple[Path, dict[str, str]]) -> None:
    """The password is a credential of the unit. Under one name the broker would end the older connection, again and again."""
    folder, environ = fleet
    ports = {name: free_port() for name in NAMES}
    with contextlib.ExitStack() as running:
        command = broker_command(folder, environ)
        running.enter_context(process(folder / "broker.log", *command, environ=environ))
        for name in NAMES:
            credentials = folder / "run" / name
            credentials.mkdir(parents=True)
            shutil.copy(folder / "broker/credentials/collector" / name, credentials / "broker")
            own = {
                "CREDENTIALS_DIRECTORY": str(credentials),
                "PROBE_FLEET_STATE_DIR": str(folder / "state" / name),
                "PROBE_FLEET_COLLECTOR_NAME": name,
                "PROBE_FLEET_BROKER_USERNAME": f"collector/{name}",
                "PROBE_FLEET_PAGES_LISTEN": "",
                "PROBE_FLEET_COLLECTOR_HEALTH": f"127.0.0.1:{ports[name]}",
            }
            words = (sys.executable, "runner.py", "collector")
            running.enter_context(process(folder / f"{name}.log", *words, environ={**environ, **own}))
        for name in NAMES:
            wait_for_page(f"http://127.0.0.1:{ports[name]}/readyz", folder / f"{name}.log")
        told = {name: ingest_of(ports[name]) for name in NAMES}
    assert {name: (said["connected"], said["connects"]) for name, said in told.items()} == dict.fromkeys(
        NAMES, (True, 1)
    )
