"""The smaller parts behind the command: rounds, files, kept runs, progress, objectives, stopping."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from console.atomic_file import check_writable, write_atomically
from console.objectives import load_objectives
from console.progress import Progress
from console.rounds import Rounds
from console.run_store import RunKeeper, RunStore
from console.stopping import orderly_stop
from probes.clock import SystemClock
from probes.errors import DependencyError, OperatorError
from probes.records import FailureKind, Run
from tests.clock import JumpingClock
from tests.objective_texts import LATENCY
from tests.sample_runs import MS, make_run, make_step


async def due_offsets(rounds: Rounds, clock: JumpingClock, took_s: list[float]) -> list[float]:
    """When each round was due, in seconds from the start, given how long each took."""
    start = clock.now()
    offsets = []
    for duration_s in took_s:
        due = rounds.next()
        if due is None:
            break
        await clock.sleep(max(0.0, rounds.wait_s(due)))
        offsets.append((due.scheduled_at - start) / timedelta(seconds=1))
        clock.advance(duration_s)
    return offsets


async def test_rounds_are_due_at_fixed_times_however_long_they_take() -> None:
    """Never last run plus interval: a round of 3 s does not shift those after it."""
    clock = JumpingClock()
    rounds = Rounds(clock, repeat=4, every_s=10)
    assert await due_offsets(rounds, clock, [3, 3, 3, 3, 3]) == [0, 10, 20, 30]
    assert rounds.missed == 0


async def test_a_round_that_runs_over_is_late_and_one_that_cannot_start_is_missed() -> None:
    """12 s of 10: the next starts 2 s late. 35 s of 10: two slots are gone and counted, the third is taken late."""
    clock = JumpingClock()
    rounds = Rounds(clock, repeat=4, every_s=10)
    assert await due_offsets(rounds, clock, [12, 35, 1, 1]) == [0, 10, 40, 50]
    assert rounds.missed == 2


async def test_rounds_without_an_interval_follow_at_once() -> None:
    """Each is due when its turn comes, so none is late."""
    clock = JumpingClock()
    rounds = Rounds(clock, repeat=3, every_s=None)
    assert await due_offsets(rounds, clock, [5, 5, 5, 5]) == [0, 5, 10]


def test_an_interval_without_a_count_goes_on() -> None:
    """One round is planned without an interval, no number with one."""
    assert Rounds(JumpingClock(), repeat=None, every_s=None).planned == 1
    assert Rounds(JumpingClock(), repeat=None, every_s=1).planned is None


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The new content or the old, nothing between, and no litter."""
    path = tmp_path / "report.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - hidden files count


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """The target is a folder: the error says so, the folder is whole."""
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "kept").touch()
    with pytest.raises(DependencyError, match="could not be written"):
        write_atomically(folder, b"new")
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "kept"]
    with pytest.raises(OperatorError, match="is a folder"):
        check_writable(folder, argument="--json")


def test_kept_runs_are_found_by_any_unique_beginning_or_end(tmp_path: Path) -> None:
    """And an ambiguous word shows what it could mean."""
    store = RunStore(tmp_path)
    runs = [make_run(make_step("price"), number=number) for number in (1, 2, 12)]
    assert [store.keep(run) for run in runs] == ["", "", ""]
    assert store.find("run00001") == runs[0]
    assert store.find("12") == runs[2]
    with pytest.raises(OperatorError, match="3 runs match 'run'"):
        store.find("run")
    with pytest.raises(OperatorError, match="no run 'x'"):
        store.find("x")
    assert [run.run_id for run in store.latest(2)] == ["run00012", "run00002"]


def test_only_the_latest_runs_are_kept(tmp_path: Path) -> None:
    """The folder is bounded; ids sort by time."""
    store = RunStore(tmp_path, kept_runs=2)
    for number in range(5):
        store.keep(make_run(make_step("price"), number=number))
    assert [run.run_id for run in store.latest(9)] == ["run00004", "run00003"]


def test_a_broken_record_does_not_hide_the_others(tmp_path: Path) -> None:
    """The list goes on without it; asked for by name, it says what is wrong."""
    store = RunStore(tmp_path)
    store.keep(make_run(make_step("price"), number=1))
    (tmp_path / "runs" / "run00002.json").write_bytes(b"{")
    assert [run.run_id for run in store.latest(9)] == ["run00001"]
    with pytest.raises(OperatorError):
        store.find("run00002")


def test_a_store_that_cannot_be_written_says_so_and_raises_nothing(tmp_path: Path) -> None:
    """The session's report matters more."""
    (tmp_path / "runs").touch()
    assert "could not be kept for `show`" in RunStore(tmp_path).keep(make_run(make_step("price")))


