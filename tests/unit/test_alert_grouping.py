"""Which alerts are one incident: by their minutes, and by what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collector.alerting.changes import Firing
from collector.alerting.grouping import GAP_MINUTES, incident_for
from collector.alerting.model import Alert, AlertFacts, AlertKind, Incident, Origin
from slo.burn_tiers import Severity
from slo.window import minute_of

BEGIN = datetime(2026, 9, 1, 10, 0, tzinfo=UTC)
FIRST = minute_of(BEGIN)
FACTS = AlertFacts(scenarios=("quote",), regions=("eu", "us"), step="price", failure_kind="timeout")


def incident(
    *,
    facts: AlertFacts = FACTS,
    minutes: int = 10,
    is_open: bool = True,
    number: int = 1,
    kind: AlertKind = AlertKind.BURN,
) -> Incident:
    """Ten bad minutes from the beginning, still going on or over."""
    last = BEGIN + timedelta(minutes=minutes - 1)
    origin = kind.origin
    alert = Alert(
        number, "a", number, kind, Severity.HIGH, Severity.HIGH, "quote", "", "1", "Quotes", BEGIN, BEGIN, facts=facts
    )
    over_at = None if is_open else last + timedelta(minutes=6)
    return Incident(
        number, "i", "fleet", "target", origin, Severity.HIGH, "Quotes", BEGIN, BEGIN, last, over_at, alerts=(alert,)
    )


def firing(
    costs: Mapping[int, int], *, facts: AlertFacts = FACTS, kind: AlertKind = AlertKind.BURN, subject: str = "quote"
) -> Firing:
    """An alert that fires because of these minutes, counted from the beginning."""
    placed = {FIRST + at: cost for at, cost in costs.items()}
    return Firing(kind, kind.origin, Severity.MEDIUM, Severity.MEDIUM, subject, "", "", "", FIRST + 20, facts, placed)


def joins(one: Firing, *there: Incident, minute: int = 20) -> int | None:
    """The number of the incident that takes it in."""
    found = incident_for(one, there, FIRST + minute)
    return found.incident_id if found else None


def test_what_burns_in_the_same_minutes_for_the_same_reason_is_one_incident() -> None:
    """Another line, the same step of the same scenario in the same regions."""
    assert joins(firing({2: 1, 3: 1, 4: 1}), incident()) == 1


@pytest.mark.parametrize(
    ("facts", "is_one"),
    [
        (replace(FACTS, scenarios=("widget-load",), step="load", failure_kind="connect"), True),
        (replace(FACTS, scenarios=("widget-load",), step="load", failure_kind="assertion"), False),
        (replace(FACTS, scenarios=("widget-load",), step="load", failure_kind=""), False),
        (replace(FACTS, scenarios=("widget-load",), step="price", failure_kind="assertion"), True),
        (replace(FACTS, regions=("ap",)), False),
        (replace(FACTS, regions=("us", "ap")), True),
        (replace(FACTS, regions=()), True),
    ],
)
def test_they_must_share_a_region_and_a_scenario_a_step_or_the_sort_of_failure(
    facts: AlertFacts, *, is_one: bool
) -> None:
    """A time-out here and a refused connection there are one outage; a wrong answer and a slow one are not."""
    assert (joins(firing({2: 1}, facts=facts), incident()) == 1) is is_one


@pytest.mark.parametrize(("costs", "is_one"), [({8: 1, 9: 1, 40: 2}, True), ({8: 1, 40: 2}, False), ({40: 1}, False)])
def test_an_incident_that_is_over_takes_in_what_its_own_minutes_explain(
    costs: Mapping[int, int], *, is_one: bool
) -> None:
    """At least half of it."""
    assert (joins(firing(costs), incident(is_open=False), minute=41) == 1) is is_one


def test_an_open_incident_goes_on_until_now() -> None:
    """Minutes after its last bad one are its own, too."""
    assert joins(firing({40: 1}), incident(), minute=41) == 1


def test_minutes_before_an_incident_belong_to_it_only_when_they_are_close() -> None:
    """Five minutes are; six are not."""
    assert joins(firing({-GAP_MINUTES: 1}), incident()) == 1
    assert joins(firing({-GAP_MINUTES - 1: 1}), incident()) is None


def test_of_several_the_one_that_explains_most_takes_it_and_of_equals_the_newest() -> None:
    """So that an outage after another one keeps its own alerts."""
    first, second = incident(is_open=False), replace(incident(number=2), first_bad_at=BEGIN + timedelta(minutes=30))
    assert joins(firing({5: 1, 31: 1, 32: 1}), first, second, minute=33) == 2
    assert joins(firing({2: 1}), incident(), incident(number=2)) == 2


def test_silence_of_all_kinds_is_one_and_each_clock_and_certificate_its_own() -> None:
    """The fleet's own troubles never join the platform's."""
    silent = incident(kind=AlertKind.SILENT)
    assert silent.origin is Origin.FLEET
    assert joins(firing({2: 1}, kind=AlertKind.NO_DATA), silent) == 1
    assert joins(firing({2: 1}, kind=AlertKind.COVERAGE), silent) == 1
    assert joins(firing({2: 1}, kind=AlertKind.CLOCK), silent) is None
    assert joins(firing({2: 1}), silent) is None
    clock = incident(kind=AlertKind.CLOCK)
    assert joins(firing({2: 1}, kind=AlertKind.CLOCK, subject="quote"), clock) == 1
    assert joins(firing({2: 1}, kind=AlertKind.CLOCK, subject="eu/other"), clock) is None
