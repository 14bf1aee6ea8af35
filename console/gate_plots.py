"""A gate's plots as SVG, made by hand: the evidence of a check between its bounds, and two distributions of one step.

Static, with text for who cannot see them; colours come from the page's style. Refuses scripts, fonts and anything fetched.
Called by `console.gate_html`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Final

from collector.texts.figures import duration_text
from slo.release_gate import CheckState, StepState

__all__ = ["evidence_plot", "times_plot"]

_WIDTH: Final = 640
_HEIGHT: Final = 180
_LEFT: Final = 88
_RIGHT: Final = 12
_TOP: Final = 14
_BOTTOM: Final = 28
_MOST_POINTS: Final = 400
_LEAST_SPREAD: Final = math.log(1.5)
"""So much at least from one end of the time axis to the other, or a microsecond would look like a difference."""


def evidence_plot(state: CheckState, title: str) -> str:
    """The log likelihood ratio after each round: below the lower line the check passes, above the upper one it fails."""
    low, high = state.gate.accept_to, state.gate.reject_from
    path = [0.0, *state.path]
    bottom, top = min(low, *path) * 1.1, max(high, *path) * 1.1
    rounds = max(len(path) - 1, state.gate.passes_to_accept(0))
    points = " ".join(f"{_x(at, rounds):.1f},{_y(value, bottom, top):.1f}" for at, value in _thinned(path))
    end_x, end_y = _x(len(path) - 1, rounds), _y(path[-1], bottom, top)
    return _svg(
        title,
        _level(low, bottom, top, "accept", f"pass at {low:+.1f}"),
        _level(high, bottom, top, "reject", f"fail at {high:+.1f}"),
        _level(0, bottom, top, "zero", "0"),
        f'<polyline class="path" points="{points}"/>',
        f'<circle class="dot" cx="{end_x:.1f}" cy="{end_y:.1f}" r="3"/>',
        _axis(f"round {rounds}", "0"),
    )


def times_plot(state: StepState, title: str) -> str:
    """The share of calls that took at most so long, on both sides; the time is on a logarithmic scale."""
    own = sorted(state.candidate_ns)
    base = sorted(state.baseline_ns)
    if not own or not base:
        return ""
    low, high = math.log(max(1, min(own[0], base[0]))), math.log(max(own[-1], base[-1]))
    spare = max(_LEAST_SPREAD - (high - low), 0.0) / 2
    low, high = low - spare, high + spare
    return _svg(
        title,
        _level(0.5, 0, 1, "zero", "p50"),
        _level(0.95, 0, 1, "zero", "p95"),
        f'<polyline class="base" points="{_steps(base, low, high)}"/>',
        f'<polyline class="path" points="{_steps(own, low, high)}"/>',
        _axis(duration_text(round(math.exp(high))), duration_text(round(math.exp(low)))),
    )


def _steps(times_ns: Sequence[int], low: float, high: float) -> str:
    """The stairs of a distribution."""
    points = []
    last_y = _y(0, 0, 1)
    for at, time_ns in _thinned([float(time_ns) for time_ns in times_ns]):
        x = _LEFT + (math.log(time_ns) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        y = _y((at + 1) / len(times_ns), 0, 1)
        points += [f"{x:.1f},{last_y:.1f}", f"{x:.1f},{y:.1f}"]
        last_y = y
    return " ".join(points)


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """Each value with its place; of very many every n-th and the last."""
    every = max(1, len(values) // _MOST_POINTS)
    return [(at, value) for at, value in enumerate(values) if at % every == 0 or at == len(values) - 1]


def _x(at: int, most: int) -> float:
    return _LEFT + at / max(1, most) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, bottom: float, top: float) -> float:
    return _TOP + (top - value) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)


def _level(value: float, bottom: float, top: float, kind: str, label: str) -> str:
    y = _y(value, bottom, top)
    return (
        f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="{kind}" x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{html.escape(label)}</text>'
    )


def _axis(end: str, start: str) -> str:
    y = _HEIGHT - 8
    return (
        f'<text x="{_LEFT}" y="{y}">{html.escape(start)}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{y}" text-anchor="end">{html.escape(end)}</text>'
    )


def _svg(title: str, *parts: str) -> str:
    body = "".join(parts)
    name = html.escape(title)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>{body}</svg>'
