"""The fleet as its page and the API have it: probes in words and figures, the slots of a day, what was set aside.

What probes said is as of now; slots are counted apart, some seconds ago. Refuses to judge a condition (`collector.probe_line`
does) and to draw. Called by `collector.web.routes_fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from collector.ledger import SlotCounts
from collector.probe_line import FleetSlots, ProbeLine, count_slots, lines_of_probes
from collector.store import Store
from collector.store_queries import QuarantinedEntry
from collector.texts.probe_texts import books_text, clock_text, coverage_text, notes_of, waiting_text
from collector.web.kept import Kept, NotYetError
from collector.web.site import site_of

__all__ = ["COUNTS", "FleetView", "ShownProbe", "fleet_view", "shown_probe"]

COUNTED: Final = timedelta(hours=24)
MOST_SET_ASIDE: Final = 20
TONES: Final[Mapping[str, str]] = {
    "up": "good",
    "retired": "none",
    "starting": "warn",
    "no status": "warn",
    "silent": "bad",
    "down": "bad",
}


@dataclass(frozen=True, slots=True)
class ShownProbe:
    """One probe as the page has it: every figure is text already, and what it is made of is in `line`."""

    line: ProbeLine
    region: str
    probe: str
    condition: str
    tone: str
    heard_s: float
    first_seen_at: datetime
    waiting: str
    oldest_at: datetime | None
    oldest_s: float | None
    missing: int
    lost: int
    duplicates: int
    conflicts: int
    quarantined: int
    covered: str
    late: int
    unfit_minutes: int
    clock: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """The slots of a day, and as of when."""

    as_of: datetime
    slots: FleetSlots


async def counted_of(store: Store, fleet: str, now: datetime) -> Counted:
    """The heavy part, asked apart."""
    return Counted(now, await count_slots(store, now - COUNTED, now, fleet=fleet))


COUNTS: Final = web.AppKey("fleet_counts", Kept[Counted])
NOTHING: Final = FleetSlots({}, {}, {})


@dataclass(frozen=True, slots=True)
class FleetView:
    """Everything that the page has. `counted` is None while slots are being counted."""

    now: datetime
    headline: str
    books: str
    probes: tuple[ShownProbe, ...]
    counted: Counted | None
    set_aside: tuple[QuarantinedEntry, ...]

    @property
    def slots(self) -> tuple[tuple[tuple[str, str], SlotCounts], ...]:
        """By (scenario, region) how their slots ended."""
        return tuple(sorted(self.counted.slots.by_scenario.items())) if self.counted else ()


async def fleet_view(request: web.Request, *, is_soon: bool = False) -> FleetView:
    """What probes said is as of now; slots are counted some seconds ago. `is_soon`: do not wait for the first count."""
    site, kept = site_of(request), request.app[COUNTS]
    now = site.clock.now()
    get = kept.get_soon if is_soon else kept.get
    try:
        counted = await get("day", counted_of, site.fleet, now)
    except NotYetError:
        counted = None
    states = [state for state in await site.store.probes() if state.address.fleet == site.fleet]
    lines = lines_of_probes(states, counted.slots if counted else NOTHING)
    return FleetView(
        now=now,
        headline=headline_of(lines, now),
        books=books_text(lines),
        probes=tuple(shown_probe(line, now) for line in lines),
        counted=counted,
        set_aside=tuple(await _set_aside(site.store, site.fleet)),
    )


def shown_probe(line: ProbeLine, now: datetime) -> ShownProbe:
    """One probe in words."""
    state, condition = line.state, line.condition(now)
    oldest_at = line.said.outbox.oldest_at if line.said and line.said.outbox.entries else None
    if oldest_at is not None and oldest_at.tzinfo is None:  # nobody knows which instant that is
        oldest_at = None
    return ShownProbe(
        line=line,
        region=state.address.region,
        probe=state.address.probe,
        condition=condition,
        tone=TONES.get(condition, "none"),
        heard_s=max(0.0, (now - line.last_heard_at()).total_seconds()),
        first_seen_at=state.first_seen_at,
        waiting=waiting_text(line.said),
        oldest_at=oldest_at,
        oldest_s=None if oldest_at is None else max(0.0, (now - oldest_at).total_seconds()),
        missing=state.missing,
        lost=state.lost,
        duplicates=state.duplicates,
        conflicts=state.conflicts,
        quarantined=state.quarantined,
        covered=coverage_text(line.counts),
        late=line.counts.late,
        unfit_minutes=line.unfit_minutes,
        clock=clock_text(line.said),
        notes=tuple(notes_of(line)),
    )


def headline_of(lines: Sequence[ProbeLine], now: datetime) -> str:
    """All probes in one sentence."""
    if not lines:
        return "No probe was heard yet."
    conditions = [line.condition(now) for line in lines]
    well, retired = conditions.count("up"), conditions.count("retired")
    expected = len(lines) - retired
    aside = f" {retired} {'is' if retired == 1 else 'are'} retired." if retired else ""
    return f"{well} of {expected} {'probe is' if expected == 1 else 'probes are'} up.{aside}"


async def _set_aside(store: Store, fleet: str) -> list[QuarantinedEntry]:
    found = await store.quarantine(MOST_SET_ASIDE)
    return [one for one in found if one.sender is None or one.sender.fleet == fleet]
