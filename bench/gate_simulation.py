"""Made-up candidates and baselines for the release gate: whole gates, decided by the very code that decides real ones.

The latencies have one of several shapes (`Noise`); all steps of a run share an influence, and all runs of a round another that
drifts; steps take from 30 ms to 8 s. A host that is busy half of the time, in stretches, makes whole runs slower, one or
another of a round by chance, and some rounds unfit, whatever they found. Called by `bench.gate` and by the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from slo.release_gate import GateTerms, ReleaseDecision, ReleaseGate

__all__ = ["RUN_SPREAD", "Candidate", "GateEnd", "Noise", "draw_body", "simulate_gate"]

_MOST = 360
_BASES_MS = (30, 60, 120, 250, 400, 700, 1200, 2000, 3000, 4500, 6000, 8000)
_BLOCK = 12
"""So many rounds long is a stretch in which the host is busy, or is not."""


RUN_SPREAD = 0.10
"""What all steps of a run share, as the standard deviation of a log-normal factor."""
Floats = NDArray[np.float64]


class Noise(StrEnum):
    """How the times of a step are distributed."""

    WEB = "a web platform"
    """A log-normal body (30 %), and one call in thirty with a stall that makes it three times as long on average."""
    LOG_NORMAL = "log-normal"
    HEAVY = "heavy tails"
    """Student's t with three degrees of freedom on the logarithm: the standard deviation says little."""
    COLD = "cold cache"
    """Two humps: 15 % of the calls find nothing in the cache and take three times as long."""
    STORMS = "storms over both"
    """As `WEB`, and each round with an influence of its own on all its runs, of 50 % and without memory."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is put to the gate. `bad` has the failing share of single checks, by number; all others fail `usual`.

    `slower` multiplies the times of the steps in `slow_steps` (None: of all); `tail` makes that share of the calls three times as
    long instead. `busy`: the host is busy half of the time. `beside`: runs of the baseline in each round.
    """

    checks: int = 4
    steps: int = 3
    usual: float = 0.001
    bad: dict[int, float] = field(default_factory=dict)
    slower: float = 1.0
    slow_steps: frozenset[int] | None = None
    tail: float = 0.0
    busy: bool = False
    noise: Noise = Noise.WEB
    beside: int = 2


@dataclass(frozen=True, slots=True)
class GateEnd:
    """The answer, and after how many rounds."""

    answer: ReleaseDecision
    rounds: int


def simulate_gate(terms: GateTerms, candidate: Candidate, lot: np.random.Generator) -> GateEnd:
    """One gate from its first round to its answer."""
    names = [f"check-{number}" for number in range(candidate.checks)]
    gate = ReleaseGate(terms, names)
    busy = _busy_rounds(lot) if candidate.busy else np.zeros(_MOST, dtype=bool)
    passes = {name: _passes(candidate, number, busy, lot) for number, name in enumerate(names)}
    times: Callable[[int, int], tuple[dict[str, int], list[dict[str, int]]]] | None = None
    if terms.margin is not None:
        times = _times(candidate, busy, lot)
    for number in range(_MOST):
        for place, name in enumerate(names):
            if not gate.wants(name):
                continue
            passed = passes[name][number]
            gate.add_round(name, passed=passed)
            if times is not None and passed and gate.wants_times(name):
                gate.add_times(name, *times(place, number))
        if (answer := gate.answer()) is not None:
            return GateEnd(answer, number + 1)
    return GateEnd(gate.answer_at_the_end(), _MOST)


def _busy_rounds(lot: np.random.Generator) -> NDArray[np.bool_]:
    return np.repeat(lot.random(math.ceil(_MOST / _BLOCK)) < 0.5, _BLOCK)[:_MOST]


def _passes(candidate: Candidate, number: int, busy: NDArray[np.bool_], lot: np.random.Generator) -> list[bool | None]:
    """The rounds of one check. On a busy host one in five is unfit: more of those fail, and none of them counts."""
    passed = lot.random(_MOST) >= candidate.bad.get(number, candidate.usual)
    unfit = busy & (lot.random(_MOST) < 0.2)
    return [None if spoilt else bool(good) for good, spoilt in zip(passed, unfit, strict=True)]


def _times(
    candidate: Candidate, busy: NDArray[np.bool_], lot: np.random.Generator
) -> Callable[[int, int], tuple[dict[str, int], list[dict[str, int]]]]:
    """The steps' times of the candidate and of each run of the baseline, in any round of any check."""
    shape = (1 + candidate.beside, candidate.checks, _MOST)
    run = _shared(candidate.noise, candidate.checks, lot) + RUN_SPREAD * lot.standard_normal(shape)
    if candidate.busy:
        run += np.where(busy, lot.exponential(0.35, shape), 0.0)
    bases = np.resize(np.array(_BASES_MS, dtype=float) * 1e6, (candidate.checks, 1, candidate.steps))
    times = bases * np.exp(run[..., None] + draw_body(candidate.noise, (*shape, candidate.steps), lot))
    number = np.arange(candidate.checks * candidate.steps).reshape(candidate.checks, 1, candidate.steps)
    slow = (
        np.isin(number, list(candidate.slow_steps)) if candidate.slow_steps is not None else np.ones_like(number, bool)
    )
    times[0] *= np.where(slow, candidate.slower, 1.0)
    if candidate.tail:
        times[0] *= np.where(slow & (lot.random(times[0].shape) < candidate.tail), 3.0, 1.0)
    whole = times.astype(np.int64)
    names = [f"step-{step}" for step in range(candidate.steps)]

    def of(check: int, at: int) -> tuple[dict[str, int], list[dict[str, int]]]:
        own, *others = (dict(zip(names, row, strict=True)) for row in whole[:, check, at].tolist())
        return own, others

    return of


def draw_body(noise: Noise, shape: tuple[int, ...], lot: np.random.Generator) -> Floats:
    """The logarithm of what a single step has of its own."""
    match noise:
        case Noise.LOG_NORMAL:
            return 0.32 * lot.standard_normal(shape)
        case Noise.HEAVY:
            return np.clip(0.20 * lot.standard_t(3, shape), -4, 4)
        case Noise.COLD:
            return 0.22 * lot.standard_normal(shape) + np.where(lot.random(shape) < 0.15, math.log(3), 0.0)
        case Noise.WEB | Noise.STORMS:
            stall = np.where(lot.random(shape) < 1 / 30, np.log1p(lot.exponential(2.0, shape)), 0.0)
            return 0.30 * lot.standard_normal(shape) + stall


def _shared(noise: Noise, checks: int, lot: np.random.Generator) -> Floats:
    """What all runs of a round share: a slow wander of 15 %, or a storm."""
    if noise is Noise.STORMS:
        return 0.5 * lot.standard_normal((checks, _MOST))
    kicks = 0.15 * math.sqrt(1 - 0.9**2) * lot.standard_normal((checks, _MOST))
    wander = np.zeros((checks, _MOST))
    level = 0.15 * lot.standard_normal(checks)
    for number in range(_MOST):
        level = 0.9 * level + kicks[:, number]
        wander[:, number] = level
    return wander
