"""The engine against a second one that shares nothing with it: minute by minute, dictionaries and fractions.

It is written from the rules and knows no bitmap. Random small windows, from a seed that the report of a failure names.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from scipy.stats import beta  # type: ignore[import-untyped] # it ships no types

from slo.cells import Cell, Measured, track_of
from slo.evidence import Verdict
from slo.maintenance import Exclusions
from slo.objective import Objective, Quorum, Silence, SliceRule
from slo.score import EventDetail, Frame, Reading, Score, SliceDetail
from slo.scoring import score
from slo.window import Span, instant_of_minute
from tests.slo_kit import line

FIRST = 29_000_000
NAMES = ("eu", "us", "ap", "sa")

Votes = dict[tuple[str, str, int], Cell]


@dataclass
class Case:
    """One random window: its pieces with their versions, all cells, maintenance by region, and the minute that it is."""

    versions: list[Objective]
    spans: list[Span]
    regions: tuple[str, ...]
    cells: Votes
    excluded: dict[str, set[int]]
    now: int
    frame: Frame = field(init=False)
    heard: dict[tuple[str, int], list[Cell]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for (region, _, minute), cell in self.cells.items():
            if minute not in self.excluded.get(region, ()):
                self.heard.setdefault((region, minute), []).append(cell)
        span = Span("few", self.spans[0].from_minute, self.spans[-1].until_minute)
        self.frame = Frame(span, instant_of_minute(self.now), self.regions)

    def readings(self) -> list[Reading]:
        """As a caller of the engine would hand them over."""
        return [self._reading(version, span) for version, span in zip(self.versions, self.spans, strict=True)]

    def _reading(self, version: Objective, span: Span) -> Reading:
        bits = {region: sum(1 << m - span.from_minute for m in self.inside(region, span)) for region in self.excluded}
        aside = {key: cell for key, cell in self.cells.items() if key[2] in self.excluded.get(key[0], ())}
        return Reading(version, tracks(self.cells, span), Exclusions(bits), tracks(aside, span))

    def inside(self, region: str, span: Span) -> list[int]:
        """Minutes of the span under maintenance there."""
        return [m for m in self.excluded.get(region, ()) if span.from_minute <= m < span.until_minute]


def tracks(cells: Votes, span: Span) -> Measured:
    """One track per probe."""
    places: dict[tuple[str, str], dict[int, Cell]] = {}
    for (region, probe, minute), cell in cells.items():
        places.setdefault((region, probe), {})[minute] = cell
    return Measured(span, tuple(track_of(*place, by_minute, span) for place, by_minute in places.items()))


def random_case(dice: random.Random, *, events: bool) -> Case:
    """Everything at random, the unlikely likely."""
    regions = NAMES[: dice.randint(1, 4)]
    length = dice.randint(1, dice.choice([4, 10, 16]))
    cut = dice.choice([0, 0, dice.randint(1, length)])
    borders = [(0, cut), (cut, length)] if 0 < cut < length else [(0, length)]
    spans = [Span("few", FIRST + start, FIRST + stop) for start, stop in borders]
    rules = [
        SliceRule(
            dice.choice(list(Quorum)), dice.choice(list(Silence)), dice.randint(1, 3), dice.choice([None, 1, 2, 5])
        )
        for _ in spans
    ]
    versions = [
        line(
            version=number,
            slices=None if events else rules[number - 1],
            allowed_bad=Fraction(dice.randint(1, 9), dice.choice([10, 20, 40])),
            min_coverage=Fraction(dice.randint(0, 10), 10),
            strict=dice.random() < 0.2,
            is_correlated=dice.random() < 0.5,
        )
        for number in range(1, len(spans) + 1)
    ]
    moods = dice.choice([(9, 1, 1), (5, 5, 2), (1, 3, 9), (30, 1, 0)])
    cells = {
        (region, f"probe-{probe}", FIRST + minute): random_cell(dice, moods)
        for region in NAMES
        for probe in range(dice.choice([1, 1, 1, 1, 2, 3]))
        for minute in range(-1, length + 1)
        if dice.random() < 0.9
    }
    works = {
        region: {FIRST + m for m in range(length) if dice.random() < 0.3} for region in NAMES if dice.random() < 0.2
    }
    if dice.random() < 0.2:
        common = {FIRST + m for m in range(length) if dice.random() < 0.3}
        works = {region: works.get(region, set()) | common for region in NAMES}
    now = FIRST + dice.choice([length, length, length + 2000, dice.randint(-1, length)])
    return Case(versions, spans, regions, cells, works, now)


def random_cell(dice: random.Random, moods: tuple[int, int, int]) -> Cell:
    """Mostly one event, sometimes several or none."""
    kind = dice.choices(("good", "bad", "mute"), moods)[0]
    if kind == "mute":
        return Cell(inconclusive=dice.randint(0, 2))
    more = dice.choice([0, 0, 1, 2])
    return (
        Cell(1, more, dice.randint(0, 1), 1 + more) if kind == "good" else Cell(more, 1, dice.randint(0, 1), 1 + more)
    )


def region_says(case: Case, region: str, minute: int) -> str:
    """The vote of a region in a minute, from its probes' votes."""
    said = [cell for cell in case.heard.get((region, minute), ()) if cell.good + cell.bad > 0]
    against = sum(1 for cell in said if cell.bad > cell.good)
    if not said:
        return "nothing"
    return "bad" if against > len(said) - against else "good"


