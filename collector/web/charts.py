"""Charts as SVG, drawn here so that they are seen without scripts: lines over time with thresholds, moments, axes and a legend.

Colours are classes of the style sheet. Refuses anything but numbers and our own words; names of regions are escaped. Called by
`collector.web.level_charts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from slo.window import MINUTES_PER_DAY, instant_of_minute

__all__ = ["Chart", "Line", "Mark", "Moment", "draw_chart"]

WIDTH: Final = 760
HEIGHT: Final = 260
LEFT: Final = 64
RIGHT: Final = 12
TOP: Final = 14
BOTTOM: Final = 30
MOST_TICKS: Final = 6
SERIES: Final = 6
LABEL_WIDTH: Final = 40
"""So far apart two labels can be read."""
MOST_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class Line:
    """A line through (minute, value); None breaks it. `style` is a class of the style sheet; empty: the next of the series."""

    name: str
    points: Sequence[tuple[int, float | None]]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A level line across the chart, with its name."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A line down the chart with a short label at its top; `style` is a tone of the style sheet, `words` say what it was."""

    minute: int
    label: str
    style: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw. `is_log`: the axis of values has powers. `words` tells the chart to who cannot see it.

    Of the `moments` those within the time of the chart are drawn; their labels stand above it.
    """

    words: str
    from_minute: int
    until_minute: int
    lines: Sequence[Line]
    marks: Sequence[Mark]
    value_text: Callable[[float], str]
    is_log: bool = False
    is_step: bool = False
    moments: Sequence[Moment] = ()

    @property
    def moments_inside(self) -> tuple[Moment, ...]:
        """Those within its time."""
        return tuple(one for one in self.moments if self.from_minute <= one.minute <= self.until_minute)


def draw_chart(chart: Chart) -> Markup:
    """The chart; empty when there is nothing in it."""
    values = [value for line in chart.lines for _, value in line.points if value is not None]
    if not values or chart.until_minute <= chart.from_minute:
        return Markup("")
    scale = _Scale(chart, [*values, *(mark.value for mark in chart.marks)])
    shapes = [*_axis_of_values(chart, scale), *_axis_of_time(chart, scale)]
    shapes += [_mark(mark, scale) for mark in chart.marks]
    shapes += _moments(chart, scale)
    for number, line in enumerate(chart.lines):
        shapes.append(_line(line, _style(line, number), scale, is_step=chart.is_step))
    inner = Markup("").join(shapes)
    drawn = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title>{}</svg>').format(
        WIDTH, HEIGHT, _words(chart), inner
    )
    return drawn + _legend(chart)


class _Scale:
    """Places of minutes and values."""

    def __init__(self, chart: Chart, values: Sequence[float]) -> None:
        self._chart = chart
        low, high = min(values), max(values)
        if chart.is_log:
            self.low, self.high = max(low, 1e-9) / 1.25, max(high, 1e-9) * 1.25
        else:
            self.low, self.high = min(low, 0.0), max(high, 0.0)
            room = (self.high - self.low) * 0.05 or 1.0
            self.high += room
            self.low -= room if self.low < 0 else 0

    def x(self, minute: float) -> float:
        whole = self._chart.until_minute - self._chart.from_minute
        return LEFT + (minute - self._chart.from_minute) / whole * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        if self._chart.is_log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Round values, a handful."""
        if self._chart.is_log:
            found = [
                base * 10.0**power
                for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                for base in (1, 2, 5)
            ]
            kept = [value for value in found if self.low <= value <= self.high]
            return kept[:: max(1, -(-len(kept) // MOST_TICKS))]
        step = _round_step((self.high - self.low) / MOST_TICKS)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(base * power for base in (1, 2, 5, 10) if base * power >= least)


def _axis_of_values(chart: Chart, scale: _Scale) -> Iterator[Markup]:
    for value in scale.ticks():
        y = round(scale.y(value), 1)
        kind = "zero" if value == 0 and not chart.is_log else "grid"
        yield Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, LEFT, WIDTH - RIGHT, y, y)
        text = chart.value_text(value)
        yield Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 6, y + 4, text)


def _axis_of_time(chart: Chart, scale: _Scale) -> Iterator[Markup]:
    whole = chart.until_minute - chart.from_minute
    step = next(
        (one for one in (60, 180, 360, 720, 1440, 2880, 7200, 10_080, 20_160, 43_200) if whole / one <= 7.5), whole
    )
    first = -(-chart.from_minute // step) * step if step < 2 * MINUTES_PER_DAY else chart.from_minute
    for minute in range(first, chart.until_minute + 1, step):
        x = round(scale.x(minute), 1)
        form = "%H:%M" if step < MINUTES_PER_DAY and minute % MINUTES_PER_DAY else "%d %b"
        text = instant_of_minute(minute).strftime(form)
        anchor = "end" if x > WIDTH - 40 else "middle"
        yield Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x, x, TOP, HEIGHT - BOTTOM)
        yield Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
            x, HEIGHT - BOTTOM + 18, anchor, text
        )


