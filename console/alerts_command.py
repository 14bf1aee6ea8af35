"""`slo alerts`: the minutes at which each tier of each line fired and resolved in a window, and why.

For people as lines, for programs as JSON. Refuses to send alerts. Called by `console.slo_command`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from collector.alert_log import LineAlerts, TierAlerts, alerts_of
from collector.score_reader import Asked
from collector.texts.figures import count_text
from collector.texts.tier_text import meaning_of
from collector.texts.utc_text import length_text, minute_text
from console.atomic_file import write_atomically
from console.desk import Desk
from console.explain_command import require_line
from console.scored_store import known_objectives, open_scored
from console.text_line import Line
from console.verdict import ExitCode
from slo.burn import Cause, Episode
from slo.window import Span, instant_of_minute

__all__ = ["show_alerts"]

_MOST_EPISODES: Final = 20
_CAUSES: Final = {
    Cause.BURN: "the budget burns",
    Cause.NO_DATA: "no data: under half of its long window is known",
}


async def show_alerts(desk: Desk) -> ExitCode:
    """List them; always 0: that alerts fired is no failure of this command."""
    arguments = desk.arguments
    for name in arguments.objectives:
        require_line(known_objectives(desk), name)
    async with open_scored(desk, arguments.objectives) as scored:
        found = await alerts_of(scored.store, scored.known, scored.asked)
        asked = scored.asked
    if arguments.json_file:
        _write(arguments.json_file, alerts_document(found, asked))
    if not arguments.json_to_stdout:
        _print(desk.console, found, asked)
    return ExitCode.PASSED


def _print(console: Console, found: Sequence[LineAlerts], asked: Asked) -> None:
    console.print(
        f"{asked.target}, as the fleet {asked.fleet} found it. All times are UTC: an alert is on from the end of the minute in "
        "which it fired to the end of the one in which it resolved."
    )
    if not found:
        console.print("This line counts nothing that could burn: it has no alerts.")
    for line in found:
        console.print(Text(f"\n{line.objective.line} {line.objective.name}: {line.objective.title}", style="bold"))
        for told in _lines(line, asked.now):
            console.print(Padding(Text(told.text, style=told.style), (0, 0, 0, told.indent), expand=False))


def _lines(line: LineAlerts, now: datetime) -> Iterator[Line]:
    yield Line(f"{line.span.name}: {minute_text(line.span.from_minute)} to {minute_text(line.span.until_minute)}")
    if line.reason:
        yield Line(line.reason)
    for tier in line.tiers:
        version = "" if tier.span.minutes == line.span.minutes else f" of version {tier.objective.version}"
        never = "" if tier.fit.refused or tier.episodes else "never on; "
        style = "cyan" if tier.episodes else ""
        yield Line(f"{tier.fit.tier.severity.value}{version}: {never}{meaning_of(tier.fit)}", style=style)
        yield from _tier_lines(tier, now)


def _tier_lines(tier: TierAlerts, now: datetime) -> Iterator[Line]:
    if tier.fit.refused:
        yield Line(f"not used: {tier.fit.refused}", indent=4, style="dim")
    for episode in tier.episodes[:_MOST_EPISODES]:
        yield Line(_episode_text(episode, tier.span, now), indent=4)
    if len(tier.episodes) > _MOST_EPISODES:
        hidden = count_text(len(tier.episodes) - _MOST_EPISODES, "later one")
        yield Line(f"{hidden} not listed; --json has them all", indent=4)


def _episode_text(episode: Episode, span: Span, now: datetime) -> str:
    cause = _CAUSES[episode.cause]
    fired = minute_text(episode.fired_at_minute)
    if episode.resolved_at_minute is None:
        # What came after the window is not looked at: an alert of a month that is over may have ended a minute later.
        state = "still on" if now < span.until_at else "still on at the end of the window"
        return f"fired {fired}, {state} ({cause})"
    length = length_text(episode.resolved_at_minute - episode.fired_at_minute)
    return f"fired {fired}, resolved {minute_text(episode.resolved_at_minute)}, on for {length} ({cause})"


def alerts_document(found: Sequence[LineAlerts], asked: Asked) -> dict[str, Any]:
    """The same for programs; a minute is written as its first instant."""
    return {
        "schema": "probe-fleet/alerts",
        "schema_version": 1,
        "generated_at": asked.now.isoformat(),
        "target": asked.target,
        "fleet": asked.fleet,
        "lines": [
            {
                "line": line.objective.line,
                "name": line.objective.name,
                "title": line.objective.title,
                "window": line.span.name,
                "from_at": line.span.from_at.isoformat(),
                "until_at": line.span.until_at.isoformat(),
                "reason": line.reason,
                "tiers": [_tier_document(tier) for tier in line.tiers],
            }
            for line in found
        ],
    }


def _tier_document(tier: TierAlerts) -> dict[str, Any]:
    fit = tier.fit
    return {
        "severity": fit.tier.severity.value,
        "version": tier.objective.version,
        "long_minutes": fit.tier.long_minutes,
        "short_minutes": fit.tier.short_minutes,
        "burn_rate": str(fit.burn),
        "bad_ratio_above": str(fit.share),
        "rule": fit.rule.value,
        "meaning": meaning_of(fit),
        "refused": fit.refused,
        "episodes": [_episode_document(episode) for episode in tier.episodes],
    }


def _episode_document(episode: Episode) -> dict[str, Any]:
    resolved = episode.resolved_at_minute
    return {
        "fired_at": instant_of_minute(episode.fired_at_minute).isoformat(),
        "resolved_at": None if resolved is None else instant_of_minute(resolved).isoformat(),
        "cause": episode.cause.value,
    }


def _write(where: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(where), text.encode())