def minute_is(case: Case, rule: SliceRule, regions: tuple[str, ...], minute: int) -> str:
    """The state of a minute by the words of the rule."""
    if all(minute in case.excluded.get(region, ()) for region in regions):
        return "excluded"
    if minute >= case.now:
        return "future"
    return minute_was(case, rule, regions, minute)


def minute_was(case: Case, rule: SliceRule, regions: tuple[str, ...], minute: int) -> str:
    """The same of a minute that counts and is over."""
    says = [region_says(case, region, minute) for region in regions]
    s, f = says.count("good"), says.count("bad")
    c = s + f
    samples = [cell for region in regions for cell in case.heard.get((region, minute), ())]
    if rule.quorum is Quorum.ANY and any(cell.good > 0 and cell.good >= cell.bad for cell in samples):
        return "good"
    if rule.silence is Silence.BAD and (s == 0 or rule.quorum is Quorum.ANY):
        return "bad"
    if c < (1 if len(regions) == 1 else rule.min_conclusive):
        return "unknown"
    return "bad" if 2 * f > c else "good"


def expected_minutes(case: Case, regions: tuple[str, ...]) -> tuple[dict[str, int], Fraction, Verdict]:
    """How many minutes of each state, the budget, and the verdict."""
    number = dict.fromkeys(("good", "bad", "unknown", "excluded", "future"), 0)
    allowed, needed, row, gap = Fraction(0), Fraction(0), 0, False
    for version, span in zip(case.versions, case.spans, strict=True):
        assert version.slices is not None
        for minute in range(span.from_minute, span.until_minute):
            state = minute_is(case, version.slices, regions, minute)
            number[state] += 1
            allowed += 0 if state == "excluded" else version.allowed_bad
            needed += 0 if state in ("excluded", "future") else version.min_coverage
            row = row + 1 if state == "bad" else 0
            limit = version.slices.max_gap_minutes
            gap = gap or (limit is not None and row > limit)
    good, bad, unknown = number["good"], number["bad"], number["unknown"]
    is_strict = any(version.strict for version in case.versions)

    def fits(count: int) -> bool:
        return count == 0 or (count < allowed if is_strict else count <= allowed)

    if gap or not fits(bad):
        return number, allowed, Verdict.BREACHED
    if good + bad == 0:
        return number, allowed, Verdict.NOT_ENOUGH_DATA
    if case.now < case.frame.span.until_minute:
        lasts = bad + Fraction(bad, good + bad) * number["future"]
        if allowed - bad < allowed / 4 or lasts > allowed:
            return number, allowed, Verdict.AT_RISK
    if good + bad < needed:
        return number, allowed, Verdict.NOT_ENOUGH_DATA
    if fits(bad + unknown):
        return number, allowed, Verdict.MET
    return number, allowed, Verdict.AT_RISK if fits(unknown) else Verdict.NOT_ENOUGH_DATA


def check_minutes(case: Case) -> Score:
    """The engine says the same of all regions together and of each by itself."""
    found = score(case.readings(), case.frame)
    assert isinstance(found.detail, SliceDetail)
    number, allowed, verdict = expected_minutes(case, case.regions)
    counts = found.detail.counts
    assert {name: getattr(counts, name) for name in number} == number
    assert (found.budget.allowed, found.budget.bad, found.verdict) == (allowed, number["bad"], verdict)
    due = number["good"] + number["bad"] + number["unknown"]
    if number["good"] + number["bad"]:
        assert found.sli is not None
        assert found.sli.point == Fraction(number["good"], number["good"] + number["bad"])
        assert found.coverage == Fraction(number["good"] + number["bad"], due)
    for region in found.regions:
        own, own_allowed, own_verdict = expected_minutes(case, (region.region,))
        assert (region.good, region.bad, region.verdict) == (own["good"], own["bad"], own_verdict)
        assert region.budget.allowed == own_allowed
        assert (region.conclusive, region.asked) == (
            own["good"] + own["bad"],
            own["good"] + own["bad"] + own["unknown"],
        )
    return found


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_random_windows_of_minutes_agree(part: int) -> None:
    """Ten thousand in all: every count, the budget, every verdict, of the fleet and of each region."""
    dice = random.Random(f"minutes-{part}")
    words = {check_minutes(random_case(dice, events=False)).verdict for _ in range(1000)}
    assert words == set(Verdict)


