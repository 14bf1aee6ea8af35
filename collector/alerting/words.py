"""An incident in words for people: what broke, where, since when, how fast the budget goes, and what to look at.

Every time is in UTC and says so. Refuses to know who is told and how it is laid out. Pure; called by `collector.alerting`, the
console and the pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from collector.alerting.model import Alert, AlertEvent, AlertFacts, AlertKind, EventKind, Incident, Origin
from collector.alerting.notice import Notice, NoticeKind
from collector.texts.utc_text import instant_text, length_text

__all__ = ["alert_lines", "broken_text", "incident_lines", "notice_of", "since_text", "title_of"]

_SECONDS_PER_MINUTE: Final = 60
_MOST_NAMED: Final = 6
_KINDS: Final = {
    EventKind.FIRED: NoticeKind.FIRED,
    EventKind.UNSILENCED: NoticeKind.FIRED,
    EventKind.UPGRADED: NoticeKind.UPGRADED,
    EventKind.ACKNOWLEDGED: NoticeKind.ACKNOWLEDGED,
    EventKind.RESOLVED: NoticeKind.RESOLVED,
}


def notice_of(incident: Incident, event: AlertEvent) -> Notice:
    """What is said of an event; KeyError for one that nobody is told of."""
    kind = _KINDS[event.what]
    return Notice(
        key=event.key,
        kind=kind,
        severity=incident.severity,
        origin=incident.origin,
        fleet=incident.fleet,
        incident_id=incident.incident_id,
        incident_key=incident.key,
        title=incident.title,
        lines=(*_event_lines(incident, event, kind), *incident_lines(incident)),
        at=event.at,
        facts=facts_of(incident),
    )


def _event_lines(incident: Incident, event: AlertEvent, kind: NoticeKind) -> Iterator[str]:
    match kind:
        case NoticeKind.FIRED:
            yield f"{incident.severity.value}: {incident.title}"
        case NoticeKind.UPGRADED:
            yield f"It is {incident.severity.value} now: {incident.title}"
        case NoticeKind.ACKNOWLEDGED:
            note = f": {event.note}" if event.note else ""
            yield f"{event.by} knows of it since {instant_text(event.at)} UTC{note}"
        case NoticeKind.RESOLVED:
            yield f"It is over: {incident.title}"


def title_of(title: str, facts: AlertFacts) -> str:
    """An incident in one line: the promise, what broke, where."""
    what = " at ".join(part for part in (facts.failure_kind, facts.step) if part)
    more = ", ".join(part for part in (what, " ".join(facts.regions)) if part)
    return f"{title}: {more}" if more else title


def incident_lines(incident: Incident) -> Iterator[str]:
    """Everything worth knowing of an incident, as sentences."""
    yield since_text(incident)
    leading = incident.leading
    if leading is not None:
        yield from alert_lines(leading)
    others = [one for one in incident.alerts if leading is None or one.alert_id != leading.alert_id]
    if others:
        names = list(dict.fromkeys(f"{one.title} ({one.tier.value})" for one in others))
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield f"Also: {', '.join(names[:_MOST_NAMED])}{more}."
    if incident.silenced_by:
        yield f"Silenced by the works {incident.silenced_by}."
    if incident.acknowledged_at is not None:
        yield f"Acknowledged by {incident.acknowledged_by} at {instant_text(incident.acknowledged_at)} UTC."


def since_text(incident: Incident) -> str:
    """Since when, or from when to when."""
    first = f"{instant_text(incident.first_bad_at)} UTC"
    if incident.resolved_at is None:
        return f"Since {first}, seen last at {instant_text(incident.last_bad_at)} UTC."
    minutes = max(1, int(incident.duration(incident.resolved_at).total_seconds()) // _SECONDS_PER_MINUTE)
    return f"From {first} for {length_text(minutes)}; found to be over at {instant_text(incident.resolved_at)} UTC."


def alert_lines(alert: Alert) -> Iterator[str]:
    """What one alert knows."""
    facts = alert.facts
    broken = broken_text(facts)
    if broken:
        yield broken
    if facts.regions:
        yield f"Where: {', '.join(facts.regions)}."
    if facts.meaning:
        line = f"line {alert.line}, " if alert.line else ""
        yield f"Rule: {line}{alert.title}: {facts.meaning}."
    if alert.kind is AlertKind.BURN:
        yield from _burn_lines(facts, is_over=not alert.is_open)
    if facts.run_ids:
        yield f"Runs: {', '.join(facts.run_ids)}."


def broken_text(facts: AlertFacts) -> str:
    """What broke: scenario, step, kind and message of the most frequent failure; empty where none is known."""
    if not (facts.failure_kind or facts.step or facts.message):
        return ""
    where = f"{'/'.join(facts.scenarios[:1])}" + (f" at {facts.step}" if facts.step else "")
    said = ": ".join(part for part in (facts.failure_kind, facts.message) if part)
    return ": ".join(part for part in (where, said) if part).strip() + "."


def _burn_lines(facts: AlertFacts, *, is_over: bool) -> Iterator[str]:
    counts = f"{facts.bad} of {facts.total} {facts.unit} bad" if facts.total else ""
    rates = [
        f"{rate:.3g} over the {name} window"
        for name, rate in (("long", facts.long_burn), ("short", facts.short_burn))
        if rate is not None
    ]
    if rates and not is_over:
        counted = f" ({counts})" if counts else ""
        yield f"Burn rate {' and '.join(rates)}{counted}; 1 would spend the budget exactly."
    if facts.budget_left_ratio is not None:
        yield f"Budget left: {facts.budget_left_ratio:.1%}."
    if facts.cost:
        share = f", {facts.cost_ratio:.1%} of the budget" if facts.cost_ratio is not None else ""
        yield f"Cost{'' if is_over else ' so far'}: {facts.cost} bad {facts.unit}{share}."


def facts_of(incident: Incident) -> Mapping[str, str]:
    """The words for programs; only those that are known."""
    leading = incident.leading
    facts = leading.facts if leading else AlertFacts()
    found = {
        "target": incident.target,
        "origin": incident.origin.value if incident.origin is Origin.FLEET else Origin.PLATFORM.value,
        "objectives": " ".join(dict.fromkeys(one.subject for one in incident.alerts)),
        "regions": " ".join(incident.regions),
        "scenarios": " ".join(incident.scenarios),
        "step": facts.step,
        "failure_kind": facts.failure_kind,
        "message": facts.message,
        "run_ids": " ".join(facts.run_ids),
        "first_bad_at": incident.first_bad_at.isoformat(),
        "last_bad_at": incident.last_bad_at.isoformat(),
        "resolved_at": _iso(incident.resolved_at),
        "acknowledged_at": _iso(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
    }
    return {name: word for name, word in found.items() if word}


def _iso(instant: datetime | None) -> str:
    return instant.isoformat() if instant else ""
