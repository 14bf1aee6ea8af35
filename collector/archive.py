"""Results out of the store into a file, and back: Parquet for analysis (extra `export`), JSON lines for everything else.

A file holds the entries as the probes sent them, so that nothing is lost on the way and importing it twice, or into the store
it came from, changes nothing. Parquet has the columns that people ask about beside the record. The books of sequence numbers
go along, so that the store that is gone on with does not take for missing what another one has received.

Refuses to know SQL (`collector.store`). Called by the commands `export` and `import`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from collector.scoring import Scorer
from collector.step_rows import STEPS_ENDING
from collector.store import ArchivedEntry, Store
from collector.store_book_archive import BOOKS
from collector.store_decode import decode_run
from collector.store_intake import Intake, file_entry
from collector.store_packing import deflated_entries
from probes.errors import DependencyError, OperatorError
from probes.ledger_entries import SlotEnd, parse_entry
from probes.messages import MAX_BODY_BYTES, Address, MessageError, RawEntry
from probes.outbox import EntryKind
from probes.wire import WireError

__all__ = ["Exported", "Imported", "export_file", "import_file"]

FORM: Final = 1
CHUNK_ENTRIES: Final = 500
LINE_FORM: Final = re.compile(
    rb'\{"v":1,"fleet":"([^"\\]*)","region":"([^"\\]*)","probe":"([^"\\]*)","kind":"([a-z]+)","body":(\{.*\})\}\s*'
)
KIND_FORM: Final = re.compile(r"[a-z]{1,16}")
BODY_FORM: Final = re.compile(rb"\{.*\}")
MAX_LINE_BYTES: Final = MAX_BODY_BYTES + 4_096
Write = Callable[[Sequence[ArchivedEntry]], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    path: Path
    entries: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an import: `new` slots, those that were there already, and those that contradict what was there."""

    entries: int
    new: int
    duplicates: int
    conflicts: int
    quarantined: int


async def export_file(store: Store, path: Path, *, from_at: datetime, until_at: datetime) -> Exported:
    """Write the entries of [from_at, until_at) to `FILE.parquet`, `FILE.jsonl` or `FILE.jsonl.gz`; it appears when it is whole.

    Raises OperatorError for another ending or a place that cannot be written, DependencyError without pyarrow.
    """
    opened = writer_for(path)
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            count, books = 0, await store.archived_books()
            with opened(draft) as write:
                async for entries in store.entries(from_at, until_at):
                    await asyncio.to_thread(write, entries)
                    count += len(entries)
                await asyncio.to_thread(write, books)
            file_bytes = await asyncio.to_thread(lambda: draft.stat().st_size)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        message = f"the archive cannot be written: {error}"
        raise OperatorError(message, where=str(path), remedy="Choose another place, or make room") from error
    return Exported(path, count, file_bytes)


async def import_file(store: Store, path: Path, *, now: datetime) -> Imported:
    """Bring an exported file into the store; entries that are there already are left as they are.

    Raises OperatorError for a file that cannot be read or is none of ours; what came before that place is imported.
    """
    if path.name.endswith(STEPS_ENDING):
        message = "step events are no archive: they say what counts, and not what was recorded"
        raise OperatorError(
            message, where=str(path), remedy="Import what `export` wrote as .parquet, .jsonl or .jsonl.gz"
        )
    entries = new = duplicates = conflicts = quarantined = 0
    books: list[ArchivedEntry] = []
    async for everything in chunks_of(path):
        chunk = [entry for entry in everything if entry.kind != BOOKS]
        books += [entry for entry in everything if entry.kind == BOOKS]
        result = await store.file_arrivals(intakes_of(chunk, store.scores.scorer))
        entries += len(chunk)
        new += result.slots
        duplicates += result.duplicates
        conflicts += result.conflicts
        quarantined += result.quarantined
    await store.unite_books(books, now=now)
    return Imported(entries, new, duplicates, conflicts, quarantined)


def intakes_of(entries: Sequence[ArchivedEntry], scorer: Scorer | None = None) -> list[Intake]:
    """Entries as deliveries without sequence numbers, one for each probe."""
    by_sender: dict[Address, list[ArchivedEntry]] = {}
    for entry in entries:
        by_sender.setdefault(entry.sender, []).append(entry)
    return [intake_of(sender, of_sender, scorer) for sender, of_sender in by_sender.items()]


