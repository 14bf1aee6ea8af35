"""`maintenance add|list|remove`: works that are announced, which service levels may then leave out of their windows.

What was announced is not rewritten: a name is taken for good once its works have begun, and the instant of the announcement is
now and no argument. Refuses works that no line is concerned with, which are a slip in a glob. Called by `console.app`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from collector.maintenance_log import ListedOccurrence, concerned_lines, listed_occurrences
from collector.score_reader import maintenance_of, parse_maintenance, render_maintenance
from collector.store import Store
from collector.texts.figures import count_text
from collector.texts.utc_text import instant_text, length_text, minute_text
from console.desk import Desk
from console.instants import parse_instant
from console.scored_store import known_objectives, open_existing
from console.text_line import Line
from console.verdict import ExitCode
from probes.errors import OperatorError
from slo.maintenance import Approval, MaintenanceWindow
from slo.objective_set import ObjectiveSet
from slo.window import Span, minute_of

__all__ = ["run_maintenance"]

_ANY: Final = ("*",)
_DAYS: Final = timedelta(days=60)
_MOST_PAST: Final = 4
_MOST_AHEAD: Final = 8
_MOST_NAMED: Final = 8
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MINUTE_S: Final = 60


async def run_maintenance(desk: Desk) -> ExitCode:
    """What the first word after `maintenance` says."""
    return await _WORDS[desk.arguments.rest[0]](desk)


# add


async def add_maintenance(desk: Desk) -> ExitCode:
    """Announce works as of now, and say what that leaves out; OperatorError for what cannot be meant."""
    now = desk.clock.now()
    window = asked_window(desk, now)
    known = known_objectives(desk)
    async with open_existing(desk) as store:
        regions = await _regions(store, desk)
        names = concerned_lines(window, known, regions)
        if not names:
            remedy = "A line is left out only when all scenarios that it measures are; see --objectives, --scenarios, --regions"
            raise OperatorError("no line is concerned by these works", where=window.name, remedy=remedy)
        if any(window.name == one.name for one in known.maintenance):
            raise OperatorError(f"a file announces {window.name!r} already", where="name", remedy="Choose another name")
        await store.scores.add_maintenance(window.name, render_maintenance(window), now=now)
        ahead = await _listed(store, known, regions, now, minute_of(now), minute_of(now + _DAYS))
    desk.say(f"Announced {window.name} at {instant_text(now)} UTC")
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    desk.say(f"It concerns {count_text(len(names), 'line')}: {', '.join(names[:_MOST_NAMED])}{more}")
    listed = ahead[window.name]
    if not listed:
        desk.say(f"It does not happen within the next {_DAYS.days} days: {_first_words(window)}")
    for line in _occurrence_lines(listed, now):
        desk.say(f"  {line.text}")
    return ExitCode.PASSED


def asked_window(desk: Desk, now: datetime) -> MaintenanceWindow:
    """The works as the command line describes them."""
    arguments = desk.arguments
    name = arguments.rest[1]
    if _NAME.fullmatch(name) is None:
        raise OperatorError(f"{name!r} is no name", where="name", remedy="Write it in small letters, digits and dashes")
    for option, value in (("--starts", arguments.starts), ("--reason", arguments.reason.strip())):
        if not value:
            raise OperatorError(f"`maintenance add` needs {option}", remedy=_example(name))
    duration_s = arguments.duration_s
    if duration_s is None or duration_s < _MINUTE_S or duration_s % _MINUTE_S:
        message = "`maintenance add` needs a --duration of whole minutes"
        raise OperatorError(message, where="--duration", remedy=_example(name))
    try:
        return MaintenanceWindow(
            name,
            parse_instant(arguments.starts, where="--starts"),
            int(duration_s) // _MINUTE_S,
            now,
            arguments.reason.strip(),
            arguments.rrule,
            tuple(str(folder) for folder in arguments.scenario_dirs) or _ANY,
            arguments.objective_globs or _ANY,
            arguments.region_globs or _ANY,
        )
    except ValueError as error:
        where = "--rrule" if arguments.rrule else name
        raise OperatorError(str(error), where=where, remedy=_example(name)) from error


def _example(name: str) -> str:
    return f"runner.py maintenance add {name} --starts 2026-10-03T02:00Z --duration 2h --reason 'new database'"


# list


async def list_maintenance(desk: Desk) -> ExitCode:
    """Everything that is announced, with each time of the last and next sixty days: left out, or counting and why."""
    now = desk.clock.now()
    known = known_objectives(desk)
    async with open_existing(desk) as store:
        windows = await maintenance_of(store, known)
        regions = await _regions(store, desk)
        found = await _listed(store, known, regions, now, minute_of(now - _DAYS), minute_of(now + _DAYS))
    if not windows:
        desk.console.print("Nothing is announced. Try: runner.py maintenance add --help")
    in_files = {one.name for one in known.maintenance}
    for window in windows:
        _print_window(desk.console, window, found[window.name], now, is_file=window.name in in_files)
    return ExitCode.PASSED


def _print_window(
    console: Console, window: MaintenanceWindow, found: Sequence[ListedOccurrence], now: datetime, *, is_file: bool
) -> None:
    console.print(Text.assemble((window.name, "bold"), f": {window.reason or 'no reason given'}"))
    for line in (*_about(window, is_file=is_file), *_occurrence_lines(found, now)):
        console.print(Padding(Text(line.text, style=line.style), (0, 0, 0, line.indent), expand=False))
    if not found:
        told = f"nothing within {_DAYS.days} days of now that a line is concerned with"
        console.print(Padding(Text(told, style="dim"), (0, 0, 0, 4), expand=False))


def _about(window: MaintenanceWindow, *, is_file: bool) -> Iterator[Line]:
    source = ", in a file" if is_file else ""
    yield Line(f"announced {instant_text(window.announced_at)} UTC{source}; {_first_words(window)}", style="dim")
    scope = {"scenarios": window.scenarios, "objectives": window.objectives, "regions": window.regions}
    told = [f"{what} {', '.join(globs)}" for what, globs in scope.items() if globs != _ANY]
    yield Line("; ".join(told) or "all scenarios, objectives and regions", style="dim")


def _first_words(window: MaintenanceWindow) -> str:
    rule = f", {window.rrule}" if window.rrule else ""
    return f"from {instant_text(window.starts_at)} UTC for {length_text(window.duration_minutes)}{rule}"


def _occurrence_lines(found: Sequence[ListedOccurrence], now: datetime) -> Iterator[Line]:
    """The last few that are over and the next ones; how many are not listed on either side."""
    past = [one for one in found if one.until_minute <= minute_of(now)]
    ahead = found[len(past) :]
    if len(past) > _MOST_PAST:
        yield Line(f"{count_text(len(past) - _MOST_PAST, 'earlier one')} not listed", indent=4, style="dim")
    for one in (*past[-_MOST_PAST:], *ahead[:_MOST_AHEAD]):
        length = length_text(one.until_minute - one.from_minute)
        told = "; ".join(_ruling(approval, lines) for approval, lines in sorted(one.rulings.items()))
        style = "" if set(one.rulings) == {Approval.APPROVED} else "yellow"
        yield Line(f"{minute_text(one.from_minute)} UTC for {length}: {told}", indent=4, style=style)
    if len(ahead) > _MOST_AHEAD:
        yield Line(f"{count_text(len(ahead) - _MOST_AHEAD, 'later one')} not listed", indent=4, style="dim")


def _ruling(approval: Approval, lines: int) -> str:
    verb = "left out" if approval is Approval.APPROVED else f"counts, {approval.value}"
    return f"{verb} ({count_text(lines, 'line')})"


# remove


async def remove_maintenance(desk: Desk) -> ExitCode:
    """Take back works that have not begun; OperatorError for others: numbers that were reported must not change."""
    name, now = desk.arguments.rest[1], desk.clock.now()
    known = known_objectives(desk)
    async with open_existing(desk) as store:
        stored = {one.name: parse_maintenance(one.document) for one in await store.scores.maintenance()}
        if name not in stored:
            is_file = any(one.name == name for one in known.maintenance)
            remedy = "It stands in a file: take it out there" if is_file else "`maintenance list` names them"
            raise OperatorError(f"no maintenance {name!r} was announced by command", where=name, remedy=remedy)
        window = stored[name]
        if window.starts_at <= now:
            message = (
                f"{name} began at {instant_text(window.starts_at)} UTC: what was announced and has begun is not rewritten, "
                "for scores that were reported rest on it"
            )
            raise OperatorError(message, where=name, remedy="Announce further works under another name")
        await store.scores.remove_maintenance(name)
    desk.say(f"Took back {name}, which was to begin at {instant_text(window.starts_at)} UTC")
    return ExitCode.PASSED


async def _regions(store: Store, desk: Desk) -> tuple[str, ...]:
    """All regions that may be meant: those of the settings, and wherever a probe was heard."""
    heard = sorted({state.address.region for state in await store.probes()})
    return tuple(dict.fromkeys([*desk.settings.regions, *heard]))


async def _listed(
    store: Store, known: ObjectiveSet, regions: Sequence[str], now: datetime, from_minute: int, until_minute: int
) -> dict[str, list[ListedOccurrence]]:
    windows = await maintenance_of(store, known)
    span = Span(now.astimezone(UTC).isoformat(), from_minute, until_minute)
    return listed_occurrences(windows, known, span, regions)


_WORDS: Mapping[str, Callable[[Desk], Awaitable[ExitCode]]] = {
    "add": add_maintenance,
    "list": list_maintenance,
    "remove": remove_maintenance,
}
