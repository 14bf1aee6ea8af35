"""The options of `alerts list|ack|test`; who speaks and what they say goes with `releases add`, too.

Called by `console.command_line`, read by `console.incident_command` and `console.releases_command`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

__all__ = ["AlertOptions", "add_alert_options", "alert_options_of"]


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """`with_past`: also what is over. `by` and `note`: who knows of it, and what they say. `channel`: only this one."""

    with_past: bool = False
    by: str = ""
    note: str = ""
    channel: str = ""

    @property
    def is_of_person(self) -> bool:
        """Whether it says who speaks, or what."""
        return bool(self.by or self.note)

    @property
    def is_of_alerts(self) -> bool:
        """Whether it asks for what alerts alone have."""
        return self.with_past or bool(self.channel)


def add_alert_options(parser: argparse.ArgumentParser) -> None:
    """The group of them."""
    group = parser.add_argument_group("alerts")
    group.add_argument("--all", action="store_true", help="also what is over, for alerts list")
    group.add_argument(
        "--by", default="", metavar="NAME", help="who acknowledges, or released; default: who is logged in here"
    )
    group.add_argument("--note", default="", metavar="TEXT", help="what they say")
    group.add_argument("--channel", default="", metavar="NAME", help="only this one, for alerts test")


def alert_options_of(found: argparse.Namespace) -> AlertOptions | None:
    """The options; None when none was given."""
    options = AlertOptions(found.all, found.by.strip(), found.note.strip(), found.channel.strip())
    return None if options == AlertOptions() else options
