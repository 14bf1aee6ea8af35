"""`status`: what the collector knows: each probe with its connection, outbox, gaps, fitness and clock, and coverage by scenario.

Reads the database and asks nobody, so that it works while parts of the fleet are down; how old each statement is stands beside
it. Exit code 0 when every probe but retired ones is up, one at least, and nothing is missing, else 3. Called by `console.app`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from collector.probe_line import ProbeLine, read_probes
from collector.store import open_store
from collector.texts.probe_texts import books_text, notes_of
from console.atomic_file import write_atomically
from console.desk import Desk
from console.fleet_board import BoardRow, fitting_board, read_board, summary_text
from console.fleet_places import database_login, database_of, sqlite_file
from console.status_table import draw_probes
from console.verdict import ExitCode
from probes.errors import OperatorError

__all__ = ["show_status"]

_LAST_S: Final = 86_400.0


async def show_status(desk: Desk) -> ExitCode:
    """Print what is known, or write it as JSON; raises OperatorError when there is no database yet."""
    arguments = desk.arguments
    database = database_of(arguments.database, desk.settings)
    if (file := sqlite_file(database)) is not None and not file.is_file():
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no collector has stored anything there", where=str(file), remedy=remedy)
    now = desk.clock.now()
    from_at = now - timedelta(seconds=arguments.last_s or _LAST_S)
    async with open_store(database_login(database, desk.settings), only_reads=True) as store:
        rows = await read_board(store, from_at, now, now=now)
        probes = await read_probes(store, from_at, now)
        strays = (await store.totals()).strays
        where = store.where
    is_measured = any(line.condition(now) == "up" for line in probes)
    well = is_measured and all(line.is_well(now) for line in probes)
    if arguments.json_file:
        _write(arguments.json_file, status_document(probes, rows, from_at=from_at, now=now, where=where, strays=strays))
    if not arguments.json_to_stdout:
        _print(desk.console, probes, rows, from_at=from_at, now=now)
        if strays:
            desk.console.print(Text(f"{strays} messages came under no probe's name and were set aside", style="yellow"))
    return ExitCode.PASSED if well else ExitCode.INCONCLUSIVE


def _print(
    console: Console, probes: Sequence[ProbeLine], rows: Sequence[BoardRow], *, from_at: datetime, now: datetime
) -> None:
    if not probes:
        console.print("no probe was heard yet")
        return
    console.print(draw_probes(console, probes, now=now))
    for line in probes:
        for note in notes_of(line):
            console.print(Text(f"  {line.state.address.region}/{line.state.address.probe}: {note}", style="yellow"))
    console.print()
    console.print(fitting_board(console, rows))
    console.print(f"\n{summary_text(rows)}, since {from_at:%Y-%m-%d %H:%M} UTC.")
    console.print(f"{books_text(probes)}.")


def status_document(
    probes: Sequence[ProbeLine], rows: Sequence[BoardRow], *, from_at: datetime, now: datetime, where: str, strays: int
) -> Mapping[str, object]:
    """The same for a program."""
    return {
        "schema": "probe-fleet/status",
        "schema_version": 1,
        "generated_at": now.isoformat(),
        "from_at": from_at.isoformat(),
        "store": where,
        "strays": strays,
        "probes": [
            {
                "fleet": line.state.address.fleet,
                "region": line.state.address.region,
                "probe": line.state.address.probe,
                "condition": line.condition(now),
                "last_heard_at": line.last_heard_at().isoformat(),
                "entries": line.state.entries,
                "duplicates": line.state.duplicates,
                "conflicts": line.state.conflicts,
                "quarantined": line.state.quarantined,
                "missing": line.state.missing,
                "lost": line.state.lost,
                "unfit_minutes": line.unfit_minutes,
                "slots": asdict(line.counts),
                "said": line.said.model_dump(mode="json") if line.said else None,
            }
            for line in probes
        ],
        "slots": [{"scenario": row.scenario, "region": row.region, "counts": asdict(row.counts)} for row in rows],
    }


def _write(json_file: str, document: Mapping[str, object]) -> None:
    text = json.dumps(document, indent=2).encode() + b"\n"
    if json_file == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        write_atomically(Path(json_file), text)
