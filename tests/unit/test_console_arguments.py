"""The command line as it is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.command_line import parse_arguments
from probes.errors import OperatorError

WHOLE_LINE = (
    "--scenario cad-* --scenario quote --target cnc-quote --repeat 59 --every 1.5m --json - --junit j.xml "
    "--evidence always --evidence-dir e --scenarios mine --scenarios ours --settings f.toml --quiet --seed 7"
)


def test_every_option_of_a_run_is_understood() -> None:
    """The whole line that a person may type."""
    arguments = parse_arguments(WHOLE_LINE.split())
    assert arguments.scenarios == ("cad-*", "quote")
    assert (arguments.target, arguments.repeat, arguments.every_s) == ("cnc-quote", 59, 90.0)
    assert arguments.json_to_stdout
    assert (arguments.junit_file, arguments.evidence_dir) == (Path("j.xml"), Path("e"))
    assert arguments.scenario_dirs == (Path("mine"), Path("ours"))
    assert (arguments.settings_file, arguments.quiet, arguments.seed) == (Path("f.toml"), True, 7)
    assert (arguments.evidence_mode, arguments.command) == ("always", "")


@pytest.mark.parametrize(
    "words", ["show abc --settings f.toml", "show --settings f.toml abc", "--settings f.toml show abc"]
)
def test_options_may_stand_before_between_and_after_words(words: str) -> None:
    """Nobody remembers an order."""
    arguments = parse_arguments(words.split())
    assert (arguments.command, arguments.rest, arguments.settings_file) == ("show", ("abc",), Path("f.toml"))


def test_what_follows_platform_belongs_to_the_stand_in() -> None:
    """Its options are its own, `--help` included."""
    arguments = parse_arguments(["platform", "--fault", "slow:ms=9", "--scenario", "--help"])
    assert arguments.command == "platform"
    assert arguments.rest == ("--fault", "slow:ms=9", "--scenario", "--help")


def test_a_target_may_be_called_like_a_command() -> None:
    """The value of an option is no command."""
    arguments = parse_arguments(["--target", "platform", "--scenario", "demo"])
    assert (arguments.command, arguments.target, arguments.scenarios) == ("", "platform", ("demo",))


def test_an_option_is_never_abbreviated() -> None:
    """A script must not change meaning when an option is added."""
    with pytest.raises(OperatorError, match="unknown option '--scen'"):
        parse_arguments(["--scen", "quote"])


def test_help_shows_commands_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The help alone gets a person going."""
    with pytest.raises(SystemExit) as left:
        parse_arguments(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for phrase in ("examples:", "--scenario cad-large", "exit codes: 0 passed; 1 the platform failed", "show", "demo"):
        assert phrase in text


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else happens."""
    with pytest.raises(SystemExit) as left:
        parse_arguments(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("probe-fleet ")


def test_every_option_of_service_levels_is_understood() -> None:
    """Globs may stand several times, or with commas between."""
    line = "maintenance add disks --starts 2026-10-03T02:00Z --duration 2h --rrule FREQ=DAILY;COUNT=2 --reason r"
    arguments = parse_arguments(
        [*line.split(), "--objectives", "api-*, cad-*", "--objectives", "quote-*", "--regions", "eu-*"]
    )
    assert arguments.rest == ("add", "disks")
    assert (arguments.starts, arguments.duration_s, arguments.reason) == ("2026-10-03T02:00Z", 7200.0, "r")
    assert arguments.rrule == "FREQ=DAILY;COUNT=2"
    assert (arguments.objective_globs, arguments.region_globs) == (("api-*", "cad-*", "quote-*"), ("eu-*",))
    explained = parse_arguments(["slo", "explain", "api-uptime", "--window", "30d", "--database", "x.db"])
    assert (explained.rest, explained.window, explained.database) == (("explain", "api-uptime"), "30d", "x.db")
    assert parse_arguments(["slo", "alerts", "--objective", "api-uptime"]).objectives == ("api-uptime",)
    assert parse_arguments(["rescore", "--check"]).check_only


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("slo", "needs one of check, explain, alerts"),
        ("slo explian x", "knows no 'explian'"),
        ("slo explain", "`slo explain` takes one name"),
        ("slo explain a b", "`slo explain` takes one name"),
        ("slo alerts a", "takes no further word, not 'a'"),
        ("maintenance", "needs one of add, list, remove"),
        ("maintenance add", "`maintenance add` takes one name"),
        ("maintenance list a", "takes no further word, not 'a'"),
        ("rescore now", "takes no further word, not 'now'"),
        ("list --check", "--check goes with rescore"),
        ("rescore --window 30d", "--window goes with report, slo"),
        ("slo alerts --starts x", "--starts goes with maintenance"),
    ],
)
def test_words_of_service_levels_that_could_only_be_a_slip_are_refused(words: str, reason: str) -> None:
    """And say what was meant to stand there."""
    with pytest.raises(OperatorError, match=reason):
        parse_arguments(words.split())
