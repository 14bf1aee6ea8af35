"""A file of step events gives the same cells as the runs one by one, and refuses what it cannot say."""

from __future__ import annotations

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.archive import import_file
from collector.column_scoring import DayCells, score_steps
from collector.scoring import Scorer, SlotScore
from collector.simulation import deliveries_of
from collector.simulation_plan import read_plan
from collector.step_export import export_steps, step_writer
from collector.step_rows import STEPS_ENDING, rows_of_run, rows_of_silence
from collector.store import Store, open_store
from collector.store_bulk import KnownNames, add_days
from collector.store_session import Session
from collector.store_sqlite import SqliteBackend
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from probes.errors import OperatorError
from probes.ledger_entries import SlotEnd, SlotReason
from probes.messages import Address
from probes.records import Outcome, Run
from slo.cells import Cell
from slo.objective import EventKind, Good, Objective
from slo.window import Span, minute_of
from tests.run_strategies import objectives, runs
from tests.sample_runs import MS, STARTED_AT, make_exchange, make_run, make_step
from tests.store_kit import NOW, deliver, run_at, run_entry

LONG = (pytest.mark.slow, pytest.mark.timeout(600))
CellKey = tuple[str, Address, str, int]
Slot = tuple[Address, Run | SlotEnd]
BUILT_IN = [one for versions in load_set(BUILT_IN_OBJECTIVES).objectives.values() for one in versions]
SENDERS = [Address("fleet", region, "probe") for region in ("eu-west", "us-east")]
PLAN = """
regions = ["eu-west", "us-east"]

[journeys]
api-health = "2m"
web-health = "10m"
widget-load = "3m"
sign-in = "15m"
quote = "6m"
cad-small = "20m"
cad-large = "30m"
payment = "20m"

[[statement]]
scenarios = ["quote", "cad-*"]
minutes = [[60, 300]]
what = "fail"
step = "analyse"

[[statement]]
scenarios = ["api-health"]
residue = { mod = 7, equals = 3, per_region = 1 }
what = "slow"
times = 12

[[statement]]
scenarios = ["widget-load"]
minutes = [[200, 260], [700, 720]]
what = "fail"
kind = "browser"

[[statement]]
regions = ["us-east"]
minutes = [[250, 330]]
what = "inconclusive"

[[statement]]
scenarios = ["api-health", "quote"]
minutes = [[400, 450]]
what = "maintenance"
"""


@st.composite
def slots(draw: st.DrawFn) -> list[Slot]:
    """Ended slots of two probes, in the order of their minutes, over the end of a day."""
    found: list[Slot] = []
    for minutes in sorted(draw(st.lists(st.integers(0, 1_500), min_size=1, max_size=14))):
        sender = draw(st.sampled_from(SENDERS))
        slot_at = STARTED_AT + timedelta(minutes=minutes, seconds=draw(st.integers(0, 59)))
        run = draw(runs())
        attempt = draw(st.sampled_from([0, 0, 0, 0, 1]))
        if draw(st.integers(0, 6)) == 0:
            reason = draw(st.sampled_from(list(SlotReason)))
            found.append(
                (sender, SlotEnd(scenario=run.identity.scenario, slot_at=slot_at, reason=reason, attempt=attempt))
            )
            continue
        outcome = draw(st.sampled_from([run.outcome] * 5 + [Outcome.INCONCLUSIVE]))
        identity = replace(run.identity, slot_at=slot_at, attempt=attempt)
        target = draw(st.sampled_from(["stand-in", "other"]))
        found.append((sender, replace(run, identity=identity, target=target, outcome=outcome)))
    return found


@st.composite
def lines(draw: st.DrawFn) -> Objective:
    """Any objective, also one that asks some scenarios only, or for samples."""
    found = draw(objectives())
    selector = found.selector
    scenarios = draw(st.sampled_from([("*",), ("quote", "cad-*"), ("*", "api-health"), ("nothing",)]))
    is_run = selector.event is EventKind.RUN
    good = draw(st.sampled_from([Good.PASSED, Good.MEASURED])) if is_run else found.good
    return replace(found, good=good, selector=replace(selector, scenarios=scenarios))


