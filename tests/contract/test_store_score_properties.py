"""What holds for any runs on both databases: order, repetition and cutting change no score, and a failure helps nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.scoring import Scorer
from collector.store import Store, open_store
from probes.messages import Address
from probes.records import FailureKind, Outcome, Run
from slo.evidence import Verdict
from slo.objective import EventKind, EventSelector, Good, Objective, SliceRule
from slo.score import Frame, Reading, Score
from slo.scoring import score
from slo.window import CalendarMonths, Span, minute_of
from tests.sample_runs import make_step
from tests.store_kit import NOW, deliver, run_at, run_entry

EXAMPLES = 5
MINUTES = 40
REGIONS = ("ap", "eu", "us")
SPAN = Span("some", minute_of(NOW), minute_of(NOW) + MINUTES)
STEPS = ("sign-in", "upload", "analyse", "quote")
EVENTS = Objective(
    name="errors",
    title="errors",
    line="12",
    version=1,
    window=CalendarMonths(),
    selector=EventSelector(EventKind.STEP, ("quote",), STEPS),
    good=Good.PASSED,
    allowed_bad=Fraction(1, 20),
)
UPTIME = replace(
    EVENTS, name="uptime", selector=EventSelector(EventKind.RUN, ("quote",), STEPS), slices=SliceRule(min_conclusive=2)
)
OBJECTIVES = (EVENTS, UPTIME)


@dataclass(frozen=True)
class Slot:
    """How one slot ended, and where."""

    minute: int
    region: str
    ending: str

    def run(self, fleet: str) -> Run:
        """The run, in a fleet of its own."""
        slot_at = NOW + timedelta(minutes=self.minute, seconds=REGIONS.index(self.region))
        run = run_at(slot_at, probe=Address(fleet, self.region, "one"), number=self.minute + 1)
        match self.ending:
            case "fail":
                broken = (*run.steps[:1], make_step("upload", kind=FailureKind.STATUS))
                return replace(run, steps=broken, outcome=Outcome.FAIL)
            case "inconclusive":
                return replace(run, outcome=Outcome.INCONCLUSIVE)
        return run


@dataclass(frozen=True)
class Month:
    """Slots, the same ones in an order of arrival with repetitions, and how many come in each message."""

    slots: list[Slot]
    arrivals: list[Slot]
    sizes: list[int]


def outage() -> Month:
    """Ten minutes in which everything fails, and then none: a breach whatever is drawn."""
    slots = [Slot(at, region, "fail" if at < 10 else "pass") for at in range(MINUTES) for region in REGIONS]
    return Month(slots, [*slots[::-1], *slots[:7]], [11])


@st.composite
def months(draw: st.DrawFn) -> Month:
    """Few enough slots that every kind of minute comes up, the first of them and some to spare."""
    endings = st.sampled_from(["pass", "pass", "pass", "fail", "inconclusive", ""])
    minutes = draw(st.lists(st.tuples(endings, endings, endings), min_size=5, max_size=20))
    slots = [
        Slot(at, region, ending)
        for at, of_minute in enumerate(minutes)
        for region, ending in zip(REGIONS, of_minute, strict=True)
        if ending
    ] or [Slot(0, REGIONS[0], "pass")]
    again = draw(st.lists(st.sampled_from(slots), max_size=10))
    return Month(slots, draw(st.permutations([*slots, *again])), draw(st.lists(st.integers(8, 40), min_size=1)))


def drawn() -> list[Month]:
    """Some months; a database is asked outside of hypothesis, in one loop."""
    found = [outage()]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(months())
    def draw(month: Month) -> None:
        found.append(month)

    draw()
    return found


async def scores_of(store: Store, fleet: str, slots: Sequence[Slot], sizes: Sequence[int]) -> tuple[Score, ...]:
    """File the slots in messages of these sizes, each region's with numbers of its own, and score both lines."""
    numbers, rest, turn = dict.fromkeys(REGIONS, 1), list(slots), 0
    while rest:
        size = sizes[turn % len(sizes)]
        some, rest, turn = rest[:size], rest[size:], turn + 1
        for region in REGIONS:
            runs = [run_entry(one.run(fleet)) for one in some if one.region == region]
            if runs:
                await store.file([deliver(runs, probe=Address(fleet, region, "one"), first_seq=numbers[region])])
                numbers[region] += len(runs)
    checks = [one.check for one in OBJECTIVES]
    found = await store.scores.measured(checks, target="stand-in", fleet=fleet, span=SPAN)
    frame = Frame(SPAN, SPAN.until_at + timedelta(days=2), REGIONS)
    return tuple(score([Reading(one, found[one.check])], frame) for one in OBJECTIVES)


async def test_order_repetition_and_cutting_change_no_score_and_a_failure_raises_no_budget(url: str) -> None:
    """Cells, verdicts and every figure are equal; one success turned into a failure leaves no more, and breaches stay."""
    words = set()
    async with open_store(url) as store:
        await store.scores.begin(Scorer(OBJECTIVES))
        for number, month in enumerate(drawn()):
            plain = await scores_of(store, f"plain-{number}", month.slots, [len(month.slots)])
            mixed = await scores_of(store, f"mixed-{number}", month.arrivals, month.sizes)
            assert mixed == plain
            passed = [place for place, one in enumerate(month.slots) if one.ending == "pass"]
            worse_slots = list(month.slots)
            if passed:
                worse_slots[passed[0]] = replace(worse_slots[passed[0]], ending="fail")
            worse = await scores_of(store, f"worse-{number}", worse_slots, month.sizes)
            for before, after in zip(plain, worse, strict=True):
                assert after.budget.left <= before.budget.left
                assert before.verdict is not Verdict.BREACHED or after.verdict is Verdict.BREACHED
            words |= {one.verdict for one in plain}
    assert Verdict.BREACHED in words
