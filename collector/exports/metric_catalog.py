"""Every metric of `/metrics`: its name, type, labels and meaning, in the order in which they are shown.

Names follow Prometheus: base units, `_total` for counters, `_info` for facts. Docs/reference/metrics.md says the same with
examples, and a test holds the two together. Pure; no library is needed to read this. Called by
`collector.exports.metrics_runs` and `metrics_fleet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["CATALOG", "Kind", "Metric"]


class Kind(StrEnum):
    """What kind of numbers a metric has."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` with `_total` or `_info` at its end where it has one."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_C, _G, _H, _I = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.INFO
_WHERE: Final = ("scenario", "region")
_PROBE: Final = ("region", "probe")
_LINE: Final = ("objective",)
_EXPORT: Final = ("export",)

_ALL: Final = (
    Metric(
        "fleet_collector_info", _I, "The collector and what it counts for.", ("version", "collector", "fleet", "target")
    ),
    # Runs, as this process filed them.
    Metric(
        "fleet_runs_total",
        _C,
        "Runs filed by this process; only attempt=first is scored, inconclusive ones are no failures.",
        (*_WHERE, "outcome", "attempt"),
    ),
    Metric("fleet_run_failures_total", _C, "Failed runs filed by this process, by kind of failure.", (*_WHERE, "kind")),
    Metric("fleet_slots_without_run_total", _C, "Slots that ended without a run, by reason.", (*_WHERE, "reason")),
    Metric("fleet_run_duration_seconds", _H, "Time of first attempts that passed.", _WHERE),
    Metric(
        "fleet_step_duration_seconds", _H, "Time of steps that passed, of conclusive first attempts.", (*_WHERE, "step")
    ),
    Metric("fleet_http_phase_duration_seconds", _H, "Time of answered requests by phase.", (*_WHERE, "phase")),
    # Service levels, from the database.
    Metric(
        "fleet_slices_total",
        _C,
        "Minutes of a line by what they were, up to the settled minute; from the database, the same from each collector.",
        (*_LINE, "state"),
    ),
    Metric(
        "fleet_events_total",
        _C,
        "Valid events of a line, up to the settled minute; from the database, the same from each collector.",
        (*_LINE, "outcome"),
    ),
    Metric(
        "fleet_objective_resets_total", _C, "How often late results or rules made a line's counters smaller.", _LINE
    ),
    Metric("fleet_counted_until_timestamp_seconds", _G, "The end of the last minute in the counters of lines."),
    Metric(
        "fleet_objective_info", _I, "A line of the service-level document.", (*_LINE, "line", "title", "tier", "window")
    ),
    Metric("fleet_objective_target_ratio", _G, "The share of good that a line promises.", _LINE),
    Metric("fleet_objective_sli_ratio", _G, "The share of good so far in the line's window.", _LINE),
    Metric("fleet_objective_coverage_ratio", _G, "The share of the window's minutes due that was decided.", _LINE),
    Metric("fleet_objective_verdict", _G, "1 for the verdict that holds now.", (*_LINE, "verdict")),
    Metric("fleet_error_budget_remaining_ratio", _G, "What is left of the window's budget; below 0: overspent.", _LINE),
    Metric(
        "fleet_burn_rate_ratio",
        _G,
        "How many times too fast the budget burns in the long and in the short window of an alert tier.",
        (*_LINE, "severity", "window"),
    ),
    Metric(
        "fleet_burn_alert_active",
        _G,
        "1 while the tier's own rule is on, for a burn or for missing data.",
        (*_LINE, "severity"),
    ),
    # The fleet.
    Metric("fleet_coverage_ratio", _G, "Share of the slots due in the last settled hour that have a run.", _WHERE),
    Metric(
        "fleet_inconclusive_ratio", _G, "Share of the runs of that hour that say nothing about the platform.", _WHERE
    ),
    Metric("fleet_probe_last_seen_timestamp_seconds", _G, "When the collector last heard from a probe.", _PROBE),
    Metric("fleet_probe_entries_total", _C, "Entries of a probe that were stored, ever.", _PROBE),
    Metric("fleet_probe_duplicates_total", _C, "Entries that came again and were not stored again.", _PROBE),
    Metric("fleet_probe_conflicts_total", _C, "Entries that contradict what is stored under their identity.", _PROBE),
    Metric("fleet_probe_quarantined_total", _C, "Entries that were set aside.", _PROBE),
    Metric("fleet_probe_missing_entries", _G, "Numbers below the highest one that have not come.", _PROBE),
    Metric("fleet_probe_lost_entries", _G, "Those of them that the probe says it dropped.", _PROBE),
    Metric("fleet_probe_outbox_entries", _G, "Entries that waited at the probe when it last said so.", _PROBE),
    Metric("fleet_probe_outbox_bytes", _G, "Their size.", _PROBE),
    Metric("fleet_probe_outbox_oldest_timestamp_seconds", _G, "When the oldest of them was made.", _PROBE),
    Metric("fleet_probe_clock_offset_seconds", _G, "What the probe's clock lacks to the collector's.", _PROBE),
    Metric("fleet_probe_clock_bound_seconds", _G, "How wrong that can be.", _PROBE),
    # The collector itself.
    Metric("fleet_ingest_connected", _G, "1 while connected to the broker."),
    Metric("fleet_ingest_storing", _G, "1 while the database takes what comes."),
    Metric("fleet_ingest_connects_total", _C, "Connections made to the broker."),
    Metric("fleet_ingest_deliveries_total", _C, "Messages received."),
    Metric("fleet_ingest_deliveries_shed_total", _C, "Messages left to the probes, which send them again."),
    Metric("fleet_ingest_messages_refused_total", _C, "Messages that were no results and nothing else known."),
    Metric("fleet_ingest_commits_total", _C, "Transactions."),
    Metric("fleet_ingest_commit_failures_total", _C, "Transactions that the database did not take."),
    Metric("fleet_ingest_groups_given_up_total", _C, "Groups that the database refuses for good."),
    Metric("fleet_ingest_entries_total", _C, "Entries stored."),
    Metric("fleet_ingest_duplicates_total", _C, "Entries that had come before."),
    Metric("fleet_ingest_conflicts_total", _C, "Entries that contradict what is stored."),
    Metric("fleet_ingest_quarantined_total", _C, "Entries set aside."),
    Metric("fleet_ingest_acknowledgements_total", _C, "Acknowledgements sent."),
    Metric("fleet_ingest_inbox_bytes", _G, "What waits to be stored."),
    Metric("fleet_ingest_inbox_peak_bytes", _G, "The most that ever waited."),
    Metric("fleet_ingest_last_commit_duration_seconds", _G, "How long the last transaction took."),
    Metric("fleet_store_size_bytes", _G, "What the data takes on disk."),
    Metric(
        "fleet_store_newest_slot_timestamp_seconds", _G, "The newest slot that is stored: the lag is time() less this."
    ),
    Metric("fleet_store_oldest_slot_timestamp_seconds", _G, "The oldest slot that is stored."),
    Metric("fleet_store_strays", _G, "Quarantined messages under nobody's name; the first thousand are kept."),
    Metric(
        "fleet_export_runs_total",
        _C,
        "Runs by what became of them in an export: sent, skipped, refused, dropped for want of room.",
        (*_EXPORT, "result"),
    ),
    Metric("fleet_export_failures_total", _C, "Attempts to pass a batch on that failed.", _EXPORT),
    Metric("fleet_export_queue_runs", _G, "Runs that wait to be passed on.", _EXPORT),
    Metric("fleet_export_queue_bytes", _G, "Their size.", _EXPORT),
    Metric("fleet_export_stuck", _G, "1 while a receiver has kept an attempt for over a minute.", _EXPORT),
    Metric("fleet_export_last_success_timestamp_seconds", _G, "When a batch was last passed on.", _EXPORT),
    Metric("fleet_metrics_refresh_failures_total", _C, "Looks at the database for this page that failed."),
)
CATALOG: Final = {metric.name: metric for metric in _ALL}
