"""Alerts made by hand, and an outbox that remembers, for tests of alerts."""

from __future__ import annotations

from datetime import datetime

from collector.alerting.model import Alert, AlertEvent, AlertFacts, AlertKind, EventKind, Incident, Origin
from collector.alerting.notice import Notice, Outbox
from collector.alerting.words import notice_of
from collector.store import Store
from collector.store_alerts import AlertBook, add_event
from collector.store_session import Session
from slo.burn_tiers import Severity

__all__ = ["FLEET", "TARGET", "KeptNotices", "open_an_incident"]

FLEET = "simulated"
TARGET = "simulated"


class KeptNotices:
    """An outbox in memory; what a transaction that is undone has put stays in it, so that only committed tests look."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def put(self, session: Session, notice: Notice) -> None:  # noqa: ARG002 - the outbox's own form
        """Keep it."""
        self.notices.append(notice)


def facts_at(now: datetime) -> AlertFacts:
    """What an alert of an API that times out knows."""
    return AlertFacts(
        meaning="more than 1.44 % bad in 1 h and in 5 min",
        scenarios=("api-health",),
        regions=("eu-west", "us-east"),
        step="api-health",
        failure_kind="timeout",
        message="no answer within 10 s",
        unit="minutes",
        bad=2,
        total=60,
        first_bad_at=now,
        last_bad_at=now,
        long_burn=33.3,
        short_burn=400.0,
        budget_left_ratio=0.95,
        cost=2,
        cost_ratio=0.046,
        run_ids=("0123456789abcdef0123456789",),
    )


async def open_an_incident(
    store: Store,
    now: datetime,
    *,
    severity: Severity = Severity.CRITICAL,
    key: str = "api-uptime/critical/burn/1",
    origin: Origin = Origin.PLATFORM,
    outbox: Outbox | None = None,
    fleet: str = FLEET,
    target: str = TARGET,
    title: str = "API uptime 99.9 %",
    facts: AlertFacts | None = None,
) -> Incident:
    """An incident with one alert, as the engine would record it at `now`."""
    incident = Incident(0, key, fleet, target, origin, severity, title, now, now, now)
    kind = AlertKind.BURN if origin is Origin.PLATFORM else AlertKind.SILENT

    async def work(session: Session) -> Incident:
        book = AlertBook(session, fleet, target)
        made = await book.add_incident(incident)
        await book.add_alert(
            Alert(
                0,
                key,
                made.incident_id,
                kind,
                severity,
                severity,
                "api-uptime",
                "",
                "1",
                title,
                now,
                now,
                facts=facts or facts_at(now),
            )
        )
        event = AlertEvent(0, f"{key}/fired", made.incident_id, 0, EventKind.FIRED, severity, now)
        await add_event(session, event)
        found = await book.incident(made.incident_id)
        assert found is not None
        if outbox is not None:
            await outbox.put(session, notice_of(found, event))
        return found

    made: Incident = await store.alerts.change(work)
    return made