async def test_runs_are_kept_beside_those_that_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the disk but the end of the command, and then every run is kept, in its order."""
    disk, kept = threading.Event(), []

    def keep(_store: RunStore, run: Run) -> str:
        assert disk.wait(30)
        kept.append(run.run_id)
        return ""

    monkeypatch.setattr(RunStore, "keep", keep)
    async with RunKeeper(RunStore(tmp_path), pytest.fail) as keeper:
        for number in (1, 2, 3):
            keeper.keep(make_run(make_step("price"), number=number))
        assert kept == []
        disk.set()
    assert kept == ["run00001", "run00002", "run00003"]


async def test_a_disk_that_takes_no_run_is_told_of_once(tmp_path: Path) -> None:
    """However many runs there are."""
    (tmp_path / "runs").touch()
    told: list[str] = []
    async with RunKeeper(RunStore(tmp_path), told.append) as keeper:
        for number in (1, 2, 3):
            keeper.keep(make_run(make_step("price"), number=number))
    (only,) = told
    assert "could not be kept for `show`" in only


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def watch(stream: io.StringIO, *, quiet: bool = False, each_step: bool = True) -> str:
    """What is printed while one run passes a step and fails the next."""
    with Progress(stream, SystemClock(), quiet=quiet, each_step=each_step) as progress:
        progress.announce("round 2 of 3")
        progress.run_started("run00001", "quote")
        progress.step_started("upload", {"cad.part": "bracket"})
        progress.sent(500, 1000)
        progress.step_finished(make_step("upload", 20 * MS, part="bracket", part_bytes=14_000))
        progress.step_finished(
            make_step("price", 5 * MS, started_ns=1, kind=FailureKind.ASSERTION, message="a\x1b[2Jb")
        )
        progress.step_finished(make_step("undo", 5 * MS, started_ns=2, cleanup=True))
        progress.run_finished(make_run(make_step("price", 25 * MS, kind=FailureKind.ASSERTION)))
    return stream.getvalue()


def test_progress_elsewhere_than_on_a_terminal_is_plain_lines() -> None:
    """One line per step, no control characters, not even the target's."""
    lines = watch(io.StringIO()).splitlines()
    assert lines[0] == "quote  run run00001"
    assert lines[1].split() == ["✓", "upload", "20.0", "ms", "bracket", "14.0", "kB"]
    assert lines[2].split()[:2] == ["✗", "price"]
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


def test_progress_of_many_runs_is_a_line_per_run_and_per_failure() -> None:
    """Good steps are not told one by one."""
    lines = watch(io.StringIO(), each_step=False).splitlines()
    assert [line.split()[1] for line in lines] == ["quote:", "quote"]
    assert lines[1].endswith("round 2 of 3")


def test_quiet_progress_prints_nothing() -> None:
    """Not on a terminal either."""
    assert watch(Terminal(), quiet=True) == ""


def test_progress_on_a_terminal_shows_the_bytes_of_an_upload() -> None:
    """What is going on stands in the last line, which is cleared at the end."""
    stream = Terminal()
    progress = Progress(stream, SystemClock())
    progress.run_started("run00001", "quote")
    progress.step_started("upload", {"cad.part": "bracket"})
    progress.sent(500, 1000)
    progress._write(closing=False)
    assert "quote upload bracket 500 B of 1.0 kB" in stream.getvalue().rpartition("\n")[2]
    progress._write(closing=True)
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_a_terminal_that_went_away_does_not_harm_the_runs() -> None:
    """A closed stream ends the progress, nothing else."""
    stream = io.StringIO()
    with Progress(stream, SystemClock()) as progress:
        stream.close()
        progress.run_started("run00001", "quote")


def test_a_check_after_a_steps_end_corrects_its_line() -> None:
    """The step is told again when it turns out to have failed, and not when nothing changed."""
    stream = io.StringIO()
    step = make_step("analyse", 20 * MS)
    with Progress(stream, SystemClock()) as progress:
        progress.run_started("run00001", "quote")
        progress.step_finished(step)
        progress.step_finished(step)
        progress.step_finished(replace(make_step("analyse", 20 * MS, kind=FailureKind.ASSERTION)))
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["quote", "✓", "✗"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [", "is not YAML"), ("", "must be a mapping"), ("kind: SLO\nkid: 1\n", "kid")],
    ids=["syntax", "empty", "unknown key"],
)
def test_a_wrong_objective_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    """File and key, ready to be corrected."""
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(OperatorError, match=told) as refused:
        load_objectives(tmp_path)
    assert "x.yaml" in refused.value.where


def test_two_objectives_of_one_name_are_refused(tmp_path: Path) -> None:
    """Both files are named."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(LATENCY, encoding="utf-8")
    with pytest.raises(OperatorError, match="two objectives") as refused:
        load_objectives(tmp_path)
    assert "a.yaml:4" in refused.value.what
    assert "b.yaml:4" in refused.value.where


async def work(done: list[str], wait: Callable[[], Awaitable[object]]) -> str:
    """Something that can be stopped."""
    try:
        await wait()
    finally:
        done.append("cleaned up")
    return "result"


async def test_guarded_work_gives_its_result_or_is_cancelled_by_a_request() -> None:
    """Whoever guards goes on; only the work is cancelled, and its clean-up runs."""
    done: list[str] = []
    with orderly_stop() as stop:

        async def ask_and_wait() -> None:
            stop.ask()
            await asyncio.Event().wait()

        assert await stop.guard(work(done, lambda: asyncio.sleep(0))) == "result"
        assert await stop.guard(work(done, ask_and_wait)) is None
        assert stop.asked()
    assert done == ["cleaned up", "cleaned up"]


async def test_what_guarded_work_raises_comes_out() -> None:
    """A guard swallows nothing."""

    async def broken() -> None:
        raise OperatorError("no")

    with orderly_stop() as stop, pytest.raises(OperatorError):
        await stop.guard(broken())
