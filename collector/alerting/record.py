"""Enters a decision into the book: alerts with the incidents that they belong to, what happened, and the notices about it.

All of it inside one transaction, so that what is recorded is said, and what is not recorded is not. Refuses to decide whether an
alert is on. Called by `collector.alerting.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from collector.alerting.changes import Ending, Firing, Past, firing_key
from collector.alerting.grouping import incident_for
from collector.alerting.model import SEVERITIES, Alert, AlertEvent, AlertFacts, EventKind, Incident, is_worse
from collector.alerting.notice import Outbox
from collector.alerting.words import notice_of, title_of
from collector.store_alerts import AlertBook
from slo.burn_tiers import Severity
from slo.window import instant_of_minute, minute_of

__all__ = ["LOOKED_BACK", "Decided", "Recorder"]

log = structlog.get_logger(__name__)

LOOKED_BACK: Final = timedelta(days=3)
"""An incident that has been over for longer explains nothing any more: no tier looks back further."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about the minutes up to `minute`.

    `facts`, `silenced` and `worse` are news of alerts that stay on, by their number; `lasting` are those with slow windows, as
    if they fired now, each with how many minutes its short window has.
    """

    minute: int
    firings: Sequence[Firing] = ()
    endings: Sequence[tuple[Ending, AlertFacts]] = ()
    pasts: Sequence[Past] = ()
    facts: Mapping[int, AlertFacts] = field(default_factory=dict)
    silenced: Mapping[int, str] = field(default_factory=dict)
    worse: Mapping[int, Severity] = field(default_factory=dict)
    lasting: Mapping[int, tuple[Firing, int]] = field(default_factory=dict)


class Recorder:
    """One decision while it is entered."""

    def __init__(self, book: AlertBook, outbox: Outbox, *, fleet: str, target: str, now: datetime) -> None:
        self._book = book
        self._outbox = outbox
        self._fleet = fleet
        self._target = target
        self._now = now
        self._incidents: dict[int, Incident] = {}

    async def enter(self, decided: Decided) -> None:
        """Everything, in an order in which an outage that ends and one that begins are not mixed up."""
        self._incidents = {one.incident_id: one for one in await self._book.incidents_since(self._now - LOOKED_BACK)}
        for ending, facts in decided.endings:
            await self._end(ending, facts)
        await self._refresh(decided)
        await self._resolve()
        # The worst first: then the others join it, and nobody is told twice.
        for firing in sorted(decided.firings, key=_urgency):
            await self._fire(firing, decided.minute)
        await self._go_on(decided)
        await self._unsilence(decided.minute)
        for past in decided.pasts:
            await self._note_past(past)

    # alerts

    async def _end(self, ending: Ending, facts: AlertFacts) -> None:
        alert = replace(ending.alert, resolved_at=instant_of_minute(ending.resolved_minute), facts=facts)
        await self._book.set_alert(alert)
        self._keep(alert)
        await self._event(alert.incident_id, alert, EventKind.RESOLVED, f"{alert.key}/resolved")
        log.info("alert.resolved", alert=alert.key, cost=facts.cost, unit=facts.unit)

    async def _refresh(self, decided: Decided) -> None:
        """What is new about alerts that stay on."""
        for incident in list(self._incidents.values()):
            for alert in incident.alerts:
                if not alert.is_open:
                    continue
                number = alert.alert_id
                now = replace(
                    alert,
                    facts=decided.facts.get(number, alert.facts),
                    silenced_by=decided.silenced.get(number, alert.silenced_by),
                    severity=decided.worse.get(number, alert.severity),
                )
                if now != alert:
                    await self._book.set_alert(now)
                    self._keep(now)
                if number in decided.worse and incident.is_open:
                    await self._worsen(self._incidents[incident.incident_id], now)

    async def _fire(self, firing: Firing, minute: int) -> None:
        key = firing_key(self._fleet, self._target, firing)
        if await self._book.has_key(key):
            return
        incident = incident_for(firing, list(self._incidents.values()), minute)
        is_new = incident is None
        if incident is None:
            incident = await self._open(firing, f"{key}/incident")
        alert = await self._book.add_alert(self._alert(firing, key, incident.incident_id))
        self._keep(alert)
        log.warning("alert.fired", alert=key, severity=alert.severity.value, silenced_by=alert.silenced_by)
        note = "late results: it was on before" if firing.is_late else ""
        incident = self._incidents[incident.incident_id]
        if is_new:
            await self._begin(incident, note)
            return
        await self._event(incident.incident_id, alert, EventKind.JOINED, f"{key}/joined", note)
        if incident.is_open:
            await self._worsen(incident, alert)

    def _alert(self, firing: Firing, key: str, incident_id: int) -> Alert:
        fired_at = instant_of_minute(firing.fired_minute)
        return Alert(
            0,
            key,
            incident_id,
            firing.kind,
            firing.severity,
            firing.tier,
            firing.subject,
            firing.region,
            firing.line,
            firing.title,
            fired_at,
            self._now,
            None,
            firing.silenced_by,
            firing.facts,
        )

    # incidents

    async def _open(self, firing: Firing, key: str) -> Incident:
        first = firing.facts.first_bad_at or instant_of_minute(min(firing.costs, default=firing.fired_minute))
        incident = Incident(
            0,
            key,
            self._fleet,
            self._target,
            firing.origin,
            firing.severity,
            title_of(firing.title, firing.facts),
            self._now,
            first,
            firing.facts.last_bad_at or first,
            silenced_by=firing.silenced_by,
        )
        made = await self._book.add_incident(incident)
        self._incidents[made.incident_id] = made
        return made

    async def _begin(self, incident: Incident, note: str) -> None:
        """Say that there is a new one, unless works silence it."""
        what = EventKind.SILENCED if incident.silenced_by else EventKind.FIRED
        await self._event(
            incident.incident_id, None, what, f"{incident.key}/{what.value}", note or incident.silenced_by
        )

    async def _worsen(self, incident: Incident, alert: Alert) -> None:
        """What one more alert makes of an incident that is not over: wider, and perhaps worse."""
        first = min(incident.first_bad_at, alert.facts.first_bad_at or incident.first_bad_at)
        last = max(incident.last_bad_at, alert.facts.last_bad_at or incident.last_bad_at)
        after = replace(incident, first_bad_at=first, last_bad_at=last)
        is_upgrade = is_worse(alert.severity, incident.severity) and not alert.silenced_by
        if is_upgrade:
            after = replace(after, severity=alert.severity, title=title_of(alert.title, alert.facts))
        await self._set(after)
        if is_upgrade and not after.silenced_by:
            await self._event(
                incident.incident_id, None, EventKind.UPGRADED, f"{incident.key}/upgraded/{alert.severity.value}"
            )

    async def _resolve(self) -> None:
        """An incident is over when none of its alerts of its own severity is on; slower ones remember it for longer."""
        for incident in list(self._incidents.values()):
            if not incident.is_open:
                continue
            leading = [one for one in incident.alerts if one.is_open and one.severity is incident.severity]
            if leading:
                last = max([incident.last_bad_at, *(one.facts.last_bad_at for one in leading if one.facts.last_bad_at)])
                if last != incident.last_bad_at:
                    await self._set(replace(incident, last_bad_at=last))
                continue
            ended = [one.facts.last_bad_at for one in incident.alerts if one.severity is incident.severity]
            last = max([incident.last_bad_at, *(at for at in ended if at)])
            await self._set(replace(incident, last_bad_at=last, resolved_at=self._now))
            await self._event(incident.incident_id, None, EventKind.RESOLVED, f"{incident.key}/resolved")

    async def _go_on(self, decided: Decided) -> None:
        """Slow alerts that are on although all that their incident explains has left their short window."""
        for incident in list(self._incidents.values()):
            for alert in incident.alerts:
                if incident.is_open or not alert.is_open or alert.alert_id not in decided.lasting:
                    continue
                firing, short_minutes = decided.lasting[alert.alert_id]
                if decided.minute > minute_of(incident.last_bad_at) + short_minutes:
                    await self._move(alert, firing, decided.minute)

    async def _move(self, alert: Alert, firing: Firing, minute: int) -> None:
        """To the incident that explains it now, else to a new one."""
        before = self._incidents[alert.incident_id]
        left = tuple(one for one in before.alerts if one.alert_id != alert.alert_id)
        self._incidents[before.incident_id] = replace(before, alerts=left)
        others = [one for one in self._incidents.values() if one.incident_id != before.incident_id]
        incident = incident_for(firing, others, minute)
        is_new = incident is None
        key = f"{alert.key}/incident/{instant_of_minute(minute):%Y-%m-%dT%H:%MZ}"
        if incident is None:
            first = instant_of_minute(min(firing.costs, default=minute))
            incident = await self._open(replace(firing, facts=replace(firing.facts, first_bad_at=first)), key)
        moved = replace(alert, incident_id=incident.incident_id)
        await self._book.set_alert(moved)
        self._keep(moved)
        if is_new:
            await self._begin(self._incidents[incident.incident_id], "it goes on")
        else:
            await self._event(incident.incident_id, moved, EventKind.JOINED, f"{key}/joined", "it goes on")

    async def _unsilence(self, minute: int) -> None:
        """An incident stays silenced while all of its alerts are."""
        for incident in list(self._incidents.values()):
            loud = [one for one in incident.alerts if one.is_open and not one.silenced_by]
            if not incident.is_open or not incident.silenced_by or not loud:
                continue
            worst = min((one.severity for one in loud), key=SEVERITIES.index)
            severity = worst if is_worse(worst, incident.severity) else incident.severity
            await self._set(replace(incident, silenced_by="", severity=severity))
            await self._event(incident.incident_id, None, EventKind.UNSILENCED, f"{incident.key}/unsilenced/{minute}")

    async def _note_past(self, past: Past) -> None:
        state = past.state
        fired_at = f"{instant_of_minute(past.fired_minute):%Y-%m-%dT%H:%MZ}"
        name, tier, region = state.name
        key = f"{self._fleet}/{self._target}/{name}/{tier.value}/{past.kind.value}/{region or '-'}/{fired_at}/would_have_fired"
        until = "" if past.resolved_minute is None else f"{instant_of_minute(past.resolved_minute):%Y-%m-%d %H:%M}"
        note = f"{state.title}: on from {fired_at} to {until} UTC, known only afterwards"
        event = AlertEvent(0, key, 0, 0, EventKind.WOULD_HAVE_FIRED, state.severity(past.kind), self._now, note=note)
        if await self._book.add_event(event):
            log.warning("alert.would_have_fired", alert=key)

    # what all of them use

    def _keep(self, alert: Alert) -> None:
        incident = self._incidents.get(alert.incident_id)
        if incident is None:
            return
        others = tuple(one for one in incident.alerts if one.alert_id != alert.alert_id)
        ordered = tuple(sorted((*others, alert), key=lambda one: one.alert_id))
        self._incidents[incident.incident_id] = replace(incident, alerts=ordered)

    async def _set(self, incident: Incident) -> None:
        self._incidents[incident.incident_id] = incident
        await self._book.set_incident(incident)

    async def _event(self, incident_id: int, alert: Alert | None, what: EventKind, key: str, note: str = "") -> None:
        """Enter it, and tell people where they are to know: of whole incidents that no works silence."""
        incident = self._incidents.get(incident_id)
        if incident is None:
            return
        severity = alert.severity if alert else incident.severity
        number = alert.alert_id if alert else 0
        event = AlertEvent(0, key, incident_id, number, what, severity, self._now, note=note)
        if await self._book.add_event(event) and alert is None and not incident.silenced_by:
            await self._outbox.put(self._book.session, notice_of(incident, event))


def _urgency(firing: Firing) -> tuple[int, bool, int]:
    return SEVERITIES.index(firing.severity), bool(firing.silenced_by), firing.fired_minute
