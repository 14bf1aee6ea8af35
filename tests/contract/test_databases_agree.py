"""Whatever people see is the same on SQLite and on PostgreSQL: one month in both, and every answer laid beside the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
from sqlalchemy import select

from collector.alerting.reading import alert_events, alert_history
from collector.archive import export_file, import_file
from collector.catch_up import score_past
from collector.exports.metrics import Metrics, MetricsSource
from collector.score_upkeep import ScoreUpkeep
from collector.scoring import Scorer
from collector.store import Retention, Store, open_store
from collector.store_cells import add_cells
from collector.store_session import Session
from collector.store_tables import cells
from collector.store_upkeep import Pruned
from collector.web.server import open_pages
from console.incident_command import run_alerts
from console.objectives import load_set
from console.releases_command import run_releases
from console.report_command import run_report
from console.slo_command import run_slo
from console.status_command import show_status
from slo.cells import Cell
from tests.alert_feed import FixedObjectives, engine_of, some_lines
from tests.alert_kit import FLEET, TARGET, KeptNotices
from tests.clock import JumpingClock
from tests.desk_kit import Command, call
from tests.exports_kit import Watched
from tests.parity_month import END, MONTH, PLAN, REGIONS, fill_parity_month
from tests.postgres_kit import PostgresServer
from tests.web_kit import TOKENS, Pages, site_over

Answers = dict[str, Any]
KNOWN: Final = load_set()
LINES: Final = ("api-uptime", "api-errors", "quote-p95")
FEW: Final = replace(KNOWN, objectives={name: KNOWN.objectives[name] for name in LINES})
"""Of each kind of line one, and all that reads facts: what pages, metrics and final scores are made of here."""
LOOKED_AT: Final = END + timedelta(seconds=20)
AFTERWARDS: Final = END + timedelta(days=3)
SETTINGS: Final = {"PROBE_FLEET_FLEET": FLEET, "PROBE_FLEET_TARGET": TARGET}
SLOT: Final = "scenario=api-health&region=us-east&probe=visitor&at=2026-09-30T18:01:00%2B00:00"
API: Final = (
    *(
        "/targets",
        "/levels",
        f"/levels?window={MONTH}",
        "/levels?target=Zulu",
        "/levels/api-uptime",
        "/levels/quote-p95",
    ),
    *(
        "/board",
        "/runs?hours=24",
        "/runs?outcome=fail&hours=168",
        "/runs?scenario=api-health&hours=24",
        f"/slots?{SLOT}",
    ),
    *("/alerts?days=180", "/alerts/1", "/alerts/3", "/releases", "/fleet", "/status"),
    *("/compare", "/compare?by=region&a=us-east&b=euwest1&days=2", "/compare?by=announced"),
)
PAGES: Final = ("/", "/runs?hours=24", "/alerts", "/fleet")
"""Beside the API, which is made of the same values: tables and drawings once more in their own order."""
REPORT: Final[dict[str, Command]] = {f"report --window {MONTH}": run_report}
COMMANDS: Final[dict[str, Command]] = {
    **{f"slo explain {name} --window {MONTH}": run_slo for name in ("api-uptime", "quote-p95", "backup-daily")},
    f"slo alerts --window {MONTH} --objective api-uptime": run_slo,
    "status --last 3d": show_status,
    "alerts list --all": run_alerts,
    "releases list": run_releases,
}
NEW_EACH_TIME: Final = re.compile(r'name="csrf" value="[^"]*"')
OF_THE_DATABASE: Final = "fleet_store_size_bytes"


async def test_all_that_people_see_is_the_same(postgres: PostgresServer, tmp_path: Path) -> None:
    """Reports, explanations, pages, metrics, final scores, alerts, archives, and what retention and packing leave."""
    found = []
    for name in ("sqlite", "postgresql"):
        folder = tmp_path / name
        folder.mkdir()
        urls = [_empty(name, folder, number, postgres) for number in range(2)]
        found.append(await _answers_of(urls[0], urls[1], folder))
    of_file, of_server = found
    assert of_file.keys() == of_server.keys()
    assert {key: _difference(one, of_server[key]) for key, one in of_file.items() if one != of_server[key]} == {}


def _difference(one: object, other: object) -> tuple[str, str]:
    """Where two answers begin to differ."""
    first, second = repr(one), repr(other)
    same = next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)
    at = max(0, same - 80)
    return first[at : at + 200], second[at : at + 200]


def _empty(name: str, folder: Path, number: int, server: PostgresServer) -> str:
    """An empty database; the server's sorts as those of many hosts do, without a look at hyphens and capitals."""
    if name == "sqlite":
        return f"sqlite:///{folder / f'{number}.db'}"
    made = f"parity_{uuid4().hex}"
    locale = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-ka-shifted'"
    server.run(f"CREATE DATABASE {made} {locale}")
    return server.url(made)


