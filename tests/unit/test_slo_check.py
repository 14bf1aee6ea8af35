"""`runner.py slo check`, and objectives that are read again while something scores with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from console.objectives import BUILT_IN_OBJECTIVES, load_objectives, load_set
from console.scenario_steps import steps_of
from console.watched_objectives import WatchedObjectives
from probes.errors import OperatorError
from probes.registry import load_registry
from tests.objective_texts import GAP, GAUGE, LATENCY, MAINTENANCE, MINUTES, PERIODIC, PRESET, later_version
from tests.runner_kit import Runner

SLOW = '''
from probes.registry import scenario

@scenario("api-slow", every="5m")
async def slow(probe):
    """Every five minutes."""
    async with probe.step("slow"):
        pass
'''


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The command, with a state folder of its own."""
    return Runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for objectives of one's own."""
    own = tmp_path / "own"
    own.mkdir()
    return own


def write(folder: Path, texts: Sequence[str]) -> None:
    """The texts as files `0.yaml`, `1.yaml`, ..."""
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")


def test_the_built_in_objectives_are_right_and_shown_line_by_line(call: Runner) -> None:
    """The first thing to type: exit code 0, each of the 29 lines, and what is promised in it."""
    outcome = call("slo", "check")
    assert outcome.code == 0
    lines = [words for words in (line.split() for line in outcome.out.splitlines()) if words and words[0].isdecimal()]
    assert {words[0] for words in lines} >= {str(number) for number in range(1, 30)}
    rows = {words[1]: " ".join(words[2:]) for words in lines}
    assert rows["api-uptime"] == "minutes 99.9 % api-health 1 contract"
    assert rows["api-p95-stretch"] == "events 95 % < 300 ms * 1 stretch"
    assert rows["quote-errors"] == "events > 99 % quote, widget-quote, payment 1 contract"
    assert rows["backup-daily"] == "periodic every day, 6h after its end backups 1 contract"
    assert rows["critical-answered"] == "duration each < 15m (critical alerts) 1 contract"
    assert "no file covers" not in outcome.said
    assert "never fire" not in outcome.said


def test_every_problem_of_every_file_is_printed_with_its_place_and_remedy(call: Runner, folder: Path) -> None:
    """Not only the first, and exit code 2."""
    broken = LATENCY.replace("unit: ms", "unit: min").replace("target: 0.95", "target: 95")
    write(folder, [broken, PERIODIC.replace("deadline: 6h", "deadline: 6M"), GAP, "a: ["])
    outcome = call("slo", "check", str(folder))
    assert outcome.code == 2
    for place in (
        "0.yaml:22: spec.",
        "0.yaml:34: spec.objectives[0].target:",
        "1.yaml:17: spec.deadline",
        "3.yaml:1: is not YAML",
    ):
        assert f"{folder}/{place}" in outcome.out
    assert outcome.out.count("  next: ") == 4
    assert "next: Write 0.95" in outcome.out
    assert "4 problems in 3 files" in outcome.out
    assert "2.yaml" not in outcome.out


def test_what_is_hardly_meant_is_told_and_is_no_error(call: Runner, folder: Path) -> None:
    """Lines without a file, an alert out of reach, a misspelt scenario, step and region."""
    alert = LATENCY.replace('"1"\n', '"1"\n    fleet/alerts: standard\n').replace("target: 0.95", "target: 0.9")
    regional = MINUTES.replace("steps: [api-health]", "steps: [helth]\n              regions: [mars]")
    write(folder, [alert, PRESET, regional, GAUGE.replace("[backups]", "[bakups]"), MAINTENANCE])
    outcome = call("slo", "check", str(folder))
    assert outcome.code == 0
    for doubt in (
        "no file covers line 2, 4, 5,",
        "the critical tier of 'standard' is not used: it can never fire",
        "no scenario of api-health has a step 'helth'",
        "the fleet has no region 'mars'",
        "no scenario is called 'bakups'",
        "1 alert preset, 1 maintenance window",
    ):
        assert doubt in outcome.said


