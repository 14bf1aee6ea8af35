"""What probes found that were asked to look at an outage at once: more evidence of an incident, which is never scored.

Finds the answers by what was asked of whom and when; one that somebody else asked for in those seconds answers as well. Refuses
to ask (`collector.alerting.confirm` does) and to judge. Called by the pages and the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collector.alerting.ask import LIFE
from collector.alerting.confirm import OVER_AFTER, scenario_of
from collector.alerting.model import Incident, Origin
from collector.store import Store
from collector.store_alerts import AskedRegion
from collector.store_runs import RunFilter, RunSummary
from probes.commands import CLOCKS_MAY_DIFFER

__all__ = ["Confirmation", "confirmations_of"]

BEFORE: Final = timedelta(minutes=5)
"""A failure is asked about before its minute is known to be bad."""
WAITS: Final = timedelta(minutes=2)
"""A run that was asked for may wait for a place."""
MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A region that was asked to run a scenario at once, and the run that it made of it; None: none is stored."""

    scenario: str
    region: str
    asked_at: datetime
    run: RunSummary | None


async def confirmations_of(store: Store, incident: Incident) -> Sequence[Confirmation]:
    """Who was asked about an incident and what they found, the first ones first. Raises StoreError."""
    if incident.origin is not Origin.PLATFORM:
        return ()
    until_at = incident.last_bad_at + OVER_AFTER
    found = await store.alerts.asked(incident.first_bad_at - BEFORE, until_at)
    told: list[Confirmation] = []
    for one in found:
        scenario = scenario_of(one.outage, incident.fleet, incident.target)
        if scenario in incident.scenarios and len(told) < MOST:
            told.append(Confirmation(scenario, one.region, one.asked_at, await _answer(store, incident, scenario, one)))
    return tuple(told)


async def _answer(store: Store, incident: Incident, scenario: str, asked: AskedRegion) -> RunSummary | None:
    """The first run of a region that was made out of turn after it was asked."""
    wanted = RunFilter(incident.fleet, scenario, asked.region, only_repeats=True)
    since_at, until_at = asked.asked_at - CLOCKS_MAY_DIFFER, asked.asked_at + LIFE + WAITS
    found = await store.views.runs(since_at, until_at, wanted)
    return next((one for one in reversed(found) if one.target == incident.target), None)
