"""`releases list|add|send`: what the collector knows of releases, telling it of one without a gate, and of one that was kept.

Speaks to the collector's API where --announce or the setting `releases.url` names one, else to its database. What cannot be told
is kept in a file. Called by `console.app`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.padding import Padding
from rich.text import Text

from collector.texts.figures import printable
from collector.texts.utc_text import instant_text
from console.alert_options import AlertOptions
from console.atomic_file import write_atomically
from console.desk import Desk
from console.instants import parse_instant
from console.release_files import forget_release, keep_release, read_release
from console.release_options import ReleaseOptions
from console.release_origin import origin_of
from console.release_sending import CollectorApi, NotReachedError, collector_of
from console.scored_store import open_existing
from console.verdict import ExitCode
from probes.errors import OperatorError
from probes.release_marker import ReleaseMarker, ReleaseOutcome, release_of, render_release

__all__ = ["run_releases"]

_LAST: Final = timedelta(days=30)
_AHEAD: Final = timedelta(minutes=5)
_STYLES: Final = {ReleaseOutcome.PASS: "green", ReleaseOutcome.FAIL: "red", ReleaseOutcome.NO_GATE: ""}


async def run_releases(desk: Desk) -> ExitCode:
    """What the first word after `releases` says."""
    return await _WORDS[desk.arguments.rest[0]](desk)


async def list_releases(desk: Desk) -> ExitCode:
    """The releases of the last days, the newest first; always 0."""
    arguments, now = desk.arguments, desk.clock.now()
    last = timedelta(seconds=arguments.last_s) if arguments.last_s else _LAST
    collector = _collector(desk)
    if collector is not None:
        found = await collector.listed(last, arguments.target)
    else:
        async with open_existing(desk) as store:
            stored = await store.releases.within(desk.settings.fleet, now - last, now + _AHEAD, target=arguments.target)
        found = [one.marker for one in stored]
    if arguments.json_file:
        _write(arguments.json_file, found)
    if not arguments.json_to_stdout:
        _print(desk, found)
    return ExitCode.PASSED


async def add_release(desk: Desk) -> ExitCode:
    """Tell of a release that no gate looked at; 3 when the collector cannot be reached, and the release is kept then."""
    marker = asked_release(desk)
    collector = _collector(desk)
    if collector is None:
        async with open_existing(desk) as store:
            added = await store.releases.add(desk.settings.fleet, marker, now=desk.clock.now())
        _say_told(desk, marker, is_new=added.is_new)
        return ExitCode.PASSED
    try:
        is_new = await collector.tell(marker)
    except NotReachedError as error:
        path = keep_release(desk.settings.state_dir, marker)
        remedy = f"Tell it later: runner.py releases send {path} --announce {collector.url}"
        raise NotReachedError(error.what, where=error.where, remedy=remedy) from error
    _say_told(desk, marker, is_new=is_new)
    return ExitCode.PASSED


async def send_release(desk: Desk) -> ExitCode:
    """Tell of the release that a file keeps; the file goes when the collector has it, and stays otherwise."""
    path = Path(desk.arguments.rest[1])
    marker = read_release(path)
    collector = _collector(desk)
    if collector is None:
        async with open_existing(desk) as store:
            is_new = (await store.releases.add(desk.settings.fleet, marker, now=desk.clock.now())).is_new
    else:
        is_new = await collector.tell(marker)
    forget_release(path)
    _say_told(desk, marker, is_new=is_new)
    return ExitCode.PASSED


def asked_release(desk: Desk) -> ReleaseMarker:
    """The release as the command line describes it; OperatorError for what cannot be meant."""
    arguments, now = desk.arguments, desk.clock.now()
    options, words = arguments.release or ReleaseOptions(), arguments.alerts or AlertOptions()
    origin = origin_of(desk.settings.environ)
    target = arguments.target or desk.settings.target
    if not target:
        remedy = "Name the target as the runs of it do: --target cnc-quote"
        raise OperatorError("a release is one of a target", where="--target", remedy=remedy)
    at = parse_instant(options.at, where="--at") if options.at else now
    if at > now + _AHEAD:
        raise OperatorError(f"{options.at} lies ahead; a release is told when it is out", where="--at")
    return release_of(
        {
            "name": arguments.rest[1],
            "target": target,
            "began_at": at,
            "environment": options.environment,
            "by": words.by or origin.by,
            "report_url": options.report_url or origin.url,
            "note": words.note,
        },
        where="releases add",
    )


def _collector(desk: Desk) -> CollectorApi | None:
    """Whom to ask over the network; None: the database is asked, for --database says so or nothing names a collector."""
    options = desk.arguments.release
    if desk.arguments.database and options and options.url:
        raise OperatorError("--announce and --database are two ways to the same", where="--database")
    return None if desk.arguments.database else collector_of(desk)


def _say_told(desk: Desk, marker: ReleaseMarker, *, is_new: bool) -> None:
    knows = "knows of" if is_new else "knew already of"
    at = instant_text(marker.began_at)
    desk.say(f"The collector {knows} release {printable(marker.name)} of {printable(marker.target)} at {at} UTC")


def _print(desk: Desk, found: Sequence[ReleaseMarker]) -> None:
    if not found:
        desk.console.print("Nobody told of a release. Try: runner.py releases add NAME --target TARGET")
    for one in found:
        where = f"{one.target}, {one.environment}" if one.environment else one.target
        gate = one.outcome.value.replace("_", " ")
        head = f"{instant_text(one.began_at)} UTC {one.name} of {where}: {gate}"
        desk.console.print(Text(printable(head), style=_STYLES.get(one.outcome, "yellow")), soft_wrap=True)
        by = f"by {one.by}" if one.by else ""
        for text in (one.cause, one.note, by, one.report_url):
            if text:
                desk.console.print(
                    Padding(Text(printable(text), style="dim"), (0, 0, 0, 2), expand=False), soft_wrap=True
                )


def _write(where: str, found: Sequence[ReleaseMarker]) -> None:
    documents = [{"identity": one.identity, **json.loads(render_release(one))} for one in found]
    document = {"schema": "probe-fleet/releases", "schema_version": 1, "releases": documents}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(where), text.encode())


_WORDS: Mapping[str, Callable[[Desk], Awaitable[ExitCode]]] = {
    "add": add_release,
    "list": list_releases,
    "send": send_release,
}
