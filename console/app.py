"""The command from its arguments to its exit code: configure, dispatch, and tell a person what went wrong.

The one place that turns errors into exit codes: 2 for what a person must change, 3 for what this host lacks and for our own
bugs. Commands join `_COMMANDS`. Refuses to let a traceback be the message. Called by `runner.py`, which knows what to do where a
library is missing.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog
from rich.console import Console

from console.arguments import Arguments
from console.command_line import parse_arguments
from console.desk import Desk
from console.logs import configure_logs
from console.stand_in import run_in_foreground
from console.stopping import orderly_stop
from console.verdict import ExitCode
from probes.clock import SystemClock
from probes.errors import BugError, FleetError, OperatorError
from probes.settings import load_settings

__all__ = ["main"]

log = structlog.get_logger(__name__)

_ASK = "ask"
_SHOW_STORED = "show --database"
_COMMANDS: Mapping[str, str] = {
    "": "console.session:run_session",
    _ASK: "console.remote_command:ask_regions",
    "alerts": "console.incident_command:run_alerts",
    "broker-config": "console.broker_command:write_broker_config",
    "demo": "console.demo:run_demo",
    "collector": "console.collector_command:run_collector",
    "export": "console.archive_command:export_results",
    "fleet": "console.fleet_command:run_fleet",
    "import": "console.archive_command:import_results",
    "list": "console.listing:list_scenarios",
    "report": "console.report_command:run_report",
    "maintenance": "console.maintenance_command:run_maintenance",
    "replay": "console.replay_command:run_replay",
    "releases": "console.releases_command:run_releases",
    "rescore": "console.rescore_command:rescore",
    "show": "console.show:show_runs",
    "simulate": "console.simulate_command:simulate_month",
    "smoke": "console.smoke_command:run_smoke",
    _SHOW_STORED: "console.show_stored:show_stored",
    "slo": "console.slo_command:run_slo",
    "soak": "console.soak_command:run_soak",
    "status": "console.status_command:show_status",
    "worker": "console.worker_command:run_worker",
}
"""Loaded when asked for: the libraries for a database, a broker and a browser take longer to load than most commands to run."""
_UNTIL_STOPPED = ("collector", "worker")
"""To be stopped is how these end well, also when they had not yet begun: whoever watches over them must see no failure."""


class _PersonConsole(Console):
    """A console whose reader may leave; rich would end with 1, which here means that the platform failed."""

    def on_broken_pipe(self) -> None:
        """Let `main` end it."""
        raise BrokenPipeError


def main(argv: Sequence[str] | None = None) -> int:
    """Do what `argv` asks for and return the exit code; argparse exits by itself for --help, --version and usage.

    Raises ModuleNotFoundError where this Python lacks a library that the command needs.
    """
    try:
        arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
        talks = arguments.command in _UNTIL_STOPPED and not arguments.quiet
        configure_logs(level=logging.INFO if talks else logging.WARNING)
        return int(_dispatch(arguments))
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nobody is left to tell. Source: Python's signal module, note on SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INCONCLUSIVE
    except FleetError as error:
        _tell_error(error)
        return ExitCode.USAGE if isinstance(error, OperatorError) else ExitCode.INCONCLUSIVE
    except ModuleNotFoundError:
        raise
    except Exception as error:
        log.exception("runner.crashed")
        _tell_error(BugError(f"{type(error).__name__}: {error}", remedy="This is a bug of ours; please report it"))
        return ExitCode.INCONCLUSIVE


def _dispatch(arguments: Arguments) -> ExitCode | int:
    if arguments.command == "platform":
        return run_in_foreground(arguments.rest)
    return asyncio.run(_run(arguments))


async def _run(arguments: Arguments) -> ExitCode:
    """Everything but the foreground stand-in runs on one loop, and can be stopped in order."""
    settings = load_settings(environ=os.environ, path=_settings_file(arguments))
    # What a program reads goes to stdout alone; a person's text then goes to stderr.
    console = _PersonConsole(file=sys.stderr if arguments.json_to_stdout else sys.stdout, highlight=False)
    # A collector below a fleet is stopped by it, and the fleet has said so already.
    with orderly_stop(quiet=arguments.with_parent) as stop:
        desk = Desk(arguments, settings, console, SystemClock(), stop)
        try:
            code = await _command(_service_of(arguments))(desk)
        except asyncio.CancelledError:
            if not stop.asked():
                raise
            code = ExitCode.PASSED
            if arguments.command not in _UNTIL_STOPPED:
                console.print("Stopped before anything ran.")
                code = ExitCode.INCONCLUSIVE
        stop.ended(code)
        return code


def _service_of(arguments: Arguments) -> str:
    """The name of what is asked for: an option may make another thing of a command."""
    if arguments.command == "show" and arguments.database:
        return _SHOW_STORED
    return arguments.command or (_ASK if arguments.region else "")


def _command(name: str) -> Callable[[Desk], Awaitable[ExitCode]]:
    module_name, _, function = _COMMANDS[name].partition(":")
    found: Callable[[Desk], Awaitable[ExitCode]] = getattr(importlib.import_module(module_name), function)
    return found


def _settings_file(arguments: Arguments) -> Path | None:
    path = arguments.settings_file
    if path is not None and not path.is_file():
        raise OperatorError(f"there is no file {path}", where="--settings")
    return path


def _tell_error(error: FleetError) -> None:
    """What is wrong, where, and what to do next, on stderr."""
    print(f"error: {error.what}", file=sys.stderr)
    if error.where:
        print(f"  where: {error.where}", file=sys.stderr)
    if error.remedy:
        print(f"  next:  {error.remedy}", file=sys.stderr)