def _mark(mark: Mark, scale: _Scale) -> Markup:
    y = round(scale.y(mark.value), 1)
    line = Markup('<line class="mark" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y)
    text = Markup('<text class="mark-name" x="{}" y="{}" text-anchor="end">{}</text>').format(
        WIDTH - RIGHT - 4, y - 5 if y > TOP + 16 else y + 15, mark.name
    )
    return line + text


def _moments(chart: Chart, scale: _Scale) -> Iterator[Markup]:
    """Each its line; those whose labels would run into each other share one that names the first and the last."""
    together: list[list[tuple[float, str]]] = []
    for one in sorted(chart.moments_inside, key=lambda one: one.minute):
        x = round(scale.x(one.minute), 1)
        yield Markup('<line class="moment {}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            one.style, x, x, TOP, HEIGHT - BOTTOM
        )
        if together and x - together[-1][0][0] < LABEL_WIDTH:
            together[-1].append((x, one.label))
        else:
            together.append([(x, one.label)])
    for group in together:
        (first_x, first), (last_x, last) = group[0], group[-1]
        yield Markup('<text class="moment-name" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            round((first_x + last_x) / 2, 1), TOP - 2, first if len(group) == 1 else f"{first} to {last}"
        )


def _words(chart: Chart) -> str:
    """What the chart shows, and the first of its moments."""
    moments = chart.moments_inside
    if not moments:
        return chart.words
    told = "; ".join(f"{one.label}: {one.words}" for one in moments[:MOST_TOLD])
    more = f"; and {len(moments) - MOST_TOLD} more" if len(moments) > MOST_TOLD else ""
    return f"{chart.words}. Lines: {told}{more}"


def _line(line: Line, style: str, scale: _Scale, *, is_step: bool) -> Markup:
    """The line, broken where nothing is known; a lone point is a dot."""
    parts: list[list[tuple[float, float]]] = [[]]
    for minute, value in line.points:
        if value is None:
            parts.append([])
        else:
            parts[-1].append((scale.x(minute), scale.y(value)))
    drawn = []
    for part in parts:
        if len(part) == 1:
            x, y = part[0]
            drawn.append(Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(style, x, y))
        elif part:
            drawn.append(Markup('<path class="line {}" d="{}"/>').format(style, _path(part, is_step=is_step)))
    return Markup("").join(drawn)


def _path(points: Sequence[tuple[float, float]], *, is_step: bool) -> str:
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for x, y in points[1:]:
        steps.append(f"H{x:.1f}V{y:.1f}" if is_step else f"L{x:.1f} {y:.1f}")
    return "".join(steps)


def _style(line: Line, number: int) -> str:
    return line.style or f"series-{number % SERIES + 1}"


def _legend(chart: Chart) -> Markup:
    if len(chart.lines) < 2:
        return Markup("")
    items = [
        Markup(
            '<li><svg class="key" viewBox="0 0 16 8" aria-hidden="true"><path class="line {}" d="M0 4H16"/></svg>{}</li>'
        ).format(_style(line, number), line.name)
        for number, line in enumerate(chart.lines)
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
