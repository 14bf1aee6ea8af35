"""One run as a waterfall in text: when each step and each request happened, and which phase it spent its time in.

A cell of a bar shows the phase that fills most of it; a request shorter than a cell still gets one. Pure: a run and a
width in, lines out. Called by `console.show`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.texts.figures import duration_text, printable
from collector.texts.step_texts import path_of
from console.step_rows import MARKS, step_subject
from probes.records import Exchange, Run, Step

__all__ = ["LEGEND", "WaterfallLine", "waterfall"]

_LETTERS = {
    "queue": "q",
    "dns": "d",
    "connect": "c",
    "tls": "t",
    "send": "s",
    "wait": "w",
    "receive": "r",
}
LEGEND = ", ".join(f"{letter} {name}" for name, letter in _LETTERS.items())
_STEP = "━"
_SHOWN_REQUESTS = 12
_MOST_LABEL = 34
_LEAST_BAR = 16
_TIME_WIDTH = 9


@dataclass(frozen=True, slots=True)
class WaterfallLine:
    """One line: `label`, `bar` and `time`, padded so that they stand below each other. `is_step` sets steps off from requests."""

    label: str
    bar: str
    time: str
    is_step: bool
    step: Step


def waterfall(run: Run, width: int) -> tuple[WaterfallLine, ...]:
    """The lines of `run`, none wider than `width` where that leaves room for a bar at all."""
    label_width = min(_MOST_LABEL, max(12, width // 3))
    bar_width = max(_LEAST_BAR, width - label_width - _TIME_WIDTH - 2)
    end_ns = max((step.started_ns + step.duration_ns for step in run.steps), default=0)
    scale = _Scale(max(end_ns, run.duration_ns, 1), bar_width)
    return tuple(line for step in run.steps for line in _lines_of(step, scale, label_width))


@dataclass(frozen=True, slots=True)
class _Scale:
    total_ns: int
    cells: int

    def bar(self, spans: list[tuple[int, int, str]]) -> str:
        """Spans as (start, end, letter): each cell takes the letter that covers most of it; no span vanishes."""
        covered: list[dict[str, int]] = [{} for _ in range(self.cells)]
        for start_ns, end_ns, letter in spans:
            first = min(self.cells - 1, start_ns * self.cells // self.total_ns)
            last = min(self.cells - 1, max(start_ns, end_ns - 1) * self.cells // self.total_ns)
            for cell in range(first, last + 1):
                left, right = cell * self.total_ns // self.cells, (cell + 1) * self.total_ns // self.cells
                share = max(1, min(right, end_ns) - max(left, start_ns))
                covered[cell][letter] = covered[cell].get(letter, 0) + share
        return "".join(max(cell, key=cell.__getitem__) if cell else " " for cell in covered)


def _lines_of(step: Step, scale: _Scale, label_width: int) -> Iterator[WaterfallLine]:
    bar = scale.bar([(step.started_ns, step.started_ns + step.duration_ns, _STEP)])
    label = " ".join(filter(None, (MARKS[step.outcome], step.name, step_subject(step))))
    yield _line(label, bar, step.duration_ns, step, label_width, is_step=True)
    for exchange in step.exchanges[:_SHOWN_REQUESTS]:
        label = f"  {exchange.status or '---'} {exchange.method} {path_of(exchange.url)}"
        bar = scale.bar(list(_spans(exchange)))
        yield _line(label, bar, exchange.phases.total_ns, step, label_width, is_step=False)
    hidden = step.exchanges[_SHOWN_REQUESTS:]
    if hidden:
        bar = scale.bar([span for exchange in hidden for span in _spans(exchange)])
        total_ns = sum(exchange.phases.total_ns for exchange in hidden)
        yield _line(f"  and {len(hidden)} more", bar, total_ns, step, label_width, is_step=False)


def _line(label: str, bar: str, time_ns: int, step: Step, label_width: int, *, is_step: bool) -> WaterfallLine:
    text = printable(label) if is_step else f"  {printable(label)}"
    shown = text if len(text) <= label_width else f"{text[: label_width - 1]}…"
    return WaterfallLine(f"{shown:<{label_width}}", bar, f"{duration_text(time_ns):>{_TIME_WIDTH}}", is_step, step)


def _spans(exchange: Exchange) -> Iterator[tuple[int, int, str]]:
    """The phases one after the other; an empty one takes no room."""
    start_ns = exchange.started_ns
    for name, letter in _LETTERS.items():
        length_ns: int = getattr(exchange.phases, f"{name}_ns")
        if length_ns:
            yield start_ns, start_ns + length_ns, letter
        start_ns += length_ns
