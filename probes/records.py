"""What one run found: frozen data, no I/O, no clock.

A run walks through steps; a step may make exchanges (HTTP requests, one per hop) and page loads, and checks expectations.
Every duration is an integer of nanoseconds from the monotonic clock, so that sums are exact; every instant is an aware
datetime ending in `_at`. Written by `probes.journey`, carried by `probes.wire`, read by everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Attribute",
    "Evidence",
    "Exchange",
    "Expectation",
    "Failure",
    "FailureKind",
    "Fitness",
    "Outcome",
    "PageLoad",
    "Phases",
    "Run",
    "RunIdentity",
    "SideEffect",
    "Step",
    "UploadFlow",
]

Attribute = str | int | float | bool


class Outcome(StrEnum):
    """How a run or a step ended: the platform kept its promise, broke it, or we cannot say."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class FailureKind(StrEnum):
    """Why something failed; closed, so that every reader can match it exhaustively.

    `connect` covers a connection that could not be made and one that broke; `aborted` and `internal` are ours and never
    the platform's: a run that ends with one of them is inconclusive.
    """

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    STATUS = "status"
    RATE_LIMITED = "rate_limited"
    ASSERTION = "assertion"
    BROWSER = "browser"
    ABORTED = "aborted"
    INTERNAL = "internal"

    @property
    def is_ours(self) -> bool:
        """True when the probe is to blame and the platform must not be charged."""
        return self in (FailureKind.ABORTED, FailureKind.INTERNAL)


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason for a failed step. `message` is for a person and masked; `error_type` is the OpenTelemetry `error.type`."""

    kind: FailureKind
    message: str
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time of one HTTP exchange went, in nanoseconds; the seven add up to `total_ns` exactly.

    `queue` is time that was ours: waiting for a place, and the delay of our own loop behind the kernel's time stamps.
    `dns`, `connect`, `tls` are zero on a reused connection. `send` runs from the first to the last byte of the request
    accepted by the kernel and drained, `wait` from there to the first byte of the answer, `receive` to its last byte.
    """

    queue_ns: int = 0
    dns_ns: int = 0
    connect_ns: int = 0
    tls_ns: int = 0
    send_ns: int = 0
    wait_ns: int = 0
    receive_ns: int = 0

    @property
    def total_ns(self) -> int:
        """The whole exchange: the exact sum of the seven phases."""
        return (
            self.queue_ns + self.dns_ns + self.connect_ns + self.tls_ns + self.send_ns + self.wait_ns + self.receive_ns
        )


@dataclass(frozen=True, slots=True)
class UploadFlow:
    """How a request body flowed: bytes per second over the send phase, and the pauses in it.

    A stall is a pause of at least `stall_threshold_ns` in which the kernel took no byte.
    """

    body_bytes: int
    bytes_per_s: float
    stalls: int
    stalled_ns: int
    longest_stall_ns: int
    stall_threshold_ns: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer (or the lack of one): each hop of a redirect is an exchange of its own.

    `started_ns` is the offset from the start of the run. `url` has its secrets masked. `status` is 0 and
    `response_bytes` what arrived when there was no whole answer; `failure` then says why.
    """

    method: str
    url: str
    started_ns: int
    phases: Phases
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    server_address: str = ""
    server_port: int = 0
    reused: bool = False
    tls_version: str = ""
    certificate_expires_at: datetime | None = None
    upload: UploadFlow | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class PageLoad:
    """What the page itself measured of one cold load, in nanoseconds since its navigation started; None: not reported.

    `ready_ns` is the moment when the page's own controls answered; `drive_ns` is what driving the browser cost us inside the
    timed window, so that a reader can see how much of the step was not the page's.
    """

    url: str
    ready_ns: int | None = None
    ttfb_ns: int | None = None
    fcp_ns: int | None = None
    lcp_ns: int | None = None
    dom_content_loaded_ns: int | None = None
    load_ns: int | None = None
    cls: float | None = None
    drive_ns: int = 0
    requests: int = 0
    failed_requests: tuple[str, ...] = ()
    uncaught_errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that was checked: what was expected and what was found, both ready to be read."""

    name: str
    expected: str
    found: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a journey: the time between its borders and nothing else.

    `started_ns` is the offset from the start of the run; `duration_ns` is exact even if the step failed. `cleanup` marks
    steps that ran after the journey to remove what it made; they never change the outcome of the run.
    """

    name: str
    started_ns: int
    duration_ns: int
    outcome: Outcome
    failure: Failure | None = None
    exchanges: tuple[Exchange, ...] = ()
    pages: tuple[PageLoad, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    cleanup: bool = False


@dataclass(frozen=True, slots=True)
class SideEffect:
    """Something the run made on the platform, whether it was read back intact, and what became of it.

    `fate` is one of `deleted`, `kept` (the platform offers no way to delete it), `failed` (deleting failed), `unknown`.
    """

    kind: str
    name: str
    sha256: str = ""
    read_back: bool | None = None
    fate: str = "unknown"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file kept beside the record: `kind` is screenshot, trace, har, body or console; `path` is relative to the store."""

    kind: str
    name: str
    path: str
    sha256: str
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Fitness:
    """How fit this host was to measure during the run; None: could not be read here.

    `loop_lag_ns` is the worst delay of the event loop, `steal_ratio` the share of CPU time stolen by the hypervisor.
    `reasons` is empty when the host was fit.
    """

    loop_lag_ns: int | None = None
    steal_ratio: float | None = None
    reasons: tuple[str, ...] = ()

    @property
    def is_fit(self) -> bool:
        """True when nothing speaks against what was measured."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes a run this run and no other; two different records with one identity are a conflict."""

    fleet: str
    region: str
    probe: str
    scenario: str
    slot_at: datetime
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one run found.

    `failure` is that of the first failed step, repeated here so that a reader needs no search. `step` in
    `failed_step` names it. `marks` are plain words about the measurement itself (for example `http-timing-excess`).
    """

    identity: RunIdentity
    run_id: str
    trace_id: str
    target: str
    scenario_version: str
    scheduled_at: datetime
    started_at: datetime
    duration_ns: int
    outcome: Outcome
    steps: tuple[Step, ...]
    schedule_lag_ns: int = 0
    failure: Failure | None = None
    failed_step: str = ""
    target_release: str = ""
    clock_offset_ns: int | None = None
    clock_bound_ns: int | None = None
    side_effects: tuple[SideEffect, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    fitness: Fitness | None = None
    marks: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
