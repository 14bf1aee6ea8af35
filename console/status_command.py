"""`status`: what the collector knows: each probe with its connection, outbox, gaps, fitness and clock, and coverage by scenario.

Reads the database and asks nobody, so that it works while parts of the fleet are down; how old each statement is stands beside
it. Exit code 0 when every probe was heard lately and nothing is missing, else 3. Called by `console.app`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.ledger import SlotCounts
from collector.store import Store, open_store
from collector.store_queries import ProbeState
from console.atomic_file import write_atomically
from console.desk import Desk
from console.figures import bytes_text, printable
from console.fleet_board import BoardRow, coverage_text, draw_board, read_board, summary_text
from console.fleet_places import database_of, sqlite_file
from console.verdict import ExitCode
from probes.errors import OperatorError
from probes.messages import Address

__all__ = ["ProbeLine", "Said", "show_status"]

_LAST_S: Final = 86_400.0
_MS: Final = 1_000_000
_SILENT_AFTER: Final = timedelta(seconds=60)
"""Four times what a probe takes between two words about itself (`probes.stream_window.StreamLimits.status_every_s`)."""


class _Tolerant(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Depth(_Tolerant):
    entries: int = 0
    body_bytes: int = 0
    oldest_at: datetime | None = None
    lost: int = 0


class _ClockSaid(_Tolerant):
    offset_ns: int
    bound_ns: int


class _BeatSaid(_Tolerant):
    unfit: tuple[str, ...] = ()


class _LaneSaid(_Tolerant):
    ready: bool = False
    restarts: int = 0
    beat: _BeatSaid | None = None


class Said(_Tolerant):
    """What a probe last said about itself; a later version may say more."""

    online: bool = False
    ready: bool = False
    outbox: _Depth = _Depth()
    clock: _ClockSaid | None = None
    lanes: dict[str, _LaneSaid] = {}


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One probe: what the collector counted, what the probe said, its slots and its unfit minutes in the window."""

    state: ProbeState
    said: Said | None
    counts: SlotCounts
    unfit_minutes: int

    def condition(self, now: datetime) -> str:
        """`up`, `down` (it said goodbye, or the broker did for it), `silent`, or `starting`."""
        if self.said is not None and not self.said.online:
            return "down"
        if now - self.state.last_seen_at > _SILENT_AFTER and now - (self.state.status_at or now) > _SILENT_AFTER:
            return "silent"
        return "up" if self.said is not None and self.said.ready else "starting"

    def is_well(self, now: datetime) -> bool:
        """True when there is nothing to look into."""
        return self.condition(now) == "up" and not self.state.missing and not self.state.conflicts


async def show_status(desk: Desk) -> ExitCode:
    """Print what is known, or write it as JSON; raises OperatorError when there is no database yet."""
    arguments = desk.arguments
    database = database_of(arguments.database, desk.settings)
    if (file := sqlite_file(database)) is not None and not file.is_file():
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no collector has stored anything there", where=str(file), remedy=remedy)
    now = desk.clock.now()
    from_at = now - timedelta(seconds=arguments.last_s or _LAST_S)
    async with open_store(database) as store:
        rows = await read_board(store, from_at, now, now=now)
        probes = await read_probes(store, from_at, now)
        where = store.where
    well = bool(probes) and all(line.is_well(now) for line in probes)
    if arguments.json_file:
        _write(arguments.json_file, status_document(probes, rows, from_at=from_at, now=now, where=where))
    if not arguments.json_to_stdout:
        _print(desk.console, probes, rows, from_at=from_at, now=now)
    return ExitCode.PASSED if well else ExitCode.INCONCLUSIVE


