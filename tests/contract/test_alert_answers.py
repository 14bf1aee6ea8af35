"""Lines 23 and 24: how soon a person answered alerts, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from collector.alerting.model import Origin
from collector.alerting.reading import acknowledge
from collector.score_reader import Asked
from collector.scorecard import LineScore, make_scorecard
from collector.store import Store, open_store
from collector.store_alerts import AlertBook
from collector.store_session import Session
from console.objectives import load_set
from slo.burn_tiers import Severity
from slo.duties import DutyScore, DutyState
from slo.evidence import Verdict
from slo.window import minute_of
from tests.alert_kit import FLEET, TARGET, KeptNotices, open_an_incident
from tests.store_kit import NOW

KNOWN = load_set()


async def answered(store: Store, minutes: float, name: str = "critical-answered") -> LineScore:
    """The line as it stands so many minutes after the alert."""
    asked = Asked(TARGET, FLEET, ("eu",), NOW + timedelta(minutes=minutes), names=(name,))
    (line,) = (await make_scorecard(store, KNOWN, asked)).lines
    return line


async def begin(store: Store) -> None:
    """Somebody decides alerts here."""

    async def nothing(book: AlertBook) -> None:
        """Decide that all is well."""

    await store.alerts.decide(FLEET, TARGET, None, minute_of(NOW), nothing)


async def resolve(store: Store, incident_id: int, minutes: float) -> None:
    """The incident is over so many minutes after it began."""

    async def work(session: Session) -> None:
        book = AlertBook(session, FLEET, TARGET)
        found = await book.incident(incident_id)
        assert found is not None
        await book.set_incident(replace(found, resolved_at=NOW + timedelta(minutes=minutes)))

    await store.alerts.change(work)


def verdict_of(line: LineScore) -> tuple[Verdict, list[DutyState]]:
    """The word, and how each alert stands."""
    assert isinstance(line.score, DutyScore), line.reason
    return line.score.verdict, [one.state for one in line.score.subjects]


async def test_an_answer_in_time_meets_the_promise_and_a_late_one_breaks_it(url: str) -> None:
    """Exactly a quarter of an hour is too late: less than 15 minutes was promised."""
    async with open_store(url) as store:
        await begin(store)
        for minutes, key in ((14.9, "one"), (15.0, "two")):
            made = await open_an_incident(store, NOW, key=key)
            now = NOW + timedelta(minutes=minutes)
            await acknowledge(store, made.incident_id, by="Ada", how="page", now=now)
        verdict, states = verdict_of(await answered(store, 60))
    assert verdict is Verdict.BREACHED
    assert states == [DutyState.MET, DutyState.VIOLATED]


@pytest.mark.parametrize(
    ("minutes", "state", "verdict"),
    [
        (5, DutyState.RUNNING, Verdict.NOT_ENOUGH_DATA),
        (12, DutyState.RUNNING, Verdict.AT_RISK),
        (15, DutyState.VIOLATED, Verdict.BREACHED),
    ],
)
async def test_an_alert_that_nobody_answers_is_violated_at_the_limit(
    url: str, minutes: int, state: DutyState, verdict: Verdict
) -> None:
    """Not at its end, for it may never end."""
    async with open_store(url) as store:
        await begin(store)
        await open_an_incident(store, NOW)
        assert verdict_of(await answered(store, minutes)) == (verdict, [state])


async def test_what_was_over_before_anybody_had_to_answer_counts_for_nothing(url: str) -> None:
    """Whether somebody says so afterwards or not; but what went past its limit unanswered is violated for good."""
    async with open_store(url) as store:
        await begin(store)
        short = await open_an_incident(store, NOW, key="short")
        await resolve(store, short.incident_id, 8)
        assert verdict_of(await answered(store, 30))[1] == [DutyState.EXCLUDED]
        await acknowledge(store, short.incident_id, by="Ada", how="page", now=NOW + timedelta(minutes=40))
        assert verdict_of(await answered(store, 60))[1] == [DutyState.EXCLUDED]
        long = await open_an_incident(store, NOW, key="long")
        await resolve(store, long.incident_id, 16)
        verdict, states = verdict_of(await answered(store, 60))
    assert verdict is Verdict.BREACHED
    assert states == [DutyState.EXCLUDED, DutyState.VIOLATED]


async def test_only_alerts_of_the_platform_and_of_the_severity_count(url: str) -> None:
    """The fleet's own troubles are charged to nobody; a high alert has its own line."""
    async with open_store(url) as store:
        await begin(store)
        outbox = KeptNotices()
        await open_an_incident(store, NOW, key="silent", origin=Origin.FLEET, outbox=outbox)
        await open_an_incident(store, NOW, key="high", severity=Severity.HIGH, outbox=outbox)
        critical = verdict_of(await answered(store, 30))
        high = verdict_of(await answered(store, 30, "high-answered"))
    assert critical == (Verdict.NOT_ENOUGH_DATA, [])
    assert high == (Verdict.NOT_ENOUGH_DATA, [DutyState.RUNNING])


async def test_where_nobody_decides_alerts_nothing_is_measured(url: str) -> None:
    """No verdict, and the reason."""
    async with open_store(url) as store:
        line = await answered(store, 30)
    assert line.score is None
    assert line.reason == "not measured: no collector has decided alerts here yet"
