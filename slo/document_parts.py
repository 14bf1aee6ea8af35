"""What several kinds of objective files have in common: the heading with its annotations, and the window.

Refuses windows that are not calendar months of an IANA zone or rolling days, and names that cannot stand in an address. Pure;
called by `slo.document_slo` and `slo.document_own`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Final

from slo.fields import Fields
from slo.objective import Tier
from slo.window import CalendarMonths, RollingDays, Window, month_span

__all__ = ["DEFAULT_COVERAGE", "TOP_KEYS", "WINDOW_KEYS", "Heading", "read_heading", "read_window"]

TOP_KEYS: Final = ("apiVersion", "kind", "metadata", "spec")
WINDOW_KEYS: Final = ("duration", "calendar", "isRolling")
DEFAULT_COVERAGE: Final = Fraction(99, 100)
_METADATA_KEYS: Final = ("name", "displayName", "annotations", "labels")
_MAX_DAYS: Final = 400
"""The collector keeps its cells no longer by default. Source: `collector.keep_days` of config/fleet.toml."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Name, wording and annotations of a document."""

    name: str
    title: str
    line: str
    version: int
    tier: Tier
    effective_from: datetime | None
    notes: Fields


def read_heading(top: Fields, *, extra: tuple[str, ...] = ()) -> Heading:
    """The metadata of something that stands for a line; `extra` are the annotations of its kind."""
    metadata = top.fields("metadata", allowed=_METADATA_KEYS)
    allowed = ("fleet/line", "fleet/version", "fleet/tier", "fleet/effectiveFrom", *extra)
    notes = metadata.fields("annotations", allowed=allowed)
    return Heading(
        name=metadata.name("name"),
        title=metadata.text("displayName"),
        line=notes.text("fleet/line"),
        version=notes.count("fleet/version"),
        tier=notes.choice("fleet/tier", Tier) if notes.has("fleet/tier") else Tier.CONTRACT,
        effective_from=notes.instant("fleet/effectiveFrom") if notes.has("fleet/effectiveFrom") else None,
        notes=notes,
    )


def read_window(spec: Fields) -> Window:
    """The window; OpenSLO's `1m` is one minute and `1M` one month, so a minute is refused as the slip it is."""
    window = spec.only_item(
        "timeWindow", allowed=WINDOW_KEYS, remedy="Each window is an objective with a name of its own"
    )
    duration = window.text("duration")
    is_short = re.fullmatch(r"[0-9]+[smh]", duration) is not None
    if duration.endswith("m"):
        reason = f"{duration!r} means minutes, which is no window to score; a month is written '1M'"
        window.refuse("duration", reason, "Write '1M' with a calendar, or '30d' with isRolling: true")
    elif is_short:
        window.refuse("duration", f"{duration!r} is too short to score", "Write '1M' with a calendar, or days: '30d'")
    if window.flag("isRolling"):
        return _rolling(window, duration, is_refused=is_short)
    return _calendar(window, duration, is_refused=is_short)


def _rolling(window: Fields, duration: str, *, is_refused: bool) -> Window:
    window.absent("calendar", why="a rolling window has no calendar")
    found = re.fullmatch(r"([1-9][0-9]{0,2})d", duration)
    if found is not None and int(found[1]) <= _MAX_DAYS:
        return RollingDays(int(found[1]))
    if duration and not is_refused:
        reason = f"{duration!r} is not a number of days such as '30d', from 1 to {_MAX_DAYS}"
        window.refuse("duration", reason, "Write '30d', or leave out isRolling for a calendar month")
    return RollingDays(30)


def _calendar(window: Fields, duration: str, *, is_refused: bool) -> Window:
    if duration and duration != "1M" and not is_refused:
        reason = f"a calendar window is one month, '1M', not {duration!r}"
        window.refuse("duration", reason, "Write '1M', or days with isRolling: true")
    calendar = window.fields("calendar", allowed=("startTime", "timeZone"))
    _check_start(calendar)
    zone = calendar.text("timeZone")
    try:
        month_span("2026-01", zone or "UTC")
    except ValueError:
        reason = f"{zone!r} is not a zone of the IANA database"
        calendar.refuse("timeZone", reason, "Write UTC, or a region and a city such as Europe/Berlin")
    return CalendarMonths(zone or "UTC")


def _check_start(calendar: Fields) -> None:
    """OpenSLO counts windows from here; ours are the calendar's months, so that any other first instant would be a lie."""
    raw = calendar.raw("startTime")
    if isinstance(raw, date):
        shown = f"{raw:%Y-%m-%d} 00:00:00"
        calendar.refuse("startTime", "was read by YAML as a date, and not as a text", f'Put it in quotes: "{shown}"')
        return
    text = calendar.text("startTime")
    try:
        start = datetime.fromisoformat(text or "2026-01-01 00:00:00")
    except ValueError:
        remedy = 'Write the first instant of a month: "2026-01-01 00:00:00"'
        calendar.refuse("startTime", f"{text!r} is not a date and time", remedy)
        return
    if (start.day, start.hour, start.minute, start.second) != (1, 0, 0, 0):
        remedy = f'Write "{start:%Y-%m}-01 00:00:00"'
        calendar.refuse("startTime", f"{text!r} is not the first instant of a month, as scored months are", remedy)