async def _answers_of(url: str, other: str, folder: Path) -> Answers:
    found: Answers = {}
    async with _opened(url) as store:
        await fill_parity_month(store)
        found |= await _books(store, "at first")
        found |= await _decided(store)
        found |= await _pages(store)
        found |= await _metrics(store)
        found |= await _archived(store, folder / "one.jsonl.gz", folder / "one.parquet")
    found |= await _commands(url, folder, {**REPORT, **COMMANDS}, "at first")
    async with _opened(other) as second:
        imported = await import_file(second, folder / "one.jsonl.gz", now=AFTERWARDS)
        found["imported"] = asdict(imported)
        found |= {f"{key}, imported": value for key, value in (await _books(second, "")).items()}
        found |= await _archived(second, folder / "two.jsonl.gz", folder / "two.parquet")
    async with _opened(url) as store:
        found |= await _finals(store)
        found |= await _kept_in_bounds(store)
        found |= await _rescored(store)
        found |= await _books(store, "at last")
    return found | await _commands(url, folder, REPORT, "at last")


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    async with open_store(url, survives_power_cut=False) as store:
        await store.scores.begin(Scorer.of(KNOWN))
        yield store


async def _books(store: Store, when: str) -> Answers:
    """What the store says of itself."""
    from_at, until_at = END - timedelta(days=200), END + timedelta(days=1)
    totals = asdict(await store.totals())
    del totals["size_bytes"]
    return {
        f"totals {when}": totals,
        f"probes {when}": await store.probes(),
        f"accounts {when}": await store.accounts(from_at, until_at, now=AFTERWARDS),
        f"slots {when}": await store.slots(END - timedelta(days=1), until_at, now=AFTERWARDS),
        f"quarantine {when}": await store.quarantine(),
        f"unfit {when}": await store.unfit_minutes(from_at, until_at),
    }


async def _decided(store: Store) -> Answers:
    """What the alert engine makes of the evening, looked at every twenty minutes."""
    outbox, clock = KeptNotices(), JumpingClock(END - timedelta(minutes=121))
    engine = engine_of(store, some_lines("api-uptime"), PLAN, clock, outbox)
    while clock.now() < END - timedelta(minutes=40):
        await engine.tick()
        clock.advance(1200)
    events = await alert_events(store, END - timedelta(days=200), AFTERWARDS)
    return {
        "incidents": await alert_history(store, END - timedelta(days=200), AFTERWARDS),
        "events": [replace(one, event_id=0) for one in events],
        "notices": outbox.notices,
    }


