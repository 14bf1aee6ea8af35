"""A release gate that looks after every round: accept, refuse, or go on; and latency beside what production does.

Wald's sequential probability ratio test between the share of failing rounds that is usual and the share that must not get
through. A gate is named after the latter: a short smoke run can exclude that 3 % fail, and can never certify 99.9 %.
Refuses: an answer when the rounds run out, which is `undecided` and holds the release. A round is all regions of one check, as
one trial. Called by whoever runs releases. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final

from slo.evidence import Verdict, evidence_verdict
from slo.percentile import nearest_rank

__all__ = ["SMOKE_GATE", "Gate", "GateDecision", "LatencyGate", "judge_latency"]

_FEW: Final = 1e-9


class GateDecision(StrEnum):
    """What a gate says. `undecided` holds the release, as `reject` does, and says that the rounds did not suffice."""

    ACCEPT = "accept"
    REJECT = "reject"
    CONTINUE = "continue"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Gate:
    """A test that excludes the failing share `refused_bad` where `usual_bad` is usual.

    `false_alarm` bounds how often a release is rejected that fails no more than usual, `false_pass` how often one is accepted
    that fails as often as `refused_bad`. Raises ValueError for shares and risks that make no test.
    Source: Wald (1945), the limits ln(1/alpha) and ln(beta), which keep both risks without approximation.
    """

    usual_bad: Fraction
    refused_bad: Fraction
    false_alarm: Fraction = Fraction(1, 20)
    false_pass: Fraction = Fraction(1, 20)
    most_rounds: int = 1000
    _per_failure: float = field(init=False, repr=False, compare=False)
    _per_pass: float = field(init=False, repr=False, compare=False)
    _reject_from: float = field(init=False, repr=False, compare=False)
    _accept_to: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.usual_bad < self.refused_bad < 1:
            message = f"a gate needs 0 < usual < refused < 1, not {self.usual_bad} and {self.refused_bad}"
            raise ValueError(message)
        if not (0 < self.false_alarm < 1 and 0 < self.false_pass < 1 and self.most_rounds > 0):
            message = "a gate needs risks in (0, 1) and at least one round"
            raise ValueError(message)
        # Once and not at each round: a gate asks for millions of decisions when its error rates are simulated.
        for name, value in (
            ("_per_failure", math.log(self.refused_bad / self.usual_bad)),
            ("_per_pass", -math.log((1 - self.refused_bad) / (1 - self.usual_bad))),
            ("_reject_from", -math.log(self.false_alarm)),
            ("_accept_to", math.log(self.false_pass)),
        ):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """What the gate excludes, which is all that it can say: `3 % or more failing`."""
        return f"{float(self.refused_bad * 100):g} % or more failing"

    def evidence(self, failures: int, rounds: int) -> float:
        """The log likelihood ratio of `refused_bad` against `usual_bad`."""
        return failures * self._per_failure - (rounds - failures) * self._per_pass

    def decide(self, failures: int, rounds: int) -> GateDecision:
        """What `failures` of `rounds` say. Ask after every round and stop at the first answer that is not `continue`.

        Raises ValueError for impossible counts.
        """
        if not 0 <= failures <= rounds:
            message = f"{failures} failures in {rounds} rounds is not a count to judge"
            raise ValueError(message)
        evidence = self.evidence(failures, rounds)
        if evidence >= self._reject_from - _FEW:
            return GateDecision.REJECT
        if evidence <= self._accept_to + _FEW:
            return GateDecision.ACCEPT
        return GateDecision.UNDECIDED if rounds >= self.most_rounds else GateDecision.CONTINUE

    def run(self, rounds: Sequence[bool]) -> tuple[GateDecision, int]:
        """The first answer along `rounds` (True: the round passed), and after how many of them."""
        failures = 0
        for count, passed in enumerate(rounds, start=1):
            failures += not passed
            decision = self.decide(failures, count)
            if decision is not GateDecision.CONTINUE:
                return decision, count
        return GateDecision.CONTINUE, len(rounds)

    def passes_to_accept(self, failures: int) -> int:
        """The fewest rounds that passed with which a release is accepted in spite of so many others that failed."""
        return math.ceil((failures * self._per_failure - self._accept_to) / self._per_pass - _FEW)

    def rejects_within(self, failures: int) -> int | None:
        """The most rounds within which so many failures are a rejection; None: these are too few to reject at all."""
        spare = failures * self._per_failure - self._reject_from
        rounds = failures + math.floor(spare / self._per_pass + _FEW)
        return rounds if spare >= -_FEW else None

    def fewest_failures(self) -> int:
        """With how many failures, one after the other from the first round on, a release is rejected: the quickest `reject`."""
        return max(1, math.ceil(self._reject_from / self._per_failure - _FEW))

    @property
    def accept_to(self) -> float:
        """At this evidence or below a release is accepted."""
        return self._accept_to

    @property
    def reject_from(self) -> float:
        """At this evidence or above it is rejected."""
        return self._reject_from


SMOKE_GATE: Final = Gate(usual_bad=Fraction(1, 1000), refused_bad=Fraction(3, 100))
"""The smoke run before a release: 102 clean rounds exclude that 3 % or more fail."""


@dataclass(frozen=True, slots=True)
class LatencyGate:
    """Whether a candidate's percentile is not worse than production's by more than a margin.

    `limit_ns` is production's nearest-rank percentile with the margin on it, `slower` how many of `total` events exceeded it.
    """

    decision: GateDecision
    limit_ns: int
    slower: int
    total: int


def judge_latency(
    candidate_ns: Sequence[int | None], baseline_ns: Sequence[int], share: Fraction, margin: Fraction
) -> LatencyGate:
    """A one-sided test at 5 % that the percentile `share` of a candidate is within production's, times 1 + `margin`.

    None is a failed event, slower than any limit. The baseline is taken as known: give it many more events than the candidate.
    Accepted when the exact bound shows that fewer than 1 - `share` of the candidate's events are slower, rejected when it shows
    more, undecided otherwise. For one look at the end, not for watching. Raises ValueError without a baseline.
    """
    usual_ns = nearest_rank(baseline_ns, share)
    if usual_ns is None or margin < 0:
        message = "a latency gate needs a baseline of answered events and a margin of 0 or more"
        raise ValueError(message)
    limit_ns = math.floor(usual_ns * (1 + margin))
    slower = sum(time_ns is None or time_ns > limit_ns for time_ns in candidate_ns)
    total = len(candidate_ns)
    match evidence_verdict(slower, total, 1 - share):
        case Verdict.MET:
            decision = GateDecision.ACCEPT
        case Verdict.BREACHED:
            decision = GateDecision.REJECT
        case _:
            decision = GateDecision.UNDECIDED
    return LatencyGate(decision, limit_ns, slower, total)
