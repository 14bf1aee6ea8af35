"""`alerts list` and `alerts ack` over a store with incidents that were recorded."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from collector.alerting.reading import find_incident
from collector.store import open_store
from console.command_line import parse_arguments
from console.incident_command import run_alerts
from probes.errors import OperatorError
from tests.alert_kit import open_an_incident
from tests.desk_kit import call
from tests.store_kit import NOW

LATER = NOW + timedelta(minutes=4)


@pytest.fixture
async def database(tmp_path: Path) -> str:
    """A database with one incident, number 1."""
    path = tmp_path / "some.db"
    async with open_store(str(path)) as store:
        await open_an_incident(store, NOW)
    return str(path)


async def test_the_list_says_what_broke_where_since_when_and_how_fast_the_budget_goes(database: str) -> None:
    """Everything that a person at night needs is in it, each time with its zone."""
    called = await call(run_alerts, ["alerts", "list", "--database", database], LATER)
    for phrase in (
        "1 critical, for 4 min, nobody knows of it",
        "API uptime 99.9 %",
        "Since 2026-03-01 12:00 UTC",
        "api-health at api-health: timeout: no answer within 10 s.",
        "Where: eu-west, us-east.",
        "Burn rate 33.3 over the long window and 400 over the short window (2 of 60 minutes bad)",
        "Budget left: 95.0%.",
        "Cost so far: 2 bad minutes, 4.6% of the budget.",
        "Runs: 0123456789abcdef0123456789.",
    ):
        assert phrase in called.said
    assert called.code == 0


async def test_a_narrow_terminal_loses_no_word(database: str) -> None:
    """Lines are wrapped and never cut off."""
    wide = await call(run_alerts, ["alerts", "list", "--database", database], LATER)
    narrow = await call(run_alerts, ["alerts", "list", "--database", database], LATER, width=40)
    assert max(len(line) for line in narrow.lines) <= 40
    assert narrow.said.split() == wide.said.split()


async def test_who_acknowledges_is_known_from_then_on(database: str) -> None:
    """The first one counts, and the second one is told so."""
    first = await call(
        run_alerts, ["alerts", "ack", "1", "--by", "Ada", "--note", "on it", "--database", database], LATER
    )
    second = await call(run_alerts, ["alerts", "ack", "1", "--by", "Bob", "--database", database], LATER)
    listed = await call(run_alerts, ["alerts", "list", "--database", database], LATER)
    assert "Ada knows of incident 1" in first.said
    assert "Ada has known of it since 2026-03-01 12:04 UTC; the first one counts" in second.said
    assert "known to Ada" in listed.said
    async with open_store(database) as store:
        found = await find_incident(store, 1)
    assert found is not None
    assert (found.acknowledged_by, found.acknowledged_note, found.acknowledged_how) == ("Ada", "on it", "console")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["alerts", "ack", "17", "--by", "Ada"], "there is no incident 17"),
        (["alerts", "ack", "first", "--by", "Ada"], "'first' is no number of an incident"),
        (["alerts", "ack", "1"], "nobody knows who you are"),
    ],
)
async def test_what_cannot_be_acknowledged_is_said(database: str, words: list[str], said: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(OperatorError, match=said):
        await call(run_alerts, [*words, "--database", database], LATER)


@pytest.mark.parametrize("words", [["alerts"], ["alerts", "lst"], ["alerts", "ack"], ["status", "--by", "Ada"]])
def test_words_that_make_no_command_are_refused(words: list[str]) -> None:
    """With what to type instead."""
    with pytest.raises(OperatorError):
        parse_arguments(words)


async def test_programs_get_everything(database: str, tmp_path: Path) -> None:
    """The JSON holds incidents with their alerts, also when nothing is open."""
    file = tmp_path / "alerts.json"
    await call(run_alerts, ["alerts", "list", "--all", "--json", str(file), "--database", database], LATER)
    document = json.loads(file.read_text())
    (incident,) = document["incidents"]
    assert incident["severity"] == "critical"
    assert incident["alerts"][0]["facts"]["cost"] == 2
    assert incident["opened_at"] == NOW.isoformat()