def intake_of(sender: Address, entries: Sequence[ArchivedEntry], scorer: Scorer | None) -> Intake:
    """The entries of one probe as one delivery; it counts as received when its newest slot was due."""
    raw = tuple(RawEntry(number, entry.kind, entry.body) for number, entry in enumerate(entries, 1))
    form, content = deflated_entries(b"%d %s %s" % (entry.seq, entry.kind.encode(), entry.body) for entry in raw)
    judged = Intake(sender, 0, 0, [], raw, form, content)
    for line, entry in enumerate(raw):
        file_entry(judged, line, entry, scorer)
    newest_us = max((slot.slot_ms * 1000 for slot in judged.slots), default=0)
    return judged.received_at(newest_us)


def writer_for(path: Path) -> Callable[[Path], AbstractContextManager[Write]]:
    """What writes the kind of file that the name asks for."""
    if path.name.endswith(".parquet"):
        return parquet_writer
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return lambda draft: lines_writer(draft, packed=path.name.endswith(".gz"))
    message = f"nobody here knows how to write {path.name!r}"
    raise OperatorError(message, where=str(path), remedy="End the name with .parquet, .jsonl or .jsonl.gz")


@contextmanager
def lines_writer(draft: Path, *, packed: bool) -> Iterator[Write]:
    """Writes JSON lines; the body stands in its line byte for byte."""
    with gzip.open(draft, "wb", compresslevel=6) if packed else draft.open("wb") as file:

        def write(entries: Sequence[ArchivedEntry]) -> None:
            file.writelines(line_of(entry) for entry in entries)

        yield write


def line_of(entry: ArchivedEntry) -> bytes:
    """One entry as a line of JSON; no name contains what JSON would have to escape."""
    sender = entry.sender
    head = f'{{"v":{FORM},"fleet":"{sender.fleet}","region":"{sender.region}","probe":"{sender.probe}",'
    return f'{head}"kind":"{entry.kind}","body":'.encode() + entry.body + b"}\n"


async def chunks_of(path: Path) -> AsyncIterator[list[ArchivedEntry]]:
    """The entries of a file, some hundreds at a time."""
    chunks = parquet_chunks(path) if path.name.endswith(".parquet") else line_chunks(path)
    while chunk := await asyncio.to_thread(next, chunks, None):
        yield chunk


def line_chunks(path: Path) -> Iterator[list[ArchivedEntry]]:
    """The entries of a file of JSON lines."""
    chunk: list[ArchivedEntry] = []
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(bounded_lines(file), 1):
                chunk.append(entry_of_line(line, f"{path}:{number}"))
                if len(chunk) == CHUNK_ENTRIES:
                    yield chunk
                    chunk = []
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if chunk:
        yield chunk


