"""What gives reason to worry about the fleet itself: silent probes, slots that nobody ran, clocks that are off, old certificates.

These are the fleet's own troubles and are charged to nobody. A probe that has ended in order owes nothing and is not silent.
Refuses to decide what is told (`collector.alerting.record`). Called by `collector.alerting.engine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from collector.alerting.changes import Firing
from collector.alerting.model import AlertFacts, AlertKind, Origin
from collector.ledger import SlotClass, SlotLine
from collector.status_words import said_of
from collector.store import Store
from collector.store_queries import ProbeState
from collector.store_runs import RunSummary
from collector.texts.utc_text import instant_text
from probes.messages import Address
from probes.records import Outcome, Run
from probes.wire import WireError, parse_run
from slo.burn_tiers import Severity
from slo.window import minute_of

__all__ = ["FleetWorries", "Found", "Limits"]

COVERAGE_EVERY: Final = timedelta(minutes=5)
CERTIFICATES_EVERY: Final = timedelta(minutes=15)
COVERAGE_WINDOW: Final = timedelta(hours=1)
SETTLED_AFTER: Final = timedelta(minutes=5)
CERTIFICATES_WINDOW: Final = timedelta(hours=2)
MOST_RUNS: Final = 2_000
MOST_RECORDS: Final = 200
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on there is reason to worry: minutes of silence, percent of an hour's slots, seconds, days."""

    silent_minutes: int
    coverage_percent: float
    clock_s: float
    certificate_days: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong now, of the kinds that were looked at; of the others nothing is known anew."""

    worries: list[Firing]
    looked_at: frozenset[AlertKind]


class FleetWorries:
    """Looks at one fleet; slow things are looked at less often."""

    def __init__(self, store: Store, limits: Limits, *, fleet: str) -> None:
        self._store = store
        self._limits = limits
        self._fleet = fleet
        self._coverage_from: datetime | None = None
        self._certificates_from: datetime | None = None

    async def now(self, now: datetime) -> Found:
        """Everything that is wrong at this moment. Raises StoreError."""
        probes = [one for one in await self._store.probes() if one.address.fleet == self._fleet]
        silent = await self._silent(probes, now)
        found = [*silent, *self._clocks(probes, now)]
        kinds = {AlertKind.SILENT, AlertKind.CLOCK}
        if _is_due(self._coverage_from, COVERAGE_EVERY, now):
            found += await self._coverage(now)
            kinds.add(AlertKind.COVERAGE)
            self._coverage_from = now
        if _is_due(self._certificates_from, CERTIFICATES_EVERY, now):
            runs = await self._latest_runs(now)
            if runs:
                found += self._certificates(runs, now)
                kinds.add(AlertKind.CERTIFICATE)
            self._certificates_from = now
        return Found(found, frozenset(kinds))

    def look_again(self) -> None:
        """Look at everything the next time, because what was found is not on record."""
        self._coverage_from = self._certificates_from = None

    async def _silent(self, probes: Sequence[ProbeState], now: datetime) -> list[Firing]:
        """Those of whom nothing was heard although they owe something."""
        limit = timedelta(minutes=self._limits.silent_minutes)
        quiet = [one for one in probes if now - last_heard_at(one) > limit]
        if not quiet:
            return []
        owing = {one.series.address for one in await self._store.accounts(now - limit, now, now=now) if one.counts.owed}
        return [
            _worry(
                AlertKind.SILENT,
                Severity.HIGH,
                name_of(one.address),
                f"The probe {name_of(one.address)} is silent",
                AlertFacts(
                    meaning=f"nothing is heard of a probe for {self._limits.silent_minutes} min",
                    regions=(one.address.region,),
                    message=f"heard last at {instant_text(last_heard_at(one))} UTC",
                    first_bad_at=last_heard_at(one),
                    last_bad_at=now,
                ),
            )
            for one in quiet
            if one.address in owing
        ]

    def _clocks(self, probes: Sequence[ProbeState], now: datetime) -> Iterator[Firing]:
        """Those whose clock is off by more than the limit, whatever the error of its measurement is."""
        for one in probes:
            offset = clocksaid_of(one.status)
            is_fresh = one.status_at is not None and now - one.status_at < timedelta(
                minutes=self._limits.silent_minutes
            )
            if offset is None or not is_fresh:
                continue
            offset_ns, bound_ns = offset
            if abs(offset_ns) - bound_ns <= self._limits.clock_s * SECOND_NS:
                continue
            name = name_of(one.address)
            yield _worry(
                AlertKind.CLOCK,
                Severity.MEDIUM,
                name,
                f"The clock of {name} is off",
                AlertFacts(
                    meaning=f"a clock is off by more than {self._limits.clock_s:g} s",
                    regions=(one.address.region,),
                    message=f"off by {offset_ns / SECOND_NS:.1f} s; what it finds counts for nothing",
                    first_bad_at=now,
                    last_bad_at=now,
                ),
            )

    async def _coverage(self, now: datetime) -> list[Firing]:
        """Those of whose slots of the last hour too few were run."""
        until_at = now - SETTLED_AFTER
        due: dict[Address, list[SlotLine]] = {}
        for line in await self._store.slots(until_at - COVERAGE_WINDOW, until_at, now=now):
            is_due = line.slot_class not in (SlotClass.PENDING, SlotClass.MAINTENANCE)
            if is_due and line.series.address.fleet == self._fleet:
                due.setdefault(line.series.address, []).append(line)
        found = []
        for address, lines in sorted(due.items(), key=lambda pair: name_of(pair[0])):
            lost = [one for one in lines if one.slot_class not in (SlotClass.ON_TIME, SlotClass.LATE)]
            ran = len(lines) - len(lost)
            if ran * 100 < len(lines) * self._limits.coverage_percent:
                found.append(self._uncovered(address, lines, lost))
        return found

    def _uncovered(self, address: Address, due: Sequence[SlotLine], lost: Sequence[SlotLine]) -> Firing:
        classes = Counter(one.slot_class.value for one in lost)
        why = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
        facts = AlertFacts(
            meaning=f"fewer than {self._limits.coverage_percent:g} % of the slots of an hour were run",
            regions=(address.region,),
            unit="slots",
            bad=len(lost),
            total=len(due),
            message=f"{len(due) - len(lost)} of {len(due)} slots were run ({why})",
            first_bad_at=min(one.slot_at for one in lost),
            last_bad_at=max(one.slot_at for one in lost),
        )
        name = name_of(address)
        worry = _worry(AlertKind.COVERAGE, Severity.MEDIUM, name, f"{name} covers too few slots", facts)
        return replace(worry, costs=Counter(minute_of(one.slot_at) for one in lost))

    async def _latest_runs(self, now: datetime) -> list[Run]:
        """The newest run of each scenario and probe that came to an end."""
        newest: dict[tuple[str, str, str], RunSummary] = {}
        for one in await self._store.runs(now - CERTIFICATES_WINDOW, now, outcomes=(Outcome.PASS,), limit=MOST_RUNS):
            identity = one.identity
            if identity.fleet == self._fleet and len(newest) < MOST_RECORDS:
                newest.setdefault((identity.region, identity.probe, identity.scenario), one)
        found = []
        for one in newest.values():
            try:
                found.append(parse_run(await self._store.record(one.identity)))
            except WireError:
                continue
        return found

    def _certificates(self, runs: Sequence[Run], now: datetime) -> Iterator[Firing]:
        """Hosts whose certificate ends soon, by what their connections showed."""
        ends: dict[str, datetime] = {}
        for run in runs:
            for step in run.steps:
                for one in step.exchanges:
                    if one.certificate_expires_at is not None:
                        host = urlsplit(one.url).netloc.rpartition("@")[2]
                        ends[host] = min(ends.get(host, one.certificate_expires_at), one.certificate_expires_at)
        for host, ends_at in sorted(ends.items()):
            if ends_at - now > timedelta(days=self._limits.certificate_days):
                continue
            is_over = ends_at <= now
            facts = AlertFacts(
                meaning=f"a certificate has {self._limits.certificate_days} days or less to go",
                message=f"it {'ended' if is_over else 'ends'} at {instant_text(ends_at)} UTC; renew it",
                first_bad_at=now,
                last_bad_at=now,
            )
            yield _worry(AlertKind.CERTIFICATE, Severity.MEDIUM, host, f"The certificate of {host} ends", facts)


def name_of(address: Address) -> str:
    """`eu-west/probe-1`."""
    return f"{address.region}/{address.probe}"


def last_heard_at(state: ProbeState) -> datetime:
    """When the probe itself was last heard; what the broker says in its name when it has vanished is not its word."""
    heard = state.last_seen_at
    is_own = state.status_at is not None and bool(said_of(state.status).get("online"))
    return max(heard, state.status_at) if is_own and state.status_at else heard


def clocksaid_of(status: str) -> tuple[int, int] | None:
    """The offset of a probe's clock and the error of that, in nanoseconds; None: it does not say, or not in our words."""
    clock = said_of(status).get("clock")
    if not isinstance(clock, dict):
        return None
    offset_ns, bound_ns = clock.get("offset_ns"), clock.get("bound_ns")
    if not isinstance(offset_ns, int) or not isinstance(bound_ns, int):
        return None
    return offset_ns, max(bound_ns, 0)


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    # A clock that was set back is no reason to wait until it has caught up.
    return last is None or not timedelta(0) <= now - last < every


def _worry(kind: AlertKind, severity: Severity, subject: str, title: str, facts: AlertFacts) -> Firing:
    firing = Firing(kind, Origin.FLEET, severity, severity, subject, "", "", title, 0, facts)
    return replace(firing, region=facts.regions[0]) if facts.regions else firing
