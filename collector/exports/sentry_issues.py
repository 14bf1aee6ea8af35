"""Failed journeys to Sentry: one issue for a scenario, a step and a kind of failure; a check-in for each scenario and region.

An event's id follows from its run, so that what is sent twice is one event. Only first attempts check in, and only soon
after their slot: a late record says nothing about now. A run that is inconclusive is neither an issue nor a check-in: that
nothing was heard, Sentry finds by itself, by the schedule that comes with each check-in. The client is our own: no global
hub, no integration, no thread of its own, nothing about this host or its users. Refuses to send response bodies and
addresses. Called by a pump, in its thread; needs the extra `sentry`. Source:
https://develop.sentry.dev/sdk/telemetry/check-ins/, https://develop.sentry.dev/sdk/foundations/transport/envelopes/
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import sentry_sdk
import urllib3
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event
from sentry_sdk.utils import BadDsn

from collector.exports.feed import StoredRun
from collector.exports.pump import Delivered, DeliveryError, retry_after_s
from collector.exports.run_counts import attempt_label
from collector.store_decode import decode_run
from probes.errors import OperatorError
from probes.records import Outcome, Run
from probes.version import VERSION
from probes.wire import WireError

__all__ = ["Intervals", "SentryExport", "check_in_of", "event_of", "monitor_slug"]

TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=10.0)
RUNS_AT_ONCE: Final = 50
MOST_ANSWER_BYTES: Final = 4_096
LATE_AFTER_MS: Final = 600_000
MOST_SLUG: Final = 50
"""Source: Sentry's limit for the slug of a monitor."""
MARGIN_MINUTES: Final = 2
NOT_IN_A_SLUG: Final = re.compile(r"[^a-z0-9_-]+")

Intervals = Callable[[str, str], float | None]
"""Seconds between two slots of a scenario in a region; None: nobody knows."""
Payload = dict[str, Any]


class SentryExport:
    """Sends to the project of a DSN. Raises OperatorError for one that is none, without repeating it."""

    name = "sentry"
    most_runs = RUNS_AT_ONCE

    def __init__(self, dsn: str, intervals: Intervals) -> None:
        self._intervals = intervals
        self._out = _Envelopes()
        try:
            self._client = sentry_sdk.Client(
                dsn=dsn,
                transport=self._out,
                default_integrations=False,
                auto_enabling_integrations=False,
                auto_session_tracking=False,
                send_client_reports=False,
                enable_backpressure_handling=False,
                include_local_variables=False,
                include_source_context=False,
                max_breadcrumbs=0,
                spotlight=False,
                server_name="",
                release=f"probe-fleet@{VERSION}",
                environment="",
            )
            self._sender = _Sender(dsn)
        except BadDsn as error:
            remedy = "Copy it from the project's settings, under Client Keys"
            raise OperatorError(
                "the secret of exports.sentry is no DSN", where="exports.sentry", remedy=remedy
            ) from error

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """One request for each issue and each check-in, in the order of the runs."""
        sent = skipped = 0
        for stored in runs:
            try:
                payloads = self._payloads(stored)
                for payload in payloads:
                    self._client.capture_event(cast("Event", payload))
                    self._sender.send(self._out.take())
            except DeliveryError as error:
                done = Delivered(sent, skipped)
                raise DeliveryError(
                    str(error), is_lasting=error.is_lasting, done=done, retry_after_s=error.retry_after_s
                ) from error
            sent, skipped = (sent + 1, skipped) if payloads else (sent, skipped + 1)
        return Delivered(sent, skipped)

    def _payloads(self, stored: StoredRun) -> list[Payload]:
        try:
            run = decode_run(stored.body)
        except WireError:
            return []
        payloads = [event_of(run)] if run.outcome is Outcome.FAIL else []
        is_late = stored.received_us // 1000 - stored.slot_ms > LATE_AFTER_MS
        if run.identity.attempt == 0 and run.outcome is not Outcome.INCONCLUSIVE and not is_late:
            every_s = self._intervals(run.identity.scenario, run.identity.region)
            payloads.append(check_in_of(run, every_s))
        return payloads


