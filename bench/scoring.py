"""What scoring costs at scale: a month of a hundred million step events from Parquet to cells, the scorecard, and live ingest.

`run` is called by `bench.__main__`; SCORING_EVENTS=2000000 takes a shorter span. `python -m bench.scoring TASK FILE DATABASE
EVENTS` does one task in a process of its own, so that CPU time and memory are its own, with one thread for Parquet; it prints one
line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import structlog
from sqlalchemy import select

from bench.ingest import bodies, deliveries_of
from bench.report import Findings, Goal, median
from bench.step_events import FLEET, PROBE, REGIONS, TARGET, write_month
from collector.column_scoring import DayCells, score_steps
from collector.scorecard import Asked, make_scorecard
from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.store_bulk import KnownNames, add_days, in_portions
from collector.store_session import Session
from collector.store_sqlite import SqliteBackend
from collector.store_tables import senders, words
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from probes.messages import Address
from slo.window import Span, month_span
from tests.store_kit import deliver, run_at, run_entry

EVENTS: Final = 100_000_000
MONTH: Final = "2026-09"
CARDS: Final = 15
LIVE_RECORDS: Final = 10_000
LIVE_BATCH: Final = 200
LIVE_GROUP: Final = 10
LIVE_ROUNDS: Final = 3
DEADLINE_S: Final = 900.0
GIB: Final = 1 << 30
MIB: Final = 1 << 20
Said = dict[str, float]


def run() -> list[Findings]:
    """Measure everything; the file and the database are gone afterwards."""
    events = int(os.environ.get("SCORING_EVENTS", EVENTS))
    with tempfile.TemporaryDirectory() as name:
        file, database = Path(name) / "month.steps.parquet", Path(name) / "month.db"
        made, scored, card, live = (task(what, file, database, events) for what in ("make", "score", "card", "live"))
    findings = Findings(
        f"A month of {made['rows']:,.0f} step events, one core", ("what", "CPU, s", "wall, s", "events/s")
    )
    count = made["rows"]
    both_cpu_s, both_wall_s = (
        scored["cells_cpu_s"] + scored["write_cpu_s"],
        scored["cells_wall_s"] + scored["write_wall_s"],
    )
    rows = (
        ("make the file", made["cpu_s"], made["wall_s"]),
        ("Parquet to cells", scored["cells_cpu_s"], scored["cells_wall_s"]),
        ("cells to SQLite", scored["write_cpu_s"], scored["write_wall_s"]),
        ("both: a recompute", both_cpu_s, both_wall_s),
    )
    findings.rows += [(what, f"{cpu_s:.1f}", f"{wall_s:.1f}", f"{count / wall_s:,.0f}") for what, cpu_s, wall_s in rows]
    findings.goals += [
        Goal("events/s from Parquet to stored cells, wall", 100_000, count / both_wall_s, at_least=True),
        Goal("recompute of everything, s of one core", 60, both_cpu_s),
        Goal("scorecard from cells, ms of CPU", 100, card["cpu_ms"]),
        Goal("peak memory, GiB", 2, max(scored["peak_bytes"], card["peak_bytes"]) / GIB),
    ]
    findings.notes += notes_of(made, scored, card)
    if count < EVENTS * 0.99:
        findings.notes.append("SCORING_EVENTS makes the span shorter: the seconds are not those of a month")
    ingest = Findings("Live ingest, records of 4 steps in batches of 200, SQLite", ("what", "CPU a record, us"))
    ingest.rows += [
        ("stored", f"{live['plain_us']:.1f}"),
        ("stored and scored, built-in objectives", f"{live['scored_us']:.1f}"),
        ("of it for scoring", f"{live['scored_us'] - live['plain_us']:.1f}"),
    ]
    return [findings, ingest]


def notes_of(made: Said, scored: Said, card: Said) -> list[str]:
    """Sizes, and what the scorecard took."""
    per_event = made["file_bytes"] / made["rows"]
    mib = [said["peak_bytes"] / MIB for said in (scored, card)]
    return [
        f"{made['file_bytes'] / GIB:.2f} GiB of Parquet, {per_event:.1f} bytes an event, {len(REGIONS)} regions",
        f"{scored['cells']:,.0f} cells of {scored['checks']:.0f} checks; {scored['db_bytes'] / GIB:.2f} GiB of SQLite",
        f"scorecard: {card['lines']:.0f} lines, {card['scored']:.0f} with a score",
        f"of {CARDS}: {card['cpu_ms']:.0f} ms CPU, the median; {card['best_ms']:.0f} at best; {card['wall_ms']:.0f} ms wall",
        f"the first scorecard of a program, which describes and compiles its statements: {card['first_ms']:.0f} ms CPU",
        f"peak memory: {mib[0]:.0f} MiB for cells, {mib[1]:.0f} MiB for the scorecard",
    ]


def task(what: str, file: Path, database: Path, events: int) -> Said:
    """Have a task done in a process of its own; returns what it said."""
    command = [sys.executable, "-m", "bench.scoring", what, str(file), str(database), str(events)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=DEADLINE_S)
    said: Said = json.loads(done.stdout)
    return {**said, "peak_bytes": said.get("peak_bytes", 0.0)}


def peak_bytes() -> float:
    """The most memory this program has had. Not `getrusage`, which also remembers who started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024


