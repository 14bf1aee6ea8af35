"""The command line as it is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.arguments import parse_arguments
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