async def _pages(store: Store) -> Answers:
    """Every page and every operation of the API that tells something."""
    site = site_over(
        store,
        clock=JumpingClock(LOOKED_AT),
        fleet=FLEET,
        regions=REGIONS,
        target=TARGET,
        objectives=FixedObjectives(FEW),
        **TOKENS,
    )
    found: Answers = {}
    async with (
        open_pages(site, "127.0.0.1:0") as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        pages = Pages(url, session)
        for path in (*PAGES, *(f"/api/v1{path}" for path in API)):
            told = await pages.read(path)
            found[path] = (told.status, NEW_EACH_TIME.sub("", told.text))
    assert {path: status for path, (status, _) in found.items() if status != 200} == {}
    return found


async def _metrics(store: Store) -> Answers:
    """The samples of `/metrics`."""
    source, clock = MetricsSource(FLEET, "one", REGIONS, TARGET), JumpingClock(LOOKED_AT)
    metrics = Metrics(store, FixedObjectives(FEW), source, clock=clock)
    scraped = await Watched(store, metrics, clock).look(closely=True)
    return {"metrics": {key: value for key, value in scraped.samples.items() if key[0] != OF_THE_DATABASE}}


async def _archived(store: Store, lines: Path, columns: Path) -> Answers:
    """What an export writes, and the same by columns."""
    from_at, until_at = END - timedelta(days=200), END + timedelta(days=1)
    written = [await export_file(store, path, from_at=from_at, until_at=until_at) for path in (lines, columns)]
    told = await asyncio.to_thread(lambda: (gzip.decompress(lines.read_bytes()).splitlines(), columns.read_bytes()))
    return {lines.name: told[0], columns.name: (written[1].entries, told[1])}


async def _commands(url: str, folder: Path, commands: dict[str, Command], when: str) -> Answers:
    """What commands print and write."""
    found: Answers = {}
    for words, command in commands.items():
        told, file = [*words.split(), "--database", url], folder / "told.json"
        if "explain" not in words and "list" not in words:
            told += ["--json", str(file)]
        called = await call(command, told, AFTERWARDS, environ=SETTINGS)
        document = await asyncio.to_thread(_document_in, file)
        found[f"{words} {when}"] = (called.code, [line for line in called.lines if "--database" not in line], document)
    return found


def _document_in(file: Path) -> dict[str, Any]:
    """What was written there, without the name of the database; the file is gone then."""
    document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    document.pop("store", None)
    file.unlink(missing_ok=True)
    return document


async def _finals(store: Store) -> Answers:
    """The final scores that upkeep puts on record."""
    clock = JumpingClock(AFTERWARDS)
    upkeep = ScoreUpkeep(store, FixedObjectives(FEW), fleet=FLEET, regions=REGIONS, clock=clock)
    await upkeep.begin()
    await upkeep.keep_some()
    names = [*FEW.objectives, *FEW.obligations]
    places = [f"{FLEET}:{target}" for target in await store.scores.targets()]
    kept = {(name, place): await store.scores.revisions(name, place, MONTH) for name in names for place in places}
    assert len([one for one in kept.values() if one]) > 5
    return {"finals": {key: [(one.revision, one.document) for one in revisions] for key, revisions in kept.items()}}


async def _rescored(store: Store) -> Answers:
    """What scoring again finds to correct where somebody has spoiled cells."""

    async def spoil(session: Session) -> None:
        keys = select(*(cells.c[name] for name in ("check_id", "target", "sender_id", "minute")))
        some = await session.fetch(keys.where(cells.c.minute % 60 == 5))
        await add_cells(session, {(row[0], row[1], row[2], row[3]): Cell(bad=7) for row in some})

    await store.alerts.change(spoil)
    found = await score_past(store, Scorer.of(FEW).keys, clock=JumpingClock(AFTERWARDS))
    assert found.cells_changed > 0
    return {"rescored": found}


async def _kept_in_bounds(store: Store) -> Answers:
    """What packing and retention do, piece by piece."""
    packed: list[int] = []
    pruned: list[Pruned] = []
    while count := await store.repack(now=AFTERWARDS):
        packed.append(count)
    retention = Retention(max_age=timedelta(days=30))
    while not pruned or pruned[-1].has_more:
        pruned.append(await store.prune(retention, now=AFTERWARDS))
    assert pruned[0].slots
    assert pruned[0].incidents
    return {"packed": packed, "pruned": pruned}
