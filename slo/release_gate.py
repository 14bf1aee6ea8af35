"""The release gate: many checks and their timed steps, one answer, and a stated chance that it is wrong.

Fed round by round; each check is a test of its own (`slo.gate`), each step that a baseline has, too (`slo.latency_test`). One
rejection fails the release, all acceptances pass it, and what is neither when the rounds end holds it.

The risk of failing a good release is shared in equal parts (Bonferroni), so that it holds for all of them together: without a
baseline all of it between the checks; with one half of it, and all that the checks cannot use of theirs goes to the steps
with the other half. The risk of passing a bad one is not shared: a release that is bad in one check passes only if that check
accepts. Refuses to count a round that could not be measured, for or against. Called by whoever runs rounds, and by the simulation
of its error rates. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final

from slo.gate import Gate, GateDecision
from slo.gate_odds import gate_odds
from slo.latency_test import LOOKS, Look, Margin, StepLook, TimedSet, judge_samples, judge_sets

__all__ = ["CheckState", "GateTerms", "ReleaseDecision", "ReleaseGate", "StepState"]

_MOST_UNMEASURED_IN_A_ROW: Final = 10
"""So many rounds one after the other without a result are no bad luck: this check cannot be measured from here."""
_MOST_TRIES: Final = 2
"""Rounds that say nothing are made again, until there were as many of them as a gate may have rounds."""


class ReleaseDecision(StrEnum):
    """What the gate says. Only `pass` lets a release out."""

    PASS = "pass"  # noqa: S105 - a word of a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class GateTerms:
    """What is to be excluded, and at which risks. `margin` None: there is no baseline, latency is not judged.

    `usual_bad` and `refused_bad` are shares of failing rounds of one check; `false_alarm` holds for the whole gate.
    """

    usual_bad: Fraction = Fraction(1, 1000)
    refused_bad: Fraction = Fraction(3, 100)
    false_alarm: Fraction = Fraction(1, 20)
    false_pass: Fraction = Fraction(1, 20)
    most_rounds: int = 350
    margin: Margin | None = None
    looks: tuple[Look, ...] = LOOKS

    def check_gate(self, checks: int) -> Gate:
        """The test of one of so many checks. Raises ValueError for terms that make no test."""
        alarm = self.false_alarm / 2 if self.margin else self.false_alarm
        return Gate(self.usual_bad, self.refused_bad, alarm / checks, self.false_pass, self.most_rounds)

    def step_alarm(self, checks: int) -> Fraction:
        """The risk of all steps of one of so many checks, over all looks: what the checks leave of it, in equal parts.

        A check is a count of failures, which come whole: of its half it cannot use all, and how much it can is known exactly.
        """
        return (self.false_alarm - checks * _most_used(self.check_gate(checks))) / checks


@lru_cache(maxsize=64)
def _most_used(gate: Gate) -> Fraction:
    """How often a check rejects that fails no more than usual; at most Wald's limit, and far below it where failures are rare."""
    return min(gate.false_alarm, Fraction(gate_odds(gate, gate.usual_bad).reject))


@dataclass(slots=True)
class CheckState:
    """One check so far. `path` has the evidence after each counted round, for a plot."""

    name: str
    gate: Gate
    rounds: int = 0
    failures: int = 0
    unmeasured: int = 0
    unmeasured_in_a_row: int = 0
    decision: GateDecision = GateDecision.CONTINUE
    path: list[float] = field(default_factory=list)
    _tried: int = 0

    @property
    def tried(self) -> int:
        """All rounds, also those that say nothing and those after the decision."""
        return self._tried

    @property
    def is_unmeasurable(self) -> bool:
        """True when rounds of it kept saying nothing."""
        return self.unmeasured_in_a_row >= _MOST_UNMEASURED_IN_A_ROW

    def add(self, *, passed: bool | None) -> None:
        """One more round; None: it could not be measured. What comes after a decision is counted and changes nothing."""
        self._tried += 1
        if passed is None:
            self.unmeasured += 1
            self.unmeasured_in_a_row += 1
            return
        self.unmeasured_in_a_row = 0
        if self.decision is not GateDecision.CONTINUE:
            return
        self.rounds += 1
        self.failures += not passed
        self.path.append(self.gate.evidence(self.failures, self.rounds))
        self.decision = self.gate.decide(self.failures, self.rounds)


@dataclass(slots=True)
class StepState:
    """One timed step beside the baseline: a set of times for each round, without the baseline's where that is the past."""

    check: str
    name: str
    sets: list[TimedSet] = field(default_factory=list)
    past_ns: Sequence[int] = ()
    decision: GateDecision = GateDecision.CONTINUE
    looks: list[StepLook] = field(default_factory=list)

    @property
    def candidate_ns(self) -> list[int]:
        """The candidate's times, round by round."""
        return [own_ns for own_ns, _ in self.sets]

    @property
    def baseline_ns(self) -> list[int]:
        """The baseline's times, of all its runs or of the past."""
        return list(self.past_ns) or [time_ns for _, others_ns in self.sets for time_ns in others_ns]

    def look(self, margin: Margin, *, false_alarm: float, false_pass: float) -> None:
        """Look at the times once, unless the step is decided."""
        if self.decision is not GateDecision.CONTINUE or not self.sets:
            return
        if self.past_ns:
            found = judge_samples(
                self.candidate_ns, self.past_ns, margin, false_alarm=false_alarm, false_pass=false_pass
            )
        else:
            found = judge_sets(self.sets, margin, false_alarm=false_alarm, false_pass=false_pass)
        self.looks.append(found)
        self.decision = found.decision


