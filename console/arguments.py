"""The command line: options, commands, examples. Parses and checks shapes; looks nothing up and runs nothing.

`runner.py --scenario NAME` without a command is a run. A command is the first word; more commands join `COMMANDS` as the
fleet grows. Refuses abbreviated options, because a script must not change meaning when an option is added. Called by
`console.app`.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from console.alert_options import AlertOptions, add_alert_options, alert_options_of
from console.gate_options import GateOptions, add_gate_options, gate_options_of
from console.option_owners import check_owners
from console.release_options import ReleaseOptions, add_release_options, release_options_of
from probes.errors import OperatorError
from probes.registry import parse_duration_s

__all__ = ["COMMANDS", "Arguments", "parse_arguments"]

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
_MAX_REPEAT = 100_000
_EXAMPLES = """\
examples:
  runner.py --scenario cad-large                        against a stand-in that is started for it
  runner.py --scenario 'cad-*' --target cnc-quote       every CAD scenario, against a described target
  runner.py --scenario quote --repeat 59                enough runs to say something about a p95
  runner.py --scenario api-health --every 30s           until Ctrl-C
  runner.py --scenario quote --json - --quiet | jq .    for a program
  runner.py platform --fault zero-price                 the stand-in with a fault, for another terminal

exit codes: 0 passed; 1 the platform failed; 2 usage or settings; 3 inconclusive (our own fault, or interrupted);
4 undecided (smoke: it could not find out; the release waits). With several runs 1 wins over 3, and 3 over 0.
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was asked for. `command` is empty for a run; `rest` are the words after the command."""

    command: str = ""
    rest: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    target: str = ""
    repeat: int | None = None
    every_s: float | None = None
    json_file: str = ""
    junit_file: Path | None = None
    evidence_mode: str = ""
    evidence_dir: Path | None = None
    scenario_dirs: tuple[Path, ...] = ()
    settings_file: Path | None = None
    quiet: bool = False
    seed: int | None = None
    region: str = ""
    broker: str = ""
    database: str = ""
    for_s: float | None = None
    last_s: float | None = None
    with_parent: bool = False
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_authority_file: Path | None = None
    month: str = ""
    plan_file: Path | None = None
    window: str = ""
    objectives: tuple[str, ...] = ()
    format: str = ""
    what_if: str = ""
    check_only: bool = False
    starts: str = ""
    duration_s: float | None = None
    rrule: str = ""
    reason: str = ""
    objective_globs: tuple[str, ...] = ()
    region_globs: tuple[str, ...] = ()
    gate: GateOptions | None = None
    alerts: AlertOptions | None = None
    release: ReleaseOptions | None = None

    @property
    def json_to_stdout(self) -> bool:
        """True when stdout belongs to the JSON, so that whatever a person reads must go to stderr."""
        return self.json_file == "-"


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """The arguments; raises OperatorError for a wrong combination, SystemExit for --help, --version and what argparse refuses."""
    # What follows `platform` belongs to the stand-in, whose options are its own.
    passed_on = tuple(argv[1:]) if argv[:1] == ["platform"] else ()
    parser = _parser()
    own = ["platform"] if passed_on else list(argv)
    _refuse_unknown_options(own, parser)
    found = parser.parse_intermixed_args(own)
    arguments = Arguments(
        command=found.command or "",
        rest=passed_on or tuple(found.rest),
        scenarios=tuple(found.scenario),
        target=found.target,
        repeat=found.repeat,
        every_s=None if found.every is None else parse_duration_s(found.every, where="--every"),
        json_file=found.json,
        junit_file=found.junit,
        evidence_mode=found.evidence,
        evidence_dir=found.evidence_dir,
        scenario_dirs=tuple(found.scenarios),
        settings_file=found.settings,
        quiet=found.quiet,
        seed=found.seed,
        region=found.region,
        broker=found.broker,
        database=found.database,
        for_s=None if found.for_ is None else parse_duration_s(found.for_, where="--for"),
        last_s=None if found.last is None else parse_duration_s(found.last, where="--last"),
        with_parent=found.exit_with_parent,
        certificate_file=found.certificate,
        key_file=found.key,
        client_authority_file=found.client_authority,
        month=found.month,
        plan_file=found.plan,
        window=found.window,
        objectives=tuple(found.objective),
        format=found.format,
        what_if=found.what_if,
        check_only=found.check,
        starts=found.starts,
        duration_s=None if found.duration is None else parse_duration_s(found.duration, where="--duration"),
        rrule=found.rrule,
        reason=found.reason,
        objective_globs=_globs(found.objectives),
        region_globs=_globs(found.regions),
        gate=gate_options_of(found),
        alerts=alert_options_of(found),
        release=release_options_of(found),
    )
    _check(arguments)
    return arguments


def _refuse_unknown_options(words: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Argparse would take the value of a misspelt option for a command, and blame that."""
    known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - it has no other list
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            raise OperatorError(
                f"unknown option {option!r}", remedy=f"Did you mean {near[0]!r}?" if near else "See --help"
            )


