"""What the API answers about runs: models of everything that a record holds, and how they are made of what the pages show.

Whatever a probe or a platform wrote is text here too, and escaped by whoever draws it. Refuses to ask and to work out anything.
Called by `collector.web.routes_runs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Annotated

from pydantic import BeforeValidator

from collector.store_runs import RunSummary
from collector.web.api import API_PATH, Answer, Figure
from collector.web.evidence_files import Presence
from collector.web.render import url_for
from collector.web.run_view import RunView, StepBeside
from collector.web.runs_view import RunsView
from probes.records import Attribute, Evidence, FailureKind, Outcome, Run, Step

__all__ = ["ListedRunAnswer", "RunAnswer", "RunsAnswer", "listed_run_answer", "run_answer", "runs_answer"]


def _speakable(found: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """JSON has no word for what is no number: it becomes text."""
    return {name: str(one) if isinstance(one, float) and not isfinite(one) else one for name, one in found.items()}


Attributes = Annotated[dict[str, bool | int | float | str], BeforeValidator(_speakable)]


class IdentityAnswer(Answer):
    """What makes a run this run and no other. Attempts after 0 confirm or were asked for; they are never scored."""

    fleet: str
    region: str
    probe: str
    scenario: str
    slot_at: datetime
    attempt: int


class ListedRunAnswer(IdentityAnswer):
    """A run in a list. `is_unfit`: its host was not fit in that minute, and it counts for nothing. `href`: the whole run."""

    outcome: Outcome
    is_unfit: bool
    failure_kind: FailureKind | None
    failed_step: str
    duration_ns: int
    schedule_lag_ns: int
    target: str
    target_release: str
    href: str


class RunsAnswer(Answer):
    """Runs whose slots are in [from_at, until_at), the newest first; `next_after` is null where these are the last."""

    from_at: datetime
    until_at: datetime
    runs: list[ListedRunAnswer]
    next_after: str | None


class FailureAnswer(Answer):
    """One reason for a failure; `message` is for a person."""

    kind: FailureKind
    message: str
    error_type: str


class PhasesAnswer(Answer):
    """Where the time of a request went; the seven add up to `total_ns` exactly."""

    queue_ns: int
    dns_ns: int
    connect_ns: int
    tls_ns: int
    send_ns: int
    wait_ns: int
    receive_ns: int
    total_ns: int


class UploadAnswer(Answer):
    """How a body flowed, and the pauses in it."""

    body_bytes: int
    bytes_per_s: Figure
    stalls: int
    stalled_ns: int
    longest_stall_ns: int
    stall_threshold_ns: int


class ExchangeAnswer(Answer):
    """One request and its answer; status 0: there was no whole one."""

    method: str
    url: str
    started_ns: int
    phases: PhasesAnswer
    status: int
    request_bytes: int
    response_bytes: int
    server_address: str
    server_port: int
    reused: bool
    tls_version: str
    certificate_expires_at: datetime | None
    upload: UploadAnswer | None
    failure: FailureAnswer | None


class PageAnswer(Answer):
    """What a page measured of one cold load, since its navigation started; null: it did not."""

    url: str
    ready_ns: int | None
    ttfb_ns: int | None
    fcp_ns: int | None
    lcp_ns: int | None
    dom_content_loaded_ns: int | None
    load_ns: int | None
    cls: Figure
    drive_ns: int
    requests: int
    failed_requests: list[str]
    uncaught_errors: list[str]


class ExpectationAnswer(Answer):
    """One thing that was checked."""

    name: str
    expected: str
    found: str
    ok: bool


class StepAnswer(Answer):
    """One step: the time between its borders and nothing else. `notes` are what the page tells besides."""

    name: str
    started_ns: int
    duration_ns: int
    outcome: Outcome
    cleanup: bool
    failure: FailureAnswer | None
    exchanges: list[ExchangeAnswer]
    pages: list[PageAnswer]
    expectations: list[ExpectationAnswer]
    attributes: Attributes
    notes: list[str]


class ClockAnswer(Answer):
    """How far the probe's clock was off the collector's (positive: behind), and how sure that is; null: never compared."""

    offset_ns: int | None
    bound_ns: int | None


class HostAnswer(Answer):
    """How fit the host was during the run. Null fitness: it was not read. `is_minute_unfit`: the run counts for nothing."""

    is_fit: bool | None
    is_minute_unfit: bool
    reasons: list[str]
    loop_lag_ns: int | None
    steal_ratio: Figure


class EvidenceAnswer(Answer):
    """A file that was kept. `href`: where it can be asked for; null: it is not on the collector's host.

    `presence` is what can be told without reading it. When it is asked for, it is compared with its size and SHA-256; one that
    differs is refused with 409.
    """

    kind: str
    name: str
    path: str
    sha256: str
    file_bytes: int
    presence: Presence
    href: str | None


class SideEffectAnswer(Answer):
    """Something that the run made on the platform, whether it was read back intact (null: not tried), and its fate."""

    kind: str
    name: str
    sha256: str
    read_back: bool | None
    fate: str
    detail: str


class BesideAnswer(Answer):
    """A step of this run beside that of the other; null: it was not reached there."""

    name: str
    outcome: Outcome | None
    duration_ns: int | None
    other_outcome: Outcome | None
    other_duration_ns: int | None


class NearestAnswer(Answer):
    """The nearest run of the same scenario, region and target that passed, and what differs from it."""

    run_id: str
    slot_at: datetime
    target_release: str
    scenario_version: str
    differences: list[str]
    steps: list[BesideAnswer]


class RunAnswer(IdentityAnswer):
    """Everything one run found. `nearest` is null where none passed within a day."""

    run_id: str
    trace_id: str
    target: str
    target_release: str
    scenario_version: str
    scheduled_at: datetime
    started_at: datetime
    schedule_lag_ns: int
    duration_ns: int
    outcome: Outcome
    failure: FailureAnswer | None
    failed_step: str
    marks: list[str]
    attributes: Attributes
    clock: ClockAnswer
    host: HostAnswer
    steps: list[StepAnswer]
    evidence: list[EvidenceAnswer]
    side_effects: list[SideEffectAnswer]
    nearest: NearestAnswer | None


def runs_answer(view: RunsView) -> RunsAnswer:
    """A list as the API tells it."""
    return RunsAnswer(
        from_at=view.from_at,
        until_at=view.until_at,
        runs=[listed_run_answer(one) for one in view.runs],
        next_after=view.next_after or None,
    )


def listed_run_answer(one: RunSummary) -> ListedRunAnswer:
    """A run of a list as the API tells it."""
    id_ = one.identity
    return ListedRunAnswer(
        fleet=id_.fleet,
        region=id_.region,
        probe=id_.probe,
        scenario=id_.scenario,
        slot_at=id_.slot_at,
        attempt=id_.attempt,
        outcome=one.outcome,
        is_unfit=one.is_unfit,
        failure_kind=one.kind,
        failed_step=one.failed_step,
        duration_ns=one.duration_ns,
        schedule_lag_ns=one.schedule_lag_ns,
        target=one.target,
        target_release=one.target_release,
        href=url_for(
            f"{API_PATH}/slots",
            at=id_.slot_at.isoformat(),
            scenario=id_.scenario,
            region=id_.region,
            probe=id_.probe,
            attempt=id_.attempt,
        ),
    )


def run_answer(view: RunView) -> RunAnswer:
    """A run as the API tells it."""
    run, id_ = view.run, view.run.identity
    return RunAnswer(
        fleet=id_.fleet,
        region=id_.region,
        probe=id_.probe,
        scenario=id_.scenario,
        slot_at=id_.slot_at,
        attempt=id_.attempt,
        run_id=run.run_id,
        trace_id=run.trace_id,
        target=run.target,
        target_release=run.target_release,
        scenario_version=run.scenario_version,
        scheduled_at=run.scheduled_at,
        started_at=run.started_at,
        schedule_lag_ns=run.schedule_lag_ns,
        duration_ns=run.duration_ns,
        outcome=run.outcome,
        failure=FailureAnswer.model_validate(run.failure) if run.failure else None,
        failed_step=run.failed_step,
        marks=list(run.marks),
        attributes=dict(run.attributes),
        clock=ClockAnswer(offset_ns=run.clock_offset_ns, bound_ns=run.clock_bound_ns),
        host=_host(view),
        steps=[_step(step, notes) for step, notes in zip(run.steps, view.notes, strict=True)],
        evidence=[_evidence(one, here) for one, here in zip(run.evidence, view.presences, strict=True)],
        side_effects=[SideEffectAnswer.model_validate(one) for one in run.side_effects],
        nearest=_nearest(view, view.nearest) if view.nearest else None,
    )


def _host(view: RunView) -> HostAnswer:
    fitness = view.run.fitness
    return HostAnswer(
        is_fit=fitness.is_fit if fitness else None,
        is_minute_unfit=view.is_unfit,
        reasons=list(fitness.reasons) if fitness else [],
        loop_lag_ns=fitness.loop_lag_ns if fitness else None,
        steal_ratio=fitness.steal_ratio if fitness else None,
    )


def _step(step: Step, notes: Sequence[str]) -> StepAnswer:
    return StepAnswer(
        name=step.name,
        started_ns=step.started_ns,
        duration_ns=step.duration_ns,
        outcome=step.outcome,
        cleanup=step.cleanup,
        failure=FailureAnswer.model_validate(step.failure) if step.failure else None,
        exchanges=[ExchangeAnswer.model_validate(one) for one in step.exchanges],
        pages=[PageAnswer.model_validate(one) for one in step.pages],
        expectations=[ExpectationAnswer.model_validate(one) for one in step.expectations],
        attributes=dict(step.attributes),
        notes=list(notes),
    )


def _evidence(one: Evidence, presence: Presence) -> EvidenceAnswer:
    return EvidenceAnswer(
        kind=one.kind,
        name=one.name,
        path=one.path,
        sha256=one.sha256,
        file_bytes=one.file_bytes,
        presence=presence,
        href=None if presence is Presence.NOT_HERE else f"{API_PATH}/evidence/{one.path}",
    )


def _nearest(view: RunView, good: Run) -> NearestAnswer:
    return NearestAnswer(
        run_id=good.run_id,
        slot_at=good.identity.slot_at,
        target_release=good.target_release,
        scenario_version=good.scenario_version,
        differences=list(view.differences),
        steps=[_beside(one) for one in view.steps_beside],
    )


def _beside(one: StepBeside) -> BesideAnswer:
    return BesideAnswer(
        name=one.label,
        outcome=one.this.outcome if one.this else None,
        duration_ns=one.this.duration_ns if one.this else None,
        other_outcome=one.good.outcome if one.good else None,
        other_duration_ns=one.good.duration_ns if one.good else None,
    )
