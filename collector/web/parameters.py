"""Parameters that several operations of the API have, as its document describes them. Called by the modules of routes.

Refuses to read a request: each is read where its page reads it.
"""

from __future__ import annotations

from typing import Final

from collector.web.registry import Parameter
from collector.web.routes_alerts import MOST_DAYS

__all__ = ["DAYS", "NAME", "NUMBER", "TARGET", "WINDOW"]

TARGET: Final = Parameter(
    "target", {"type": "string"}, "What was measured; without it the configured or the first one."
)
WINDOW: Final = Parameter(
    "window",
    {"type": "string", "pattern": "^(20[0-9]{2}-(0[1-9]|1[0-2])|[1-9][0-9]{0,2}d)$"},
    "A month as 2026-10 or days as 30d; without it each line's own.",
)
NAME: Final = Parameter("name", {"type": "string"}, "The name of a service level.", is_in_path=True)
NUMBER: Final = Parameter("number", {"type": "integer", "minimum": 0}, "The number of an alert.", is_in_path=True)
DAYS: Final = Parameter(
    "days", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS, "default": 30}, "For how many days back."
)