def expected_events(case: Case, regions: tuple[str, ...]) -> tuple[int, int, Fraction, Fraction]:
    """Good, bad, allowed and design effect, counted one by one."""
    good, bad, allowed, slots, effects = 0, 0, Fraction(0), set(), []
    for version, span in zip(case.versions, case.spans, strict=True):
        for (region, _, minute), cell in case.cells.items():
            counts = region in regions and minute not in case.excluded.get(region, ())
            if counts and span.from_minute <= minute < span.until_minute and cell.good + cell.bad:
                good, bad = good + cell.good, bad + cell.bad
                allowed += version.allowed_bad * (cell.good + cell.bad)
                slots.add(minute)
        if version.is_correlated:
            effects.append(expected_outages(case, regions, span))
    per_slot = Fraction(good + bad, len(slots)) if slots else Fraction(1)
    return good, bad, allowed, per_slot * (max(*effects, Fraction(9)) if effects else 1)


def expected_outages(case: Case, regions: tuple[str, ...], span: Span) -> Fraction:
    """Lengths of outages as most regions saw them, and as each probe did."""
    plain = SliceRule(min_conclusive=1)
    past = Case(case.versions, case.spans, case.regions, case.cells, case.excluded, span.until_minute)
    span_minutes = range(span.from_minute, span.until_minute)
    fleet = lengths([minute_is(past, plain, regions, minute) for minute in span_minutes])
    probes: list[int] = []
    for region, probe in sorted({(r, p) for r, p, _ in case.cells if r in regions}):
        own = {(r, p, m): cell for (r, p, m), cell in case.cells.items() if (r, p) == (region, probe)}
        alone = Case(case.versions, case.spans, case.regions, own, case.excluded, span.until_minute)
        probes += lengths([region_says(alone, region, minute) for minute in span_minutes])
    return max(weight(fleet), weight(probes))


def lengths(states: list[str]) -> list[int]:
    """Bad minutes between good ones."""
    told = "".join({"good": "g", "bad": "b"}.get(state, "") for state in states)
    return [len(outage) for outage in told.split("g") if outage]


def weight(outages: list[int]) -> Fraction:
    """Sum of squares over sum."""
    return Fraction(sum(n * n for n in outages), sum(outages)) if outages else Fraction(1)


def expected_word(good: int, bad: int, allowed: Fraction, effect: Fraction) -> Verdict | None:
    """By quantiles of scipy; None where it is too close to call in floats."""
    if good + bad == 0:
        return Verdict.NOT_ENOUGH_DATA
    k, n, b = float(bad / effect), float((good + bad) / effect), float(allowed / (good + bad))
    low = beta.ppf(0.05, k, n - k + 1) if bad else 0.0
    high = beta.ppf(0.95, k + 1, n - k) if good else 1.0
    if min(abs(low - b), abs(high - b)) < 1e-9:
        return None
    if low > b:
        return Verdict.BREACHED
    if high < b:
        return Verdict.MET
    clean = next(m for m in range(1, 10_000) if (1 - b) ** m <= 0.05)
    return Verdict.NOT_ENOUGH_DATA if n < clean else Verdict.AT_RISK


@pytest.mark.parametrize("part", range(2))
def test_random_windows_of_events_agree(part: int) -> None:
    """Counts, budget, design effect and verdict, with maintenance and versions, against plain counting and scipy."""
    dice = random.Random(f"events-{part}")
    words = set()
    for _ in range(500):
        case = random_case(dice, events=True)
        found = score(case.readings(), case.frame)
        assert isinstance(found.detail, EventDetail)
        good, bad, allowed, effect = expected_events(case, case.regions)
        assert (found.detail.cell.good, found.budget.bad, found.budget.allowed) == (good, bad, allowed)
        if good + bad:
            assert found.detail.effect.events == effect
        word = expected_word(good, bad, allowed, effect)
        assert word is None or found.verdict is word
        words.add(found.verdict)
    assert words == set(Verdict)
