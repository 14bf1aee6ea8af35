"""The stored steps as a Parquet file of step events, `FILE.steps.parquet`, sorted by minute, in row groups of whole runs.

Analysts sum it up with any tool, and `collector.column_scoring` makes cells of it without the records. It cannot be imported
again: a row says what counts about a step, and not what was recorded (`collector.archive` keeps that). An entry that a later
version wrote is left out and counted. Memory is that of one row group, however much is stored.

Called by the command `export`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from collector.archive import arrow_modules
from collector.step_rows import COLUMNS, NUMBERS, OPTIONAL, WORDS, StepRow, rows_of_run, rows_of_silence
from collector.store import ArchivedEntry, Store
from collector.store_decode import decode_run
from probes.errors import OperatorError
from probes.ledger_entries import SlotEnd, parse_entry
from probes.outbox import EntryKind
from probes.wire import WireError

__all__ = ["FORM", "FORM_KEY", "GROUP_ROWS", "ExportedSteps", "export_steps", "step_schema", "step_writer"]

FORM_KEY: Final = b"probe-fleet.steps"
FORM: Final = b"1"
GROUP_ROWS: Final = 131_072
"""A row group is closed at the first run that ends behind this many rows."""
SMALL_NUMBERS: Final = tuple(name for name in NUMBERS if not name.endswith("_ns") and name != "run")
COMPRESSION: Final = {name: "lz4" if name.endswith("_ns") else "zstd" for name in COLUMNS}
"""Times hardly pack, whatever takes how long: lz4 is read in half the time."""
Write = Callable[[Iterable[StepRow]], None]


@dataclass(frozen=True, slots=True)
class ExportedSteps:
    """What an export of steps wrote; `left_out` entries are of a form that this version does not know."""

    path: Path
    slots: int
    rows: int
    left_out: int
    file_bytes: int


async def export_steps(store: Store, path: Path, *, from_at: datetime, until_at: datetime) -> ExportedSteps:
    """Write the steps of the slots in [from_at, until_at); the file appears when it is whole.

    Raises OperatorError for a place that cannot be written and for times beyond all measure, DependencyError without pyarrow.
    """
    draft = path.with_name(f".{path.name}.part")
    counts = _Counts()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with step_writer(draft) as write:
                async for entries in store.entries(from_at, until_at):
                    await asyncio.to_thread(_write_entries, entries, counts, write)
            file_bytes = await asyncio.to_thread(lambda: draft.stat().st_size)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        message = f"the step events cannot be written: {error}"
        raise OperatorError(message, where=str(path), remedy="Choose another place, or make room") from error
    return ExportedSteps(path, counts.slots, counts.rows, counts.left_out, file_bytes)


@dataclass(slots=True)
class _Counts:
    slots: int = 0
    rows: int = 0
    left_out: int = 0


def _write_entries(entries: Iterable[ArchivedEntry], counts: _Counts, write: Write) -> None:
    for entry in entries:
        try:
            rows = _rows_of(entry, counts.slots)
        except WireError:
            counts.left_out += 1
            continue
        if rows:
            counts.slots += 1
            counts.rows += len(rows)
            write(rows)


def _rows_of(entry: ArchivedEntry, number: int) -> list[StepRow]:
    """The rows of one entry, none for what ends no slot; raises WireError."""
    if entry.kind == EntryKind.RUN:
        return list(rows_of_run(decode_run(entry.body), entry.sender, number))
    if entry.kind == EntryKind.SLOT:
        return list(rows_of_silence(parse_entry(SlotEnd, entry.body), entry.sender, number))
    return []


@contextmanager
def step_writer(path: Path, *, group_rows: int = GROUP_ROWS) -> Iterator[Write]:
    """Writes rows, the whole rows of one run or slot at a call, in the order of their minutes."""
    arrow, parquet = arrow_modules()
    schema = step_schema(arrow)
    columns: list[list[Any]] = [[] for _ in COLUMNS]

    def flush() -> None:
        arrays = [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        file.write_table(arrow.Table.from_arrays(arrays, schema=schema))
        for column in columns:
            column.clear()

    def write(rows: Iterable[StepRow]) -> None:
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        if len(columns[0]) >= group_rows:
            flush()

    with parquet.ParquetWriter(path, schema, compression=COMPRESSION, use_dictionary=[*WORDS, *SMALL_NUMBERS]) as file:
        yield write
        if columns[0]:
            flush()


def step_schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """The columns of the file, with the form they have in its metadata."""
    of_bits = {16: arrow.int16(), 32: arrow.int32(), 64: arrow.int64()}
    types = {name: of_bits[bits] for name, bits in NUMBERS.items()}
    types |= {name: arrow.string() for name in WORDS} | {"cleanup": arrow.bool_()}
    fields = [arrow.field(name, types[name], nullable=name in OPTIONAL) for name in COLUMNS]
    return arrow.schema(fields, metadata={FORM_KEY: FORM})
