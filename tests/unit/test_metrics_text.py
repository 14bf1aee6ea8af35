"""The text of `/metrics`: what we write ourselves is what prometheus-client would write, and no piece of it takes long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as ClientExemplar

from collector.exports.exposition import END_OF_OPENMETRICS, render_family, render_histogram
from collector.exports.families import Families
from collector.exports.histogram import PHASE_BOUNDS_S, STEP_BOUNDS_S, Histogram

NS: Final = 1_000_000_000
NASTY: Final = 'a"b\\c\nd} 9 # {x="y"} \u2028é'
HOLD_MS: Final = 50
LABELS: Final = ("scenario", "region", "step")


class One(Collector):
    """A family, as the library wants it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """It."""
        yield self._family


def of_library(family: Metric, *, is_open: bool) -> bytes:
    """The library's whole text."""
    write: Callable[[Collector], bytes] = generate_openmetrics if is_open else generate_latest
    return write(One(family))


def family_of(name: str, labels: tuple[str, ...], histogram: Histogram) -> HistogramMetricFamily:
    """The histogram as one hands it to the library."""
    family = HistogramMetricFamily(name, "How long.", labels=labels)
    bounds = [*(repr(bound) for bound in histogram.bounds_s), "+Inf"]
    for values, series in histogram.items():
        buckets: list[tuple[str, float] | tuple[str, float, ClientExemplar]] = []
        for place, (bound, count) in enumerate(zip(bounds, accumulate(series.counts), strict=True)):
            found = series.exemplars.get(place)
            exemplar = found and ClientExemplar({"trace_id": found.trace_id}, found.value_s, found.at_s)
            buckets.append((bound, count, exemplar) if exemplar else (bound, count))
        family.add_metric(values, buckets, series.sum_ns / NS)
    return family


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("labels", [LABELS, ("scenario",), ("a", "zone"), ("region", "phase", "job")])
def test_a_histogram_is_written_as_the_library_writes_it(labels: tuple[str, ...], *, is_open: bool) -> None:
    """Byte for byte: strange names, small and huge counts, exemplars, labels on both sides of `le`."""
    dice = random.Random(3)
    histogram = Histogram(STEP_BOUNDS_S, len(labels), 100)
    for number in range(90):
        values = tuple(f"{label}-{number}{NASTY if number % 7 == 0 else ''}" for label in labels)
        for _ in range(5):
            histogram.observe(
                values, dice.randrange(1, 400 * NS), f"{number:032x}" if number % 2 else "", 1.7e9 + number
            )
        series = dict(histogram._series)[values]
        series.counts[3] += dice.choice((0, 1, 999_990, 1_000_000, 123_456_789))
    text = b"".join(render_histogram("fleet_seconds", "How long.", labels, histogram, is_open=is_open))
    expected = of_library(family_of("fleet_seconds", labels, histogram), is_open=is_open)
    assert text.splitlines() == expected.removesuffix(END_OF_OPENMETRICS).splitlines()
    assert text == expected.removesuffix(END_OF_OPENMETRICS)


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("count", [0, 1, 150, 151, 700])
def test_a_family_in_slices_is_the_whole_family(count: int, *, is_open: bool) -> None:
    """Its heading once, each sample once."""
    family = CounterMetricFamily("fleet_runs", "Runs.\nAll of them \\", labels=["scenario"])
    for number in range(count):
        family.add_metric([f"{NASTY}{number}"], number * 1e5)
    text = b"".join(render_family(family, is_open=is_open))
    assert text == of_library(family, is_open=is_open).removesuffix(END_OF_OPENMETRICS)


def test_a_histogram_without_series_is_left_out() -> None:
    """As every family without a sample is."""
    assert not list(render_histogram("fleet_seconds", "How long.", LABELS, Histogram((1.0,), 3, 9), is_open=True))


@pytest.mark.serial
@pytest.mark.parametrize("is_open", [False, True])
def test_no_piece_of_a_large_text_holds_the_loop_for_long(*, is_open: bool) -> None:
    """1,500 series in each histogram and thousands of plain samples: the text is long, its pieces are short."""
    families = Families()
    for name, bounds, labels in (
        ("fleet_step_duration_seconds", STEP_BOUNDS_S, 3),
        ("fleet_http_phase_duration_seconds", PHASE_BOUNDS_S, 3),
        ("fleet_run_duration_seconds", STEP_BOUNDS_S, 2),
    ):
        histogram = Histogram(bounds, labels, 1_500)
        for number in range(1_500):
            for value_ns in (NS // 100, NS, 20 * NS):
                histogram.observe((f"scenario-{number}", "eu-west", "step")[:labels], value_ns, f"{number:032x}", 1.0)
        families.add_histogram(name, histogram)
    for number in range(3_000):
        families.add("fleet_runs_total", number, f"scenario-{number}", "eu-west", "pass", "0")
    costs_ms, sizes = [], []
    began_s = time.thread_time()
    for piece in families.pieces(is_open=is_open):
        costs_ms.append((time.thread_time() - began_s) * 1000)
        sizes.append(len(piece))
        began_s = time.thread_time()
    assert sum(sizes) > 10_000_000
    assert max(costs_ms) < HOLD_MS
