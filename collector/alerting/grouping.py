"""Which incident an alert belongs to: one outage, one page.

An alert belongs to an incident when most of what made it fire lies in the incident's minutes and both have something in common:
the fleet, the target and the origin always; of the platform's alerts a region, and besides it a scenario, a step, or the sort
of failure (not reached or answered with an error; wrong; slow). An incident that is over takes in what is still explained by
its own minutes, so that slow tiers, which fire or go on long after an outage, page nobody a second time. Pure; called by
`collector.alerting.record`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from collector.alerting.changes import Firing
from collector.alerting.model import AlertFacts, AlertKind, Incident, Origin
from slo.window import minute_of

__all__ = ["GAP_MINUTES", "incident_for"]

GAP_MINUTES: Final = 5
"""Bad minutes that are no further apart than this may have one cause."""
_UNREACHABLE: Final = frozenset(("dns", "connect", "tls", "timeout", "status", "rate_limited", "browser"))


def incident_for(firing: Firing, incidents: Sequence[Incident], minute: int) -> Incident | None:
    """The incident that explains most of what made an alert fire, the newest of equal ones; None: it is a new one."""
    best: tuple[int, int] = (0, 0)
    chosen = None
    whole = sum(firing.costs.values())
    for incident in incidents:
        explained = _explained(firing.costs, incident, minute)
        if 2 * explained < max(whole, 1) or not _is_related(firing, incident):
            continue
        rank = (explained, incident.incident_id)
        if rank > best:
            best, chosen = rank, incident
    return chosen


def _explained(costs: Mapping[int, int], incident: Incident, minute: int) -> int:
    first = minute_of(incident.first_bad_at) - GAP_MINUTES
    last = minute if incident.is_open else minute_of(incident.last_bad_at) + GAP_MINUTES
    return sum(cost for at, cost in costs.items() if first <= at <= last)


def _is_related(firing: Firing, incident: Incident) -> bool:
    if firing.origin is not incident.origin:
        return False
    own = frozenset(_tokens(firing.origin, firing.kind, firing.subject, firing.facts))
    theirs = {token for one in incident.alerts for token in _tokens(incident.origin, one.kind, one.subject, one.facts)}
    if firing.origin is Origin.PLATFORM:
        regions, others = set(firing.facts.regions), set(incident.regions)
        if regions and others and not regions & others:
            return False
    return bool(own & theirs)


def _tokens(origin: Origin, kind: AlertKind, subject: str, facts: AlertFacts) -> Iterator[str]:
    """What an alert has in common with others of the same cause."""
    if kind in (AlertKind.CLOCK, AlertKind.CERTIFICATE):
        yield f"{kind.value} {subject}"
    elif origin is Origin.FLEET:
        yield "silence"
    else:
        yield from (f"scenario {name}" for name in facts.scenarios)
        if facts.step:
            yield f"step {facts.step}"
        yield f"sort {_sort(facts)}"


def _sort(facts: AlertFacts) -> str:
    """Outages come as many kinds of failure at once: a name that is not found here is a time-out there."""
    if facts.failure_kind in _UNREACHABLE:
        return "unreachable"
    return facts.failure_kind or "slow"
