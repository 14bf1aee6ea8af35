"""What the exports send to Sentry and PostHog can be read back from the stand-ins that speak as the real services do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from collector.exports.posthog_events import EVENT, PostHogExport
from collector.exports.posthog_events import event_of as posthog_event_of
from collector.exports.pump import Delivered, DeliveryError
from collector.exports.sentry_issues import SentryExport
from collector.exports.sentry_issues import event_of as issue_of
from fixtures.platform.telemetry_site import PROJECT_KEY, PUBLIC_KEY, READ_TOKEN
from probes.records import FailureKind, Run
from tests.exports_kit import stored
from tests.platform_kit import StandIn, start_stand_in
from tests.sample_runs import make_run, make_step

READER = {"Authorization": f"Bearer {READ_TOKEN}"}
AT = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """The platform with its telemetry."""
    with start_stand_in("--warm", "0") as running:
        yield running


def broken() -> Run:
    """A run that failed."""
    run = make_run(make_step("sign-in"), make_step("price", kind=FailureKind.ASSERTION, message="the price is 0"))
    return replace(run, started_at=AT, scheduled_at=AT, identity=replace(run.identity, slot_at=AT))


def dsn(stand_in: StandIn, key: str = PUBLIC_KEY) -> str:
    """The project's address."""
    return stand_in.urls["telemetry"].replace("//", f"//{key}@") + "/1"


def test_an_issue_can_be_read_back_with_its_tags(stand_in: StandIn) -> None:
    """Under the id that follows from the run; the check-in beside it is taken too."""
    run = broken()
    assert SentryExport(dsn(stand_in), lambda _scenario, _region: 60.0).deliver([stored(run)]) == Delivered(1)
    place = f"/api/0/projects/o/p/events/{issue_of(run)['event_id']}/"
    found = stand_in.call("GET", "telemetry", place, headers=READER)
    assert found.status == 200
    tags = {tag["key"]: tag["value"] for tag in found.json["tags"]}  # type: ignore[attr-defined] # a list
    assert (tags["scenario"], tags["step"], tags["failure.kind"]) == ("quote", "price", "assertion")


def test_an_event_can_be_asked_for_by_its_id(stand_in: StandIn) -> None:
    """A batch of one, found by the uuid that follows from the run."""
    run = broken()
    assert PostHogExport(stand_in.urls["telemetry"], PROJECT_KEY).deliver([stored(run)]) == Delivered(1)
    event_uuid = posthog_event_of(run)["uuid"]
    question = f"SELECT event, properties.run_id FROM events WHERE uuid = '{event_uuid}'"  # noqa: S608 - the stand-in's own tongue
    body = {"query": {"kind": "HogQLQuery", "query": question}}
    found = stand_in.call("POST", "telemetry", "/api/projects/1/query/", body=body, headers=READER)
    assert found.json["results"] == [[EVENT, run.run_id]]


def test_wrong_keys_are_refused_for_good(stand_in: StandIn) -> None:
    """The services say so, and nobody tries for ever."""
    for export in (
        SentryExport(dsn(stand_in, "f" * 32), lambda _scenario, _region: None),
        PostHogExport(stand_in.urls["telemetry"], "phc_wrong"),
    ):
        with pytest.raises(DeliveryError) as caught:
            export.deliver([stored(broken())])
        assert caught.value.is_lasting
