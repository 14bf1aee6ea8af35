"""From one ended slot to what it adds to the cells of each check, and to the facts that obligations read.

The same `slo.events` decides here, on demand, and when everything is scored again from stored runs. Only attempt 0 is scored:
what was repeated or asked for is stored and shown, and enters no denominator. A slot that says nothing (an inconclusive run, an
aborted or missed slot) counts as inconclusive for the checks that its scenario is named for.

Pure: no database, no clock. Refuses to know which host was unfit (cells are muted when they are read). Called by
`collector.store_intake` for what arrives, and by `collector.store_rescore` for what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Final

from probes.records import Attribute, Failure, FailureKind, Outcome, Run, Step
from slo.cells import Cell
from slo.objective import EVERY_SCENARIO, Objective
from slo.objective_set import ObjectiveSet
from slo.obligation import Obligation, Observation, ObservationSelector, ObservationSource
from slo.tally import Tally

__all__ = ["NOTHING", "Scorer", "SlotScore", "key_of_selector"]

SECOND_NS: Final = 1_000_000_000
MICROSECOND_NS: Final = 1_000
INCONCLUSIVE: Final = Cell(inconclusive=1)
MOST_SCENARIOS: Final = 1_000
MOST_SCORES: Final = 1_000
MOST_SUBJECT_LENGTH: Final = 200
UNREACHED: Final = frozenset(
    (FailureKind.DNS, FailureKind.CONNECT, FailureKind.TLS, FailureKind.TIMEOUT, FailureKind.RATE_LIMITED)
)
NOT_LET_IN: Final = ("401", "403")
SERVER_ERROR: Final = "5"


@dataclass(frozen=True, slots=True)
class SlotScore:
    """What one slot adds: a cell for each check it bears on, and facts by the key of their selector."""

    cells: tuple[tuple[str, Cell], ...] = ()
    observations: tuple[tuple[str, Observation], ...] = ()


NOTHING: Final = SlotScore()


@dataclass(frozen=True, slots=True)
class _Bearing:
    """What a scenario bears on: checks, what its silence says to those that name it, and selectors of facts.

    `known` are scores that came up before: most runs of a scenario say the same.
    """

    keys: tuple[str, ...]
    tally: Tally
    silence: SlotScore
    selectors: tuple[tuple[str, ObservationSelector], ...]
    known: dict[tuple[tuple[int, int], ...], SlotScore] = field(default_factory=dict)


class Scorer:
    """What is scored: the checks of some objectives, the facts of some obligations.

    Objectives that measure the same share one check, whatever their targets and versions.
    """

    def __init__(self, objectives: Iterable[Objective], obligations: Iterable[Obligation] = ()) -> None:
        self._checks = {objective.check: objective for objective in objectives}
        of_runs = [one.selector for one in obligations if one.selector.source is ObservationSource.RUNS]
        self._selectors = {key_of_selector(selector): selector for selector in of_runs}
        self._bearings: dict[str, _Bearing] = {}

    @classmethod
    def of(cls, known: ObjectiveSet) -> Scorer:
        """A scorer of all that was ever promised: every version, for old windows keep theirs."""
        objectives = [one for versions in known.objectives.values() for one in versions]
        return cls(objectives, [one for versions in known.obligations.values() for one in versions])

    @property
    def keys(self) -> frozenset[str]:
        """The key of everything that is scored."""
        return frozenset(self._checks) | frozenset(self._selectors)

    def only(self, keys: frozenset[str]) -> Scorer:
        """The same for some of its keys alone."""
        chosen = Scorer(())
        chosen._checks = {key: objective for key, objective in self._checks.items() if key in keys}
        chosen._selectors = {key: selector for key, selector in self._selectors.items() if key in keys}
        return chosen

    def score_run(self, run: Run) -> SlotScore:
        """What a run adds; nothing unless it is its slot's first attempt."""
        if run.identity.attempt != 0:
            return NOTHING
        bearing = self._bearing_of(run.identity.scenario)
        if run.outcome is Outcome.INCONCLUSIVE:
            return bearing.silence
        counts = bearing.tally.count(run)
        score = bearing.known.get(counts)
        if score is None:
            named = zip(bearing.keys, counts, strict=True)
            score = SlotScore(tuple((key, Cell(good, bad, 0, 1)) for key, (good, bad) in named if good or bad))
            if len(bearing.known) < MOST_SCORES:
                bearing.known[counts] = score
        if bearing.selectors:
            return SlotScore(score.cells, tuple(observations_of(run, bearing.selectors)))
        return score

    def score_silence(self, scenario: str) -> SlotScore:
        """What a first attempt adds that ended without a run."""
        return self._bearing_of(scenario).silence

    def _bearing_of(self, scenario: str) -> _Bearing:
        found = self._bearings.get(scenario)
        if found is None:
            checks = tuple(
                (key, objective)
                for key, objective in self._checks.items()
                if is_matched(scenario, objective.selector.scenarios)
            )
            named = tuple(
                (key, INCONCLUSIVE)
                for key, objective in checks
                if is_matched(scenario, [one for one in objective.selector.scenarios if one != EVERY_SCENARIO])
            )
            selectors = tuple(
                (key, selector) for key, selector in self._selectors.items() if is_matched(scenario, selector.scenarios)
            )
            tally = Tally([objective for _, objective in checks])
            found = _Bearing(tuple(key for key, _ in checks), tally, SlotScore(named), selectors)
            if len(self._bearings) < MOST_SCENARIOS:  # a probe that invents more names costs time, not memory
                self._bearings[scenario] = found
        return found