def event_of(run: Run) -> Payload:
    """The issue of a failed run."""
    identity, failure = run.identity, run.failure
    kind = failure.kind.value if failure else "unknown"
    ended_at = run.started_at + timedelta(microseconds=run.duration_ns // 1000)
    return {
        "event_id": hashlib.sha256(run.run_id.encode()).hexdigest()[:32],
        "timestamp": ended_at,
        "platform": "other",
        "level": "error",
        "logger": "probe-fleet",
        "transaction": identity.scenario,
        "environment": run.target,
        "fingerprint": [identity.scenario, run.failed_step, kind],
        "exception": {
            "values": [
                {
                    "type": f"{identity.scenario}: {run.failed_step or 'run'}: {kind}",
                    "value": failure.message if failure else "",
                    "mechanism": {"type": "probe", "handled": True},
                }
            ]
        },
        "tags": {
            "scenario": identity.scenario,
            "step": run.failed_step,
            "failure.kind": kind,
            "region": identity.region,
            "probe": identity.probe,
            "fleet": identity.fleet,
            "target": run.target,
            "target.release": run.target_release,
            "attempt": attempt_label(identity.attempt),
        },
        "contexts": {
            "trace": {"trace_id": run.trace_id, "span_id": hashlib.sha256(f"{run.run_id}/".encode()).hexdigest()[:16]},
            "run": {
                "run_id": run.run_id,
                "slot": identity.slot_at.isoformat(),
                "duration_s": run.duration_ns / 1e9,
                "steps": ", ".join(f"{step.name} {step.outcome.value}" for step in run.steps),
            },
        },
    }


def check_in_of(run: Run, every_s: float | None) -> Payload:
    """That a scenario ran in a region, and whether it passed; with its schedule where that is known."""
    payload: Payload = {
        "type": "check_in",
        "check_in_id": hashlib.sha256(f"check-in/{run.run_id}".encode()).hexdigest()[:32],
        "monitor_slug": monitor_slug(run.identity.scenario, run.identity.region),
        "status": "ok" if run.outcome is Outcome.PASS else "error",
        "duration": run.duration_ns / 1e9,
        "environment": run.target,
    }
    if every_s is not None:
        payload["monitor_config"] = {
            "schedule": {"type": "interval", "value": max(1, math.ceil(every_s / 60)), "unit": "minute"},
            "checkin_margin": MARGIN_MINUTES,
            "max_runtime": 30,
            "timezone": "UTC",
        }
    return payload


def monitor_slug(scenario: str, region: str) -> str:
    """The name of a monitor, of the letters that it may have; one that is too long ends in a digest."""
    text = f"{scenario}-{region}".lower()
    slug = NOT_IN_A_SLUG.sub("-", text).strip("-")
    if slug != text or len(slug) > MOST_SLUG:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        slug = f"{slug[: MOST_SLUG - 9]}-{digest}"
    return slug


class _Envelopes(Transport):
    """Keeps what the client made, for whoever sends it."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        """One more."""
        self._made.append(envelope)

    def take(self) -> list[Envelope]:
        """Everything since the last call."""
        made, self._made = self._made, []
        return made


class _Sender:
    """Posts envelopes; one connection, kept open."""

    def __init__(self, dsn: str) -> None:
        auth = sentry_sdk.utils.Dsn(dsn).to_auth(f"probe-fleet/{VERSION}")
        self._url = auth.get_api_url()
        self._headers = {
            "Content-Type": "application/x-sentry-envelope",
            "User-Agent": f"probe-fleet/{VERSION}",
            "X-Sentry-Auth": auth.to_header(),
        }
        self._pool = _pool_for(self._url)

    def send(self, envelopes: Sequence[Envelope]) -> None:
        """Until the receiver has them; raises DeliveryError."""
        for envelope in envelopes:
            try:
                answer = self._pool.request(
                    "POST",
                    self._url,
                    body=envelope.serialize(),
                    headers=self._headers,
                    timeout=TIMEOUT,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                is_short = len(answer.read(MOST_ANSWER_BYTES, decode_content=False)) < MOST_ANSWER_BYTES
            except urllib3.exceptions.HTTPError as error:
                raise DeliveryError(f"Sentry cannot be reached: {type(error).__name__}") from error
            if is_short:
                answer.release_conn()
            else:
                answer.close()
            _check(answer.status, answer.headers)


def _check(status: int, headers: Mapping[str, str]) -> None:
    if status == 429 or status >= 500:
        raise DeliveryError(f"Sentry answers {status}", retry_after_s=retry_after_s(headers))
    if status >= 300:
        raise DeliveryError(f"Sentry refuses with {status}: see to the DSN", is_lasting=True)


def _pool_for(url: str) -> urllib3.PoolManager | urllib3.ProxyManager:
    """Connections to a host, through the proxy of the environment where it names one for it."""
    scheme, host = url.partition("://")[0], urlsplit(url).hostname or ""
    proxy = getproxies().get(scheme, "")
    if not proxy or proxy_bypass(host):
        return urllib3.PoolManager(num_pools=1, cert_reqs="CERT_REQUIRED")
    return urllib3.ProxyManager(proxy, num_pools=1, cert_reqs="CERT_REQUIRED")