def bounded_lines(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a file; one that is longer than any entry comes in pieces, which are none."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def entry_of_line(line: bytes, where: str) -> ArchivedEntry:
    """The entry in a line; one that another program has written anew is understood too."""
    match = LINE_FORM.fullmatch(line)
    try:
        if match is not None:
            fleet, region, probe, kind, body = match.groups()
            return entry_of(fleet.decode(), region.decode(), probe.decode(), kind.decode(), body)
        found = json.loads(line)
        if found["v"] == FORM:
            body = json.dumps(found["body"], separators=(",", ":"), ensure_ascii=False).encode()
            return entry_of(found["fleet"], found["region"], found["probe"], found["kind"], body)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"this line is no entry of an archive: {error}"
        raise OperatorError(message, where=where, remedy="Import files that `export` has written") from error
    message = f"the archive has version {found['v']!r}, and this program reads {FORM}"
    raise OperatorError(message, where=where, remedy="Use the newer program that wrote it")


def entry_of(fleet: str, region: str, probe: str, kind: str, body: bytes) -> ArchivedEntry:
    """An entry that is no more than one when it is stored beside others as a line; raises MessageError for any other."""
    if not KIND_FORM.fullmatch(kind) or not BODY_FORM.fullmatch(body):
        message = f"this is no entry of any kind: {kind[:40]!r} {body[:40]!r}"
        raise MessageError(message)
    return ArchivedEntry(Address(fleet, region, probe), kind, body)


@contextmanager
def parquet_writer(draft: Path) -> Iterator[Write]:
    """Writes Parquet, one row group for each page."""
    arrow, parquet = arrow_modules()
    schema = arrow_schema(arrow)
    with parquet.ParquetWriter(draft, schema, compression="zstd") as file:

        def write(entries: Sequence[ArchivedEntry]) -> None:
            rows = [columns_of(entry) for entry in entries]
            if rows:
                file.write_table(arrow.Table.from_pylist(rows, schema=schema))

        yield write


def parquet_chunks(path: Path) -> Iterator[list[ArchivedEntry]]:
    """The entries of a Parquet file."""
    arrow, parquet = arrow_modules()
    try:
        with parquet.ParquetFile(path) as file:
            names = ["fleet", "region", "probe", "kind", "body"]
            for batch in file.iter_batches(CHUNK_ENTRIES, columns=names):
                yield [
                    entry_of(row["fleet"], row["region"], row["probe"], row["kind"], row["body"].encode())
                    for row in batch.to_pylist()
                ]
    except (OSError, arrow.ArrowException, KeyError, TypeError, AttributeError, MessageError) as error:
        raise unreadable(path, error) from error


def columns_of(entry: ArchivedEntry) -> Mapping[str, object]:
    """The entry as a row of the Parquet file: whose, what people ask about, and the body."""
    sender = entry.sender
    row: dict[str, object] = {
        "fleet": sender.fleet,
        "region": sender.region,
        "probe": sender.probe,
        "kind": entry.kind,
        "body": entry.body.decode(),
    }
    try:
        if entry.kind == EntryKind.RUN:
            row |= run_columns(entry.body)
        elif entry.kind == EntryKind.SLOT:
            slot = parse_entry(SlotEnd, entry.body)
            row |= {
                "scenario": slot.scenario,
                "slot_at": slot.slot_at,
                "attempt": slot.attempt,
                "outcome": slot.reason.value,
                "schedule_lag_ns": slot.schedule_lag_ns,
            }
    except WireError:
        return row  # a later version's entry: the body says all of it
    return row


def run_columns(body: bytes) -> dict[str, object]:
    """What people ask about a run."""
    run = decode_run(body)
    return {
        "scenario": run.identity.scenario,
        "slot_at": run.identity.slot_at,
        "attempt": run.identity.attempt,
        "run_id": run.run_id,
        "trace_id": run.trace_id,
        "target": run.target,
        "target_release": run.target_release,
        "started_at": run.started_at,
        "duration_ns": run.duration_ns,
        "schedule_lag_ns": run.schedule_lag_ns,
        "outcome": run.outcome.value,
        "failure_kind": run.failure.kind.value if run.failure else "",
        "failed_step": run.failed_step,
        "steps": [
            {
                "name": step.name,
                "outcome": step.outcome.value,
                "failure_kind": step.failure.kind.value if step.failure else "",
                "duration_ns": step.duration_ns,
                "cleanup": step.cleanup,
            }
            for step in run.steps
        ],
    }


def arrow_schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """The columns of the Parquet file."""
    text, number, instant = arrow.string(), arrow.int64(), arrow.timestamp("us", tz="UTC")
    step = arrow.struct(
        [("name", text), ("outcome", text), ("failure_kind", text), ("duration_ns", number), ("cleanup", arrow.bool_())]
    )
    texts = ("run_id", "trace_id", "target", "target_release")
    return arrow.schema(
        [
            *((name, text) for name in ("fleet", "region", "probe", "kind", "scenario")),
            ("slot_at", instant),
            ("attempt", number),
            *((name, text) for name in texts),
            ("started_at", instant),
            ("duration_ns", number),
            ("schedule_lag_ns", number),
            *((name, text) for name in ("outcome", "failure_kind", "failed_step")),
            ("steps", arrow.list_(step)),
            ("body", text),
        ]
    )


def arrow_modules() -> tuple[Any, Any]:
    """pyarrow, which is an extra of the install."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, and without types
        from pyarrow import parquet  # noqa: PLC0415 - optional
    except ImportError as error:
        remedy = "Type: pip install 'probe-fleet[export]', or use a name that ends with .jsonl.gz"
        raise DependencyError("Parquet needs a package that is not installed (pyarrow)", remedy=remedy) from error
    return pa, parquet


def unreadable(path: Path, error: Exception) -> OperatorError:
    """The error for a file that cannot be read."""
    return OperatorError(f"the archive cannot be read: {error}", where=str(path), remedy="Check the name and the file")