def write_slots(path: Path, some: Iterable[Slot], *, group_rows: int = 7) -> None:
    """A file of step events, in small row groups."""
    with step_writer(path, group_rows=group_rows) as write:
        for number, (sender, slot) in enumerate(some):
            if isinstance(slot, Run):
                write(rows_of_run(slot, sender, number))
            else:
                write(rows_of_silence(slot, sender, number))


def row_cells(some: Iterable[Slot], known: Sequence[Objective]) -> dict[CellKey, Cell]:
    """The cells that scoring one by one makes."""
    scorer = Scorer(known)
    found: dict[CellKey, Cell] = defaultdict(Cell)
    for sender, slot in some:
        if isinstance(slot, Run):
            score, at, target = scorer.score_run(slot), slot.identity.slot_at, slot.target
        else:
            score = SlotScore() if slot.attempt else scorer.score_silence(slot.scenario)
            at, target = slot.slot_at, ""
        for key, cell in score.cells:
            found[key, sender, target, minute_of(at)] += cell
    return dict(found)


def column_cells(days: Iterable[DayCells]) -> dict[CellKey, Cell]:
    """The cells of a file; each may come once only."""
    found: dict[CellKey, Cell] = {}
    for day in days:
        for key, table in day.cells.items():
            columns = (table.place, table.minute, table.good, table.bad, table.inconclusive, table.runs)
            for number, minute, *counts in zip(*(column.tolist() for column in columns), strict=True):
                place = day.places[number]
                assert (key, place.sender, place.target, minute) not in found
                assert minute // 1440 == day.day
                found[key, place.sender, place.target, minute] = Cell(*counts)
    return found


@pytest.mark.parametrize("examples", [60, pytest.param(1_000, id="long", marks=LONG)])
def test_columns_and_rows_agree_about_any_runs_and_any_objectives(examples: int) -> None:
    """Thousands of random runs: repetitions, silence, clean-ups, parts of all sizes, answers of all kinds, cut by row groups."""

    @settings(max_examples=examples, deadline=None)
    @given(slots(), st.lists(lines(), min_size=1, max_size=6), st.sampled_from([3, 1_000]))
    def agree(some: list[Slot], known: list[Objective], group_rows: int) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "some.steps.parquet"
            write_slots(path, some, group_rows=group_rows)
            assert column_cells(score_steps(path, known)) == row_cells(some, known)

    agree()


