"""What tests of a collector in a process of its own share: the real command with files of its own, and what it says of itself.

Used by tests named hostile and failures. Everything is real: process, broker, database, health page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from collector.mosquitto import client_name
from tests.broker_kit import FLEET, Broker, Mosquitto
from tests.free_ports import free_port

__all__ = ["CollectorProcess", "running_collector", "settings_for"]

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 60.0


def settings_for(folder: Path, broker: Broker, more: str = "") -> Path:
    """A settings file for everything that talks to this broker as the first collector; `more` are lines at its end."""
    lines = [f'fleet = "{FLEET}"', "[broker]", f'url = "{broker.as_collector("one").url}"']
    if isinstance(broker, Mosquitto):
        user = client_name("collector", "one")
        password_file = folder / "collector-password"
        password_file.write_text(broker.passwords[user].get_secret_value(), encoding="utf-8")
        lines += [f'username = "{user}"', f'ca_file = "{broker.ca_file}"']
        lines += ["[secrets.broker]", f'file = "{password_file}"']
    path = folder / "fleet.toml"
    path.write_text("\n".join([*lines, more]) + "\n", encoding="utf-8")
    return path


@dataclass(slots=True)
class CollectorProcess:
    """The command `collector` while it runs."""

    process: subprocess.Popen[bytes]
    settings: Path
    database: Path
    log: Path
    health_port: int

    def health(self, page: str = "status") -> dict[str, Any]:
        """What the health page says; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/{page}", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))
        except (OSError, HTTPException):
            return {}

    def ingest(self) -> dict[str, Any]:
        """The counters of the ingest."""
        return dict(self.health().get("ingest", {}))

    def is_ready(self) -> bool:
        """Whether what is sent now would be committed."""
        return bool(self.health("readyz").get("ready"))

    def wait_for(self, holds: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait for a condition; fails with the log when it does not come, or when the collector ends."""
        give_up_s = time.monotonic() + deadline_s
        while not holds():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said()}"
            assert time.monotonic() < give_up_s, f"not within {deadline_s:g} s: {what}; {self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4_000:]

    def status(self) -> dict[str, Any]:
        """What `runner.py status --json -` says."""
        words = ("status", "--database", str(self.database), "--settings", str(self.settings), "--json", "-")
        told = subprocess.run(
            [sys.executable, "runner.py", *words], cwd=ROOT, capture_output=True, timeout=60, check=False
        )
        assert told.stdout, told.stderr.decode(errors="replace")
        return dict(json.loads(told.stdout))

    def most_memory_mib(self) -> float:
        """The most memory that it ever had at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def stop(self) -> int:
        """End it in order; its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@contextmanager
def running_collector(
    folder: Path,
    broker: Broker,
    *,
    before: tuple[str, ...] = (),
    database: Path | None = None,
    environ: Mapping[str, str] = {},
    more: str = "",
    wait: bool = True,
) -> Iterator[CollectorProcess]:
    """`runner.py collector` on this broker, ready; killed if the test leaves it.

    `before` is a command that starts it, `more` are further lines of its settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings, database, port = settings_for(folder, broker, more), database or folder / "store.db", free_port()
    own = {
        "PROBE_FLEET_COLLECTOR_HEALTH": f"127.0.0.1:{port}",
        "PROBE_FLEET_COLLECTOR_NAME": "one",
        "PROBE_FLEET_PAGES_LISTEN": "",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    words = ("collector", "--database", str(database), "--settings", str(settings))
    with (folder / "collector.log").open("ab") as log:
        process = subprocess.Popen(
            [*before, sys.executable, "-u", "runner.py", *words],
            cwd=ROOT,
            env={**os.environ, **own, **environ},
            stdout=log,
            stderr=log,
        )
    collector = CollectorProcess(process, settings, database, folder / "collector.log", port)
    try:
        if wait:
            collector.wait_for(collector.is_ready, "a collector that is ready")
        yield collector
    finally:
        process.kill()
        process.wait()
