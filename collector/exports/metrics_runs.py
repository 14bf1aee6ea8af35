"""Families about runs, service levels and exports. Called by `collector.exports.metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from collector.exports.families import Families
from collector.exports.labels import label_text
from collector.exports.line_counts import LineCounters
from collector.exports.line_gauges import LineGauge
from collector.exports.pump import Pump
from collector.exports.run_counts import RunCounts
from collector.exports.run_times import RunTimes

__all__ = ["add_exports", "add_lines", "add_runs"]

SECONDS_PER_MINUTE = 60


def add_runs(families: Families, counts: RunCounts, times: RunTimes) -> None:
    """What was filed, and how long it took."""
    for run_labels, value in sorted(counts.runs.copy().items()):
        families.add("fleet_runs_total", value, *run_labels)
    for labels, value in sorted(counts.failures.copy().items()):
        families.add("fleet_run_failures_total", value, *labels)
    for labels, value in sorted(counts.slots.copy().items()):
        families.add("fleet_slots_without_run_total", value, *labels)
    families.add_histogram("fleet_run_duration_seconds", times.run)
    families.add_histogram("fleet_step_duration_seconds", times.step)
    families.add_histogram("fleet_http_phase_duration_seconds", times.phase)


def add_lines(families: Families, counters: LineCounters, gauges: dict[str, LineGauge]) -> None:
    """The counters that rules are written for, and each line as it is now."""
    for name, (is_minutes, counted) in counters.values.items():
        if is_minutes:
            for state in ("good", "bad", "unknown", "excluded"):
                families.add("fleet_slices_total", getattr(counted, state), name, state)
        else:
            families.add("fleet_events_total", counted.good, name, "good")
            families.add("fleet_events_total", counted.bad, name, "bad")
        families.add("fleet_objective_resets_total", counters.resets[name], name)
    if counters.values:
        families.add("fleet_counted_until_timestamp_seconds", counters.until_minute * SECONDS_PER_MINUTE)
    for name, one in gauges.items():
        families.add_info("fleet_objective_info", name, one.line, label_text(one.title), one.tier, one.window)
        families.add("fleet_objective_target_ratio", one.target, name)
        families.add("fleet_objective_sli_ratio", one.sli, name)
        families.add("fleet_objective_coverage_ratio", one.coverage, name)
        families.add("fleet_error_budget_remaining_ratio", one.budget_left, name)
        if one.verdict:
            families.add("fleet_objective_verdict", 1, name, one.verdict)
        for tier in one.tiers:
            families.add("fleet_burn_rate_ratio", tier.long, name, tier.severity, "long")
            families.add("fleet_burn_rate_ratio", tier.short, name, tier.severity, "short")
            families.add("fleet_burn_alert_active", tier.is_on, name, tier.severity)


def add_exports(families: Families, pumps: Iterable[Pump]) -> None:
    """What each export did with the runs it was given."""
    for pump in pumps:
        state = pump.state
        results = {
            "sent": state.sent,
            "skipped": state.skipped,
            "refused": state.refused,
            "dropped": pump.queue.dropped,
        }
        for result, value in results.items():
            families.add("fleet_export_runs_total", value, pump.name, result)
        families.add("fleet_export_failures_total", state.failures, pump.name)
        families.add("fleet_export_queue_runs", len(pump.queue), pump.name)
        families.add("fleet_export_queue_bytes", pump.queue.body_bytes, pump.name)
        families.add("fleet_export_stuck", state.is_stuck, pump.name)
        families.add("fleet_export_last_success_timestamp_seconds", state.last_success_s or None, pump.name)
