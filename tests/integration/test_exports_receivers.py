"""What arrives elsewhere, read by receivers that speak OTLP, Sentry's envelopes, PostHog's batches."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sentry_sdk
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.exports.feed import StoredRun
from collector.exports.posthog_events import PostHogExport
from collector.exports.pump import Delivered, DeliveryError, Export
from collector.exports.sentry_issues import SentryExport, monitor_slug
from collector.exports.traces import TraceExport
from probes.errors import OperatorError
from probes.records import Expectation, FailureKind, Outcome, Run, RunIdentity, Step
from tests.exports_kit import Receiver, receiver, stored
from tests.sample_runs import MS, make_exchange, make_run, make_step

AT = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with receiver() as found:
        yield found


def run_of(*steps: Step, attempt: int = 0, number: int = 1, scenario: str = "quote") -> Run:
    """A run against a target, in one region."""
    made = make_run(*steps, scenario=scenario, number=number)
    identity = RunIdentity("fleet", "eu-west", "probe-1", scenario, AT, attempt)
    return replace(made, identity=identity, trace_id=TRACE, scheduled_at=AT, started_at=AT, target="cnc-quote")


def broken(kind: FailureKind = FailureKind.ASSERTION, *, attempt: int = 0, number: int = 1, message: str = "") -> Run:
    """A run that failed at its second step."""
    exchange = make_exchange(wait_ns=20 * MS, status=200)
    first = make_step("sign-in", 30 * MS, exchanges=(exchange,))
    second = make_step("price", 10 * MS, started_ns=30 * MS, kind=kind, message=message or "the price is 0")
    return run_of(first, second, attempt=attempt, number=number)


def good(number: int = 2) -> Run:
    """A run that passed."""
    return run_of(make_step("sign-in", 30 * MS), number=number)


def ours() -> Run:
    """A run that is inconclusive, with a failure that it found on an unfit host."""
    return replace(broken(FailureKind.TIMEOUT, number=3), outcome=Outcome.INCONCLUSIVE)


def attributes_of(span: Span) -> dict[str, object]:
    """Attributes as plain values."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def spans_in(there: Receiver) -> dict[str, tuple[Span, dict[str, str]]]:
    """Every span that came, by its name, with the resource that it is of."""
    found: dict[str, tuple[Span, dict[str, str]]] = {}
    for taken in there.taken:
        assert taken.headers["content-type"] == "application/x-protobuf"
        for of_resource in ExportTraceServiceRequest.FromString(taken.body).resource_spans:
            resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                found |= {span.name: (span, resource) for span in of_scope.spans}
    return found


