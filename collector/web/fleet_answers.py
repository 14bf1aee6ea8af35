"""What the API answers about the fleet: models, and how they are made of what the page shows, with the figures behind its words.

Refuses to ask and to work out anything. Called by `collector.web.routes_fleet`.
"""

from __future__ import annotations

from datetime import datetime

from collector.store_queries import QuarantinedEntry
from collector.web.api import Answer
from collector.web.fleet_view import COUNTED, FleetView, ShownProbe

__all__ = ["FleetAnswer", "fleet_answer"]


class CountsAnswer(Answer):
    """How slots ended. `due` ones should have a run by now, `ran` have one; `unowed` nobody had to run."""

    due: int
    ran: int
    on_time: int
    late: int
    missed: int
    maintenance: int
    aborted: int
    missing: int
    pending: int
    inconclusive: int
    unowed: int


class ProbeAnswer(Answer):
    """A probe. What waits in it and its clock are as it last said; null: it did not.

    `missing` numbers of entries never came, `lost` are those of them that it says it dropped. `slots` and `unfit_minutes` are of
    the counted day. A positive `clock_offset_ns`: its clock is behind the collector's.
    """

    region: str
    probe: str
    condition: str
    first_seen_at: datetime
    heard_at: datetime
    entries: int
    missing: int
    lost: int
    duplicates: int
    conflicts: int
    quarantined: int
    waiting_entries: int | None
    waiting_bytes: int | None
    oldest_waiting_at: datetime | None
    clock_offset_ns: int | None
    clock_bound_ns: int | None
    slots: CountsAnswer
    unfit_minutes: int
    notes: list[str]


class SeriesSlotsAnswer(Answer):
    """The slots of a scenario in a region."""

    scenario: str
    region: str
    slots: CountsAnswer


class SetAsideAnswer(Answer):
    """Something that was not what it claimed to be; it counts for nothing. Region and probe are empty where nobody was named."""

    received_at: datetime
    region: str
    probe: str
    topic: str
    kind: str
    reason: str


class FleetAnswer(Answer):
    """The fleet. Probes are as of `as_of`; slots are those from `counted_from_at` until `counted_until_at`."""

    as_of: datetime
    headline: str
    counted_from_at: datetime | None
    counted_until_at: datetime | None
    probes: list[ProbeAnswer]
    slots: list[SeriesSlotsAnswer]
    set_aside: list[SetAsideAnswer]


def fleet_answer(view: FleetView) -> FleetAnswer:
    """The fleet as the API tells it."""
    until_at = view.counted.as_of if view.counted else None
    return FleetAnswer(
        as_of=view.now,
        headline=view.headline,
        counted_from_at=until_at - COUNTED if until_at else None,
        counted_until_at=until_at,
        probes=[_probe(one) for one in view.probes],
        slots=[
            SeriesSlotsAnswer(scenario=scenario, region=region, slots=CountsAnswer.model_validate(counts))
            for (scenario, region), counts in view.slots
        ],
        set_aside=[_set_aside(one) for one in view.set_aside],
    )


def _probe(shown: ShownProbe) -> ProbeAnswer:
    line, state = shown.line, shown.line.state
    said = line.said
    return ProbeAnswer(
        region=shown.region,
        probe=shown.probe,
        condition=shown.condition,
        first_seen_at=shown.first_seen_at,
        heard_at=line.last_heard_at(),
        entries=state.entries,
        missing=state.missing,
        lost=state.lost,
        duplicates=state.duplicates,
        conflicts=state.conflicts,
        quarantined=state.quarantined,
        waiting_entries=said.outbox.entries if said else None,
        waiting_bytes=said.outbox.body_bytes if said else None,
        oldest_waiting_at=shown.oldest_at,
        clock_offset_ns=said.clock.offset_ns if said and said.clock else None,
        clock_bound_ns=said.clock.bound_ns if said and said.clock else None,
        slots=CountsAnswer.model_validate(line.counts),
        unfit_minutes=line.unfit_minutes,
        notes=list(shown.notes),
    )


def _set_aside(one: QuarantinedEntry) -> SetAsideAnswer:
    return SetAsideAnswer(
        received_at=one.received_at,
        region=one.sender.region if one.sender else "",
        probe=one.sender.probe if one.sender else "",
        topic=one.topic,
        kind=one.kind,
        reason=one.reason,
    )
