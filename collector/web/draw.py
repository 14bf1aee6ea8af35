"""Small pictures as SVG, drawn here so that they are seen without scripts: budget bars, sparklines, stacked days.

Colours are classes of the style sheet, never attributes; every picture has a title that says it in words. Refuses text from
a probe: only numbers and dates are drawn. Called by the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from collector.texts.figures import count_text
from collector.web.standing import Day, Level
from slo.budget import Unit
from slo.window import MINUTES_PER_DAY, instant_of_minute

__all__ = ["budget_bar", "day_bars", "uptime_bars"]

BAR_WIDTH: Final = 100
BAR_HEIGHT: Final = 8
DAY_WIDTH: Final = 4
DAYS_HEIGHT: Final = 24
LEAST_HEIGHT: Final = 1.5
LOW: Final = 0.25


def budget_bar(level: Level) -> Markup:
    """How much of the budget is left, as a bar; empty where there is none."""
    if level.left_share is None:
        return Markup("")
    left = max(0.0, min(1.0, level.left_share))
    tone = "bad" if level.left_share < 0 else "warn" if left < LOW else "good"
    words = f"{max(level.left_share, 0):.0%} of the budget left" if level.left_share >= 0 else "the budget is overspent"
    shape = f'<rect class="back" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" rx="2"/>'
    if level.left_share < 0:
        shape += f'<rect class="bad" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" rx="2"/>'
    elif left > 0:
        shape += f'<rect class="{tone}" width="{left * BAR_WIDTH:.1f}" height="{BAR_HEIGHT}" rx="2"/>'
    return _svg("bar", BAR_WIDTH, BAR_HEIGHT, words, shape)


def day_bars(days: Sequence[Day], unit: Unit | None, now: datetime) -> Markup:
    """What each day cost: bad upwards in one colour, unknown in another; days to come are left free."""
    if not days:
        return Markup("")
    today = int(now.astimezone(UTC).timestamp()) // 86_400
    most = max((day.bad + day.unknown for day in days), default=0)
    shape = []
    for place, day in enumerate(days):
        x = place * DAY_WIDTH
        if day.day > today:
            continue
        if not day.total and not day.unknown and not day.excluded:
            shape.append(f'<rect class="base" x="{x}" y="{DAYS_HEIGHT - 1}" width="3" height="1"/>')
            continue
        bad, unknown = (_height(count, most) for count in (day.bad, day.unknown))
        bad, unknown = _fitted(bad, unknown) if bad + unknown > DAYS_HEIGHT else (bad, unknown)
        tone = "ok" if not day.bad and not day.unknown else "base"
        shape.append(f'<rect class="{tone}" x="{x}" y="{DAYS_HEIGHT - 1}" width="3" height="1"/>')
        if bad:
            shape.append(f'<rect class="bad" x="{x}" y="{DAYS_HEIGHT - bad:.1f}" width="3" height="{bad:.1f}"/>')
        if unknown:
            y = DAYS_HEIGHT - bad - unknown
            shape.append(f'<rect class="unknown" x="{x}" y="{y:.1f}" width="3" height="{unknown:.1f}"/>')
    words = _days_in_words(days, unit, today)
    return _svg("days", len(days) * DAY_WIDTH, DAYS_HEIGHT, words, "".join(shape))


def uptime_bars(days: Sequence[Day]) -> Markup:
    """Each day as a whole bar, shared out among good, bad and unknown minutes; a day with anything unknown is never all good."""
    if not days:
        return Markup("")
    shape = []
    for place, day in enumerate(days):
        x, whole = place * DAY_WIDTH, day.total + day.unknown
        if not whole:
            tone = "excluded" if day.excluded else "unknown"
            shape.append(f'<rect class="{tone}" x="{x}" y="0" width="3" height="{DAYS_HEIGHT}"/>')
            continue
        heights = [_least(count, whole) for count in (day.bad, day.unknown)]
        bad, unknown = _fitted(*heights) if sum(heights) > DAYS_HEIGHT else heights
        top = 0.0
        for tone, height in (("unknown", unknown), ("ok", DAYS_HEIGHT - bad - unknown), ("bad", bad)):
            if height > 0:
                shape.append(f'<rect class="{tone}" x="{x}" y="{top:.1f}" width="3" height="{height:.1f}"/>')
            top += height
    known = [day for day in days if day.total]
    words = (
        f"{count_text(len(days), 'day')}: {sum(1 for day in known if day.bad)} with bad minutes, "
        f"{sum(1 for day in days if day.unknown)} with unknown ones, {len(days) - len(known)} of which nothing is known"
    )
    return _svg("days uptime", len(days) * DAY_WIDTH - 1, DAYS_HEIGHT, words, "".join(shape))


def _least(count: int, whole: int) -> float:
    """A share of the height, seen however small."""
    return max(3 * LEAST_HEIGHT, count / whole * DAYS_HEIGHT) if count else 0.0


def _height(count: int, most: int) -> float:
    return max(LEAST_HEIGHT, count / most * DAYS_HEIGHT) if count else 0.0


def _fitted(bad: float, unknown: float) -> tuple[float, float]:
    scale = DAYS_HEIGHT / (bad + unknown)
    return bad * scale, unknown * scale


def _days_in_words(days: Sequence[Day], unit: Unit | None, today: int) -> str:
    past = [day for day in days if day.day <= today]
    costly = [day for day in past if day.bad]
    if not any(day.total for day in past):
        return "nothing was decided on any day"
    if not costly:
        return f"nothing bad on any of {count_text(len(past), 'day')}"
    worst = max(costly, key=lambda day: day.bad)
    noun = "minute" if unit is Unit.MINUTES else "event"
    date = instant_of_minute(worst.day * MINUTES_PER_DAY).date().isoformat()
    return f"bad on {len(costly)} of {count_text(len(past), 'day')}, most on {date}: {count_text(worst.bad, noun)}"


def _svg(kind: str, width: float, height: float, words: str, shape: str) -> Markup:
    """Numbers and our own words only; `words` is escaped all the same."""
    return Markup(
        '<svg class="picture {}" viewBox="0 0 {} {}" role="img" preserveAspectRatio="none"><title>{}</title>{}</svg>'
    ).format(kind, width, height, words, Markup(shape))  # noqa: S704 - made above, of numbers
