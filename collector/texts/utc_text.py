"""Instants as the reports of service levels say them: in UTC, to the minute; the zone is named once beside them.

Refuses local time. Called by the commands that explain and list, and by the pages.
"""

from __future__ import annotations

from datetime import UTC, datetime

from slo.window import instant_of_minute

__all__ = ["instant_text", "length_text", "minute_text"]

_FORM = "%Y-%m-%d %H:%M"
_HOUR = 60


def instant_text(instant: datetime) -> str:
    """`2026-09-03 10:12`, in UTC."""
    return instant.astimezone(UTC).strftime(_FORM)


def minute_text(minute: int) -> str:
    """The same of a minute since the epoch."""
    return instant_text(instant_of_minute(minute))


def length_text(minutes: int) -> str:
    """`12 min`, `2 h`, `26 h 05 min`."""
    hours, rest = divmod(minutes, _HOUR)
    if not hours:
        return f"{minutes} min"
    return f"{hours:,} h {rest:02d} min" if rest else f"{hours:,} h"
