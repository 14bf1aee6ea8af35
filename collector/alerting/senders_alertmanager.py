"""Prometheus' Alertmanager: each incident is an alert with labels that never change, said again for as long as it is on.

Alertmanager forgets what nobody repeats. It is repeated every minute and promised for a quarter of an hour, so that a collector
that is started again in between is no all-clear; that a collector is gone for good says the heartbeat. When an incident becomes
worse, the alert with its old severity ends. Refuses to try again. Made by `collector.alerting.channels`.

Source: Alertmanager's API v2, https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from collector.alerting.message import Message, text_of
from collector.alerting.notice import NoticeKind
from collector.alerting.senders import Poster

__all__ = ["ALERT_NAME", "AlertmanagerSender", "alerts_of"]

ALERT_NAME: Final = "SyntheticMonitoringIncident"
PATH: Final = "/api/v2/alerts"
RESENDS_EVERY_S: Final = 60.0
PROMISED_FOR: Final = timedelta(minutes=15)


class AlertmanagerSender:
    """Posts to one Alertmanager; the address is that of its pages, `http://HOST:9093` or with a prefix."""

    resends_every_s = RESENDS_EVERY_S

    def __init__(self, url: str, *, where: str) -> None:
        self._poster = Poster(url.rstrip("/") + PATH, where=where)

    async def send(self, message: Message) -> None:
        """Post it; raises SendError."""
        await self.remind([message])

    async def remind(self, messages: Sequence[Message]) -> None:
        """Post how these incidents are now; raises SendError."""
        found = [alert for message in messages for alert in alerts_of(message)]
        if found:
            await self._poster.post(json.dumps(found).encode())


def alerts_of(message: Message) -> Iterator[Mapping[str, object]]:
    """The alert of an incident, and the end of those with severities that it had before."""
    notice = message.notice
    over_at = _over_at(message)
    yield _alert(message, notice.severity.value, over_at or message.sent_at + PROMISED_FOR)
    before = dict.fromkeys(one.severity.value for one in message.earlier)
    for severity in before:
        if severity != notice.severity.value:
            yield _alert(message, severity, over_at or notice.at)


def _over_at(message: Message) -> datetime | None:
    """When it was over; None: it is on."""
    said = message.notice.facts.get("resolved_at", "")
    if said:
        return datetime.fromisoformat(said)
    return message.notice.at if message.notice.kind is NoticeKind.RESOLVED else None


def _alert(message: Message, severity: str, ends_at: datetime) -> Mapping[str, object]:
    notice = message.notice
    first = notice.facts.get("first_bad_at", "")
    starts_at = min(datetime.fromisoformat(first) if first else notice.at, ends_at)
    labels = {
        "alertname": ALERT_NAME,
        "fleet": notice.fleet,
        "target": notice.facts.get("target", ""),
        "origin": notice.origin.value,
        "severity": severity,
        "incident": str(notice.incident_id),
        "incident_key": notice.incident_key,
    }
    annotations = {"summary": notice.title, "description": text_of(message), "page": message.page_url}
    annotations |= {name: word for name, word in notice.facts.items() if name not in annotations}
    return {
        "labels": {name: word for name, word in labels.items() if word},
        "annotations": {name: word for name, word in annotations.items() if word},
        "startsAt": starts_at.isoformat(),
        "endsAt": ends_at.isoformat(),
        **({"generatorURL": message.page_url} if message.page_url else {}),
    }
