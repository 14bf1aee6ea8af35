"""A notice as the text that the queue keeps, and back. Pure; called by `collector.store_messages`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from collector.alerting.model import Origin
from collector.alerting.notice import Notice, NoticeKind
from slo.burn_tiers import Severity

__all__ = ["parse_notice", "render_notice"]

_MOST_LINES: Final = 60
_MOST_TEXT: Final = 2_000
"""Lines and letters of one line and of one fact; messages name what matters most first."""


def render_notice(notice: Notice) -> str:
    """The notice as JSON in ASCII; what is longer than any receiver takes is cut."""
    return json.dumps(
        {
            "key": notice.key,
            "kind": notice.kind.value,
            "severity": notice.severity.value,
            "origin": notice.origin.value,
            "fleet": notice.fleet,
            "incident_id": notice.incident_id,
            "incident_key": notice.incident_key,
            "title": notice.title[:_MOST_TEXT],
            "lines": [line[:_MOST_TEXT] for line in notice.lines[:_MOST_LINES]],
            "at": notice.at.isoformat(),
            "facts": {name: word[:_MOST_TEXT] for name, word in notice.facts.items()},
        }
    )


def parse_notice(text: str) -> Notice:
    """The notice that was rendered."""
    found = json.loads(text)
    return Notice(
        key=found["key"],
        kind=NoticeKind(found["kind"]),
        severity=Severity(found["severity"]),
        origin=Origin(found["origin"]),
        fleet=found["fleet"],
        incident_id=found["incident_id"],
        incident_key=found["incident_key"],
        title=found["title"],
        lines=tuple(found["lines"]),
        at=datetime.fromisoformat(found["at"]),
        facts=found["facts"],
    )
