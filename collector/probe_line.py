"""One probe as `status` sees it: what the collector counted, what the probe last said about itself, and what that makes of it.

Refuses to draw. Called by `console.status_command` and by the page of the fleet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collector.ledger import SlotCounts, by_region
from collector.store import Store
from collector.store_queries import ProbeState
from probes.messages import Address

__all__ = ["FleetSlots", "ProbeLine", "Said", "count_slots", "lines_of_probes", "read_probes", "said_by"]

_SILENT_AFTER: Final = timedelta(seconds=60)
"""Four times what a probe takes between two words about itself (`probes.stream_window.StreamLimits.status_every_s`)."""

_RETIRED_AFTER: Final = timedelta(days=1)
"""So long a probe that ended in order is still expected back: a host that does not come up again must be noticed."""


class _Tolerant(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A hostile probe says what it likes about itself: a number that no figure can be made of would end this command for all."""
MAX_LANES: Final = 16


class _Depth(_Tolerant):
    entries: Count = 0
    body_bytes: Count = 0
    oldest_at: datetime | None = None
    lost: Count = 0


class _ClockSaid(_Tolerant):
    offset_ns: int = Field(gt=-(1 << 63), lt=1 << 63)
    bound_ns: Count


class _StreamSaid(_Tolerant):
    messages_refused: Count = 0


class _BeatSaid(_Tolerant):
    unfit: tuple[str, ...] = ()


class _LaneSaid(_Tolerant):
    ready: bool = False
    restarts: Count = 0
    beat: _BeatSaid | None = None


class Said(_Tolerant):
    """What a probe last said about itself; a later version may say more."""

    online: bool = False
    goodbye: bool = False
    ready: bool = False
    outbox: _Depth = _Depth()
    clock: _ClockSaid | None = None
    stream: _StreamSaid = _StreamSaid()
    lanes: Annotated[dict[str, _LaneSaid], Field(max_length=MAX_LANES)] = {}


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One probe: what the collector counted, what the probe said, its slots and its unfit minutes in the window."""

    state: ProbeState
    said: Said | None
    counts: SlotCounts
    unfit_minutes: int

    def condition(self, now: datetime) -> str:
        """`up`, `down` (it said goodbye, or the broker did for it), `retired`, `silent`, `no status`, or `starting`.

        `retired`: it ended in order more than a day ago, with nothing left to send and nothing owed that never came. One that
        died said no goodbye of its own, or owes slots.
        `no status`: its results keep coming, and no word about itself that we understand: nobody knows whether it is ready.
        """
        if self.said is not None and not self.said.online:
            return "retired" if self._has_left(now) else "down"
        if now - self.last_heard_at() > _SILENT_AFTER:
            return "silent"
        if self.has_no_status():
            return "no status"
        return "up" if self.said is not None and self.said.ready else "starting"

    def _has_left(self, now: datetime) -> bool:
        said = self.said
        is_done = said is not None and said.goodbye and not said.outbox.entries
        owes = self.counts.missing + self.counts.pending
        return is_done and not owes and now - self.last_heard_at() > _RETIRED_AFTER

    def has_no_status(self) -> bool:
        """Whether it was heard for longer than a probe takes to say something about itself, and never did so clearly."""
        return self.said is None and self.last_heard_at() - self.state.first_seen_at > _SILENT_AFTER

    def last_heard_at(self) -> datetime:
        """When anything came from the probe."""
        return max(self.state.last_seen_at, self.state.status_at or self.state.last_seen_at)

    def is_well(self, now: datetime) -> bool:
        """True when there is nothing to look into."""
        return self.condition(now) in ("up", "retired") and not self.state.missing and not self.state.conflicts


def said_by(state: ProbeState) -> Said | None:
    """The probe's last word about itself, None when it is none that we understand."""
    if not state.status:
        return None
    try:
        return Said.model_validate_json(state.status)
    except ValidationError:
        return None


async def read_probes(store: Store, from_at: datetime, now: datetime) -> list[ProbeLine]:
    """Every probe that was ever heard, with what happened to it in the window. Raises StoreError."""
    return lines_of_probes(await store.probes(), await count_slots(store, from_at, now))


@dataclass(frozen=True, slots=True)
class FleetSlots:
    """How the slots of a window ended, by probe and by (scenario, region), and how many minutes each probe was unfit.

    Both are over all fleets of the store for probes, and over the one that was asked for by scenario.
    """

    by_probe: Mapping[Address, SlotCounts]
    by_scenario: Mapping[tuple[str, str], SlotCounts]
    unfit_minutes: Mapping[Address, int]


async def count_slots(store: Store, from_at: datetime, now: datetime, *, fleet: str = "") -> FleetSlots:
    """Counted from what is owed and what ended in [from_at, now); takes long where that is much. Raises StoreError."""
    by_probe: dict[Address, SlotCounts] = {}
    accounts = await store.accounts(from_at, now, now=now)
    for account in accounts:
        by_probe.setdefault(account.series.address, SlotCounts()).add(account.counts)
    unfit = Counter(minute.address for minute in await store.unfit_minutes(from_at, now))
    chosen = [one for one in accounts if fleet in ("", one.series.address.fleet)]
    return FleetSlots(by_probe, dict(by_region(chosen)), dict(unfit))


def lines_of_probes(states: Iterable[ProbeState], slots: FleetSlots) -> list[ProbeLine]:
    """Each probe with its own."""
    return [
        ProbeLine(
            state,
            said_by(state),
            slots.by_probe.get(state.address, SlotCounts()),
            slots.unfit_minutes.get(state.address, 0),
        )
        for state in states
    ]
