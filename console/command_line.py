"""The command line: options, examples, help. Parses and checks shapes; looks nothing up and runs nothing.

`runner.py --scenario NAME` without a command is a run. A command is the first word (`console.commands`). An option is kept under
the name of its field in `Arguments`. Refuses abbreviated options, because a script must not change meaning when an option is
added. Called by `console.app`.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from console.alert_options import add_alert_options, alert_options_of
from console.arguments import Arguments
from console.commands import COMMANDS, check_arguments
from console.gate_options import add_gate_options, gate_options_of
from console.release_options import add_release_options, release_options_of
from probes.errors import OperatorError
from probes.registry import parse_duration_s

__all__ = ["parse_arguments"]

_MAX_REPEAT = 100_000
_RECORDS = ("gate", "alerts", "release")
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


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """The arguments; raises OperatorError for a wrong combination, SystemExit for --help, --version and what argparse refuses."""
    # What follows `platform` belongs to the stand-in, whose options are its own.
    passed_on = argv[1:] if argv[:1] == ["platform"] else ()
    parser = _parser()
    own = ["platform"] if passed_on else list(argv)
    _refuse_unknown_options(own, parser)
    found = parser.parse_intermixed_args(own)
    if passed_on:
        found.rest = list(passed_on)
    arguments = _arguments_of(found)
    check_arguments(arguments)
    return arguments


def _arguments_of(found: argparse.Namespace) -> Arguments:
    """Each option in the field of its name, lists as tuples; what belongs together in a record of its own."""
    plain: dict[str, Any] = {}
    for name in (field.name for field in fields(Arguments) if field.name not in _RECORDS):
        value = getattr(found, name)
        plain[name] = tuple(value) if isinstance(value, list) else value
    return Arguments(
        **plain, gate=gate_options_of(found), alerts=alert_options_of(found), release=release_options_of(found)
    )


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runner.py",
        description="Probe a platform as its customers meet it: real journeys, true timings, a plain verdict.",
        epilog="commands:\n" + "".join(f"  {name:<14}{text}\n" for name, text in COMMANDS.items()) + f"\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"probe-fleet {_version()}")
    parser.add_argument("command", nargs="?", default="", metavar="COMMAND", help="see below")
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
        "--scenario",
        dest="scenarios",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or a glob such as 'cad-*'; repeatable",
    )
    group.add_argument(
        "--target", default="", metavar="NAME|FILE", help="a described target; none: a stand-in is started"
    )
    group.add_argument("--repeat", type=_repeat, metavar="N", help="how many rounds")
    group.add_argument(
        "--every",
        dest="every_s",
        type=_duration("--every"),
        metavar="DURATION",
        help="start a round every 30s, 5m, ...; without --repeat until Ctrl-C",
    )
    group.add_argument(
        "--scenarios",
        dest="scenario_dirs",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder with scenarios of your own",
    )
    group.add_argument(
        "--settings",
        dest="settings_file",
        type=Path,
        metavar="FILE",
        help="a settings file (docs/reference/settings.md)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="makes a scenario's random choices repeatable")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what comes out")
    group.add_argument(
        "--json", dest="json_file", default="", metavar="FILE", help="the whole report as JSON; - is stdout"
    )
    group.add_argument("--junit", dest="junit_file", type=Path, metavar="FILE", help="JUnit XML for CI")
    group.add_argument(
        "--evidence",
        dest="evidence_mode",
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
    group.add_argument(
        "--for", dest="for_s", type=_duration("--for"), metavar="DURATION", help="stop in order after so long"
    )
    group.add_argument(
        "--last",
        dest="last_s",
        type=_duration("--last"),
        metavar="DURATION",
        help="how far to look back, for status and export",
    )
    group.add_argument(
        "--exit-with-parent",
        dest="with_parent",
        action="store_true",
        help="stop when the process that started this is gone",
    )
    group.add_argument("--month", default="", metavar="YYYY-MM", help="which month to make up, for simulate")
    group.add_argument("--plan", dest="plan_file", type=Path, metavar="FILE", help="what happens in it")
    group.add_argument(
        "--certificate", dest="certificate_file", type=Path, metavar="FILE", help="the broker's own, for broker-config"
    )
    group.add_argument("--key", dest="key_file", type=Path, metavar="FILE", help="its key")
    group.add_argument(
        "--client-authority",
        dest="client_authority_file",
        type=Path,
        metavar="FILE",
        help="whose certificates probes must show, instead of passwords",
    )


def _add_levels(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("service levels")
    group.add_argument(
        "--window", default="", metavar="WINDOW", help="a month (2026-10) or days (30d); default: each line's own"
    )
    group.add_argument(
        "--objective", dest="objectives", action="append", default=[], metavar="NAME", help="only this line; repeatable"
    )
    group.add_argument("--format", default="", choices=("table", "json", "html", "md"), help="how the report is drawn")
    group.add_argument(
        "--what-if", default="", metavar="TARGET", help="try another target, such as 99.95%% (no verdict)"
    )
    group.add_argument("--check", dest="check_only", action="store_true", help="only look, for rescore")
    group.add_argument("--starts", default="", metavar="INSTANT", help="2026-10-03T02:00Z, for maintenance add")
    group.add_argument(
        "--duration", dest="duration_s", type=_duration("--duration"), metavar="DURATION", help="how long it takes: 2h"
    )
    group.add_argument("--rrule", default="", metavar="RULE", help="how it recurs: FREQ=WEEKLY;BYDAY=SU;COUNT=10")
    group.add_argument("--reason", default="", metavar="TEXT", help="what is worked on")
    group.add_argument(
        "--objectives",
        dest="objective_globs",
        action="extend",
        default=[],
        type=_globs,
        metavar="GLOB",
        help="which lines; --scenarios and --regions likewise",
    )
    group.add_argument(
        "--regions",
        dest="region_globs",
        action="extend",
        default=[],
        type=_globs,
        metavar="GLOB",
        help="where; default: everywhere",
    )


def _duration(option: str) -> Callable[[str], float]:
    return lambda text: parse_duration_s(text, where=option)


def _globs(text: str) -> tuple[str, ...]:
    """The globs of an option that may hold several with commas between."""
    return tuple(glob.strip() for glob in text.split(",") if glob.strip())


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