def key_of_selector(selector: ObservationSelector) -> str:
    """The key of the facts that a selector chooses."""
    return hashlib.sha256(repr(selector).encode()).hexdigest()[:16]


def is_matched(scenario: str, patterns: Sequence[str]) -> bool:
    """Whether one of the globs matches."""
    return any(fnmatchcase(scenario, pattern) for pattern in patterns)


def observations_of(
    run: Run, selectors: Sequence[tuple[str, ObservationSelector]]
) -> Iterator[tuple[str, Observation]]:
    """The facts that the steps of a conclusive run report.

    A step that passed without the value that is asked for measured nothing. A step that failed is a bad fact; but where facts
    are about something else than the run (a backup), one that did not reach it says nothing about it.
    """
    for key, selector in selectors:
        for step in run.steps:
            if step.cleanup or step.name not in selector.steps or step.outcome is Outcome.INCONCLUSIVE:
                continue
            subject, value_ns = subject_of(run, step, selector), value_of(step, selector)
            good = step.outcome is Outcome.PASS
            if subject is None or (good and selector.value and value_ns is None):
                continue
            if not good and selector.subject and step.failure is not None and is_unreached(step.failure):
                continue
            seen_at = run.started_at + timedelta(microseconds=(step.started_ns + step.duration_ns) // MICROSECOND_NS)
            yield key, Observation(subject, seen_at, good, value_ns, run.identity.region, run.run_id)


def is_unreached(failure: Failure) -> bool:
    """Whether what was asked for was not reached: whoever keeps it was away, had an error of its own, or let nobody in."""
    if failure.kind is FailureKind.STATUS:
        return failure.error_type.startswith(SERVER_ERROR) or failure.error_type in NOT_LET_IN
    return failure.kind in UNREACHED


def subject_of(run: Run, step: Step, selector: ObservationSelector) -> str | None:
    """What the fact is about: an attribute, or the run itself; None where the step does not say."""
    if not selector.subject:
        return run.run_id
    found = step.attributes.get(selector.subject)
    return None if found is None else str(found)[:MOST_SUBJECT_LENGTH]


def value_of(step: Step, selector: ObservationSelector) -> int | None:
    """The value in nanoseconds: an attribute in seconds, or the step's own time; None where the step does not say."""
    if not selector.value:
        return step.duration_ns
    found: Attribute | None = step.attributes.get(selector.value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return round(found * SECOND_NS)