@pytest.mark.parametrize("columns", [80, 50])
def test_a_later_version_takes_no_room_from_the_other_columns(
    call: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Its date made every other cell a letter wide in a terminal of 80 columns; where a table has no room there are lines."""
    write(folder, [LATENCY, later_version(LATENCY, 2, "2026-10-01T00:00:00Z"), PRESET])
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = call("slo", "check", str(folder))
    assert outcome.code == 0
    assert outcome.out.count("95 % < 500 ms") == 2
    assert max(map(len, outcome.out.split("doubt:")[0].splitlines())) <= columns


def test_one_file_is_checked_with_the_presets_of_the_folder_it_is_meant_for(call: Runner, folder: Path) -> None:
    """And nothing is said about lines that other files cover."""
    write(
        folder, [later_version(LATENCY, 2, "2026-10-01T00:00:00Z").replace('"2"\n', '"2"\n    fleet/alerts: coarse\n')]
    )
    outcome = call("slo", "check", str(folder / "0.yaml"))
    assert outcome.code == 0
    assert "since 2026-10-01 00:00 UTC" in outcome.said
    assert "no file covers" not in outcome.said


def test_minutes_that_no_scenario_can_fill_are_refused_as_the_fleet_runs_them(call: Runner, folder: Path) -> None:
    """A scenario of one's own that runs every 5 minutes; and a built-in one that the settings slow down."""
    (folder.parent / "slow.py").write_text(SLOW, encoding="utf-8")
    write(
        folder,
        [MINUTES.replace("api-health", "api-slow").replace("[api-slow]\n              q", "[slow]\n              q")],
    )
    outcome = call("slo", "check", str(folder / "0.yaml"), "--scenarios", str(folder.parent / "slow.py"))
    assert (outcome.code, "'api-slow' runs every 300 s" in outcome.said) == (2, True), outcome.said
    settings = folder.parent / "own.toml"
    settings.write_text('[schedule]\napi-health = "10m"\nwidget-load = "off"\n', encoding="utf-8")
    outcome = call("slo", "check", "--settings", str(settings))
    assert outcome.code == 2
    assert "01-api-uptime.yaml" in outcome.said
    assert "'widget-load' never runs by itself" in outcome.said


def test_the_settings_name_a_folder_of_ones_own(call: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of the built-in one, for the check and for runs on demand."""
    write(folder, [GAP])
    monkeypatch.setenv("PROBE_FLEET_SLO_DIR", str(folder))
    outcome = call("slo", "check")
    assert outcome.code == 0
    assert "no probe can ring a telephone" in outcome.said
    assert "api-uptime" not in outcome.said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["slo"], "needs one of check"),
        (["slo", "chek"], "Did you mean `slo check`?"),
        (["slo", "check", "/nowhere/x.yaml"], "no such file or folder"),
    ],
)
def test_a_slip_on_the_command_line_is_told(call: Runner, words: list[str], told: str) -> None:
    """With exit code 2, as all usage."""
    outcome = call(*words)
    assert (outcome.code, told in outcome.said) == (2, True)


def test_a_folder_without_objectives_is_refused(folder: Path) -> None:
    """An empty folder promises nothing, which nobody means."""
    with pytest.raises(OperatorError, match="no file in it"):
        load_set(folder)


def test_a_refusal_lists_a_few_problems_and_counts_the_rest(folder: Path) -> None:
    """One error, short enough to read."""
    write(folder, [f"{number}: [" for number in range(12)])
    with pytest.raises(OperatorError) as refused:
        load_set(folder)
    assert refused.value.where == f"{folder}/0.yaml:1"
    assert refused.value.remedy.count("also") == 7
    assert "and 4 more" in refused.value.remedy


def test_a_file_that_is_no_text_is_refused_with_its_line(folder: Path) -> None:
    """Latin-1 from an old editor."""
    (folder / "0.yaml").write_bytes(LATENCY.replace("fast", "schnell für alle").encode("latin-1"))
    with pytest.raises(OperatorError, match="not UTF-8") as refused:
        load_set(folder)
    assert refused.value.where == f"{folder}/0.yaml:31"


def test_runs_on_demand_are_judged_by_the_version_of_their_day(folder: Path) -> None:
    """An old run keeps the limit that was promised then."""
    tighter = later_version(LATENCY, 2, "2026-10-01T00:00:00Z").replace("value: 500", "value: 300")
    write(folder, [LATENCY, tighter, MINUTES])
    limits = [
        [line.limit_ns for line in load_objectives(folder, at=at)]
        for at in (datetime(2026, 9, 30, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC), None)
    ]
    assert limits == [[500_000_000], [300_000_000], [300_000_000]]


def test_a_broken_folder_keeps_the_last_good_set_and_says_so(folder: Path) -> None:
    """What was promised goes on being scored; each change of what is wrong is told once; a mended folder is taken over."""
    write(folder, [LATENCY])
    watched = WatchedObjectives(folder)
    good = watched.current
    write(folder, [LATENCY.replace("unit: ms", "unit: min"), MINUTES])
    with structlog.testing.capture_logs() as logs:
        (problem,) = watched.reload()
        assert watched.reload() == (problem,) == watched.problems
    assert watched.current is good
    assert problem.where == f"{folder}/0.yaml:22"
    assert [entry["event"] for entry in logs] == ["objectives.kept_last_good"]
    assert str(problem.where) in logs[0]["first"]
    write(folder, [LATENCY, MINUTES])
    with structlog.testing.capture_logs() as logs:
        assert watched.reload() == ()
    assert set(watched.current.objectives) == {"api-p95", "api-uptime"}
    assert [entry["event"] for entry in logs] == ["objectives.changed", "objectives.mended"]


def test_a_folder_that_is_gone_keeps_the_last_good_set(folder: Path) -> None:
    """A disk that is not mounted is no change of what was promised."""
    write(folder, [LATENCY])
    watched = WatchedObjectives(folder)
    (folder / "0.yaml").unlink()
    assert [problem.reason for problem in watched.reload()] == ["no file in it ends in .yaml"]
    assert set(watched.current.objectives) == {"api-p95"}


def test_an_unchanged_folder_is_no_news(folder: Path) -> None:
    """The same object stays, so that whoever holds it need not look again."""
    write(folder, [LATENCY])
    watched = WatchedObjectives(folder)
    good = watched.current
    with structlog.testing.capture_logs() as logs:
        assert watched.reload() == ()
    assert (watched.current is good, logs) == (True, [])


def test_a_folder_that_is_broken_from_the_start_is_refused(folder: Path) -> None:
    """There is nothing to fall back on."""
    write(folder, ["a: ["])
    with pytest.raises(OperatorError, match="is not YAML"):
        WatchedObjectives(folder)


def test_the_steps_of_a_scenario_are_read_from_its_source(tmp_path: Path) -> None:
    """Also those of a journey that it shares with another; a name that is computed makes all of them unknown."""
    registry = load_registry("scenarios")
    payment = steps_of(registry.get("payment"))
    assert payment is not None
    assert {"sign-in", "analyse", "quote", "checkout", "settle"} <= payment
    (tmp_path / "odd.py").write_text(SLOW.replace('probe.step("slow")', "probe.step(probe.name)"), encoding="utf-8")
    assert steps_of(load_registry(tmp_path / "odd.py").get("api-slow")) is None


def test_the_built_in_folder_ships_with_the_package() -> None:
    """It is found beside the code, from wherever the command is started."""
    assert BUILT_IN_OBJECTIVES.is_dir()
    assert BUILT_IN_OBJECTIVES.is_absolute()
