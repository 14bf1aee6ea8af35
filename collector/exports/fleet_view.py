"""The fleet as the database and the probes' own words describe it: last heard, outboxes, gaps, coverage, sizes.

What a probe says of itself is taken as numbers or not at all. Many probes are one series beyond a bound: sums of counts,
the longest silence. Refuses to judge. Called by `collector.exports.metrics_upkeep`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from collector.exports.labels import OTHER, Labels
from collector.ledger import SlotCounts, by_region
from collector.status_words import said_of
from collector.store import Store
from collector.store_queries import ProbeState, Totals
from probes.clock import Clock

__all__ = ["FleetView", "ProbeView", "SlotsView"]

MOST_PROBES: Final = 500
COVERAGE_MINUTES: Final = 60
MINUTES_AT_ONCE: Final = 5
SETTLED: Final = timedelta(minutes=3)
MOST_NUMBER: Final = 1e15


@dataclass(slots=True)
class ProbeView:
    """A probe, or what is left of them under `other`. Numbers that it says itself are None where it does not say them."""

    region: str
    probe: str
    last_seen_s: float
    entries: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    missing: int = 0
    lost: int = 0
    outbox_entries: float | None = None
    outbox_bytes: float | None = None
    outbox_oldest_s: float | None = None
    clock_offset_s: float | None = None
    clock_bound_s: float | None = None

    def add(self, other: ProbeView) -> None:
        """Both as one."""
        self.last_seen_s = min(self.last_seen_s, other.last_seen_s)
        for name in ("entries", "duplicates", "conflicts", "quarantined", "missing", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class SlotsView:
    """The slots of a scenario in a region in the last hour that has settled."""

    scenario: str
    region: str
    counts: SlotCounts


@dataclass(slots=True)
class FleetView:
    """The newest picture; `refresh` what it is made of."""

    store: Store
    clock: Clock
    fleet: str
    scenario: Labels
    region: Labels
    probes: tuple[ProbeView, ...] = ()
    totals: Totals | None = None
    slots: tuple[SlotsView, ...] = field(default=())

    async def refresh_probes(self) -> None:
        """Who was heard, and what they say. Raises StoreError."""
        ours = [one for one in await self.store.probes() if one.address.fleet == self.fleet]
        self.probes = tuple(probe_views(ours, self.region))

    async def refresh_totals(self) -> None:
        """Sizes and sums. Raises StoreError."""
        self.totals = await self.store.totals()

    async def refresh_slots(self) -> None:
        """The last hour's slots, a few minutes at a time, so that each look takes milliseconds. Raises StoreError."""
        now = self.clock.now()
        until_at = now - SETTLED
        begin = until_at - timedelta(minutes=COVERAGE_MINUTES)
        sums: dict[tuple[str, str], SlotCounts] = {}
        for start in range(0, COVERAGE_MINUTES, MINUTES_AT_ONCE):
            from_at = begin + timedelta(minutes=start)
            accounts = await self.store.accounts(from_at, from_at + timedelta(minutes=MINUTES_AT_ONCE), now=now)
            ours = [one for one in accounts if one.series.address.fleet == self.fleet]
            for (scenario, region), counts in by_region(ours).items():
                sums.setdefault((self.scenario(scenario), self.region(region)), SlotCounts()).add(counts)
        self.slots = tuple(SlotsView(*names, counts) for names, counts in sorted(sums.items()))


def probe_views(states: Iterable[ProbeState], region: Labels) -> list[ProbeView]:
    """Each probe, by name; those beyond the bound together."""
    views: dict[tuple[str, str], ProbeView] = {}
    for state in states:
        view = _view_of(state, region(state.address.region))
        if len(views) >= MOST_PROBES or view.region == OTHER:
            view.region = view.probe = OTHER
        key = (view.region, view.probe)
        if key in views:
            views[key].add(view)
        else:
            views[key] = view
    return [views[key] for key in sorted(views)]


def _view_of(state: ProbeState, region: str) -> ProbeView:
    view = ProbeView(
        region,
        state.address.probe,
        max(state.last_seen_at, state.status_at or state.last_seen_at).timestamp(),
        state.entries,
        state.duplicates,
        state.conflicts,
        state.quarantined,
        state.missing,
        state.lost,
    )
    said = said_of(state.status)
    outbox, clock = said.get("outbox"), said.get("clock")
    if isinstance(outbox, dict):
        view.outbox_entries = _number(outbox.get("entries"))
        view.outbox_bytes = _number(outbox.get("body_bytes"))
        view.outbox_oldest_s = _instant(outbox.get("oldest_at"))
    if isinstance(clock, dict):
        offset_ns, bound_ns = _number(clock.get("offset_ns")), _number(clock.get("bound_ns"))
        view.clock_offset_s = None if offset_ns is None else offset_ns / 1e9
        view.clock_bound_s = None if bound_ns is None else bound_ns / 1e9
    return view


def _number(found: object) -> float | None:
    """A number within reason."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not -MOST_NUMBER < found < MOST_NUMBER:
        return None
    return float(found)


def _instant(found: object) -> float | None:
    """Seconds since the epoch of an instant with a zone."""
    try:
        instant = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return instant.timestamp() if instant is not None and instant.tzinfo is not None else None
