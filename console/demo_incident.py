"""The demo's incident: one journey breaks in every region; the probes see it at once, the alert fires, and each is told in words.

An outage begins with a minute, so that the alert's own arithmetic can be followed: a critical alert needs two bad minutes, and
reads each when it is 90 s old. Refuses to wait for ever: an alert that does not come is said to be missing. Called by
`console.demo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collector.alerting.model import Incident, Origin
from collector.alerting.reading import open_incidents
from collector.store import Store
from collector.texts.figures import count_text, duration_text, printable
from console.desk import Desk
from console.fleet_command import Fleet
from console.stand_in_faults import set_faults
from probes.records import Outcome, Run
from probes.wire import parse_run
from slo.burn_tiers import Severity

__all__ = ["INCIDENT_FAULT", "DemoIncident"]

INCIDENT_FAULT: Final = "null-health"
_PROMISE: Final = "the API answers every health check with 200, and with nothing in it"
_HEALTHY_FOR_S: Final = 20.0
_SEEN_WITHIN_S: Final = 180.0
_ALERT_WITHIN_S: Final = 420.0
_LOOK_EVERY_S: Final = 0.5
_S: Final = 1_000_000_000


@dataclass(slots=True)
class DemoIncident:
    """What happened: the run that saw the outage first, and the incident. Both None until then."""

    desk: Desk
    control_url: str
    seen: Run | None = None
    incident: Incident | None = None

    async def play(self, fleet: Fleet) -> None:
        """Let the fleet be well for a while, break the journey, wait until it is seen and somebody would be fetched, mend it."""
        clock, say = self.desk.clock, self.desk.say
        if fleet.pages:
            say(f"The pages are at {fleet.pages}/ for as long as the fleet runs: open them now")
        await clock.sleep(_HEALTHY_FOR_S)
        await clock.sleep(60 - clock.now().timestamp() % 60)
        began_at = clock.now()
        await set_faults(self.control_url, [INCIDENT_FAULT])
        say(f"\n{began_at:%H:%M:%S} UTC, an incident: {_PROMISE}")
        try:
            self.seen = await self._first_failure(fleet.store, began_at)
            self._tell_seen(fleet, began_at)
            if self.seen is not None:
                self.incident = await self._alert(fleet.store, began_at)
                self._tell_alert(fleet, began_at)
        finally:
            await set_faults(self.control_url, [])
        say("The journey is mended. The alert resolves when its short window, 5 minutes, has no bad minute left.")

    async def _first_failure(self, store: Store, began_at: datetime) -> Run | None:
        for _ in range(int(_SEEN_WITHIN_S / _LOOK_EVERY_S)):
            await self.desk.clock.sleep(_LOOK_EVERY_S)
            found = await store.runs(began_at - timedelta(minutes=1), self.desk.clock.now(), outcomes=(Outcome.FAIL,))
            if found:
                return parse_run(await store.record(found[-1].identity))
        return None

    async def _alert(self, store: Store, began_at: datetime) -> Incident | None:
        """The incident of the platform, once it is critical; as far as it came, when that takes too long."""
        give_up_at = began_at + timedelta(seconds=_ALERT_WITHIN_S)
        found: Incident | None = None
        while self.desk.clock.now() < give_up_at:
            await self.desk.clock.sleep(_LOOK_EVERY_S)
            for incident in await open_incidents(store, fleet=self.desk.settings.fleet):
                if incident.origin is not Origin.PLATFORM:
                    continue
                if found is None:
                    self._tell_opened(incident, began_at)
                found = incident
                if incident.severity is Severity.CRITICAL:
                    return incident
        return found

    def _tell_seen(self, fleet: Fleet, began_at: datetime) -> None:
        run, say = self.seen, self.desk.say
        if run is None:
            say(
                f"No probe saw it within {_SEEN_WITHIN_S:.0f} s. That is a fault of this fleet, or of a very busy machine."
            )
            return
        after_s = (run.started_at - began_at).total_seconds() + run.duration_ns / _S
        reason = run.failure.message if run.failure is not None else ""
        say(
            f"Seen after {max(after_s, 0):.1f} s by {run.identity.scenario} from {run.identity.region}, step {run.failed_step}:"
        )
        say(f"  {printable(reason)}")
        statuses = sorted({exchange.status for step in run.steps for exchange in step.exchanges})
        say(f"  A check of status codes would have seen {', '.join(map(str, statuses))} and said that all is well.")
        if fleet.pages:
            say(f"  The run: {fleet.pages}/runs/{run.run_id}")
        say(
            "Somebody is fetched only for what lasts: the alert wants two bad minutes of most regions, each 90 s old when it is"
        )
        say(
            "read, so that no single probe wakes anybody. That takes about two and a half minutes; the board is red meanwhile."
        )

    def _tell_opened(self, incident: Incident, began_at: datetime) -> None:
        after_ns = int((incident.opened_at - began_at).total_seconds() * _S)
        self.desk.say(
            f"\n{incident.opened_at:%H:%M:%S} UTC, an alert, {incident.severity.value}, {duration_text(after_ns)} after it began"
        )

    def _tell_alert(self, fleet: Fleet, began_at: datetime) -> None:
        incident, say = self.incident, self.desk.say
        if incident is None or (leading := incident.leading) is None:
            say(
                f"No alert fired within {_ALERT_WITHIN_S:.0f} s. That is a fault of this fleet, or of a very busy machine."
            )
            return
        after_ns = int((incident.opened_at - began_at).total_seconds() * _S)
        facts = leading.facts
        say(
            f"\n{incident.opened_at:%H:%M:%S} UTC, {incident.severity.value} alert, {duration_text(after_ns)} after it began:"
        )
        say(f"  {printable(incident.title)}")
        say(f"  in {', '.join(incident.regions)}; {facts.bad} of {facts.total} {facts.unit} bad; {facts.meaning}")
        others = len(incident.alerts) - 1
        if others:
            say(f"  {count_text(others, 'other alert')} of the same cause belong to it: one outage, one page")
        if fleet.pages:
            say(f"  Where to look: {fleet.pages}/alerts/{incident.incident_id}")
