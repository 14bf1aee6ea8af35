"""How often the best of all tests would catch one slow step of twelve: no test with the same error rate can do better.

Neyman and Pearson's likelihood ratio, for a test that knows exactly how the noise is distributed, and how much slower the step
is; all that it does not know is which of the twelve it is. It sees of a round what a disturbance of all its runs cannot
change. A real test knows none of it, looks more than once, and shares its error rate with the checks. Called by `bench.gate`.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from bench.gate_simulation import RUN_SPREAD, Floats, Noise, draw_body

__all__ = ["Alternative", "most_power"]

_STEPS = 12
_ALPHA = 0.05
_GATES = 1500
_WIDTH = 0.02
_REACH = 8.0
_DRAWS = 400_000
_TAIL_FROM = 0.9


class Alternative(StrEnum):
    """What is slower."""

    SHIFT = "every call, 25 %"
    TAIL = "only the slowest tenth, 25 %"


def most_power(
    alternative: Alternative, noise: Noise, *, beside: int, rounds: int, gates: int = _GATES, seed: int = 1
) -> float:
    """The share of candidates with one slow step of twelve that the best test at 5 % finds after so many rounds.

    By simulation of slow candidates alone: a good one exceeds a limit as often as slow ones do, each weighed by 1 / ratio.
    """
    lot = np.random.default_rng(seed)
    usual = _sampled(noise, _DRAWS, lot)
    log_usual = _log_density(usual)
    log_slower = _log_density(_slowed(alternative, usual, usual))
    ratios = np.empty((gates, _STEPS))
    for gate in range(gates):
        times = _sampled(noise, _STEPS * rounds * (1 + beside), lot).reshape(_STEPS, rounds, 1 + beside)
        times[0, :, 0] = _slowed(alternative, times[0, :, 0], usual)
        ratios[gate] = _log_ratio(times, log_usual, log_slower).sum(axis=1)
    mixed = np.sort(np.logaddexp.reduce(ratios, axis=1) - math.log(_STEPS))[::-1]
    false = np.cumsum(np.exp(-mixed)) / gates
    return float(np.searchsorted(false, _ALPHA)) / gates


def _sampled(noise: Noise, count: int, lot: np.random.Generator) -> Floats:
    """Logarithms of times, without what all runs of a round share."""
    return RUN_SPREAD * lot.standard_normal(count) + draw_body(noise, (count,), lot)


def _slowed(alternative: Alternative, logs: Floats, usual: Floats) -> Floats:
    if alternative is Alternative.SHIFT:
        return logs + math.log(1.25)
    return np.where(logs > np.quantile(usual[:100_000], _TAIL_FROM), logs + math.log(1.25), logs)


def _log_density(sample: Floats) -> Floats:
    """The logarithm of the density on a grid from -`_REACH` to `_REACH`."""
    cells = round(2 * _REACH / _WIDTH)
    counts, _ = np.histogram(np.clip(sample, -_REACH, _REACH), bins=cells, range=(-_REACH, _REACH))
    kernel = np.exp(-0.5 * (np.arange(-5, 6) * _WIDTH / 0.03) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same") / len(sample) / _WIDTH
    return np.asarray(np.log(np.maximum(smooth, 1e-9)), dtype=np.float64)


def _log_ratio(times: Floats, log_usual: Floats, log_slower: Floats) -> Floats:
    """For each set of runs, how much more likely it is when the first is slower: over all levels that the round may have had."""
    levels = np.median(times, axis=2)[..., None] + np.arange(-2.0, 2.0, 0.04)
    others = sum(_at(times[..., run, None] - levels, log_usual) for run in range(1, times.shape[2]))
    own = times[..., 0, None] - levels
    slower, usual = others + _at(own, log_slower), others + _at(own, log_usual)
    return np.asarray(np.logaddexp.reduce(slower, axis=2) - np.logaddexp.reduce(usual, axis=2), dtype=np.float64)


def _at(places: Floats, log_density: Floats) -> Floats:
    cells = ((places + _REACH) / _WIDTH).astype(np.int64).clip(0, len(log_density) - 1)
    return np.asarray(log_density[cells], dtype=np.float64)
