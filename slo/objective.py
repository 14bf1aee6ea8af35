"""One line of the service-level document as data: what counts, what makes it good, and how much of it may be bad.

An objective says which events count (`EventSelector`), what makes one good, and how many may be bad; with a `SliceRule` its
events decide minutes, and the minutes are counted. Refuses to read files (`slo.document`) and to judge (`slo.judgement`). Pure;
called by all of `slo` and whoever shows lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final

from slo.window import Window

__all__ = [
    "EVERY_SCENARIO",
    "GOODS_OF_KIND",
    "KIND_OF_TIME",
    "EventKind",
    "EventSelector",
    "EventTime",
    "Good",
    "Objective",
    "Quorum",
    "Silence",
    "SliceRule",
    "Tier",
]


EVERY_SCENARIO: Final = "*"


class EventKind(StrEnum):
    """What one event is: a step, all steps of one part, all selected steps of a run, one request, one browser session."""

    STEP = "step"
    PART = "part"
    RUN = "run"
    REQUEST = "request"
    SESSION = "session"


class EventTime(StrEnum):
    """Which time of an event is compared with the limit.

    `step` is the time between the step's borders; `response` the slowest answer inside it, without the time that was ours;
    `ready` the page's own ready mark; `span` runs from the end of step `after` to the end of the last selected step.
    """

    STEP = "step"
    RESPONSE = "response"
    READY = "ready"
    SPAN = "span"


class Good(StrEnum):
    """What makes an event good.

    `passed`: its steps passed. `measured`: it came to an end that says something about the platform, pass or fail,
    so that it is a sample. `answered`: the server answered, and not with a 5xx. `no_uncaught_error`: no page threw an error.
    """

    PASSED = "passed"
    MEASURED = "measured"
    ANSWERED = "answered"
    NO_UNCAUGHT_ERROR = "no_uncaught_error"


GOODS_OF_KIND: Final[Mapping[EventKind, tuple[Good, ...]]] = {
    EventKind.STEP: (Good.PASSED,),
    EventKind.PART: (Good.PASSED,),
    EventKind.RUN: (Good.PASSED, Good.MEASURED),
    EventKind.REQUEST: (Good.ANSWERED,),
    EventKind.SESSION: (Good.NO_UNCAUGHT_ERROR,),
}
KIND_OF_TIME: Final[Mapping[EventTime, EventKind]] = {
    EventTime.STEP: EventKind.STEP,
    EventTime.RESPONSE: EventKind.STEP,
    EventTime.READY: EventKind.STEP,
    EventTime.SPAN: EventKind.RUN,
}


@dataclass(frozen=True, slots=True)
class EventSelector:
    """Which events of a run are valid for a line.

    `scenarios` are globs; beside `*` (every scenario) stand those that are expected to have events, whose runs without a word
    are counted as such. `steps` are names; in an event of several steps the last name is the one that completes it.
    `after` names the step that must have passed first; `part_bytes_below` keeps only steps of smaller parts.
    """

    event: EventKind
    scenarios: tuple[str, ...]
    steps: tuple[str, ...]
    after: str = ""
    part_bytes_below: int | None = None

    @property
    def is_of_all(self) -> bool:
        """True where events of every scenario are valid, whatever names stand beside that."""
        return EVERY_SCENARIO in self.scenarios


class Tier(StrEnum):
    """Whether a line was promised, or is a target that its owners set themselves."""

    CONTRACT = "contract"
    STRETCH = "stretch"


class Quorum(StrEnum):
    """What makes a minute bad: most of the conclusive regions say so; or no region has a single good sample."""

    MAJORITY = "majority"
    ANY = "any"


class Silence(StrEnum):
    """What a minute is in which nothing was heard: unknown, or bad because being heard is what is promised."""

    UNKNOWN = "unknown"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class SliceRule:
    """How a minute is decided. With fewer than `min_conclusive` regions it is unknown.

    `max_gap_minutes`: more bad minutes than that in a row are a breach by themselves; None: there is no such rule.
    """

    quorum: Quorum = Quorum.MAJORITY
    silence: Silence = Silence.UNKNOWN
    min_conclusive: int = 2
    max_gap_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """One version of one line: at most `allowed_bad` of the selected events may be bad (fewer than that when `strict`).

    With a limit an event is also bad when its time is not strictly below `limit_ns`. With `slices` the line counts minutes
    and not events. `effective_from` is the instant at which this version came into force; None: it always was. `regions`
    empty: those of the fleet's settings. `is_correlated`: failures come minute after minute, so that evidence needs the
    design effect of outages. `alerts` names the preset of its burn-rate alerts; empty: none.
    """

    name: str
    title: str
    line: str
    version: int
    window: Window
    selector: EventSelector
    good: Good
    allowed_bad: Fraction
    strict: bool = False
    time: EventTime | None = None
    limit_ns: int | None = None
    slices: SliceRule | None = None
    tier: Tier = Tier.CONTRACT
    effective_from: datetime | None = None
    regions: tuple[str, ...] = ()
    min_coverage: Fraction = Fraction(99, 100)
    is_correlated: bool = False
    service: str = ""
    alerts: str = ""

    @property
    def check(self) -> str:
        """The key of what is measured, without the target: objectives with the same key share their cells."""
        return _check_of(self.selector, self.good.value, self.time.value if self.time else "", self.limit_ns)

    @property
    def target_share(self) -> Fraction:
        """The share of events that must be good."""
        return 1 - self.allowed_bad

    @property
    def percentile(self) -> str:
        """The line's percentile as people say it, `p95` for 19/20."""
        return f"p{float(self.target_share * 100):g}"


@lru_cache(maxsize=1_024)
def _check_of(selector: EventSelector, good: str, time: str, limit_ns: int | None) -> str:
    """Asked for each line at each minute, and always the same."""
    return hashlib.sha256(repr((selector, good, time, limit_ns)).encode()).hexdigest()[:16]
