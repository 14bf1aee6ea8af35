"""What is drawn of one service level: how its budget burned down, its step times with the threshold, and those by region.

The same numbers go to Plotly as JSON, for whoever looks closer. Refuses numbers of its own. Called by
`collector.web.routes_levels`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from pydantic import JsonValue

from collector.texts.figures import duration_text
from collector.web.charts import Chart, Line, Mark, Moment
from collector.web.latency import Latency
from collector.web.level_view import LevelView
from slo.budget import Unit
from slo.window import Span, instant_of_minute

__all__ = ["burn_chart", "chart_document", "latency_chart", "region_chart", "share_name"]

MOST_REGIONS_DRAWN: Final = 6


def burn_chart(view: LevelView, moments: Sequence[Moment] = ()) -> Chart | None:
    """What was left of the budget, from all of it to now, with what happened meanwhile."""
    span = view.level.span
    if len(view.burn_down) < 2 or span is None or view.allowed is None:
        return None
    unit = "min" if view.level.unit is Unit.MINUTES else "events"
    last = view.burn_down[-1].left
    words = f"budget left over {span.name}: {last:,.1f} {unit} of {view.allowed:,.1f}"
    points = [(point.until_minute, point.left) for point in view.burn_down]
    return Chart(
        words=words,
        from_minute=span.from_minute,
        until_minute=span.until_minute,
        lines=[Line("budget left", points, "series-1")],
        marks=[Mark("spent", 0.0)],
        value_text=lambda value: f"{value:,.6g}",
        is_step=True,
        moments=moments,
    )


def latency_chart(latency: Latency, span: Span, moments: Sequence[Moment] = ()) -> Chart:
    """The percentiles of all regions together, with the threshold; the line's own percentile is one of them."""
    shares = sorted({share for _, found in latency.points for share in found.at})
    lines = [
        Line(share_name(share), [(minute, _ms(found.at[share])) for minute, found in latency.points])
        for share in shares
    ]
    return Chart(
        words=f"times of {', '.join(latency.steps)} by percentile; the line's threshold is {duration_text(latency.limit_ns)}",
        from_minute=span.from_minute,
        until_minute=_until(latency, span),
        lines=[line for line in lines if any(value is not None for _, value in line.points)],
        marks=[_threshold(latency)],
        value_text=_ms_text,
        is_log=True,
        moments=moments,
    )


def region_chart(latency: Latency, span: Span, moments: Sequence[Moment] = ()) -> Chart:
    """The line's own percentile in each region; beyond six regions the slowest ones, the table has all."""
    regions = sorted(latency.region_points, key=lambda region: -_slowest(latency, region))[:MOST_REGIONS_DRAWN]
    lines = [
        Line(region, [(minute, _ms(time_ns)) for minute, time_ns in latency.region_points[region]])
        for region in sorted(regions)
    ]
    return Chart(
        words=f"{share_name(latency.own)} by region; the line's threshold is {duration_text(latency.limit_ns)}",
        from_minute=span.from_minute,
        until_minute=_until(latency, span),
        lines=lines,
        marks=[_threshold(latency)],
        value_text=_ms_text,
        is_log=True,
        moments=moments,
    )


def chart_document(chart: Chart, title: str, unit: str) -> dict[str, JsonValue]:
    """The chart for Plotly: lines of instants and values, and marks."""
    lines: list[JsonValue] = [
        {
            "name": line.name,
            "x": [instant_of_minute(minute).strftime("%Y-%m-%d %H:%M") for minute, _ in line.points],
            "y": [value for _, value in line.points],
        }
        for line in chart.lines
    ]
    marks: list[JsonValue] = [{"name": mark.name, "value": mark.value} for mark in chart.marks]
    moments: list[JsonValue] = [
        {"label": one.label, "tone": one.style, "at": instant_of_minute(one.minute).strftime("%Y-%m-%d %H:%M")}
        for one in chart.moments_inside
    ]
    return {
        "title": title,
        "unit": unit,
        "is_log": chart.is_log,
        "is_step": chart.is_step,
        "lines": lines,
        "marks": marks,
        "moments": moments,
    }


def share_name(share: Fraction) -> str:
    """A percentile as people say it: `p95`."""
    return f"p{float(share * 100):g}"


def _threshold(latency: Latency) -> Mark:
    return Mark(f"threshold {duration_text(latency.limit_ns)} for {share_name(latency.own)}", latency.limit_ns / 1e6)


def _slowest(latency: Latency, region: str) -> float:
    return max((time_ns or 0 for _, time_ns in latency.region_points[region]), default=0)


def _until(latency: Latency, span: Span) -> int:
    """A window that has hardly begun is not drawn as an empty month."""
    last = max((minute for minute, _ in latency.points), default=span.until_minute)
    return min(span.until_minute, max(last + 60, span.from_minute + math.ceil(span.minutes / 10)))


def _ms(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e6


def _ms_text(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"
