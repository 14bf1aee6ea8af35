"""Times in which a worker starts nothing: what they cover, and what is refused before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from console.pauses import parse_pauses, rule_of
from probes.errors import OperatorError
from probes.registry import Registry, load_registry

START_AT = datetime(2026, 10, 3, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in scenarios."""
    return load_registry("scenarios")


def test_slots_of_the_time_that_was_agreed_are_not_run_and_the_ledger_says_why(registry: Registry) -> None:
    """The first instant belongs to it and the last does not, in whatever zone it was written."""
    rule = rule_of(parse_pauses(["2026-10-03T04:00+02:00/90m"], registry))
    covered = [rule("quote", START_AT + at) for at in (-SECOND, timedelta(0), 5400 * SECOND - SECOND, 5400 * SECOND)]
    assert covered == ["", "agreed: 2026-10-03T04:00+02:00/90m", "agreed: 2026-10-03T04:00+02:00/90m", ""]


def test_only_the_scenarios_that_are_named_pause(registry: Registry) -> None:
    """By name or glob; another pause may cover the others."""
    rule = rule_of(parse_pauses(["2026-10-03T02:00Z/1h cad-* quote", "2026-10-03T02:30Z/1h sign-in"], registry))
    assert [bool(rule(name, START_AT)) for name in ("cad-large", "quote", "sign-in", "web-health")] == [1, 1, 0, 0]
    assert rule("sign-in", START_AT + timedelta(minutes=30))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no time of maintenance"),
        ("2026-10-03T02:00Z", "no time of maintenance"),
        ("soon/2h", "no instant"),
        ("2026-10-03T02:00/2h", "names no zone"),
        ("2026-10-03T02:00Z/0h", "not a duration"),
        ("2026-10-03T02:00Z/2h cad-larg", "cad-large"),
        ("2026-10-03T02:00Z/2h kad-*", "no scenario matches"),
    ],
)
def test_what_could_only_be_a_slip_is_refused(registry: Registry, text: str, told: str) -> None:
    """A slip would have the works disturbed by what was to be held back."""
    with pytest.raises(OperatorError) as caught:
        parse_pauses([text], registry)
    assert told in f"{caught.value} {caught.value.remedy}"
    assert caught.value.where == "worker.maintenance"