def test_a_run_is_a_trace_with_steps_requests_and_phases(there: Receiver) -> None:
    """Under the trace id that the platform was sent; each span inside its parent, in time too."""
    run = broken()
    expectation = Expectation("price", "above 0", "0", ok=False)
    run = replace(run, steps=(run.steps[0], replace(run.steps[1], expectations=(expectation,))))
    assert TraceExport(f"{there.url}/v1/traces", "Bearer some-token").deliver([stored(run)]) == Delivered(1)
    spans = spans_in(there)
    assert there.taken[0].path == "/v1/traces"
    assert there.taken[0].headers["authorization"] == "Bearer some-token"
    assert {span.trace_id.hex() for span, _ in spans.values()} == {TRACE}
    (root, resource), (step, _), (request, _) = (spans[name] for name in ("quote", "sign-in", "GET"))
    assert (root.parent_span_id, step.parent_span_id, request.parent_span_id) == (b"", root.span_id, step.span_id)
    assert root.start_time_unix_nano == round(AT.timestamp()) * 10**9
    assert root.end_time_unix_nano - root.start_time_unix_nano == run.duration_ns
    assert root.start_time_unix_nano <= step.start_time_unix_nano <= request.start_time_unix_nano
    assert request.end_time_unix_nano <= step.end_time_unix_nano <= root.end_time_unix_nano
    assert resource["service.name"] == "probe-fleet"
    assert resource["fleet.region"] == "eu-west"
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert root.status.message == "the price is 0"
    told = attributes_of(root)
    assert told["fleet.run.attempt"] == "first"
    assert told["fleet.failure.kind"] == told["error.type"] == "assertion"
    assert (step.status.code, request.kind) == (Status.STATUS_CODE_OK, Span.SPAN_KIND_CLIENT)
    assert attributes_of(request)["http.response.status_code"] == 200
    phases = {event.name: event.time_unix_nano - request.start_time_unix_nano for event in request.events}
    assert phases == {"fleet.phase.connect": MS, "fleet.phase.wait": 21 * MS, "fleet.phase.receive": 21 * MS + MS // 2}
    assert [event.name for event in spans["price"][0].events] == ["fleet.expectation.broken"]


def test_the_same_run_twice_is_the_same_trace_twice(there: Receiver) -> None:
    """A receiver that had it already, when the answer was lost, can tell."""
    export = TraceExport(f"{there.url}/v1/traces")
    for _ in range(2):
        export.deliver([stored(good())])
    assert there.taken[0].body == there.taken[1].body


def test_an_inconclusive_run_is_an_error_nowhere(there: Receiver) -> None:
    """Neither a status in a trace, nor an issue, nor a check-in, nor a failed event."""
    run = stored(ours())
    assert TraceExport(f"{there.url}/v1/traces").deliver([run]) == Delivered(1)
    assert spans_in(there)["quote"][0].status.code == Status.STATUS_CODE_UNSET
    assert sentry_at(there).deliver([run]) == Delivered(0, 1)
    there.taken.clear()
    assert PostHogExport(there.url, "phc_key").deliver([run]) == Delivered(1)
    properties = batch_in(there)[0]["properties"]
    assert properties["outcome"] == "inconclusive"
    assert (properties["failed_step"], properties["failure_kind"]) == ("", "")


def sentry_at(there: Receiver, every_s: float | None = 300.0) -> SentryExport:
    """The export to a project of the receiver's."""
    return SentryExport(f"{there.url.replace('//', f'//{KEY}@')}/7", lambda _scenario, _region: every_s)


def items_in(there: Receiver) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The items of all envelopes that came, each with its header."""
    found = []
    for taken in there.taken:
        assert taken.path == "/api/7/envelope/"
        assert f"sentry_key={KEY}" in taken.headers["x-sentry-auth"]
        _, *rest = [json.loads(line) for line in taken.body.splitlines()]
        found += list(zip(rest[::2], rest[1::2], strict=True))
    return found


def test_a_failed_journey_is_an_issue_and_a_check_in(there: Receiver) -> None:
    """Grouped by scenario, step and kind of failure; the monitor is that of the scenario and region, with its schedule."""
    assert sentry_at(there).deliver([stored(broken()), stored(good())]) == Delivered(2)
    (kind, event), (check_kind, failed), (_, passed) = items_in(there)
    assert (kind["type"], check_kind["type"]) == ("event", "check_in")
    assert event["fingerprint"] == ["quote", "price", "assertion"]
    assert event["exception"]["values"][0]["value"] == "the price is 0"
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert event["tags"]["attempt"] == "first"
    assert event["environment"] == "cnc-quote"
    assert [one["status"] for one in (failed, passed)] == ["error", "ok"]
    assert {one["monitor_slug"] for one in (failed, passed)} == {"quote-eu-west"}
    assert passed["monitor_config"]["schedule"] == {"type": "interval", "value": 5, "unit": "minute"}


def test_nothing_about_this_host_goes_to_sentry(there: Receiver) -> None:
    """No host name, no user, no packages, no stack; and the global client stays as it was."""
    sentry_at(there).deliver([stored(broken())])
    _, event = items_in(there)[0]
    assert not event.keys() & {"user", "modules", "request", "breadcrumbs", "threads", "stacktrace", "extra"}
    assert event.get("server_name", "") == ""
    assert not {"os", "device", "runtime"} & event["contexts"].keys()
    assert socket.gethostname() not in str(there.taken[0].body)
    assert not sentry_sdk.get_client().is_active()


def test_repeats_and_late_runs_do_not_check_in(there: Receiver) -> None:
    """A confirmation is an issue of its run, not a word about the schedule; a record of an hour ago says nothing about now."""
    repeat = stored(broken(attempt=1))
    late = stored(broken(number=4), received_after_s=3600.0)
    late_pass = stored(good(), received_after_s=3600.0)
    assert sentry_at(there).deliver([repeat, late, late_pass]) == Delivered(2, 1)
    assert [(kind["type"], event["tags"]["attempt"]) for kind, event in items_in(there)] == [
        ("event", "repeat"),
        ("event", "first"),
    ]


def test_the_same_failure_twice_is_one_event(there: Receiver) -> None:
    """Sentry keeps one of two events with one id."""
    export = sentry_at(there, None)
    export.deliver([stored(broken()), stored(broken()), stored(broken(number=9))])
    ids = [event["event_id"] for kind, event in items_in(there) if kind["type"] == "event"]
    assert ids[0] == ids[1] != ids[2]
    checks = [event for kind, event in items_in(there) if kind["type"] == "check_in"]
    assert all("monitor_config" not in event for event in checks), "nobody knows the schedule"


@pytest.mark.parametrize("scenario", ["a", "UPPER.case_x", "x" * 60, "x" * 59 + "y"])
def test_monitor_slugs_are_what_sentry_takes_and_tell_apart(scenario: str) -> None:
    """At most fifty lower-case letters, digits, hyphens and underscores."""
    slugs = {monitor_slug(scenario, region) for region in ("eu-west", "eu-west-2", "a.b", "a-b")}
    assert len(slugs) == 4
    assert all(len(slug) <= 50 and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for slug in slugs)


def test_a_dsn_that_is_none_is_refused_without_being_repeated() -> None:
    """It may be a password that was put into the wrong place."""
    with pytest.raises(OperatorError, match=r"exports\.sentry") as caught:
        SentryExport("hunter2", lambda _scenario, _region: None)
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"


def batch_in(there: Receiver) -> list[dict[str, Any]]:
    """The events of all batches."""
    return [event for taken in there.taken for event in taken.json["batch"]]  # type: ignore[attr-defined]


def test_each_run_is_an_event_of_its_probe(there: Receiver) -> None:
    """Failed runs say where; ids follow from the run; no person is made of a probe."""
    PostHogExport(there.url, "phc_key").deliver([stored(broken(attempt=2)), stored(good())])
    assert [taken.path for taken in there.taken] == ["/batch/"]
    assert there.taken[0].json["api_key"] == "phc_key"
    failed, passed = batch_in(there)
    assert failed["distinct_id"] == "fleet/eu-west/probe-1"
    assert failed["timestamp"] == (AT + timedelta(milliseconds=40)).isoformat()
    told = failed["properties"]
    assert (told["outcome"], told["failed_step"], told["failure_kind"]) == ("fail", "price", "assertion")
    assert (told["attempt"], told["trace_id"], told["duration_s"]) == ("repeat", TRACE, 0.04)
    assert told["$process_person_profile"] is False
    assert failed["uuid"] != passed["uuid"]


def export_to(there: Receiver, name: str) -> Export:
    """One of them, to this receiver."""
    match name:
        case "otel":
            return TraceExport(f"{there.url}/v1/traces")
        case "sentry":
            return sentry_at(there)
    return PostHogExport(there.url, "phc_key")


@pytest.mark.parametrize("name", ["otel", "sentry", "posthog"])
@pytest.mark.parametrize(("status", "is_lasting"), [(500, False), (429, False), (503, False), (400, True), (403, True)])
def test_what_a_receiver_answers_decides_whether_it_is_tried_again(
    there: Receiver, name: str, status: int, is_lasting: bool
) -> None:
    """Its own trouble passes; what it refuses it will refuse again."""
    there.status, there.headers = status, {"Retry-After": "7"}
    with pytest.raises(DeliveryError) as caught:
        export_to(there, name).deliver([stored(broken())])
    assert caught.value.is_lasting is is_lasting
    assert str(status) in str(caught.value)


@pytest.mark.parametrize("name", ["otel", "sentry", "posthog"])
def test_a_receiver_that_is_not_there_is_tried_again_and_no_secret_is_said(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the error nor in what a library logs."""
    with receiver() as gone:
        export = export_to(gone, name)
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError) as caught:
        export.deliver([stored(broken())])
    assert not caught.value.is_lasting
    for secret in (KEY, "phc_key"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text


def test_sentry_goes_on_where_it_stopped(there: Receiver) -> None:
    """Runs that it has are not sent again when a later one fails."""
    export = sentry_at(there)
    runs: list[StoredRun] = [stored(good(number)) for number in (1, 2, 3)]
    taken_all = export._sender.send

    def stop_after_two(envelopes: Any) -> None:  # noqa: ANN401 - the library's own
        if len(there.taken) == 2:
            there.status = 503
        taken_all(envelopes)

    export._sender.send = stop_after_two  # type: ignore[method-assign] # the receiver falls ill at that moment
    with pytest.raises(DeliveryError) as caught:
        export.deliver(runs)
    assert caught.value.done == Delivered(2)
