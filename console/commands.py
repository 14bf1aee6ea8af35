"""The commands there are, and the words that may stand after each; whose options are whose is told by `console.option_owners`.

More commands join `COMMANDS` as the fleet grows. Refuses combinations that could only be a slip, and says what was meant; looks
nothing up. Called by `console.command_line`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from console.arguments import Arguments
from console.option_owners import check_owners
from probes.errors import OperatorError

__all__ = ["COMMANDS", "check_arguments"]

COMMANDS = {
    "list": "the scenarios: what they do, how often, what they write, and files that would not load",
    "show": "a past run by its id, or the beginning or end of it; without one, the latest runs",
    "platform": "start the stand-in platform in the foreground; options after it go to the stand-in",
    "demo": "a fleet that lives through an incident, all scenarios twice, then one fault caught and explained",
    "fleet": "a whole fleet on this machine: broker, collector, a worker for each region, a live table of slots",
    "worker": "run scenarios on schedule in one region, until stopped",
    "collector": "take results from the broker into the database, until stopped",
    "soak": "scenarios for hours, with verdicts that are safe to look at all the time: --for 2h",
    "status": "what the collector knows: regions, probes, coverage, fitness, clocks",
    "slo": "service levels: `check [PATH...]` files, `explain NAME` a number, `alerts` that fired, `rules` for Prometheus",
    "alerts": "`list` what is wrong now, `ack ID` that you know of it, `test` whether messages reach somebody",
    "maintenance": "`add NAME`, `list`, `remove NAME`: announced works, which service levels may leave out",
    "releases": "`list`, `add NAME`, `send FILE`: the releases that pages draw as lines; `smoke --release NAME` tells of its own",
    "rescore": "score stored runs again; with --check only say what would change",
    "broker-config": "write the configuration of a mosquitto broker with TLS, passwords and access rules into a folder",
    "export": "write stored results to FILE.parquet, FILE.jsonl or FILE.jsonl.gz; their steps to FILE.steps.parquet",
    "import": "bring an exported file into the database",
    "report": "the scorecard: every service level in a window, with verdict, budget, burn rate and what is missing",
    "smoke": "the release gate: rounds of scenarios until it says pass, fail or undecided, with stated odds of being wrong",
    "replay": "make the failed run of a bundle again, and say what differs",
    "simulate": "a month of records from a written plan, into a database of its own",
}
_WITH_SCENARIOS = ("fleet", "worker", "smoke", "soak")
_SECOND_WORDS = {
    "alerts": ("list", "ack", "test"),
    "maintenance": ("add", "list", "remove"),
    "releases": ("list", "add", "send"),
    "slo": ("check", "explain", "alerts", "rules"),
}
"""What may stand after a command that says nothing alone; further words join here and in the command's own module."""
_ONE_NAME = (
    *(("slo", "explain"), ("maintenance", "add"), ("maintenance", "remove"), ("alerts", "ack")),
    *(("releases", "add"), ("releases", "send")),
)
"""What needs exactly one name behind it."""
_NO_NAME = (("slo", "alerts"), ("maintenance", "list"), ("alerts", "list"), ("alerts", "test"), ("releases", "list"))
_WITH_WORDS = {
    "show": "one run id",
    "broker-config": "one folder",
    "export": "one file",
    "import": "one file",
    "replay": "one bundle",
}
_MUST_NAME = ("broker-config", "export", "import", "replay")


def check_arguments(arguments: Arguments) -> None:
    """Refuse combinations that could only be a slip."""
    if not arguments.command and not arguments.scenarios:
        raise OperatorError(
            "nothing to do: no scenario and no command",
            remedy="Try --scenario cad-large, `list` to see what there is, or --help",
        )
    if arguments.command and arguments.command not in COMMANDS:
        near = difflib.get_close_matches(arguments.command, COMMANDS, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"To run a scenario: --scenario {arguments.command}"
        raise OperatorError(f"{arguments.command!r} is not a command", remedy=remedy)
    if arguments.command and arguments.scenarios and arguments.command not in _WITH_SCENARIOS:
        raise OperatorError(f"--scenario does not go with the command {arguments.command!r}", where="--scenario")
    _check_words(arguments)
    check_owners(arguments)


def _check_words(arguments: Arguments) -> None:
    """What stands after the command."""
    command, rest = arguments.command, arguments.rest
    if command in _SECOND_WORDS:
        _check_second_words(command, rest, _SECOND_WORDS[command])
    elif rest and command != "platform" and command not in _WITH_WORDS:
        raise OperatorError(f"{command!r} takes no further word, not {rest[0]!r}")
    if command in _WITH_WORDS and len(rest) > 1:
        raise OperatorError(f"`{command}` takes {_WITH_WORDS[command]}", where=rest[1])
    if command in _MUST_NAME and not rest:
        raise OperatorError(f"`{command}` needs {_WITH_WORDS[command]}", remedy=f"runner.py {command} NAME")
    if arguments.broker and not command and not arguments.region:
        raise OperatorError("--broker goes with --region: without one the scenario runs here", where="--broker")


def _check_second_words(command: str, rest: Sequence[str], words: Sequence[str]) -> None:
    """The command alone says nothing: its first word says what to do."""
    if not rest:
        raise OperatorError(f"`{command}` needs one of {', '.join(words)}", remedy=f"runner.py {command} {words[0]}")
    if rest[0] not in words:
        near = difflib.get_close_matches(rest[0], words, n=1) or list(words[:1])
        remedy = f"Did you mean `{command} {near[0]}`?"
        raise OperatorError(f"`{command}` knows no {rest[0]!r}", where=rest[0], remedy=remedy)
    if (command, rest[0]) in _ONE_NAME and len(rest) != 2:
        name = f"runner.py {command} {rest[0]} NAME"
        raise OperatorError(f"`{command} {rest[0]}` takes one name", where=" ".join(rest[2:]), remedy=name)
    if (command, rest[0]) in _NO_NAME and len(rest) > 1:
        raise OperatorError(f"`{command} {rest[0]}` takes no further word, not {rest[1]!r}")