async def read_probes(store: Store, from_at: datetime, now: datetime) -> list[ProbeLine]:
    """Every probe that was ever heard, with what happened to it in the window."""
    counts: dict[Address, SlotCounts] = {}
    for account in await store.accounts(from_at, now, now=now):
        counts.setdefault(account.series.address, SlotCounts()).add(account.counts)
    unfit = Counter(minute.address for minute in await store.unfit_minutes(from_at, now))
    return [
        ProbeLine(state, said_by(state), counts.get(state.address, SlotCounts()), unfit[state.address])
        for state in await store.probes()
    ]


def said_by(state: ProbeState) -> Said | None:
    """The probe's last word about itself, None when it is none that we understand."""
    if not state.status:
        return None
    try:
        return Said.model_validate_json(state.status)
    except ValidationError:
        return None


def _print(
    console: Console, probes: Sequence[ProbeLine], rows: Sequence[BoardRow], *, from_at: datetime, now: datetime
) -> None:
    if not probes:
        console.print("no probe was heard yet")
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", collapse_padding=True)
    for heading in ("region", "probe", "", "heard", "waiting", "gaps", "covered", "unfit", "clock"):
        table.add_column(heading, no_wrap=True)
    for line in probes:
        state, said = line.state, line.said
        condition = line.condition(now)
        table.add_row(
            state.address.region,
            state.address.probe,
            Text(condition, style="green" if condition == "up" else "yellow"),
            f"{_age_text(now - last_heard(state))} ago",
            waiting_text(said),
            Text(str(state.missing), style="bold red" if state.missing else ""),
            coverage_text(line.counts),
            f"{line.unfit_minutes} min",
            clock_text(said),
        )
    console.print(table)
    for line in probes:
        for note in notes_of(line):
            console.print(Text(f"  {line.state.address.region}/{line.state.address.probe}: {note}", style="yellow"))
    console.print()
    console.print(draw_board(rows))
    console.print(f"\n{summary_text(rows)}, since {from_at:%Y-%m-%d %H:%M} UTC.")


def last_heard(state: ProbeState) -> datetime:
    """When anything came from the probe."""
    return max(state.last_seen_at, state.status_at or state.last_seen_at)


def notes_of(line: ProbeLine) -> list[str]:
    """What a person should look into."""
    state, notes = line.state, []
    if state.conflicts:
        notes.append(f"{state.conflicts} entries contradict what was stored before: do two probes share this name?")
    if state.quarantined:
        notes.append(f"{state.quarantined} entries were set aside because they could not be understood or believed")
    if line.said and line.said.outbox.lost:
        notes.append(f"{line.said.outbox.lost} entries were dropped by an outbox that was full or too old")
    for name, lane in line.said.lanes.items() if line.said else ():
        if lane.restarts:
            notes.append(f"the {name} lane was started again {lane.restarts} times")
        if lane.beat and lane.beat.unfit:
            notes.append(f"not fit to measure now ({name}): {printable('; '.join(lane.beat.unfit))}")
    return notes


def waiting_text(said: Said | None) -> str:
    """What waits in the outbox, as the probe said."""
    if said is None:
        return "-"
    return f"{said.outbox.entries} ({bytes_text(said.outbox.body_bytes)})" if said.outbox.entries else "0"


def clock_text(said: Said | None) -> str:
    """How far the probe's clock is off ours, and how sure that is."""
    if said is None or said.clock is None:
        return "-"
    return f"{said.clock.offset_ns / _MS:+.1f} ± {said.clock.bound_ns / _MS:.1f} ms"


def _age_text(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def status_document(
    probes: Sequence[ProbeLine], rows: Sequence[BoardRow], *, from_at: datetime, now: datetime, where: str
) -> Mapping[str, object]:
    """The same for a program."""
    return {
        "schema": "probe-fleet/status",
        "schema_version": 1,
        "generated_at": now.isoformat(),
        "from_at": from_at.isoformat(),
        "store": where,
        "probes": [
            {
                "fleet": line.state.address.fleet,
                "region": line.state.address.region,
                "probe": line.state.address.probe,
                "condition": line.condition(now),
                "last_heard_at": last_heard(line.state).isoformat(),
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
