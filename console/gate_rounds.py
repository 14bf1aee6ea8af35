"""The rounds of a release gate: every scenario in turn, in an order drawn by lot, beside the baseline, until the gate knows.

A round is one trial of each scenario that the gate still wants; where latency is judged the baseline's runs are made directly
before and after it with the same seed, a lot draws the candidate's place, and what disturbs the one disturbs the others. A
few scenarios run at the same moment, never one twice, and none gets more than a round ahead of the slowest. Refuses to judge:
the gate does. Begins nothing after the time is over, and ends what was begun. Called by `console.smoke_command` and
`console.soak_command`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from console.stopping import Stop
from probes.clock import Clock
from probes.execute import RunEnvironment, run_scenario
from probes.records import Outcome, Run
from probes.registry import ScenarioSpec

__all__ = ["Ask", "GateLimits", "GateRounds", "GateRun", "Judge", "Sides", "asking", "outcome_of", "times_of"]

Ask = Callable[[ScenarioSpec, int], Awaitable[Sequence[Run]]]
"""Runs a scenario with a seed: here, or in every region that was named; the runs of one trial."""

_MOST_AHEAD: Final = 1
_SEED_BITS: Final = 32
_LOOK_EVERY_S: Final = 0.02
_PAUSE_S: Final = 0.5
_MOST_DOUBLINGS: Final = 6


class Judge(Protocol):
    """Whoever decides how long it goes on: a `slo.release_gate.ReleaseGate`, or the watch of a soak."""

    def add_round(self, check: str, *, passed: bool | None) -> None:
        """One round of a check; None: it says nothing."""

    def add_times(
        self, check: str, candidate_ns: Mapping[str, int], baselines_ns: Sequence[Mapping[str, int]] = ()
    ) -> None:
        """The times of the steps of one round: the candidate's, and those of each run of the baseline that passed."""

    def wants(self, check: str) -> bool:
        """True while more rounds of this check are wanted."""

    def wants_times(self, check: str) -> bool:
        """True while its times are to be compared."""

    def answer(self) -> object | None:
        """Anything ends the rounds; None: go on."""


@dataclass(frozen=True, slots=True)
class GateRun:
    """A run, the round that it belongs to, and whose it is."""

    run: Run
    number: int
    is_baseline: bool = False


@dataclass(frozen=True, slots=True)
class Sides:
    """How the candidate is run, and the baseline where one runs beside it: `beside` times in each round."""

    candidate: Ask
    baseline: Ask | None = None
    beside: int = 1


@dataclass(frozen=True, slots=True)
class GateLimits:
    """After so long no round is begun; so many scenarios run at once; so far apart at least are two starts of one scenario."""

    most_time_s: float
    places: int
    gap_s: float


@dataclass(slots=True)
class _Turns:
    """What is still to begin in this round, what is running and since which round, and when each was begun."""

    queue: list[ScenarioSpec] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    begun_ns: dict[str, int] = field(default_factory=dict)
    unmeasured: dict[str, int] = field(default_factory=dict)
    number: int = 0


