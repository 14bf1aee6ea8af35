"""How long alerts waited for a person, as facts that obligations read: one for each incident and each severity that it had.

An answer is the first acknowledgement by a person. An alert that was over before anybody had to answer is left out; one that was
not answered in time stays unanswered when it ends. Refuses to count silenced incidents and the fleet's own. Pure. Called by
`collector.scorecard`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from collector.alerting.model import Incident
from slo.obligation import Observation

__all__ = ["answer_facts"]

_NANOSECONDS = 1000


def answer_facts(
    answers: Iterable[tuple[Incident, datetime]], limit_ns: int | None, now: datetime
) -> list[Observation]:
    """The facts about incidents, each with the instant since which it was so bad, as of `now`.

    `limit_ns`: within which an answer is owed; None: at once.
    """
    return [_fact(incident, began_at, limit_ns or 0, now) for incident, began_at in answers if began_at <= now]


def _fact(incident: Incident, began_at: datetime, limit_ns: int, now: datetime) -> Observation:
    subject = f"incident {incident.incident_id}"
    due_at = began_at + timedelta(microseconds=limit_ns // _NANOSECONDS)
    answered_at, resolved_at = incident.acknowledged_at, incident.resolved_at
    is_over_before = resolved_at is not None and resolved_at < due_at and resolved_at <= now
    if answered_at is not None and answered_at <= now and not (is_over_before and answered_at >= due_at):
        # Somebody knew of it before it became as bad as this: that is answered at once.
        waited_at = max(answered_at, began_at)
        return Observation(subject, waited_at, good=True, value_ns=_ns(waited_at - began_at))
    if is_over_before and resolved_at is not None:
        return Observation(subject, resolved_at, good=True, value_ns=None)
    return Observation(subject, now, good=True, value_ns=_ns(now - began_at), is_running=True)


def _ns(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * _NANOSECONDS
