"""Results out of the store and back: nothing lost on the way, nothing doubled by coming twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types
import pytest

from collector.archive import Imported, export_file, import_file
from collector.ledger import SlotCounts
from collector.store import Delivery, Store, open_store
from probes.errors import OperatorError
from probes.ledger_entries import FitnessMinute, OwedSlots, SlotEnd, SlotReason
from probes.outbox import EntryKind
from probes.wire import parse_run
from tests.store_kit import NOW, OTHER, deliver, other_entry, run_at, run_entry, runs_from

END = NOW + timedelta(hours=2)
OWED = OwedSlots(scenario="quote", interval_ms=15_000, phase_ms=0, tolerance_ms=5_000, timeout_ms=30_000, from_at=NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a bit of everything."""
    missed = SlotEnd(scenario="quote", slot_at=NOW + timedelta(hours=1), reason=SlotReason.MISSED)
    contents = [
        other_entry(EntryKind.SCHEDULE, OWED),
        other_entry(EntryKind.SLOT, missed),
        other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=NOW, reasons=["cpu-steal"])),
    ]
    async with open_store(str(tmp_path / "first.db")) as opened:
        await opened.file([deliver(contents), deliver(runs_from(240), first_seq=4)])
        await opened.file([deliver(runs_from(300, probe=OTHER)[150:], probe=OTHER), *lone_runs()])
        yield opened


def lone_runs() -> list[Delivery]:
    """More than one page, in many small batches."""
    later = NOW + timedelta(hours=1, minutes=10)
    contents = runs_from(700, start_at=later, every_s=1)
    return [deliver([content], first_seq=244 + number) for number, content in enumerate(contents)]


@pytest.mark.parametrize("name", ["fleet.jsonl", "fleet.jsonl.gz", "fleet.parquet"])
async def test_an_archive_brings_everything_into_an_empty_store_and_nothing_twice(
    store: Store, tmp_path: Path, name: str
) -> None:
    """Runs, slots without one, debts and unfit minutes: the accounts are the same, and a second import is all duplicates."""
    written = await export_file(store, tmp_path / name, from_at=NOW, until_at=END)
    assert written.entries == 2 + 1 + 240 + 150 + 700
    assert written.file_bytes == (tmp_path / name).stat().st_size
    async with open_store(str(tmp_path / "second.db")) as second:
        assert await import_file(second, tmp_path / name, now=END) == Imported(1093, 1091, 0, 0, 0)
        assert await second.accounts(NOW, END, now=END) == await store.accounts(NOW, END, now=END)
        runs = await store.runs(NOW, END, limit=10_000)
        assert await second.runs(NOW, END, limit=10_000) == runs
        for run in runs[::100]:
            assert await second.record(run.identity) == await store.record(run.identity)
        assert await import_file(second, tmp_path / name, now=END) == Imported(1093, 0, 1091, 0, 0)
    assert await import_file(store, tmp_path / name, now=END) == Imported(1093, 0, 1091, 0, 0)


async def test_a_probe_that_sends_again_after_an_import_is_recognised(store: Store, tmp_path: Path) -> None:
    """Restored from an archive, the store has no books yet, and still stores no run twice."""
    await export_file(store, tmp_path / "fleet.jsonl", from_at=NOW, until_at=END)
    async with open_store(str(tmp_path / "second.db")) as second:
        await import_file(second, tmp_path / "fleet.jsonl", now=END)
        filed = await second.file([deliver(runs_from(240), first_seq=4)])
        assert (filed.result.duplicates, filed.result.slots, filed.result.conflicts) == (240, 0, 0)


async def test_an_archive_that_contradicts_the_store_does_not_win(store: Store, tmp_path: Path) -> None:
    """The first content of an identity stays; the other is counted and kept apart."""
    async with open_store(str(tmp_path / "second.db")) as second:
        await second.file([deliver([run_entry(run_at(NOW, number=77))])])
        await export_file(store, tmp_path / "fleet.jsonl", from_at=NOW, until_at=NOW + timedelta(minutes=1))
        done = await import_file(second, tmp_path / "fleet.jsonl", now=END)
        assert (done.new, done.conflicts) == (3, 1)
        assert parse_run(await second.record(run_at(NOW).identity)) == run_at(NOW, number=77)


async def test_lines_that_another_program_has_written_anew_say_the_same(store: Store, tmp_path: Path) -> None:
    """`jq` changes spaces and the order of keys, and that is no conflict."""
    path = tmp_path / "fleet.jsonl.gz"
    await export_file(store, path, from_at=NOW, until_at=NOW + timedelta(minutes=5))
    with gzip.open(path, "rt") as lines:
        anew = [json.dumps(json.loads(line), sort_keys=True, indent=None) for line in lines]
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(anew))
    assert await import_file(store, changed, now=END) == Imported(22, 0, 20, 0, 0)


