"""Families about probes, coverage, the ingest and the store. Called by `collector.exports.metrics`."""

from __future__ import annotations

from collector.exports.families import Families
from collector.exports.fleet_view import FleetView
from collector.ingest import IngestState

__all__ = ["add_fleet", "add_ingest"]


def add_fleet(families: Families, view: FleetView) -> None:
    """What the newest picture shows."""
    for slots in view.slots:
        counts = slots.counts
        if counts.due:
            families.add("fleet_coverage_ratio", counts.ran / counts.due, slots.scenario, slots.region)
        if counts.ran:
            families.add("fleet_inconclusive_ratio", counts.inconclusive / counts.ran, slots.scenario, slots.region)
    for one in view.probes:
        numbers = {
            "last_seen_timestamp_seconds": one.last_seen_s,
            "entries_total": one.entries,
            "duplicates_total": one.duplicates,
            "conflicts_total": one.conflicts,
            "quarantined_total": one.quarantined,
            "missing_entries": one.missing,
            "lost_entries": one.lost,
            "outbox_entries": one.outbox_entries,
            "outbox_bytes": one.outbox_bytes,
            "outbox_oldest_timestamp_seconds": one.outbox_oldest_s,
            "clock_offset_seconds": one.clock_offset_s,
            "clock_bound_seconds": one.clock_bound_s,
        }
        for name, value in numbers.items():
            families.add(f"fleet_probe_{name}", value, one.region, one.probe)
    if view.totals is not None:
        totals = view.totals
        newest, oldest = totals.newest_slot_at, totals.oldest_slot_at
        families.add("fleet_store_size_bytes", totals.size_bytes)
        families.add("fleet_store_newest_slot_timestamp_seconds", newest.timestamp() if newest else None)
        families.add("fleet_store_oldest_slot_timestamp_seconds", oldest.timestamp() if oldest else None)
        families.add("fleet_store_strays", totals.strays)


def add_ingest(families: Families, state: IngestState) -> None:
    """What the ingest counted since the start of the process."""
    numbers: dict[str, float] = {
        "connected": state.connected,
        "storing": state.storing,
        "connects_total": state.connects,
        "deliveries_total": state.deliveries,
        "deliveries_shed_total": state.deliveries_shed,
        "messages_refused_total": state.messages_refused,
        "commits_total": state.commits,
        "commit_failures_total": state.commit_failures,
        "groups_given_up_total": state.groups_given_up,
        "entries_total": state.entries,
        "duplicates_total": state.duplicates,
        "conflicts_total": state.conflicts,
        "quarantined_total": state.quarantined,
        "acknowledgements_total": state.acknowledgements,
        "inbox_bytes": state.inbox_bytes,
        "inbox_peak_bytes": state.inbox_most_bytes,
        "last_commit_duration_seconds": state.last_commit_s,
    }
    for name, value in numbers.items():
        families.add(f"fleet_ingest_{name}", value)