def make_file(file: Path, _database: Path, events: int) -> Said:
    """Write the month."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    rows = write_month(file, span().from_minute, events)
    return {
        "rows": rows,
        "file_bytes": file.stat().st_size,
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.perf_counter() - wall_s,
    }


def span() -> Span:
    """The month."""
    return month_span(MONTH, "UTC")


def score_file(file: Path, database: Path, _events: int) -> Said:
    """Score the file into a database that holds no cells yet, timing both."""
    return {**asyncio.run(_score_file(file, database)), "db_bytes": database.stat().st_size}


async def _score_file(file: Path, database: Path) -> Said:
    known = load_set(BUILT_IN_OBJECTIVES)
    objectives = [one for versions in known.objectives.values() for one in versions]
    names = await _registered(database)
    backend = SqliteBackend(database)
    await backend.open()
    cells_s, write_s = [0.0, 0.0], [0.0, 0.0]
    count = 0
    portions = iter(in_portions(score_steps(file, objectives)))
    while (days := _timed(lambda: next(portions, None), cells_s)) is not None:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for check in sorted(days[0].cells, key=lambda key: names.check_ids[key]):

            async def work(session: Session, key: str = check, portion: list[DayCells] = days) -> int:
                return await add_days(session, key, portion, names)

            count += await backend.write(work)
        write_s[0] += time.process_time() - cpu_s
        write_s[1] += time.perf_counter() - wall_s
    await backend.close()
    return {
        "cells": count,
        "checks": len({one.check for one in objectives}),
        "cells_cpu_s": cells_s[0],
        "cells_wall_s": cells_s[1],
        "write_cpu_s": write_s[0],
        "write_wall_s": write_s[1],
        "peak_bytes": peak_bytes(),
    }


def _timed(work: Callable[[], list[DayCells] | None], spent_s: list[float]) -> list[DayCells] | None:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    answer = work()
    spent_s[0] += time.process_time() - cpu_s
    spent_s[1] += time.perf_counter() - wall_s
    return answer


async def _registered(database: Path) -> KnownNames:
    """A database that knows checks, probes and the target, from one run of each region before the month."""
    before = span().from_at - timedelta(days=2)
    async with open_store(str(database)) as store:
        await store.scores.begin(Scorer.of(load_set(BUILT_IN_OBJECTIVES)))
        for region in REGIONS:
            sender = Address(FLEET, region, PROBE)
            run = replace(run_at(before, probe=sender), target=TARGET)
            await store.file([deliver([run_entry(run)], probe=sender)])
        check_ids = dict(store.scores.check_ids)
    backend = SqliteBackend(database)
    await backend.open()

    async def work(session: Session) -> KnownNames:
        found = await session.fetch(select(senders.c.sender_id, senders.c.fleet, senders.c.region, senders.c.probe))
        targets = await session.fetch(select(words.c.word, words.c.word_id))
        return KnownNames(check_ids, {Address(*row[1:]): row[0] for row in found}, {row[0]: row[1] for row in targets})

    names = await backend.read(work)
    await backend.close()
    return names


def make_cards(_file: Path, database: Path, _events: int) -> Said:
    """The whole scorecard of the month, several times, each read and scored anew: nothing is kept from one to the next."""
    return asyncio.run(_make_cards(database))


async def _make_cards(database: Path) -> Said:
    known = load_set(BUILT_IN_OBJECTIVES)
    asked = Asked(TARGET, FLEET, REGIONS, datetime(2026, 10, 20, tzinfo=UTC), window=MONTH, with_burn=False)
    async with open_store(str(database)) as store:
        await store.scores.begin(Scorer.of(known))
        cpu_ms, wall_ms = [], []
        for _ in range(CARDS + 1):
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            card = await make_scorecard(store, known, asked)
            cpu_ms.append((time.process_time() - cpu_s) * 1000)
            wall_ms.append((time.perf_counter() - wall_s) * 1000)
    return {
        "cpu_ms": median(cpu_ms[1:]),
        "best_ms": min(cpu_ms[1:]),
        "wall_ms": median(wall_ms[1:]),
        "first_ms": cpu_ms[0],
        "lines": len(card.lines),
        "scored": sum(line.score is not None for line in card.lines),
        "peak_bytes": peak_bytes(),
    }


def file_records(_file: Path, database: Path, _events: int) -> Said:
    """CPU of `Store.file` for each record, alone and with scoring, by turns; the best of some rounds."""
    return asyncio.run(_file_records(database.parent))


async def _file_records(folder: Path) -> Said:
    deliveries = deliveries_of(bodies(LIVE_RECORDS, 4), LIVE_BATCH)
    scorer = Scorer.of(load_set(BUILT_IN_OBJECTIVES))
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(LIVE_ROUNDS):
        for is_scored, costs in found.items():
            async with open_store(str(folder / f"live-{number}-{is_scored}.db")) as store:
                if is_scored:
                    await store.scores.begin(scorer)
                costs.append(await _cost_of_filing(store, deliveries))
    return {"plain_us": min(found[False]), "scored_us": min(found[True])}


async def _cost_of_filing(store: Store, deliveries: list[Any]) -> float:
    cpu_s = time.process_time()
    for start in range(0, len(deliveries), LIVE_GROUP):
        await store.file(deliveries[start : start + LIVE_GROUP])
    return (time.process_time() - cpu_s) / LIVE_RECORDS * 1e6


TASKS: Final[dict[str, Callable[[Path, Path, int], Said]]] = {
    "make": make_file,
    "score": score_file,
    "card": make_cards,
    "live": file_records,
}


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    print(json.dumps(TASKS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
