"""The rounds of a gate: drawn by lot and repeatable, never one scenario twice at once, nobody far ahead, pairs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from console.gate_rounds import GateLimits, GateRounds, GateRun, Sides, outcome_of, times_of
from console.gate_story import quiet_regions
from console.stopping import Stop
from probes.clock import SystemClock
from probes.records import Outcome, PageLoad, Run
from probes.registry import ScenarioSpec
from slo.latency_test import LOOKS, Margin
from slo.release_gate import GateTerms, ReleaseDecision, ReleaseGate
from tests.sample_runs import make_run, make_step

NAMES = ("a", "b", "c", "d")
TERMS = GateTerms(refused_bad=Fraction(2, 5))


async def never(_: object) -> None:
    """The function of a scenario that these tests do not run."""


def spec(name: str) -> ScenarioSpec:
    """A scenario by name."""
    return ScenarioSpec(
        name=name,
        function=never,
        description="x",
        every_s=60,
        timeout_s=60,
        writes=False,
        payment=False,
        browser=False,
        reuse=False,
        needs=(),
        tags=(),
        path=Path("x.py"),
        line=1,
    )


class Platform:
    """Runs nothing: notes what is asked, and takes a few turns of the loop for it; `slow` takes many."""

    def __init__(self, slow: str = "", outcome: Outcome = Outcome.PASS) -> None:
        self.asked: list[tuple[str, int]] = []
        self.running: set[str] = set()
        self._slow = slow
        self._outcome = outcome

    async def ask(self, spec: ScenarioSpec, seed: int) -> Sequence[Run]:
        """One passing run."""
        assert spec.name not in self.running, "one scenario twice at once"
        self.running.add(spec.name)
        self.asked.append((spec.name, seed))
        for _ in range(200 if spec.name == self._slow else 3):
            await asyncio.sleep(0)
        self.running.remove(spec.name)
        run = make_run(make_step("load"), scenario=spec.name, number=len(self.asked))
        return (replace(run, outcome=self._outcome),)


async def rounds_of(
    platform: Platform,
    *,
    seed: int = 7,
    baseline: Platform | None = None,
    names: Sequence[str] = NAMES,
    beside: int = 1,
) -> tuple[GateRounds, ReleaseGate, list[GateRun]]:
    """A gate to its end."""
    terms = replace(TERMS, margin=Margin()) if baseline is not None else TERMS
    gate = ReleaseGate(terms, names)
    told: list[GateRun] = []
    rounds = GateRounds(
        [spec(name) for name in names],
        gate=gate,
        sides=Sides(platform.ask, None if baseline is None else baseline.ask, beside),
        stop=Stop(None),
        clock=SystemClock(),
        seed=seed,
        limits=GateLimits(60, 2, 0),
        told=told.append,
    )
    await rounds.run_all()
    return rounds, gate, told


async def test_the_same_seed_draws_the_same_trials_whoever_comes_round_first() -> None:
    """By scenario, the seeds of its runs are those of another gate in which other scenarios took longer."""
    quick, slow, other = Platform(), Platform(slow="b"), Platform()
    await rounds_of(quick)
    await rounds_of(slow)
    await rounds_of(other, seed=8)
    for name in NAMES:
        seeds = [[seed for asked, seed in platform.asked if asked == name][:6] for platform in (quick, slow, other)]
        assert seeds[0] == seeds[1]
        assert seeds[0] != seeds[2]


async def test_the_order_differs_from_round_to_round() -> None:
    """Drawn by lot."""
    platform = Platform()
    await rounds_of(platform)
    orders = {tuple(name for name, _ in platform.asked[at : at + 4]) for at in range(0, 24, 4)}
    assert len(orders) > 1


async def test_no_scenario_gets_more_than_a_round_ahead_of_the_slowest() -> None:
    """However long one takes."""
    platform = Platform(slow="c")
    _, gate, told = await rounds_of(platform)
    assert gate.answer() is ReleaseDecision.PASS
    newest = 0
    for found in told:
        newest = max(newest, found.number)
        if found.run.identity.scenario == "c":
            assert newest - found.number <= 1


async def test_the_baseline_runs_beside_with_the_same_seed_now_before_and_now_after() -> None:
    """Pairs of one seed, in an order drawn by lot; compared until the ranks know."""
    candidate, baseline = Platform(), Platform()
    rounds, gate, told = await rounds_of(candidate, baseline=baseline, names=("a",))
    assert gate.answer() is ReleaseDecision.PASS
    assert candidate.asked[: len(baseline.asked)] == baseline.asked
    assert len(baseline.asked) == 20
    first = {found.number: found.is_baseline for found in reversed(told)}
    assert len(set(list(first.values())[-20:])) == 2
    assert rounds.elapsed_s > 0


async def test_of_several_runs_of_the_baseline_the_candidate_comes_at_any_place() -> None:
    """Three runs a round with one seed, and each of the three places is the candidate's in some rounds."""
    candidate, baseline = Platform(), Platform()
    _, gate, told = await rounds_of(candidate, baseline=baseline, names=("a",), beside=2)
    assert gate.answer() is ReleaseDecision.PASS
    compared = LOOKS[0].rounds
    assert baseline.asked == [asked for asked in candidate.asked[:compared] for _ in range(2)]
    rounds = [[found.is_baseline for found in told if found.number == number] for number in range(1, compared + 1)]
    assert {tuple(sides) for sides in rounds} == {(False, True, True), (True, False, True), (True, True, False)}
    assert {len(others) for _, others in gate.steps["a"]["load"].sets} == {2}


