"""`export` and `import`: stored results out into a file and back into a database.

Refuses to make an empty database by reading one that is not there. Called by `console.app`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from collector.archive import export_file, import_file
from collector.scoring import Scorer
from collector.step_export import export_steps
from collector.step_rows import STEPS_ENDING
from collector.store import Store, open_store
from collector.texts.figures import bytes_text, count_text
from console.desk import Desk
from console.fleet_places import database_login, database_of, sqlite_file
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.verdict import ExitCode
from probes.errors import OperatorError

__all__ = ["export_results", "import_results"]

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)
"""Probes whose clocks are ahead have slots that are ahead, too."""


async def export_results(desk: Desk) -> ExitCode:
    """Write what is stored, or the `--last` of it, to the file that was named; 3 when step events could not hold all of it."""
    path = Path(desk.arguments.rest[0])
    now = desk.clock.now()
    last_s = desk.arguments.last_s
    from_at = now - timedelta(seconds=last_s) if last_s is not None else _BEGINNING
    async with _opened(desk, must_exist=True) as store:
        if path.name.endswith(STEPS_ENDING):
            steps = await export_steps(store, path, from_at=from_at, until_at=now + _AHEAD)
            left_out = (
                f"; {count_text(steps.left_out, 'entry', 'entries')} of a later version left out"
                if steps.left_out
                else ""
            )
            desk.say(
                f"wrote {count_text(steps.rows, 'step')} of {count_text(steps.slots, 'slot')} "
                f"({bytes_text(steps.file_bytes)}) from {store.where} to {steps.path}{left_out}"
            )
            return ExitCode.INCONCLUSIVE if steps.left_out else ExitCode.PASSED
        written = await export_file(store, path, from_at=from_at, until_at=now + _AHEAD)
        desk.say(
            f"wrote {count_text(written.entries, 'record')} ({bytes_text(written.file_bytes)}) "
            f"from {store.where} to {written.path}"
        )
    return ExitCode.PASSED


async def import_results(desk: Desk) -> ExitCode:
    """Bring a file into the database; 3 when something in it contradicts what is there or could not be understood."""
    path = Path(desk.arguments.rest[0])
    async with _opened(desk, must_exist=False) as store:
        await store.scores.begin(Scorer.of(load_set(desk.settings.slo_dir or BUILT_IN_OBJECTIVES)))
        found = await import_file(store, path, now=desk.clock.now())
        desk.say(
            f"read {count_text(found.entries, 'record')} from {path} into {store.where}: {found.new} new slots, "
            f"{found.duplicates} there already, {found.conflicts} in conflict, {found.quarantined} set aside"
        )
    return ExitCode.INCONCLUSIVE if found.conflicts or found.quarantined else ExitCode.PASSED


@asynccontextmanager
async def _opened(desk: Desk, *, must_exist: bool) -> AsyncIterator[Store]:
    database = database_of(desk.arguments.database, desk.settings)
    file = sqlite_file(database)
    if file is not None and must_exist and not file.is_file():
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no collector has stored anything there", where=str(file), remedy=remedy)
    async with open_store(database_login(database, desk.settings), only_reads=must_exist) as store:
        yield store