class GateRounds:
    """The rounds of one gate. `runs` has all there is so far, `number` the round, `elapsed_s` the time since the first."""

    def __init__(
        self,
        specs: Sequence[ScenarioSpec],
        *,
        gate: Judge,
        sides: Sides,
        stop: Stop,
        clock: Clock,
        seed: int,
        limits: GateLimits,
        told: Callable[[GateRun], None],
    ) -> None:
        self._specs = tuple(specs)
        self._gate = gate
        self._sides = sides
        self._stop = stop
        self._clock = clock
        self._seed = seed
        self._limits = limits
        self._told = told
        self._turns = _Turns()
        self._started_ns = clock.monotonic_ns()
        self._ended_ns: int | None = None
        self.runs: list[GateRun] = []
        self.is_out_of_time = False

    @property
    def number(self) -> int:
        """The present round, from 1."""
        return self._turns.number

    @property
    def elapsed_s(self) -> float:
        """Since the first round began, until the last one ended."""
        now_ns = self._clock.monotonic_ns() if self._ended_ns is None else self._ended_ns
        return (now_ns - self._started_ns) / 1e9

    async def run_all(self) -> None:
        """Until the gate has its answer, the time is over, or somebody asks to stop: what runs then is ended and cleaned up."""
        self._started_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.TaskGroup() as places:
                for _ in range(min(self._limits.places, len(self._specs))):
                    places.create_task(self._work())
        finally:
            self._ended_ns = self._clock.monotonic_ns()

    async def _work(self) -> None:
        """One place: the next that is due, and the next."""
        while not self._is_over():
            spec = self._next()
            if spec is None:
                await self._clock.sleep(_LOOK_EVERY_S)
                continue
            try:
                await self._trial(spec, self._turns.running[spec.name])
            finally:
                del self._turns.running[spec.name]

    def _is_over(self) -> bool:
        if self._stop.asked() or self._gate.answer() is not None:
            return True
        self.is_out_of_time = self._clock.monotonic_ns() - self._started_ns >= self._limits.most_time_s * 1e9
        return self.is_out_of_time

    def _next(self) -> ScenarioSpec | None:
        """The next scenario whose turn it is, taken; None: all that are left are running, or were begun a moment ago."""
        turns = self._turns
        oldest = min(turns.running.values(), default=turns.number)
        if not turns.queue and turns.number - oldest < _MOST_AHEAD:
            turns.queue = [spec for spec in self._specs if self._gate.wants(spec.name)]
            turns.number += 1
            self._lot("order", turns.number).shuffle(turns.queue)
        now_ns = self._clock.monotonic_ns()
        for spec in turns.queue:
            begun_ns = turns.begun_ns.get(spec.name)
            if spec.name not in turns.running and (begun_ns is None or now_ns - begun_ns >= self._gap_ns(spec.name)):
                turns.queue.remove(spec)
                turns.running[spec.name] = turns.number
                turns.begun_ns[spec.name] = now_ns
                return spec
        return None

    def _gap_ns(self, name: str) -> float:
        """How far apart two starts must be; longer after each round that said nothing: an unfit host needs time to recover."""
        gap_s = self._limits.gap_s * (self._sides.beside if self._is_compared(name) else 1)
        if in_a_row := self._turns.unmeasured.get(name, 0):
            gap_s = max(gap_s, _PAUSE_S * 2 ** min(in_a_row, _MOST_DOUBLINGS))
        return gap_s * 1e9

    def _is_compared(self, name: str) -> bool:
        return self._sides.baseline is not None and self._gate.wants_times(name)

    async def _trial(self, spec: ScenarioSpec, number: int) -> None:
        """One trial of a scenario, and the baseline's runs beside it; the place of the candidate is drawn by lot."""
        lot = self._lot(spec.name, number)
        seed = lot.getrandbits(_SEED_BITS)
        sides: list[tuple[Ask, bool]] = []
        if self._sides.baseline is not None and self._is_compared(spec.name):
            sides = [(self._sides.baseline, True)] * self._sides.beside
        sides.insert(lot.randrange(len(sides) + 1), (self._sides.candidate, False))
        own: Sequence[Run] | None = None
        others: list[Sequence[Run]] = []
        for ask, is_baseline in sides:
            found = await ask(spec, seed)
            for run in found:
                self._keep(GateRun(run, number, is_baseline))
            if is_baseline:
                others.append(found)
            else:
                own = found
            if self._stop.asked():
                # A run that was cut short says nothing, and one without its others is no comparison.
                break
        if own is not None:
            self._count(spec.name, own, others if len(others) == len(sides) - 1 else [])

    def _lot(self, what: str, number: int) -> Random:
        """A lot of its own for each round and trial: what is drawn does not depend on which scenario came round first."""
        return Random(f"{self._seed}/{what}/{number}")  # noqa: S311 - repeatable on purpose

    def _keep(self, run: GateRun) -> None:
        self.runs.append(run)
        self._told(run)

    def _count(self, name: str, own: Sequence[Run], others: Sequence[Sequence[Run]]) -> None:
        outcome = outcome_of(own)
        unmeasured = self._turns.unmeasured
        unmeasured[name] = unmeasured.get(name, 0) + 1 if outcome is Outcome.INCONCLUSIVE else 0
        are_times_wanted = self._gate.wants_times(name)
        self._gate.add_round(name, passed=None if outcome is Outcome.INCONCLUSIVE else outcome is Outcome.PASS)
        if outcome is not Outcome.PASS or not are_times_wanted:
            return
        passed = [times_of(runs) for runs in others if outcome_of(runs) is Outcome.PASS]
        if passed or self._sides.baseline is None:
            self._gate.add_times(name, times_of(own), passed)


def asking(environment: RunEnvironment) -> Ask:
    """Trials on this machine, with these engines against this target."""

    async def ask(spec: ScenarioSpec, seed: int) -> Sequence[Run]:
        return (await run_scenario(spec, environment=environment, seed=seed),)

    return ask


def outcome_of(runs: Sequence[Run]) -> Outcome:
    """The outcome of a trial: it fails where any region fails, and says nothing where no region could measure."""
    outcomes = {run.outcome for run in runs}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if Outcome.PASS in outcomes else Outcome.INCONCLUSIVE


def times_of(runs: Sequence[Run]) -> dict[str, int]:
    """The time of each step of a trial by name: its parts and the regions that passed taken together.

    What driving the browser cost us in a page load is taken off: it would make a slower page look less slow.
    """
    times: dict[str, int] = {}
    for run in runs:
        if run.outcome is Outcome.PASS:
            for step in run.steps:
                if not step.cleanup:
                    ours_ns = sum(page.drive_ns for page in step.pages)
                    times[step.name] = times.get(step.name, 0) + max(0, step.duration_ns - ours_ns)
    return times
