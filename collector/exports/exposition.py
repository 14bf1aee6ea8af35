"""Families as text, in pieces of a millisecond or two, byte for byte what prometheus-client would write.

A large fleet has a hundred thousand lines, nearly all of them buckets, and the library takes two seconds of the interpreter for
them, which the ingest then lacks. Buckets are written here, straight from the lists that they are counted in; what is small the
library writes itself, some hundred samples at a time. Refuses to wait and to know what families there are. Called by
`collector.exports.families`; needs the extra `prometheus`.

Source: Prometheus text format 0.0.4; OpenMetrics 1.0, exemplars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import accumulate, islice
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from collector.exports.histogram import Exemplar, Histogram, Series

__all__ = ["END_OF_OPENMETRICS", "render_family", "render_histogram"]

END_OF_OPENMETRICS: Final = b"# EOF\n"
SERIES_AT_ONCE: Final = 40
SAMPLES_AT_ONCE: Final = 150
HEAD_LINES: Final = 2
PLAIN_BELOW: Final = 1_000_000
NS: Final = 1_000_000_000
_go: Final[Callable[[float], str]] = floatToGoString


class _One(Collector):
    """One family, as the library wants it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """It."""
        yield self._family


def render_family(family: Metric, *, is_open: bool) -> Iterator[bytes]:
    """The library's own text of a family, some samples at a time."""
    samples = family.samples
    part = copy(family)
    write: Callable[[Collector], bytes] = generate_openmetrics if is_open else generate_latest
    for start in range(0, max(len(samples), 1), SAMPLES_AT_ONCE):
        part.samples = samples[start : start + SAMPLES_AT_ONCE]
        text = write(_One(part))
        text = text.removesuffix(END_OF_OPENMETRICS)
        yield text.split(b"\n", HEAD_LINES)[HEAD_LINES] if start else text


def render_histogram(
    name: str, words: str, labels: Sequence[str], histogram: Histogram, *, is_open: bool
) -> Iterator[bytes]:
    """The text of a histogram, some series at a time; nothing where it has none. Exemplars are in OpenMetrics alone."""
    bounds = [*(repr(bound) for bound in histogram.bounds_s), "+Inf"]
    items = histogram.items()
    is_first = True
    while some := list(islice(items, SERIES_AT_ONCE)):
        if is_first:
            yield from render_family(HistogramMetricFamily(name, words, labels=labels), is_open=is_open)
            is_first = False
        yield "".join(
            _lines(name, dict(zip(labels, values, strict=True)), bounds, series, is_open=is_open)
            for values, series in some
        ).encode()


def _lines(name: str, labels: dict[str, str], bounds: Sequence[str], series: Series, *, is_open: bool) -> str:
    """A series: a line for each bound, its count, its sum."""
    before = "".join(f'{label}="{_escaped(value)}",' for label, value in sorted(labels.items()) if label < "le")
    after = "".join(f',{label}="{_escaped(value)}"' for label, value in sorted(labels.items()) if label > "le")
    start, end = f'{name}_bucket{{{before}le="', f'"{after}}} '
    running = list(accumulate(series.counts))
    exemplars = series.exemplars if is_open else {}
    lines = [f"{start}{bound}{end}{_number(count)}" for bound, count in zip(bounds, running, strict=True)]
    for place, exemplar in exemplars.items():
        lines[place] += _exemplar(exemplar)
    whole = f"{before}{after.removeprefix(',')}" if after else before.removesuffix(",")
    lines.append(f"{name}_count{{{whole}}} {_number(running[-1])}")
    lines.append(f"{name}_sum{{{whole}}} {_go(series.sum_ns / NS)}\n")
    return "\n".join(lines)


def _number(count: int) -> str:
    """A count as the library has it: a float, with an exponent from a million on."""
    if count < PLAIN_BELOW:
        return f"{count}.0"
    return _go(count)


def _exemplar(exemplar: Exemplar) -> str:
    return f' # {{trace_id="{_escaped(exemplar.trace_id)}"}} {_go(exemplar.value_s)} {exemplar.at_s}'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