def _check(arguments: Arguments) -> None:
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


def _check_words(arguments: Arguments) -> None:
    """What stands after the command, and options that belong to one command alone."""
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
    check_owners(arguments)


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


def _globs(texts: Sequence[str]) -> tuple[str, ...]:
    """The globs of an option that may stand several times, or hold several with commas between."""
    return tuple(glob.strip() for text in texts for glob in text.split(",") if glob.strip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runner.py",
        description="Probe a platform as its customers meet it: real journeys, true timings, a plain verdict.",
        epilog="commands:\n" + "".join(f"  {name:<14}{text}\n" for name, text in COMMANDS.items()) + f"\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"probe-fleet {_version()}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="see below")
    parser.add_argument("rest", nargs="*", metavar="WORD", help=argparse.SUPPRESS)
    _add_what(parser)
    _add_output(parser)
    _add_fleet(parser)
    _add_levels(parser)
    add_gate_options(parser)
    add_alert_options(parser)
    add_release_options(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to run")
    group.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="a name or a glob such as 'cad-*'; repeatable"
    )
    group.add_argument(
        "--target", default="", metavar="NAME|FILE", help="a described target; none: a stand-in is started"
    )
    group.add_argument("--repeat", type=_repeat, metavar="N", help="how many rounds")
    group.add_argument(
        "--every", metavar="DURATION", help="start a round every 30s, 5m, ...; without --repeat until Ctrl-C"
    )
    group.add_argument(
        "--scenarios", action="append", default=[], type=Path, metavar="DIR", help="a folder with scenarios of your own"
    )
    group.add_argument("--settings", type=Path, metavar="FILE", help="a settings file (docs/reference/settings.md)")
    group.add_argument("--seed", type=int, metavar="N", help="makes a scenario's random choices repeatable")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what comes out")
    group.add_argument("--json", default="", metavar="FILE", help="the whole report as JSON; - is stdout")
    group.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML for CI")
    group.add_argument(
        "--evidence",
        default="",
        choices=("never", "failures", "always"),
        metavar="WHEN",
        help="keep screenshots, traces, HAR and bodies: never, failures or always",
    )
    group.add_argument("--evidence-dir", type=Path, metavar="DIR", help="where to keep them")
    group.add_argument("--quiet", action="store_true", help="only the verdict")


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the fleet")
    group.add_argument(
        "--region",
        default="",
        metavar="NAME",
        help="the worker's region; with --scenario: ask the probes of these regions (eu-west,us-east)",
    )
    group.add_argument(
        "--broker", default="", metavar="URL", help="mqtt://..., mqtts://... or embedded; default: the settings'"
    )
    group.add_argument("--database", default="", metavar="WHERE", help="a file, or postgresql://USER@HOST/NAME")
    group.add_argument("--for", dest="for_", metavar="DURATION", help="stop in order after so long")
    group.add_argument("--last", metavar="DURATION", help="how far to look back, for status and export")
    group.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the process that started this is gone"
    )
    group.add_argument("--month", default="", metavar="YYYY-MM", help="which month to make up, for simulate")
    group.add_argument("--plan", type=Path, metavar="FILE", help="what happens in it")
    group.add_argument("--certificate", type=Path, metavar="FILE", help="the broker's own, for broker-config")
    group.add_argument("--key", type=Path, metavar="FILE", help="its key")
    group.add_argument(
        "--client-authority",
        type=Path,
        metavar="FILE",
        help="whose certificates probes must show, instead of passwords",
    )


def _add_levels(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("service levels")
    group.add_argument(
        "--window", default="", metavar="WINDOW", help="a month (2026-10) or days (30d); default: each line's own"
    )
    group.add_argument("--objective", action="append", default=[], metavar="NAME", help="only this line; repeatable")
    group.add_argument("--format", default="", choices=("table", "json", "html", "md"), help="how the report is drawn")
    group.add_argument(
        "--what-if", default="", metavar="TARGET", help="try another target, such as 99.95%% (no verdict)"
    )
    group.add_argument("--check", action="store_true", help="only look, for rescore")
    group.add_argument("--starts", default="", metavar="INSTANT", help="2026-10-03T02:00Z, for maintenance add")
    group.add_argument("--duration", metavar="DURATION", help="how long it takes: 2h")
    group.add_argument("--rrule", default="", metavar="RULE", help="how it recurs: FREQ=WEEKLY;BYDAY=SU;COUNT=10")
    group.add_argument("--reason", default="", metavar="TEXT", help="what is worked on")
    group.add_argument(
        "--objectives",
        action="append",
        default=[],
        metavar="GLOB",
        help="which lines; --scenarios and --regions likewise",
    )
    group.add_argument("--regions", action="append", default=[], metavar="GLOB", help="where; default: everywhere")


def _repeat(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_REPEAT:
        message = f"must be a whole number from 1 to {_MAX_REPEAT}, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _version() -> str:
    """The installed version; a checkout that was never installed says so."""
    try:
        return metadata.version("probe-fleet")
    except metadata.PackageNotFoundError:
        return "(checkout)"