class ReleaseGate:
    """The state of one gate over these checks; `past` holds times of the past by check and step, where they are the baseline.

    Raises ValueError for terms that make no test and for no checks.
    """

    def __init__(
        self,
        terms: GateTerms,
        checks: Sequence[str],
        *,
        past: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    ) -> None:
        if not checks:
            message = "a gate needs at least one check"
            raise ValueError(message)
        self.terms = terms
        gate = terms.check_gate(len(checks))
        self.checks = {name: CheckState(name, gate) for name in checks}
        self.steps: dict[str, dict[str, StepState]] = {name: {} for name in checks}
        self._past = {
            check: {step: sorted(times) for step, times in own.items()} for check, own in (past or {}).items()
        }
        self._compared = dict.fromkeys(checks, 0)
        self._looked = dict.fromkeys(checks, 0)

    def add_round(self, check: str, *, passed: bool | None) -> None:
        """One round of a check: it passed, it failed, or (None) it says nothing."""
        self.checks[check].add(passed=passed)

    def add_times(
        self, check: str, candidate_ns: Mapping[str, int], baselines_ns: Sequence[Mapping[str, int]] = ()
    ) -> None:
        """The times of the steps of one round, beside those of the baseline's runs in it (none where the past is the baseline).

        Only of steps that passed on both sides. Does nothing in a gate without a margin.
        """
        margin = self.terms.margin
        if margin is None:
            return
        own = self.steps[check]
        past = self._past.get(check, {})
        for name, time_ns in candidate_ns.items():
            others_ns = tuple(max(1, other_ns[name]) for other_ns in baselines_ns if name in other_ns)
            if name in past or others_ns:
                state = own.get(name) or own.setdefault(name, StepState(check, name, past_ns=past.get(name, ())))
                state.sets.append((max(1, time_ns), others_ns))
        self._compared[check] += 1
        looks = self.terms.looks
        at = self._looked[check]
        if at < len(looks) and self._compared[check] >= looks[at].rounds:
            self._looked[check] += 1
            self._look(check, looks[at], margin)

    def _look(self, check: str, look: Look, margin: Margin) -> None:
        """Each step of the check gets an equal part of what this look may risk."""
        own = self.steps[check]
        alarm = float(self.terms.step_alarm(len(self.checks)) * look.alarm_share / len(own)) if own else 0.0
        for state in own.values():
            state.look(margin, false_alarm=alarm, false_pass=float(self.terms.false_pass * look.pass_share))

    def wants(self, check: str) -> bool:
        """True while more rounds of this check can change the answer."""
        state = self.checks[check]
        if state.is_unmeasurable or state.tried >= _MOST_TRIES * self.terms.most_rounds:
            return False
        return state.decision is GateDecision.CONTINUE or self.wants_times(check)

    def wants_times(self, check: str) -> bool:
        """True while times of this check are still to be compared."""
        if self.terms.margin is None or self._looked[check] >= len(self.terms.looks):
            return False
        # Also where the baseline never passes, so that nothing could be compared.
        if self.checks[check].tried >= self.terms.most_rounds:
            return False
        own = self.steps[check]
        return not own or any(state.decision is GateDecision.CONTINUE for state in own.values())

    def rejected(self) -> tuple[tuple[CheckState, ...], tuple[StepState, ...]]:
        """The checks and the steps for which the release fails."""
        checks = tuple(state for state in self.checks.values() if state.decision is GateDecision.REJECT)
        steps = [state for own in self.steps.values() for state in own.values()]
        return checks, tuple(state for state in steps if state.decision is GateDecision.REJECT)

    def answer(self) -> ReleaseDecision | None:
        """The answer as soon as it is known for good; None: go on."""
        if any(self.rejected()):
            return ReleaseDecision.FAIL
        if self._all_accepted():
            return ReleaseDecision.PASS
        if any(self.wants(name) for name in self.checks):
            return None
        return self.answer_at_the_end()

    def answer_at_the_end(self) -> ReleaseDecision:
        """The answer when no more rounds come. A gate that mostly could not measure a check says `inconclusive`."""
        if any(self.rejected()):
            return ReleaseDecision.FAIL
        if self._all_accepted():
            return ReleaseDecision.PASS
        open_checks = [state for state in self.checks.values() if state.decision is not GateDecision.ACCEPT]
        if any(state.is_unmeasurable or state.unmeasured > state.rounds for state in open_checks):
            return ReleaseDecision.INCONCLUSIVE
        return ReleaseDecision.UNDECIDED

    def _all_accepted(self) -> bool:
        if any(state.decision is not GateDecision.ACCEPT for state in self.checks.values()):
            return False
        if self.terms.margin is None:
            return True
        return all(
            own and all(state.decision is GateDecision.ACCEPT for state in own.values()) for own in self.steps.values()
        )