async def test_a_stop_before_the_first_round_begins_nothing() -> None:
    """Whoever asked to stop gets no further run."""
    platform, stop = Platform(), Stop(None, quiet=True)
    stop.ask()
    gate = ReleaseGate(TERMS, NAMES)
    rounds = GateRounds(
        [spec(name) for name in NAMES],
        gate=gate,
        sides=Sides(platform.ask),
        stop=stop,
        clock=SystemClock(),
        seed=1,
        limits=GateLimits(60, 2, 0),
        told=lambda _: None,
    )
    await rounds.run_all()
    assert platform.asked == []


def test_a_trial_of_several_regions_fails_where_any_fails() -> None:
    """And says nothing where nobody could measure, or nobody answered."""
    passed, failed = make_run(make_step("x")), replace(make_run(make_step("x")), outcome=Outcome.FAIL)
    unclear = replace(passed, outcome=Outcome.INCONCLUSIVE)
    assert outcome_of([passed, failed, unclear]) is Outcome.FAIL
    assert outcome_of([passed, unclear]) is Outcome.PASS
    assert outcome_of([unclear]) is Outcome.INCONCLUSIVE
    assert outcome_of([]) is Outcome.INCONCLUSIVE
    steps = (make_step("x", 5), make_step("x", 7), make_step("gone", 9, cleanup=True))
    assert times_of([make_run(*steps)]) == {"x": 12}


def test_a_region_that_mostly_could_not_measure_is_told() -> None:
    """The others decide without it, and the report must not look as if it had been looked at from there too."""

    def runs_in(region: str, outcomes: str) -> list[GateRun]:
        run = make_run(make_step("load"))
        made = [
            replace(run, identity=replace(run.identity, region=region), outcome=Outcome(one))
            for one in outcomes.split()
        ]
        return [GateRun(one, number, is_baseline=False) for number, one in enumerate(made)]

    eu, us = runs_in("eu-west", "pass pass inconclusive"), runs_in("us-east", "inconclusive inconclusive fail")
    assert quiet_regions([*eu, *us]) == ("us-east: 2 of 3 runs said nothing; the answer is that of the other regions",)
    assert quiet_regions(us) == ()


def test_what_driving_the_browser_cost_us_is_no_time_of_the_platform() -> None:
    """A page that was ready after 70 of 100: the rest was ours."""
    step = make_step("load", 100, pages=(PageLoad(url="https://x.example", ready_ns=70, drive_ns=30),))
    assert times_of([make_run(step)]) == {"load": 70}
