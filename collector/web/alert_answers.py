"""What the API answers about alerts: models, and how each is made of what the pages show.

Refuses to ask and to work out anything. Called by `collector.web.routes_api`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from collector.alerting.model import EventKind, Incident
from collector.alerting.words import incident_lines
from collector.web.api import Answer, Body
from collector.web.routes_alerts import MOST_NAME, MOST_NOTE, IncidentView
from collector.web.run_answers import ListedRunAnswer, listed_run_answer
from slo.burn_tiers import Severity

__all__ = [
    "AcknowledgeBody",
    "IncidentAnswer",
    "IncidentDetailAnswer",
    "IncidentsAnswer",
    "incident_answer",
    "incident_detail_answer",
]


class AlertAnswer(Answer):
    """One alert of an incident."""

    subject: str
    title: str
    line: str
    kind: str
    tier: str
    fired_at: datetime
    resolved_at: datetime | None
    run_ids: list[str]


class IncidentAnswer(Answer):
    """What somebody is fetched for; `lines` say it in words."""

    number: int
    target: str
    origin: str
    severity: str
    title: str
    opened_at: datetime
    first_bad_at: datetime
    last_bad_at: datetime
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    silenced_by: str
    lines: list[str]
    alerts: list[AlertAnswer]


class IncidentsAnswer(Answer):
    """The incidents that were not over at some instant of the days that were asked for, the newest first."""

    incidents: list[IncidentAnswer]


class ConfirmationAnswer(Answer):
    """A region that was asked to run a scenario at once, and the run that it made of it; null: none is stored."""

    scenario: str
    region: str
    asked_at: datetime
    run: ListedRunAnswer | None


class EventAnswer(Answer):
    """Something that happened to an incident."""

    at: datetime
    what: EventKind
    severity: Severity
    by: str
    how: str
    note: str


class IncidentDetailAnswer(IncidentAnswer):
    """The same with everything that happened to it, and what regions found that were asked to look; never scored."""

    events: list[EventAnswer]
    confirmations: list[ConfirmationAnswer]


class AcknowledgeBody(Body):
    """Who knows of it, and what they will do."""

    by: Annotated[str, Field(max_length=MOST_NAME)] = ""
    note: Annotated[str, Field(max_length=MOST_NOTE)] = ""


def incident_answer(incident: Incident) -> IncidentAnswer:
    """An incident as the API tells it."""
    return IncidentAnswer(
        number=incident.incident_id,
        target=incident.target,
        origin=incident.origin.value,
        severity=incident.severity.value,
        title=incident.title,
        opened_at=incident.opened_at,
        first_bad_at=incident.first_bad_at,
        last_bad_at=incident.last_bad_at,
        resolved_at=incident.resolved_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        silenced_by=incident.silenced_by,
        lines=list(incident_lines(incident)),
        alerts=[
            AlertAnswer(
                subject=one.subject,
                title=one.title,
                line=one.line,
                kind=one.kind.value,
                tier=one.tier.value,
                fired_at=one.fired_at,
                resolved_at=one.resolved_at,
                run_ids=list(one.facts.run_ids),
            )
            for one in incident.alerts
        ],
    )


def incident_detail_answer(view: IncidentView) -> IncidentDetailAnswer:
    """One with all about it as the API tells it."""
    return IncidentDetailAnswer(
        **dict(incident_answer(view.incident)),
        events=[EventAnswer.model_validate(one) for one in view.events],
        confirmations=[
            ConfirmationAnswer(
                scenario=one.scenario,
                region=one.region,
                asked_at=one.asked_at,
                run=listed_run_answer(one.run) if one.run else None,
            )
            for one in view.asked
        ],
    )
