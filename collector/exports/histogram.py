"""Times in buckets, with the last trace that fell into each.

The bounds grow by about a third to a half from one to the next, hold every limit that the built-in objectives promise (so
that a share below a limit is exact), and are the same for all series of a histogram: what Prometheus wants in order to keep
them as native histograms with custom buckets. Refuses more series than it was told. Pure; called by
`collector.exports.run_times`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from collector.exports.labels import OTHER

__all__ = ["PHASE_BOUNDS_S", "STEP_BOUNDS_S", "Exemplar", "Histogram", "Series"]

STEP_BOUNDS_S: Final = (
    *(0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0),
    *(24.0, 30.0, 48.0, 60.0, 90.0, 120.0, 180.0),
)
"""With every limit of config/slos: 0.3, 0.5, 1, 1.5, 2, 3, 5, 10, 24, 30, 48 and 60 seconds."""
PHASE_BOUNDS_S: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation of a bucket and its trace."""

    trace_id: str
    value_s: float
    at_s: float


@dataclass(slots=True)
class Series:
    """One label set; `counts` has one place more than there are bounds."""

    counts: list[int]
    sum_ns: int = 0
    exemplars: dict[int, Exemplar] = field(default_factory=dict)


class Histogram:
    """Observations by label set; whoever comes when there are too many sets is counted under `other` in every label."""

    def __init__(self, bounds_s: tuple[float, ...], labels: int, most_series: int) -> None:
        self.bounds_s = bounds_s
        self._bounds_ns = [round(bound * NS) for bound in bounds_s]
        self._most_series = most_series
        self._others = (OTHER,) * labels
        self._series: dict[tuple[str, ...], Series] = {}

    def observe(self, labels: tuple[str, ...], value_ns: int, trace_id: str, at_s: float) -> None:
        """Count a time; a bucket holds what is not above its bound."""
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= self._most_series:
                labels = self._others
            series = self._series.setdefault(labels, Series([0] * (len(self.bounds_s) + 1)))
        place = bisect_left(self._bounds_ns, value_ns)
        series.counts[place] += 1
        series.sum_ns += value_ns
        if trace_id:
            series.exemplars[place] = Exemplar(trace_id, value_ns / NS, at_s)

    def items(self) -> Iterator[tuple[tuple[str, ...], Series]]:
        """Copies of all series by their labels; safe beside a thread that observes."""
        for labels, series in sorted(self._series.copy().items()):
            yield labels, Series(list(series.counts), series.sum_ns, dict(series.exemplars))
