"""What an alert is: one thing that is on, and the incident that it belongs to, which is what somebody is fetched for.

An alert is one tier of one line (or one worry about the fleet itself) from the minute it fired to the minute it resolved. An
incident holds the alerts of one cause: one outage, one page. Refuses to decide anything. Pure; called by all of
`collector.alerting`, by the store, by pages and messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from slo.burn_tiers import Severity

__all__ = [
    "SEVERITIES",
    "Alert",
    "AlertEvent",
    "AlertFacts",
    "AlertKind",
    "EventKind",
    "Incident",
    "Origin",
    "is_worse",
]

SEVERITIES: Final = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.REPORT)
"""The worst first."""


class Origin(StrEnum):
    """Whose trouble it is: the platform's, or the fleet's own, which is never charged to the platform."""

    PLATFORM = "platform"
    FLEET = "fleet"


class AlertKind(StrEnum):
    """What is wrong: a budget burns, or too little is known; the rest are about the fleet itself and what it depends on."""

    BURN = "burn"
    NO_DATA = "no_data"
    SILENT = "silent"
    COVERAGE = "coverage"
    CLOCK = "clock"
    CERTIFICATE = "certificate"

    @property
    def origin(self) -> Origin:
        """Whose trouble it is."""
        return Origin.PLATFORM if self is AlertKind.BURN else Origin.FLEET


class EventKind(StrEnum):
    """What happened to an incident, or to an alert of it.

    `fired`: the incident began. `joined`: one more alert of it. `upgraded`: it became worse. `acknowledged`: somebody knows.
    `resolved`: it is over. `silenced` and `unsilenced`: announced works begin and end to keep it quiet. `would_have_fired`:
    results that came late say that an alert was on in the past; nobody was told, and nobody will be. `asked`: a probe elsewhere
    was asked to look at once.
    """

    FIRED = "fired"
    JOINED = "joined"
    UPGRADED = "upgraded"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced"
    WOULD_HAVE_FIRED = "would_have_fired"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What a person needs to know of an alert, as it stood when it was last looked at while on; empty where nothing is known.

    `meaning` is the rule in words. `scenarios`, `step`, `failure_kind` and `message` are of the most frequent failure; `regions`
    those with bad results. `bad` of `total` minutes or events (`unit`) in the tier's long window. `first_bad_at`: since when.
    `long_burn` and `short_burn` are burn rates; `budget_left_ratio` of the line's open window, 1 for a whole one and below 0 when
    it is overspent; `cost` in `unit`s, `cost_ratio` as a share of the window's budget. `run_ids` lead to the records.
    """

    meaning: str = ""
    scenarios: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    step: str = ""
    failure_kind: str = ""
    message: str = ""
    unit: str = ""
    bad: int = 0
    total: int = 0
    first_bad_at: datetime | None = None
    last_bad_at: datetime | None = None
    long_burn: float | None = None
    short_burn: float | None = None
    budget_left_ratio: float | None = None
    cost: int = 0
    cost_ratio: float | None = None
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `fired_at` is the first instant of the minute whose result made it fire, `recorded_at` when it was decided.

    `subject` is the objective's name, `REGION/PROBE`, or a host; `tier` the severity of its tier, which may be higher than what
    it counts as (`severity`); `region` is set where it is about one region alone. `resolved_at`: the first instant of the minute
    whose result ended it. `silenced_by` names announced works. `key` never changes and is no other alert's.
    """

    alert_id: int
    key: str
    incident_id: int
    kind: AlertKind
    severity: Severity
    tier: Severity
    subject: str
    region: str
    line: str
    title: str
    fired_at: datetime
    recorded_at: datetime
    resolved_at: datetime | None = None
    silenced_by: str = ""
    facts: AlertFacts = field(default_factory=AlertFacts)

    @property
    def is_open(self) -> bool:
        """Whether it is on."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Incident:
    """What somebody is fetched for: alerts of one cause.

    `severity` is the worst that it ever had. `opened_at` is when it was recorded; `first_bad_at` since when something was wrong,
    `last_bad_at` when it was last seen so. `resolved_at`: when that was decided; alerts with long windows may still be on. Nobody
    was told of one that is `silenced_by` works.
    """

    incident_id: int
    key: str
    fleet: str
    target: str
    origin: Origin
    severity: Severity
    title: str
    opened_at: datetime
    first_bad_at: datetime
    last_bad_at: datetime
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    acknowledged_how: str = ""
    acknowledged_note: str = ""
    silenced_by: str = ""
    alerts: tuple[Alert, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.resolved_at is None

    @property
    def leading(self) -> Alert | None:
        """The alert that says most about it: the worst, and the earliest of these."""
        return min(self.alerts, key=lambda one: (SEVERITIES.index(one.severity), one.alert_id), default=None)

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it was seen."""
        return tuple(sorted({region for alert in self.alerts for region in alert.facts.regions}))

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The journeys that it was seen in."""
        return tuple(sorted({name for alert in self.alerts for name in alert.facts.scenarios}))

    def duration(self, now: datetime) -> timedelta:
        """How long something was wrong: to the end of the last bad minute once it is over, to `now` before that."""
        until_at = now if self.resolved_at is None else self.last_bad_at + timedelta(minutes=1)
        return max(until_at - self.first_bad_at, timedelta(0))


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened; `alert_id` is 0 where it is about the whole incident, `incident_id` 0 where there is none."""

    event_id: int
    key: str
    incident_id: int
    alert_id: int
    what: EventKind
    severity: Severity
    at: datetime
    by: str = ""
    how: str = ""
    note: str = ""


def is_worse(one: Severity, other: Severity) -> bool:
    """Whether the first is more urgent than the second."""
    return SEVERITIES.index(one) < SEVERITIES.index(other)
