"""Whether announced works explain an alert: then it is recorded as silenced, and nobody is told.

Works silence from the moment they are announced, even those that count against a service level because they were announced late
or are too long: people know of them. What was announced after it began silences nothing that came before. Pure; called by
`collector.alerting.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence

from slo.maintenance import MaintenanceWindow, occurrences_of
from slo.objective import Objective
from slo.window import Span, minute_of

__all__ = ["silencing_works"]


def silencing_works(
    windows: Sequence[MaintenanceWindow], objective: Objective, minute: int, regions: Sequence[str]
) -> str:
    """The name of works on the line that go on in this minute in all of these regions; empty: none do."""
    if not windows or not regions:
        return ""
    silenced: dict[str, str] = {}
    for region in regions:
        for one in occurrences_of(windows, objective, Span("minute", minute, minute + 1), (region,)):
            if minute_of(one.window.announced_at) <= minute:
                silenced.setdefault(region, one.window.name)
    return silenced[regions[0]] if len(silenced) == len(set(regions)) else ""