async def test_the_parquet_file_answers_without_looking_into_records(store: Store, tmp_path: Path) -> None:
    """Columns that people ask about, with types: any tool can sum them up."""
    await export_file(store, tmp_path / "fleet.parquet", from_at=NOW, until_at=END)
    table = pq.read_table(tmp_path / "fleet.parquet").to_pylist()
    runs = [row for row in table if row["kind"] == "run"]
    assert {row["outcome"] for row in runs} == {"pass"}
    assert min(row["slot_at"] for row in runs) == NOW
    assert [step["name"] for step in runs[0]["steps"]] == ["sign-in", "upload", "analyse", "quote"]
    assert sum(row["outcome"] == "missed" for row in table) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"v":1}\n', "line.jsonl:1: this line is no entry"),
        ("not json\n", "no entry of an archive"),
        ('{"v":2,"fleet":"f"}', "the archive has version 2"),
        ('{"v":1,"fleet":"F!","region":"r","probe":"p","kind":"run","body":{}}', "is not a name"),
        ('{"v":1,"fleet":"f","region":"r","probe":"p","kind":"x\\n7 run","body":{}}', "no entry of any kind"),
        ('{"v":1,"fleet":"f","region":"r","probe":"p","kind":"run","body":[]}', "no entry of any kind"),
        ('{"v":' + "[" * 50_000, "no entry of an archive"),
        ('{"v":1,"x":"' + "y" * 3_000_000 + '"}', "line.jsonl:1: this line is no entry"),
    ],
)
async def test_a_file_that_is_no_archive_is_refused_at_its_line(
    store: Store, tmp_path: Path, text: str, told: str
) -> None:
    """What is wrong, where, and what to do."""
    path = tmp_path / "line.jsonl"
    path.write_text(text)
    with pytest.raises(OperatorError) as error:
        await import_file(store, path, now=END)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["cut.jsonl.gz", "cut.parquet", "absent.jsonl", "absent.parquet"])
async def test_a_file_that_cannot_be_read_is_told(store: Store, tmp_path: Path, name: str) -> None:
    """Cut short or not there: an error for a person, not a trace."""
    path = tmp_path / name
    if name.startswith("cut"):
        await export_file(store, path, from_at=NOW, until_at=END)
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(OperatorError, match="the archive cannot be read"):
        await import_file(store, path, now=END)


async def test_a_packed_file_that_is_damaged_in_its_middle_is_told(store: Store, tmp_path: Path) -> None:
    """Whatever the packing makes of it: an error for a person."""
    path = tmp_path / "all.jsonl.gz"
    await export_file(store, path, from_at=NOW, until_at=END)
    whole = path.read_bytes()
    for place in range(60, len(whole), max(len(whole) // 40, 1)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(OperatorError, match="archive"):
            await import_file(store, path, now=END)


async def test_a_column_that_holds_more_than_one_entry_is_refused(store: Store, tmp_path: Path) -> None:
    """A Parquet file that another program wrote cannot smuggle a second entry into the line of the first, or a missing one."""
    path = tmp_path / "all.parquet"
    await export_file(store, path, from_at=NOW, until_at=END)
    table = pq.read_table(path).to_pylist()
    for body in ('{}\n7 run {"a":1}', "[]", None):
        changed = [{**row, "body": body} for row in table]
        pq.write_table(pa.Table.from_pylist(changed), path)
        with pytest.raises(OperatorError, match="the archive cannot be read"):
            await import_file(store, path, now=END)


async def test_an_export_that_cannot_be_finished_leaves_no_half_file(store: Store, tmp_path: Path) -> None:
    """The name appears when the file is whole."""
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OperatorError, match="cannot be written"):
        await export_file(store, tmp_path / "taken" / "fleet.jsonl", from_at=NOW, until_at=END)
    with pytest.raises(OperatorError, match=r"End the name with .parquet"):
        await export_file(store, tmp_path / "fleet.csv", from_at=NOW, until_at=END)
    assert not list(tmp_path.glob("*fleet*"))  # noqa: ASYNC240 - nothing else runs on this loop


async def test_an_empty_window_makes_an_empty_archive(store: Store, tmp_path: Path) -> None:
    """And importing it is no error."""
    early = NOW - timedelta(days=9)
    for name in ("none.jsonl", "none.parquet"):
        assert (await export_file(store, tmp_path / name, from_at=early, until_at=early)).entries == 0
        assert await import_file(store, tmp_path / name, now=END) == Imported(0, 0, 0, 0, 0)
    assert (await store.accounts(early, early, now=NOW)) == []
    assert SlotCounts().owed == 0


@pytest.mark.parametrize("name", ["fleet.jsonl", "fleet.parquet"])
async def test_a_move_to_another_store_is_not_taken_for_a_loss(store: Store, tmp_path: Path, name: str) -> None:
    """A probe goes on numbering where it was. What really is missing stays missing, also after a second import."""
    await store.file([deliver(runs_from(1, start_at=END), first_seq=946)])
    before = {state.address: state.missing for state in await store.probes()}
    assert sorted(before.values()) == [0, 2]
    await export_file(store, tmp_path / name, from_at=NOW, until_at=END + timedelta(hours=1))
    async with open_store(str(tmp_path / "second.db")) as second:
        for _ in range(2):
            await import_file(second, tmp_path / name, now=END)
            assert {state.address: state.missing for state in await second.probes()} == before
        await second.file([deliver(runs_from(2, start_at=END + timedelta(minutes=5)), first_seq=947)])
        assert {state.address: state.missing for state in await second.probes()} == before
        await second.file([deliver(runs_from(2, start_at=END + timedelta(minutes=9)), first_seq=944)])
        assert sum(state.missing for state in await second.probes()) == 0


@pytest.mark.parametrize(
    "body", ['{"epoch":1,"highest_seq":3,"gaps":[[3,2]]}', '{"epoch":1,"highest_seq":3,"gaps":[[4,5]]}', "{}"]
)
async def test_books_that_make_no_sense_are_refused(store: Store, tmp_path: Path, body: str) -> None:
    """The store's own stay as they are."""
    before = await store.probes()
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"v":1,"fleet":"local","region":"eu-west","probe":"probe-1","kind":"books","body":{body}}}\n')
    with pytest.raises(OperatorError, match="books of"):
        await import_file(store, path, now=END)
    assert await store.probes() == before
