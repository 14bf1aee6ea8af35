"""Numbers under catalogued names, as families of prometheus-client, and their text.

Refuses names and label sets that are not in the catalog. Called by `collector.exports.metrics_runs` and `metrics_fleet`;
needs the extra `prometheus`.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)

from collector.exports.exposition import END_OF_OPENMETRICS, render_family, render_histogram
from collector.exports.histogram import Histogram
from collector.exports.metric_catalog import CATALOG, Kind

__all__ = ["Families"]

Family = CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily


class Families:
    """The families of one exposition; those without a sample are left out."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._histograms: dict[str, Histogram] = {}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """One sample of a counter or gauge; None is no sample."""
        if value is None:
            return
        family = self._family(name)
        if isinstance(family, CounterMetricFamily | GaugeMetricFamily) and len(labels) == len(CATALOG[name].labels):
            family.add_metric(labels, value)
            return
        message = f"{name} takes one number and the labels {CATALOG[name].labels}"
        raise TypeError(message)

    def add_info(self, name: str, *labels: str) -> None:
        """A fact: only labels, always 1."""
        family = self._family(name)
        if not isinstance(family, InfoMetricFamily):
            message = f"{name} is no fact"
            raise TypeError(message)
        family.add_metric((), dict(zip(CATALOG[name].labels, labels, strict=True)))

    def add_histogram(self, name: str, histogram: Histogram) -> None:
        """All series of a histogram, with their exemplars; it is read when its text is made."""
        if CATALOG[name].kind is not Kind.HISTOGRAM:
            message = f"{name} is no histogram"
            raise TypeError(message)
        self._histograms[name] = histogram

    def pieces(self, *, is_open: bool) -> Iterator[bytes]:
        """The text, in the order of the catalog and a few milliseconds at a time; with `is_open` as OpenMetrics."""
        for name, metric in CATALOG.items():
            if name in self._histograms:
                yield from render_histogram(name, metric.help, metric.labels, self._histograms[name], is_open=is_open)
            elif name in self._families:
                yield from render_family(self._families[name], is_open=is_open)
        if is_open:
            yield END_OF_OPENMETRICS

    def _family(self, name: str) -> Family:
        found = self._families.get(name)
        if found is None:
            metric = CATALOG[name]
            match metric.kind:
                case Kind.COUNTER:
                    found = CounterMetricFamily(name, metric.help, labels=metric.labels)
                case Kind.GAUGE:
                    found = GaugeMetricFamily(name, metric.help, labels=metric.labels)
                case Kind.HISTOGRAM:
                    message = f"{name} is a histogram: hand it over whole"
                    raise TypeError(message)
                case Kind.INFO:
                    found = InfoMetricFamily(name.removesuffix("_info"), metric.help, labels=())
            self._families[name] = found
        return found
