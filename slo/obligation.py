"""Promises that are no ratio: a thing every day, a thing within a time, an age that must stay below a bound; as data.

An obligation reads *observations*: dated facts that steps of runs (or alerts) report, with a subject (which day's backup, which
drill), whether it was good, and a value. Refuses to judge (`slo.duties`). Pure; called by whoever reads objective files.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from slo.objective import Tier
from slo.window import Window

__all__ = ["Duty", "Obligation", "Observation", "ObservationSelector", "ObservationSource"]


class Duty(StrEnum):
    """What is promised.

    `periodic`: each calendar day its good observation before a deadline. `retention`: each day all of the last so many days
    are seen good. `duration`: each episode's value stays below a limit. `gauge`: in each minute the newest good subject is
    younger than a limit.
    """

    PERIODIC = "periodic"
    RETENTION = "retention"
    DURATION = "duration"
    GAUGE = "gauge"


class ObservationSource(StrEnum):
    """Who reports the facts."""

    RUNS = "runs"
    ALERTS = "alerts"


@dataclass(frozen=True, slots=True)
class ObservationSelector:
    """Which facts count. From runs: the steps so named of scenarios that match the globs.

    `subject` names the step's attribute that says what the fact is about; empty: the run itself. `value` names the attribute
    that holds the value in seconds; empty: the step's own time. From alerts: those of `severity`.
    """

    source: ObservationSource
    scenarios: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    subject: str = ""
    value: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Obligation:
    """One line that is an obligation. Times in whole nanoseconds; `deadline_minutes` counts from the end of the day.

    A value equal to `limit_ns` is a violation: "less than" is strict.
    """

    name: str
    title: str
    line: str
    version: int
    duty: Duty
    selector: ObservationSelector
    window: Window
    tier: Tier = Tier.CONTRACT
    effective_from: datetime | None = None
    limit_ns: int | None = None
    deadline_minutes: int | None = None
    keep_days: int | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """A fact: at `seen_at` it was found that `subject` is good or not; `value_ns` is what was measured of it, if anything.

    `is_running`: the episode has begun (at `seen_at` - `value_ns`) and not ended; its value still grows.
    """

    subject: str
    seen_at: datetime
    good: bool
    value_ns: int | None = None
    region: str = ""
    run_id: str = ""
    is_running: bool = False
