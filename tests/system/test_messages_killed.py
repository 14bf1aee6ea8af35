"""A real collector that is killed between firing and sending, and one whose acknowledgement by link arrives."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.alerting.outbox import MessageOutbox
from collector.store import open_store
from tests.alert_kit import open_an_incident
from tests.fleet_kit import ROOT, fleet_environment, told
from tests.free_ports import free_port
from tests.message_kit import ALL, Target, target, until

OUTBOX = MessageOutbox({"hook": ALL})

pytestmark = pytest.mark.timeout(300)


def settings_file(folder: Path, url: str, more: str = "") -> Path:
    """Settings with one webhook."""
    file = folder / "fleet.toml"
    file.write_text(f'[alerts]\n{more}\n[alerts.channels.hook]\nkind = "webhook"\nurl = "{url}"\n', encoding="utf-8")
    return file


@contextmanager
def collector(
    folder: Path, database: str, settings: Path, environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """`runner.py collector` with a broker of its own; killed if the test leaves it."""
    words = ["collector", "--database", database, "--settings", str(settings)]
    with subprocess.Popen(
        [sys.executable, "-u", "runner.py", *words],
        cwd=ROOT,
        env={**fleet_environment(folder), "PROBE_FLEET_COLLECTOR_HEALTH": "", **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


async def fire(database: str, key: str) -> None:
    """Record an incident as a collector does, with its message in the same transaction."""
    async with open_store(database) as store:
        await open_an_incident(store, datetime.now(UTC), key=key, outbox=OUTBOX)


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_a_collector_killed_between_firing_and_sending_sends_it_when_it_is_back(url: str, tmp_path: Path) -> None:
    """Once before it could send, once in the middle of sending; the receiver has taken each message once, by its key."""
    environ = {"PROBE_FLEET_FLEET": "simulated"}
    with target() as there:
        settings = settings_file(tmp_path, there.url)
        await fire(url, "before")
        there.manner = "silent"
        with collector(tmp_path, url, settings, environ) as process:
            await until(lambda: there.refused, "it is in the middle of sending")
            await fire(url, "meanwhile")
            await until(lambda: begun(there) == {"before/fired", "meanwhile/fired"}, "and of sending another one")
            process.kill()
            process.wait(30)
        assert there.taken == []
        there.manner = ""
        there.released.set()
        with collector(tmp_path, url, settings, environ):
            await until(lambda: len(there.taken) == 2, "both arrive")
            await fire(url, "after")
            await until(lambda: len(there.taken) == 3, "and what comes then")
        keys = [one.key for one in there.taken]
        assert sorted(keys) == ["after/fired", "before/fired", "meanwhile/fired"]
        assert begun(there) == {"before/fired", "meanwhile/fired"}


def begun(there: Target) -> set[str]:
    """The keys of the messages whose sending was begun and not answered; one that waits for long may be begun again."""
    return {one.headers["idempotency-key"] for one in tuple(there.refused)}


async def test_the_link_of_a_message_acknowledges_on_the_collectors_own_pages(tmp_path: Path) -> None:
    """Looking acknowledges nothing; the button does, and whoever had the message hears of it; the sign of life comes."""
    database = str(tmp_path / "fleet.db")
    listen = f"127.0.0.1:{free_port()}"
    environ = {"PROBE_FLEET_FLEET": "simulated", "PROBE_FLEET_PAGES_LISTEN": listen}
    with target() as there, target() as alive:
        settings = settings_file(tmp_path, there.url, f'heartbeat_url = "{alive.url}/ping"')
        await fire(database, "one")
        with collector(tmp_path, database, settings, environ):
            await until(lambda: there.taken, "the message arrives")
            link = str(there.taken[0].json["acknowledge_url"])
            assert link.startswith(f"http://{listen}/ack/")
            page = await asyncio.to_thread(fetch, link)
            await asyncio.to_thread(fetch, link)
            assert re.search(r"<form[^>]+method=.?post", page, re.IGNORECASE)
            assert len(there.taken) == 1
            await asyncio.to_thread(fetch, link, "--data", "by=Ada")
            await until(lambda: there.kinds == ["fired", "acknowledged"], "it is acknowledged")
            await until(lambda: alive.taken, "the sign of life")
    listed = told(tmp_path, "alerts", "list", "--database", database)
    assert "known to Ada" in listed.stdout


def fetch(link: str, *options: str) -> str:
    """The page at a link."""
    ended = subprocess.run(
        ["curl", "-sS", "--fail", "--max-time", "60", *options, link],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    return ended.stdout
