"""`alerts list|ack|test`: what is wrong, since when and who knows of it; that a person knows of it; whether messages arrive.

For people as lines that a narrow terminal takes, for programs as JSON. Refuses to decide what is wrong (the collector does) and
to send messages itself. Called by `console.app`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from rich.padding import Padding
from rich.text import Text

from collector.alerting.model import Alert, Incident
from collector.alerting.reading import acknowledge, alert_history, open_incidents
from collector.alerting.words import incident_lines
from collector.texts.figures import printable
from collector.texts.utc_text import instant_text, length_text
from console.alert_options import AlertOptions
from console.alerts_test_command import send_test_messages
from console.atomic_file import write_atomically
from console.desk import Desk
from console.messages_wiring import outbox_of
from console.scored_store import open_existing
from console.text_line import Line
from console.verdict import ExitCode
from probes.errors import OperatorError
from slo.burn_tiers import Severity

__all__ = ["run_alerts"]

_LAST_S: Final = 30 * 86_400.0
_MOST_SHOWN: Final = 50
_SECONDS_PER_MINUTE: Final = 60
_STYLES: Final = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.REPORT: "cyan",
}


async def run_alerts(desk: Desk) -> ExitCode:
    """What the first word after `alerts` says."""
    return await _WORDS[desk.arguments.rest[0]](desk)


async def list_incidents(desk: Desk) -> ExitCode:
    """List what is wrong now, or with --all what was lately; always 0, for that something is wrong is no failure here."""
    arguments, now = desk.arguments, desk.clock.now()
    with_past = bool(arguments.alerts and arguments.alerts.with_past)
    async with open_existing(desk) as store:
        if with_past:
            since = now - timedelta(seconds=arguments.last_s or _LAST_S)
            found = await alert_history(store, since, now + timedelta(seconds=1), target=arguments.target)
        else:
            found = await open_incidents(store, target=arguments.target)
    if arguments.json_file:
        _write(arguments.json_file, alerts_document(found, now))
    if not arguments.json_to_stdout:
        _print(desk, found, now, with_past=with_past)
    return ExitCode.PASSED


async def acknowledge_incident(desk: Desk) -> ExitCode:
    """Say that somebody knows of an incident; OperatorError when there is none of that number."""
    options = desk.arguments.alerts or AlertOptions()
    word = desk.arguments.rest[1]
    if not word.isdecimal() or len(word) > 15:
        remedy = "Its number stands before each incident in `runner.py alerts list`"
        raise OperatorError(f"{word!r} is no number of an incident", where="ID", remedy=remedy)
    by = options.by or desk.settings.environ.get("USER", "").strip()
    if not by:
        raise OperatorError("nobody knows who you are here", where="--by", remedy="Name yourself: --by NAME")
    async with open_existing(desk) as store:
        outbox = outbox_of(desk)
        found = await acknowledge(
            store, int(word), by=by, how="console", note=options.note, now=desk.clock.now(), outbox=outbox
        )
    incident = found.incident
    if found.is_first:
        desk.say(f"{printable(by)} knows of incident {incident.incident_id}: {printable(incident.title)}")
    elif incident.acknowledged_at is not None:
        at = instant_text(incident.acknowledged_at)
        desk.say(f"{printable(incident.acknowledged_by)} has known of it since {at} UTC; the first one counts")
    return ExitCode.PASSED


_WORDS: Mapping[str, Callable[[Desk], Awaitable[ExitCode]]] = {
    "ack": acknowledge_incident,
    "list": list_incidents,
    "test": send_test_messages,
}


def _print(desk: Desk, found: Sequence[Incident], now: datetime, *, with_past: bool) -> None:
    if not found:
        desk.console.print("Nothing was wrong." if with_past else "Nothing is wrong. With --all: what was.")
        return
    for incident in found[:_MOST_SHOWN]:
        for line in _lines(incident, now, in_full=incident.is_open):
            desk.console.print(Padding(Text(line.text, style=line.style), (0, 0, 0, line.indent), expand=False))
    if len(found) > _MOST_SHOWN:
        desk.console.print(f"{len(found) - _MOST_SHOWN} older ones are not listed; --json has them all")


def _lines(incident: Incident, now: datetime, *, in_full: bool) -> Iterator[Line]:
    minutes = int(incident.duration(now).total_seconds()) // _SECONDS_PER_MINUTE
    state = "for" if incident.is_open else "over after"
    known = f"known to {incident.acknowledged_by}" if incident.acknowledged_at else "nobody knows of it"
    if incident.silenced_by:
        known = f"silenced by {incident.silenced_by}"
    style = _STYLES[incident.severity] if incident.is_open else ""
    head = f"{incident.incident_id} {incident.severity.value}, {state} {length_text(minutes)}, {known}"
    yield Line(printable(head), indent=0, style=style)
    yield Line(printable(incident.title), style="bold" if incident.is_open else "")
    if in_full:
        for text in incident_lines(incident):
            yield Line(printable(text), indent=4)
    else:
        yield Line(f"from {instant_text(incident.first_bad_at)} UTC", indent=4)


def alerts_document(found: Sequence[Incident], now: datetime) -> Mapping[str, object]:
    """The same for programs."""
    return {
        "schema": "probe-fleet/incidents",
        "schema_version": 1,
        "generated_at": now.isoformat(),
        "incidents": [_incident_document(one) for one in found],
    }


def _incident_document(incident: Incident) -> Mapping[str, object]:
    document = {name: _plain(value) for name, value in asdict(incident).items() if name != "alerts"}
    return document | {"alerts": [_alert_document(one) for one in incident.alerts]}


def _alert_document(alert: Alert) -> Mapping[str, object]:
    document = {name: _plain(value) for name, value in asdict(alert).items() if name != "facts"}
    return document | {"facts": {name: _plain(value) for name, value in asdict(alert.facts).items()}}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def _write(where: str, document: Mapping[str, object]) -> None:
    text = json.dumps(document, indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(where), text.encode())
