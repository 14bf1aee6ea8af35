"""`--scenario NAME --region eu-west,us-east`: asks the running probes there to run it now, and shows their steps live.

The command is signed with the fleet's key and lives for half a minute. What comes back live is for the screen: the record goes
its usual way to the collector. Refuses to choose: each scenario is asked of every region that was named. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue
from rich.text import Text

from collector.texts.figures import duration_text, printable
from console.desk import Desk
from console.fleet_places import FLEET_KEY, broker_address
from console.remote_regions import GRACE_S, make_command, named_regions
from console.verdict import ExitCode, exit_code_of, failure_text
from console.wiring import load_scenarios
from probes.commands import command_topic, sign_command
from probes.errors import OperatorError
from probes.messages import parse_address
from probes.mqtt import BrokerUnavailableError, Connection, open_client, payload_of, subscribe
from probes.records import Run
from probes.registry import is_glob
from probes.wire import WireError, parse_run
from probes.worker_pipe import Live

__all__ = ["ask_regions"]

_VERDICTS: Final = ("run_finished", "refused")


@dataclass(slots=True)
class _Asked:
    """What was asked for: by request id the region and scenario, which of them have begun, and what has come back."""

    waiting: dict[str, tuple[str, str]]
    begun: set[str] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)
    refused: int = 0


async def ask_regions(desk: Desk) -> ExitCode:
    """Ask, show, and wait for every answer; the exit code is that of the runs, 3 when a region did not answer."""
    arguments, settings = desk.arguments, desk.settings
    regions = named_regions(desk)
    specs = load_scenarios(arguments, settings).select(arguments.scenarios)
    if any(is_glob(word) for word in arguments.scenarios):
        raise OperatorError("ask regions for scenarios by their names, not by a glob", where="--scenario")
    key, broker = settings.secret(FLEET_KEY), broker_address(arguments.broker, settings)
    now = desk.clock.now()
    commands = [
        make_command(settings.fleet, region, spec.name, arguments.seed, now) for spec in specs for region in regions
    ]
    asked = _Asked({command.request_id: (command.region, command.scenario) for command in commands})
    try:
        async with open_client(broker, client_id=f"{settings.fleet}::ask-{secrets.token_hex(4)}") as client:
            await subscribe(client, broker, f"fleet/v1/{settings.fleet}/live/+/+")
            for command in commands:
                await client.publish_soon(command_topic(settings.fleet, command.region), sign_command(command, key))
            desk.say(f"asked {', '.join(regions)} to run {', '.join(spec.name for spec in specs)}")
            deadline_s = max(spec.timeout_s for spec in specs) + GRACE_S
            await desk.stop.guard(_show_until_done(desk, client, asked, deadline_s))
    except BrokerUnavailableError as error:
        if not asked.begun:
            raise
        desk.console.print(Text(f"{error.where}: {error.what}"))
    desk.stop.leave_be()
    for request_id, (region, scenario) in asked.waiting.items():
        desk.console.print(Text(f"{region}: no end of {scenario} was heard; {_why_unheard(desk, asked, request_id)}"))
    return exit_code_of(asked.runs, interrupted=bool(asked.waiting or asked.refused))


def _why_unheard(desk: Desk, asked: _Asked, request_id: str) -> str:
    """What to think of a run whose end did not come."""
    if request_id in asked.begun:
        return "it began, and its record goes to the collector whether we listen or not"
    return "it was not waited for" if desk.stop.asked() else "is a probe with the fleet's key up there?"


async def _show_until_done(desk: Desk, client: Connection, asked: _Asked, deadline_s: float) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            async for message in client.messages:
                _show(desk, message.topic.value, payload_of(message), asked)
                if not asked.waiting:
                    return
    except TimeoutError:
        return


def _show(desk: Desk, topic: str, payload: bytes, asked: _Asked) -> None:
    """One event of one probe; what is not for us, or makes no sense, is passed over."""
    try:
        _, sender = parse_address(topic)
        event = Live.model_validate_json(payload)
        if asked.waiting.get(event.request_id, ("",))[0] != sender.region:
            return
        line = _line(event, asked)
    except (ValueError, WireError, KeyError, TypeError, ArithmeticError):
        return
    if line and (event.what in _VERDICTS or not desk.arguments.quiet):
        desk.console.print(Text(f"{sender.region:<10} {line}"), soft_wrap=True)


def _line(event: Live, asked: _Asked) -> str:
    """What to say about an event, empty for nothing; an end is taken off the list."""
    scenario = asked.waiting[event.request_id][1]
    head = f"{scenario:<14}"
    match event.what:
        case "run_started":
            asked.begun.add(event.request_id)
            return printable(f"{scenario}: run {event.data['run_id']}")
        case "step_finished":
            return f"{head} {_step_text(event.data['step'])}"
        case "refused":
            del asked.waiting[event.request_id]
            asked.refused += 1
            return f"{head} refused: {printable(str(event.data['reason']))}"
        case "run_finished":
            run = parse_run(json.dumps(event.data["run"]).encode())
            asked.runs.append(run)
            del asked.waiting[event.request_id]
            why = f": {printable(text)}" if (text := failure_text(run)) else ""
            return f"{head} {run.outcome.value} after {duration_text(run.duration_ns)}{why}"
    return ""


def _step_text(step: JsonValue) -> str:
    if not isinstance(step, Mapping):
        return ""
    duration_ns = step.get("duration_ns", 0)
    shown = duration_text(duration_ns) if isinstance(duration_ns, int) else ""
    return f"  {printable(str(step.get('name', ''))):<12} {printable(str(step.get('outcome', '')))} {shown}"
