"""How often the release gate is wrong: 10,000 gates of each kind, through the code that decides real ones.

A good candidate fails at most alpha, a bad one passes at most beta, an identical candidate and baseline differ at most alpha, and
a candidate 25 % slower at p95, in all its steps or in a single one, is caught within 60 rounds at least four times in five; a
host that is busy half of the time moves no rate above its bound. Other shapes of latency and a single run of the baseline are
tried with 2,000 gates each, and beside all of it stands what the best of all tests could do (`bench.gate_bound`). Called by
`python -m bench gate`; half an hour on two cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bench.gate_bound import Alternative, most_power
from bench.gate_simulation import Candidate, GateEnd, Noise, simulate_gate
from bench.report import Findings, Goal, median
from slo.latency_test import Margin
from slo.release_gate import GateTerms, ReleaseDecision

__all__ = ["KINDS", "Kind", "rates", "run"]

GATES = 10_000
FEWER_GATES = 2_000
SEED = 20_261_125
_PART = 500
_PLAIN = GateTerms()
_BESIDE = GateTerms(margin=Margin())
_LATEST = 60
_ONE_OF_TWELVE = frozenset({7})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of candidate. `wrong` is the answer that must be rare, `caught` the least share that fails within 60 rounds."""

    name: str
    terms: GateTerms
    candidate: Candidate
    wrong: ReleaseDecision
    caught: float | None = None
    gates: int = GATES
    limit: float = 0.05


def _slow(**others: object) -> Candidate:
    return Candidate(slower=1.25, slow_steps=_ONE_OF_TWELVE, **others)  # type: ignore[arg-type] # its own fields, by name


KINDS: tuple[Kind, ...] = (
    Kind("good: 15 checks fail 0.1 %", _PLAIN, Candidate(checks=15), ReleaseDecision.FAIL),
    Kind("bad: one check of 15 fails 3 %", _PLAIN, Candidate(checks=15, bad={7: 0.03}), ReleaseDecision.PASS),
    Kind("good, busy host", _PLAIN, Candidate(checks=15, busy=True), ReleaseDecision.FAIL),
    Kind("bad, busy host", _PLAIN, Candidate(checks=15, bad={7: 0.03}, busy=True), ReleaseDecision.PASS),
    Kind("identical to the baseline, 12 steps", _BESIDE, Candidate(), ReleaseDecision.FAIL),
    Kind("identical, busy host", _BESIDE, Candidate(busy=True), ReleaseDecision.FAIL),
    Kind("25 % slower, all 12 steps", _BESIDE, Candidate(slower=1.25), ReleaseDecision.PASS, caught=0.8),
    Kind("25 % slower, one step of 12", _BESIDE, _slow(), ReleaseDecision.PASS, caught=0.8),
    Kind("25 % slower, one step of 12, busy host", _BESIDE, _slow(busy=True), ReleaseDecision.PASS),
    Kind(
        "25 % slower, one step of a gate of 3",
        _BESIDE,
        Candidate(checks=1, slower=1.25, slow_steps=frozenset({2})),
        ReleaseDecision.PASS,
        caught=0.8,
    ),
    *(
        Kind(f"identical, {noise}", _BESIDE, Candidate(noise=noise), ReleaseDecision.FAIL, gates=FEWER_GATES)
        for noise in Noise
        if noise is not Noise.WEB
    ),
    *(
        Kind(f"one step of 12, {noise}", _BESIDE, _slow(noise=noise), ReleaseDecision.PASS, gates=FEWER_GATES)
        for noise in Noise
        if noise is not Noise.WEB
    ),
    Kind("identical, --beside 1", _BESIDE, Candidate(beside=1), ReleaseDecision.FAIL, gates=FEWER_GATES),
    Kind("one step of 12, --beside 1", _BESIDE, _slow(beside=1), ReleaseDecision.PASS, gates=FEWER_GATES),
)
_TAIL = Kind(
    "one call in ten three times as long", _BESIDE, Candidate(tail=0.1), ReleaseDecision.PASS, gates=1000, limit=1.0
)


def rates(kind: Kind, gates: int, *, seed: int = SEED) -> list[GateEnd]:
    """So many gates of this kind; the same ones for the same seed."""
    lot = np.random.default_rng(seed)
    return [simulate_gate(kind.terms, kind.candidate, lot) for _ in range(gates)]


def run() -> list[Findings]:
    """All kinds; the one that a rank test cannot see is shown and has no goal. Then what the best test could do."""
    return [_gates(), _bounds()]


def _gates() -> Findings:
    findings = Findings(
        "The release gate, decided by its own code",
        ("candidate", "gates", "pass", "fail", "undecided", "rounds (median)", "fail within 60"),
    )
    for kind, ends in _all_ends((*KINDS, _TAIL)):
        share = {answer: sum(end.answer is answer for end in ends) / len(ends) for answer in ReleaseDecision}
        caught = sum(end.answer is ReleaseDecision.FAIL and end.rounds <= _LATEST for end in ends) / len(ends)
        answers = (ReleaseDecision.PASS, ReleaseDecision.FAIL, ReleaseDecision.UNDECIDED)
        findings.rows.append(
            (
                kind.name,
                f"{len(ends):,}",
                *(f"{share[answer]:.2%}" for answer in answers),
                f"{median([float(end.rounds) for end in ends]):.0f}",
                f"{caught:.1%}",
            )
        )
        if kind is not _TAIL:
            word = f"{kind.name}: share that {'passes' if kind.wrong is ReleaseDecision.PASS else 'fails'}"
            findings.goals.append(Goal(word, kind.limit, round(share[kind.wrong], 4)))
        if kind.caught is not None:
            name = f"{kind.name}: caught within {_LATEST} rounds"
            findings.goals.append(Goal(name, kind.caught, round(caught, 4), at_least=True))
    exclude = float(_PLAIN.refused_bad / Fraction(1, 100))
    findings.notes.append(f"Defaults: usual 0.1 %, excluded {exclude:g} %, alpha = beta = 5 %, margin 25 % or 20 ms.")
    findings.notes.append("A rank test sees a shift of a distribution, not a slowdown of the slowest few: last row.")
    return findings


def _all_ends(kinds: Sequence[Kind]) -> Iterator[tuple[Kind, list[GateEnd]]]:
    """Each kind's gates, made in parts by as many processes as there are processors for us."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        parts = [
            (kind, [pool.submit(rates, kind, _PART, seed=SEED + part) for part in range(kind.gates // _PART)])
            for kind in kinds
        ]
        for kind, futures in parts:
            yield kind, [end for future in futures for end in future.result()]


def _bounds() -> Findings:
    """The most that any test can reach within 60 rounds at 5 %, all of it spent on latency."""
    findings = Findings(
        f"The best of all tests after {_LATEST} rounds: it knows the noise exactly, and spends all 5 % on latency",
        ("slower", "noise", "baseline runs a round", "most power"),
    )
    for alternative, noise, beside in (
        (Alternative.SHIFT, Noise.WEB, 1),
        *((Alternative.SHIFT, noise, 2) for noise in Noise if noise is not Noise.STORMS),
        (Alternative.TAIL, Noise.WEB, 2),
    ):
        power = most_power(alternative, noise, beside=beside, rounds=_LATEST)
        findings.rows.append((alternative, noise, str(beside), f"{power:.1%}"))
    findings.notes.append("Neyman and Pearson's test for one step of 12 at an unknown place, of what no common")
    findings.notes.append("disturbance of a round can change: the differences between its runs.")
    return findings
