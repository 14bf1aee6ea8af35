"""Runs to OpenTelemetry: a stored run is a trace, its steps are spans, each request is a span with its phases as events.

The trace is the one whose id the probe sent to the platform as `traceparent`, so that a customer's journey and what the
platform did for it are one picture. Span ids follow from the run's id: what is sent twice is the same twice. Times are
those of the probe's clock. Inconclusive runs have no status: they are nobody's error. Refuses global tracers and the SDK's
own queues. Called by a pump, in its thread; needs the extra `otel`. Source: OpenTelemetry's semantic conventions for HTTP
spans; OTLP/HTTP.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import requests
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from collector.exports.feed import StoredRun
from collector.exports.pump import Delivered, DeliveryError, retry_after_s
from collector.exports.run_counts import attempt_label
from collector.store_decode import decode_run
from probes.records import Exchange, Failure, Outcome, Run, Step
from probes.version import VERSION
from probes.wire import WireError

__all__ = ["TraceExport", "spans_of"]

TIMEOUTS_S: Final = (5.0, 10.0)
"""To connect, and for each wait for an answer."""
RUNS_AT_ONCE: Final = 100
GZIP_LEVEL: Final = 1
SCOPE: Final = InstrumentationScope("probe-fleet", VERSION)
TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PHASES: Final = ("queue", "dns", "connect", "tls", "send", "wait", "receive")
CODES: Final = {Outcome.PASS: StatusCode.OK, Outcome.FAIL: StatusCode.ERROR, Outcome.INCONCLUSIVE: StatusCode.UNSET}

Attributes = dict[str, AttributeValue]


class TraceExport:
    """Sends runs to an OTLP receiver. `authorization` is the value of that header; empty: none."""

    name = "otel"
    most_runs = RUNS_AT_ONCE

    def __init__(self, url: str, authorization: str = "") -> None:
        self._url = url
        self._session = requests.Session()
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"probe-fleet/{VERSION}",
            **({"Authorization": authorization} if authorization else {}),
        }

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """All of them in one request."""
        spans: list[ReadableSpan] = []
        sent = 0
        for stored in runs:
            try:
                spans += spans_of(decode_run(stored.body))
            except WireError:
                continue
            sent += 1
        if spans:
            self._post(gzip.compress(encode_spans(spans).SerializeToString(), GZIP_LEVEL))
        return Delivered(sent, len(runs) - sent)

    def _post(self, body: bytes) -> None:
        try:
            answer = self._session.post(
                self._url, data=body, headers=self._headers, timeout=TIMEOUTS_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise DeliveryError(f"the receiver of traces cannot be reached: {type(error).__name__}") from error
        status = answer.status_code
        if status >= 300:
            is_lasting = status < 500 and status not in (408, 429)
            after_s = retry_after_s(answer.headers)
            raise DeliveryError(f"the receiver answers {status}", is_lasting=is_lasting, retry_after_s=after_s)


def spans_of(run: Run) -> Iterator[ReadableSpan]:
    """The run, its steps and their requests; none for a run without a trace."""
    if not TRACE_ID.fullmatch(run.trace_id) or int(run.trace_id, 16) == 0:
        return
    trace = _Trace(run)
    yield trace.root()
    for place, step in enumerate(run.steps):
        yield trace.step(place, step)
        for number, exchange in enumerate(step.exchanges):
            yield trace.exchange(place, number, exchange)


class _Trace:
    """One run as spans."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trace_id = int(run.trace_id, 16)
        self._began_ns = _ns_of(run.started_at)
        identity = run.identity
        self._resource = Resource(
            {
                "service.name": "probe-fleet",
                "service.namespace": identity.fleet,
                "service.version": VERSION,
                "service.instance.id": f"{identity.region}/{identity.probe}",
                "fleet.region": identity.region,
                "fleet.probe": identity.probe,
            }
        )

    def root(self) -> ReadableSpan:
        """The run itself."""
        run, identity = self._run, self._run.identity
        attributes: Attributes = {
            "fleet.run.id": run.run_id,
            "fleet.run.outcome": run.outcome.value,
            "fleet.run.attempt": attempt_label(identity.attempt),
            "fleet.run.failed_step": run.failed_step,
            "fleet.run.schedule_lag": run.schedule_lag_ns / 1e9,
            "fleet.scenario.name": identity.scenario,
            "fleet.scenario.version": run.scenario_version,
            "fleet.slot": identity.slot_at.isoformat(),
            "fleet.target.name": run.target,
            "fleet.target.release": run.target_release,
            **_failure_attributes(run.failure),
        }
        if run.clock_offset_ns is not None:
            attributes["fleet.clock.offset"] = run.clock_offset_ns / 1e9
        return self._span(identity.scenario, "", 0, run.duration_ns, attributes, _status(run.outcome, run.failure))

    def step(self, place: int, step: Step) -> ReadableSpan:
        """A step, with its expectations that did not hold as events."""
        attributes: Attributes = {
            **{f"fleet.step.{name}": value for name, value in step.attributes.items()},
            "fleet.step.outcome": step.outcome.value,
            "fleet.step.cleanup": step.cleanup,
            **_failure_attributes(step.failure),
        }
        end_ns = self._began_ns + step.started_ns + step.duration_ns
        events = [
            Event(
                "fleet.expectation.broken",
                {"name": one.name, "expected": one.expected, "found": one.found},
                timestamp=end_ns,
            )
            for one in step.expectations
            if not one.ok
        ]
        status = _status(step.outcome, step.failure)
        return self._span(
            step.name, f"{place}", step.started_ns, step.duration_ns, attributes, status, events=events, parent=""
        )

    def exchange(self, place: int, number: int, exchange: Exchange) -> ReadableSpan:
        """A request; an event at the end of each phase that took time."""
        attributes: Attributes = {
            "http.request.method": exchange.method,
            "url.full": exchange.url,
            "http.request.body.size": exchange.request_bytes,
            "http.response.body.size": exchange.response_bytes,
            "fleet.connection.reused": exchange.reused,
            **({"http.response.status_code": exchange.status} if exchange.status else {}),
            **({"server.address": exchange.server_address} if exchange.server_address else {}),
            **({"server.port": exchange.server_port} if exchange.server_port else {}),
            **_failure_attributes(exchange.failure),
        }
        events, at_ns = [], exchange.started_ns
        for phase in PHASES:
            duration_ns: int = getattr(exchange.phases, f"{phase}_ns")
            at_ns += duration_ns
            if duration_ns:
                more = {"fleet.phase.duration": duration_ns / 1e9}
                events.append(Event(f"fleet.phase.{phase}", more, timestamp=self._began_ns + at_ns))
        is_error = exchange.failure is not None or exchange.status >= 400
        return self._span(
            exchange.method,
            f"{place}/{number}",
            exchange.started_ns,
            at_ns - exchange.started_ns,
            attributes,
            Status(StatusCode.ERROR) if is_error else Status(StatusCode.UNSET),
            events=events,
            parent=f"{place}",
            kind=SpanKind.CLIENT,
        )

    def _span(  # noqa: PLR0913 - a span has as many parts
        self,
        name: str,
        path: str,
        started_ns: int,
        duration_ns: int,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        *,
        events: Sequence[Event] = (),
        parent: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> ReadableSpan:
        """A span by its path in the run (empty: the run); the parent's path is None for the run."""
        begin_ns = self._began_ns + started_ns
        return ReadableSpan(
            name=name,
            context=self._context(path),
            parent=None if parent is None else self._context(parent),
            resource=self._resource,
            attributes=attributes,
            events=events,
            kind=kind,
            instrumentation_scope=SCOPE,
            status=status,
            start_time=begin_ns,
            end_time=begin_ns + max(duration_ns, 0),
        )

    def _context(self, path: str) -> SpanContext:
        digest = hashlib.sha256(f"{self._run.run_id}/{path}".encode()).digest()
        span_id = int.from_bytes(digest[:8]) or 1
        return SpanContext(self._trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _status(outcome: Outcome, failure: Failure | None) -> Status:
    """A failure of ours is no error of the platform's."""
    if outcome is Outcome.FAIL:
        return Status(StatusCode.ERROR, failure.message if failure else "")
    return Status(CODES[outcome])


def _failure_attributes(failure: Failure | None) -> Attributes:
    if failure is None:
        return {}
    return {
        "error.type": failure.error_type or failure.kind.value,
        "fleet.failure.kind": failure.kind.value,
        "fleet.failure.message": failure.message,
    }


def _ns_of(instant: datetime) -> int:
    """Nanoseconds since the epoch, without going through a float."""
    return (instant - EPOCH) // (EPOCH.resolution) * 1000
