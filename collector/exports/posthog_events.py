"""Runs to PostHog: an event for each, whose distinct id is the probe.

An event's id follows from its run, so that what is sent twice is one event. No person is made of a probe, and nothing is
looked up by its address. Inconclusive runs are events of their own outcome and no failures. Refuses the SDK's own queue and
globals. Called by a pump, in its thread; needs the extra `posthog`. Source: https://posthog.com/docs/api/capture
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import requests
from posthog.request import APIError, batch_post

from collector.exports.feed import StoredRun
from collector.exports.pump import Delivered, DeliveryError
from collector.exports.run_counts import attempt_label
from collector.store_decode import decode_run
from probes.records import Outcome, Run
from probes.version import VERSION
from probes.wire import WireError

__all__ = ["EVENT", "PostHogExport", "event_of"]

TIMEOUT_S: Final = 10.0
RUNS_AT_ONCE: Final = 100
EVENT: Final = "probe run"
NAMESPACE: Final = uuid.UUID("6f8a2f0e-5f0c-5d0f-9f57-2f6f3c1f7a11")
Payload = dict[str, Any]


class PostHogExport:
    """Sends to the project of a key, at the address of its instance."""

    name = "posthog"
    most_runs = RUNS_AT_ONCE

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """All of them in one request."""
        events: list[Payload] = []
        for stored in runs:
            try:
                events.append(event_of(decode_run(stored.body)))
            except WireError:
                continue
        if events:
            self._post(events)
        return Delivered(len(events), len(runs) - len(events))

    def _post(self, events: Sequence[Payload]) -> None:
        try:
            batch_post(self._key, host=self._url, gzip=True, timeout=TIMEOUT_S, batch=list(events))
        except APIError as error:
            status = error.status if isinstance(error.status, int) else 0
            is_lasting = 300 <= status < 500 and status not in (408, 429)
            raise DeliveryError(f"PostHog answers {status}", is_lasting=is_lasting) from error
        except requests.RequestException as error:
            raise DeliveryError(f"PostHog cannot be reached: {type(error).__name__}") from error


def event_of(run: Run) -> Payload:
    """The event of a run."""
    identity, failure = run.identity, run.failure
    is_failed = run.outcome is Outcome.FAIL
    ended_at = run.started_at + timedelta(microseconds=run.duration_ns // 1000)
    return {
        "event": EVENT,
        "distinct_id": f"{identity.fleet}/{identity.region}/{identity.probe}",
        "uuid": str(uuid.uuid5(NAMESPACE, run.run_id)),
        "timestamp": ended_at.isoformat(),
        "properties": {
            "$process_person_profile": False,
            "$geoip_disable": True,
            "$lib": "probe-fleet",
            "$lib_version": VERSION,
            "run_id": run.run_id,
            "trace_id": run.trace_id,
            "fleet": identity.fleet,
            "region": identity.region,
            "probe": identity.probe,
            "scenario": identity.scenario,
            "attempt": attempt_label(identity.attempt),
            "outcome": run.outcome.value,
            "failed_step": run.failed_step if is_failed else "",
            "failure_kind": failure.kind.value if failure and is_failed else "",
            "target": run.target,
            "target_release": run.target_release,
            "duration_s": run.duration_ns / 1e9,
            "steps": len(run.steps),
            "slot": identity.slot_at.isoformat(),
        },
    }