@pytest.mark.parametrize("examples", [20, pytest.param(300, id="long", marks=LONG)])
def test_columns_and_rows_agree_about_the_built_in_objectives(examples: int) -> None:
    """Those that are promised."""

    @settings(max_examples=examples, deadline=None)
    @given(slots())
    def agree(some: list[Slot]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "some.steps.parquet"
            write_slots(path, some)
            assert column_cells(score_steps(path, BUILT_IN)) == row_cells(some, BUILT_IN)

    agree()


async def simulated_day(store: Store, folder: Path) -> Span:
    """Fills the store with a day of outages, slow hours, silence and maintenance, scored as it arrives."""
    plan_file = folder / "plan.toml"
    plan_file.write_text(PLAN, encoding="utf-8")
    first = minute_of(NOW) // 1440 * 1440
    day = Span("day", first, first + 1440)
    await store.scores.begin(Scorer(BUILT_IN))
    for delivery in deliveries_of(read_plan(plan_file), day):
        await store.file([delivery])
    return day


async def test_a_simulated_day_exported_as_steps_has_the_cells_that_the_store_keeps(tmp_path: Path) -> None:
    """Scored when it arrived and scored from the file: the same, to the last cell, and repeats and silence as well."""
    path = tmp_path / f"day{STEPS_ENDING}"
    async with open_store(str(tmp_path / "day.db"), survives_power_cut=False) as store:
        day = await simulated_day(store, tmp_path)
        written = await export_steps(store, path, from_at=day.from_at, until_at=day.until_at)
        totals = await store.totals()
        found = column_cells(score_steps(path, BUILT_IN))
        for line in BUILT_IN:
            stored = await store.scores.cells(line.check, target="simulated", fleet="simulated", span=day)
            expected = {
                (region, minute): cell for (region, _), of_probe in stored.items() for minute, cell in of_probe.items()
            }
            from_file: dict[tuple[str, int], Cell] = defaultdict(Cell)
            for (key, sender, _, minute), cell in found.items():
                if key == line.check:
                    from_file[sender.region, minute] += cell
            assert dict(from_file) == expected, line.name
    assert written.file_bytes == path.stat().st_size
    assert written.left_out == 0
    assert 0 < written.slots <= totals.entries
    assert pq.read_metadata(path).num_rows == written.rows


async def test_days_of_columns_fill_a_database_as_slots_one_by_one_do(tmp_path: Path) -> None:
    """Cells, sums and votes of each day; and a second time on top of what is there, they are added."""
    file = tmp_path / f"day{STEPS_ENDING}"
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    async with open_store(str(first), survives_power_cut=False) as store:
        day = await simulated_day(store, tmp_path)
        await export_steps(store, file, from_at=day.from_at, until_at=day.until_at)
        check_ids = dict(store.scores.check_ids)
    shutil.copy(first, second)
    changes = sqlite3.connect(second)
    kept = tables_of(changes)
    senders = {
        Address(*row[1:]): row[0] for row in changes.execute("SELECT sender_id, fleet, region, probe FROM senders")
    }
    words = dict(changes.execute("SELECT word, word_id FROM words"))
    changes.execute("DELETE FROM cells")
    changes.execute("DELETE FROM cell_days")
    changes.commit()
    (scored,) = score_steps(file, BUILT_IN)
    backend = SqliteBackend(second, survives_power_cut=False)
    await backend.open()

    async def work(session: Session) -> int:
        names = KnownNames(check_ids, senders, words)
        return sum([await add_days(session, key, [scored], names) for key in check_ids])

    count = await backend.write(work)
    assert tables_of(changes) == kept
    assert count == len(kept[0])
    await backend.write(work)
    twice, _ = tables_of(changes)
    await backend.close()
    changes.close()
    assert twice == [(*row[:4], *(2 * number for number in row[4:])) for row in kept[0]]


def tables_of(db: sqlite3.Connection) -> tuple[list[tuple[int, ...]], list[tuple[object, ...]]]:
    """The cells and the days of a database, in the order of their keys."""
    return (
        db.execute("SELECT * FROM cells ORDER BY check_id, target, sender_id, minute").fetchall(),
        db.execute("SELECT * FROM cell_days ORDER BY check_id, target, sender_id, day").fetchall(),
    )


@pytest.mark.parametrize("parts", [(1, True), (1, 1.0), (1, "1"), ("\0n1", 1), ("a", "b"), (0.5, "0.5"), ("", "a")])
def test_parts_are_the_same_part_when_python_says_so(tmp_path: Path, parts: tuple[object, object]) -> None:
    """Whatever a probe calls them: one part fails and answers for both, or each is an event of its own."""
    steps = [make_step("upload"), make_step("analyse"), make_step("upload"), make_step("analyse")]
    named = [replace(step, attributes={"cad.part": parts[at // 2]}) for at, step in enumerate(steps)]  # type: ignore[dict-item]
    some: list[Slot] = [(SENDERS[0], make_run(*named))]
    path = tmp_path / "parts.steps.parquet"
    write_slots(path, some)
    assert column_cells(score_steps(path, BUILT_IN)) == row_cells(some, BUILT_IN)


def test_numbers_beyond_64_bits_are_compared_or_refused_and_never_wrong(tmp_path: Path) -> None:
    """An answer or a part may be of any size, for it is only compared; times that must be added up are refused by name."""
    exchange = make_exchange(wait_ns=(1 << 63) - 1, send_ns=0)
    huge = replace(exchange, phases=replace(exchange.phases, connect_ns=(1 << 63) - 1))
    steps = [
        make_step("quote", exchanges=(huge,)),
        replace(make_step("analyse"), attributes={"cad.bytes": 1 << 70}),
        replace(make_step("analyse"), attributes={"cad.bytes": -(1 << 70)}),
    ]
    some: list[Slot] = [(SENDERS[0], make_run(*steps))]
    path = tmp_path / "huge.steps.parquet"
    write_slots(path, some)
    assert column_cells(score_steps(path, BUILT_IN)) == row_cells(some, BUILT_IN)
    with pytest.raises(OperatorError, match="the times of run run00001 are beyond"):
        list(rows_of_run(make_run(make_step("quote", 1 << 62)), SENDERS[0], 0))
    line = replace(BUILT_IN[0], limit_ns=1 << 63)
    with pytest.raises(OperatorError, match=line.name):
        list(score_steps(path, [line]))


def changed(path: Path, column: str, value: list[object]) -> None:
    """The file with another column, as a foreign program may write it."""
    table = pq.read_table(path)
    at = table.column_names.index(column)
    field = table.schema.field(at)
    array = pa.array(value, pa.string() if pa.types.is_dictionary(field.type) else field.type)
    pq.write_table(table.set_column(at, pa.field(column, array.type), array), path)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("step", [0, 2, 1], "do not stand together"),
        ("step", [1, 2, 3], "do not stand together"),
        ("minute", [9, 8, 9], "order of their minutes"),
        ("outcome", ["pass", "great", "pass"], "'great' is no outcome"),
        ("run_outcome", ["pass", "pass", ""], "'' is no outcome"),
        ("name", ["a", None, "b"], "a word is missing"),
        ("duration_ns", [1, None, 2], "a number is missing"),
    ],
)
def test_a_file_that_another_program_wrote_is_refused_where_it_breaks_a_rule(
    tmp_path: Path, column: str, value: list[object], told: str
) -> None:
    """It is never scored in part or by guessing."""
    path = tmp_path / "foreign.steps.parquet"
    write_slots(path, [(SENDERS[0], make_run(make_step("sign-in"), make_step("dfm"), make_step("quote")))])
    changed(path, column, value)
    with pytest.raises(OperatorError, match=told):
        list(score_steps(path, BUILT_IN))


def test_what_is_no_file_of_step_events_is_refused(tmp_path: Path) -> None:
    """Absent, cut short, of another form."""
    path = tmp_path / "x.steps.parquet"
    for content in (None, b"PAR1"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(OperatorError, match="cannot be scored"):
            list(score_steps(path, BUILT_IN))
    pq.write_table(pa.table({"minute": [1]}), path)
    with pytest.raises(OperatorError, match="no form of step events"):
        list(score_steps(path, BUILT_IN))


async def test_steps_cannot_be_imported_and_are_no_half_file(tmp_path: Path) -> None:
    """They say what counts, not what was recorded; and a place that cannot be written is told."""
    path = tmp_path / "all.steps.parquet"
    (tmp_path / "taken").write_text("a file where a folder should be")
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as store:
        await store.file([deliver([run_entry(run_at(NOW))])])
        end = NOW + timedelta(hours=1)
        written = await export_steps(store, path, from_at=NOW, until_at=end)
        assert (written.slots, written.rows) == (1, 4)
        with pytest.raises(OperatorError, match="step events are no archive"):
            await import_file(store, path, now=end)
        with pytest.raises(OperatorError, match="cannot be written"):
            await export_steps(store, tmp_path / "taken" / "x.steps.parquet", from_at=NOW, until_at=end)
        early = await export_steps(store, path, from_at=NOW - timedelta(days=2), until_at=NOW - timedelta(days=1))
    assert early.rows == 0
    assert list(score_steps(path, BUILT_IN)) == []


def test_a_line_without_events_has_no_cells(tmp_path: Path) -> None:
    """And still stands among the checks that were looked at."""
    path = tmp_path / "one.steps.parquet"
    write_slots(path, [(SENDERS[0], make_run(make_step("load", 10 * MS), scenario="widget-load"))])
    (day,) = score_steps(path, BUILT_IN)
    assert set(day.cells) == {line.check for line in BUILT_IN}
