"""Small objective files of every kind, right as they stand, for tests that break one thing in them."""

from __future__ import annotations

__all__ = ["GAP", "GAUGE", "LATENCY", "MAINTENANCE", "MINUTES", "PERIODIC", "PRESET", "later_version"]

LATENCY = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: api-p95
  displayName: API p95 < 500 ms
  annotations:
    fleet/line: "3"
    fleet/version: "1"
spec:
  description: The slowest answer.
  service: api
  indicator:
    spec:
      thresholdMetric:
        metricSource:
          type: fleet
          spec:
            event: step
            scenarios: ["*"]
            steps: [price]
            time: response
            unit: ms
  timeWindow:
    - duration: 1M
      calendar:
        startTime: "2026-01-01 00:00:00"
        timeZone: UTC
      isRolling: false
  budgetingMethod: Occurrences
  objectives:
    - displayName: fast
      op: lt
      value: 500
      target: 0.95
"""

MINUTES = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: api-uptime
  displayName: API uptime 99.9 %
  annotations:
    fleet/line: "1"
    fleet/version: "1"
spec:
  service: api
  indicator:
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: fleet
            spec:
              good: passed
        total:
          metricSource:
            type: fleet
            spec:
              event: run
              scenarios: [api-health]
              steps: [api-health]
              quorum: majority
              silence: unknown
              min_conclusive: 2
              max_gap: 2m
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Timeslices
  objectives:
    - displayName: up
      target: 0.999
      timeSliceTarget: 0.5
      timeSliceWindow: 1m
"""

PERIODIC = """\
apiVersion: fleet/v1
kind: Obligation
metadata:
  name: backup-daily
  displayName: Backup every day
  annotations:
    fleet/line: "17"
    fleet/version: "1"
spec:
  service: backups
  duty: periodic
  observations:
    source: runs
    scenarios: [backups]
    steps: [verify]
    subject: backup.day
  deadline: 6h
  timeWindow:
    - duration: 30d
      isRolling: true
"""

GAUGE = (
    PERIODIC.replace("backup-daily", "backup-age").replace("periodic", "gauge").replace("deadline: 6h", "limit: 24h")
)

MAINTENANCE = """\
apiVersion: fleet/v1
kind: MaintenanceWindow
metadata:
  name: sunday
spec:
  startsAt: "2026-10-04T02:00:00Z"
  duration: 1h
  rrule: FREQ=WEEKLY;BYDAY=SU
  scope:
    scenarios: ["cad-*"]
  announcedAt: "2026-09-01T00:00:00Z"
  reason: new kernels
"""

PRESET = """\
apiVersion: fleet/v1
kind: AlertPreset
metadata:
  name: standard
spec:
  tiers:
    - {severity: critical, long: 1h, short: 5m, budget: 0.02}
    - {severity: high, long: 6h, short: 30m, budget: 0.05}
"""

GAP = """\
apiVersion: fleet/v1
kind: NotMeasured
metadata:
  name: phone
  displayName: Calls answered within a minute
  annotations:
    fleet/line: "30"
    fleet/version: "1"
spec:
  because: no probe can ring a telephone
"""


def later_version(text: str, version: int, effective_from: str) -> str:
    """The same promise in a version that takes force at that instant; empty: it does not say when."""
    since = f'\n    fleet/effectiveFrom: "{effective_from}"' if effective_from else ""
    return text.replace('fleet/version: "1"', f'fleet/version: "{version}"{since}')
