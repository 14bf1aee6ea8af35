"""A simulated month: made the same each time, taken in like measured results, and counted as worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from collector.ledger import SlotClass
from collector.scoring import Scorer
from collector.simulation import deliveries_of, run_of, slots_of
from collector.simulation_journeys import JOURNEYS
from collector.simulation_plan import DEFAULT_JOURNEYS, Plan, read_plan
from collector.store import open_store
from console.objectives import load_objectives
from probes.records import FailureKind, Outcome
from slo.tally import count_events
from slo.window import Span, minute_of, month_span
from tests.runner_kit import ROOT
from tests.store_kit import NOW

DAY = Span("day", minute_of(NOW) // 1440 * 1440, minute_of(NOW) // 1440 * 1440 + 1440)
TEXT = """
[journeys]
api-health = "1m"
quote = "15m"

[[statement]]
scenarios = ["api-health"]
minutes = [[100, 120]]
what = "fail"

[[statement]]
scenarios = ["api-health"]
regions = ["us-east"]
minutes = [[110, 130]]
what = "inconclusive"

[[statement]]
scenarios = ["api-health"]
regions = ["ap-south"]
minutes = [[115, 140]]
what = "missing"

[[statement]]
scenarios = ["quote"]
minutes = [[600, 720]]
what = "maintenance"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan above."""
    file = tmp_path / "plan.toml"
    file.write_text(TEXT, encoding="utf-8")
    return read_plan(file)


def test_the_same_plan_makes_the_same_messages_byte_for_byte(plan: Plan) -> None:
    """And another seed makes others."""
    short = Span("hours", DAY.from_minute, DAY.from_minute + 180)
    first = [delivery.payload for delivery in deliveries_of(plan, short)]
    assert first == [delivery.payload for delivery in deliveries_of(plan, short)]


@pytest.mark.parametrize(
    ("kind", "never"),
    [
        ("dns", ("connect_ns", "tls_ns", "wait_ns", "receive_ns")),
        ("connect", ("dns_ns", "tls_ns", "wait_ns", "receive_ns")),
        ("tls", ("wait_ns", "receive_ns")),
        ("timeout", ("receive_ns",)),
        ("status", ("dns_ns", "tls_ns")),
    ],
)
def test_a_failed_request_spends_no_time_in_what_it_never_came_to(
    tmp_path: Path, kind: str, never: tuple[str, ...]
) -> None:
    """A connection that is refused waits for no answer; its time is the step's all the same."""
    file = tmp_path / "plan.toml"
    file.write_text(
        f'[journeys]\nweb-health = "1m"\n[[statement]]\nminutes = [[0, 9]]\nwhat = "fail"\nkind = "{kind}"\n',
        encoding="utf-8",
    )
    plan = read_plan(file)
    slot = next(iter(slots_of(plan, DAY)))
    (step,) = run_of(plan, slot, plan.statements[0]).steps
    (exchange,) = step.exchanges
    assert exchange.phases.total_ns == step.duration_ns
    assert [name for name in never if getattr(exchange.phases, name)] == []


def test_each_region_owes_exactly_one_slot_in_each_minute(plan: Plan) -> None:
    """So that a month can be worked out by counting minutes."""
    slots = [slot for slot in slots_of(plan, DAY) if slot.scenario == "api-health"]
    assert all(earlier <= later for earlier, later in pairwise(slots))
    for index in range(3):
        minutes = [minute_of(slot.slot_at) for slot in slots if slot.region_index == index]
        assert minutes == list(range(DAY.from_minute, DAY.until_minute))


async def test_what_was_planned_is_what_the_store_counts(plan: Plan, tmp_path: Path) -> None:
    """Cells, votes and the ledger of slots, through the ingest path; a second time changes nothing."""
    lines = load_objectives()
    health = next(line for line in lines if line.name == "api-errors")
    async with open_store(str(tmp_path / "month.db")) as store:
        await store.scores.begin(Scorer(lines))
        for _ in range(2):
            for delivery in deliveries_of(plan, DAY):
                await store.file([delivery])
        found = await store.scores.cells(health.check, target="simulated", fleet="simulated", span=DAY)
        now = DAY.until_at + timedelta(hours=1)
        slots = await store.slots(DAY.from_at, DAY.until_at, now=now)
        (totals,) = {(state.conflicts, state.missing) for state in await store.probes()}
    assert totals == (0, 0)
    bad = {region: {at - DAY.from_minute for at, cell in of.items() if cell.bad} for (region, _), of in found.items()}
    assert bad["eu-west"] == set(range(100, 120))
    assert bad["us-east"] == set(range(100, 110))
    assert bad["ap-south"] == set(range(100, 115))
    classes = [(line.series.address.region, line.series.scenario, line.slot_class) for line in slots]
    assert classes.count(("ap-south", "api-health", SlotClass.MISSING)) == 25
    assert [one[1:] for one in classes].count(("quote", SlotClass.MAINTENANCE)) == 24
    inconclusive = [line for line in slots if line.series.address.region == "us-east" and not line.is_conclusive]
    assert sum(line.slot_class is SlotClass.ON_TIME for line in inconclusive) == 20


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if not kind.is_ours])
def test_a_planned_failure_is_one_of_its_kind_at_its_step(plan: Plan, tmp_path: Path, kind: FailureKind) -> None:
    """The steps behind it did not happen."""
    file = tmp_path / "failing.toml"
    file.write_text(f"[[statement]]\nwhat = 'fail'\nkind = '{kind.value}'\nstep = 'analyse'\n", encoding="utf-8")
    failing = read_plan(file)
    slot = next(slot for slot in slots_of(plan, DAY) if slot.scenario == "quote")
    run = run_of(failing, slot, failing.statements[0])
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "analyse")
    assert run.failure is not None
    assert run.failure.kind is kind
    assert [step.name for step in run.steps] == ["sign-in", "upload", "analyse"]


def test_simulated_steps_are_those_of_the_real_scenarios() -> None:
    """Every service level must find in a simulated month what it finds in a real one."""
    assert set(JOURNEYS) == set(DEFAULT_JOURNEYS)
    for scenario, steps in JOURNEYS.items():
        told = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scenarios").glob("*.py"))
        assert (ROOT / "scenarios" / f"{scenario.replace('-', '_')}.py").is_file()
        for step in steps:
            assert f'step("{step.name}"' in told, (scenario, step.name)


def test_good_simulated_journeys_are_good_events_of_the_lines_they_bear_on(tmp_path: Path) -> None:
    """Of every line that is measured by runs of the simulated scenarios."""
    file = tmp_path / "good.toml"
    file.write_text("", encoding="utf-8")
    plan = read_plan(file)
    firsts = {slot.scenario: slot for slot in reversed(list(slots_of(plan, month_span("2026-02"))))}
    runs = [run_of(plan, slot, None) for slot in firsts.values()]
    for line in load_objectives():
        counts = [
            count_events(run, line)
            for run in runs
            if any(one in (run.identity.scenario, "*") for one in line.selector.scenarios)
        ]
        if counts:
            assert sum(good for good, _ in counts) > 0, line.name
            assert sum(bad for _, bad in counts) == 0, line.name
