"""Runs made by hand, for tests of what reads runs: only what a test says differs from a plain good one."""

from __future__ import annotations

from datetime import UTC, datetime

from probes.records import (
    Attribute,
    Exchange,
    Expectation,
    Failure,
    FailureKind,
    Outcome,
    PageLoad,
    Phases,
    Run,
    RunIdentity,
    Step,
    UploadFlow,
)

STARTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MS = 1_000_000
S = 1_000_000_000


def make_exchange(
    *, wait_ns: int = 5 * MS, queue_ns: int = 0, send_ns: int = 0, status: int = 200, failure: Failure | None = None
) -> Exchange:
    """A request whose time is mostly the wait for its answer; a long `send_ns` makes it an upload."""
    flow = UploadFlow(52_000_000, 52_000_000 / (send_ns / 1e9), 0, 0, 0, 50 * MS) if send_ns else None
    phases = Phases(queue_ns=queue_ns, connect_ns=MS, send_ns=send_ns, wait_ns=wait_ns, receive_ns=MS // 2)
    return Exchange("GET", "http://127.0.0.1/x", 0, phases, status=status, failure=failure, upload=flow)


def make_step(
    name: str,
    duration_ns: int = 100 * MS,
    *,
    started_ns: int = 0,
    kind: FailureKind | None = None,
    message: str = "it broke",
    part: str = "",
    part_bytes: int = 0,
    exchanges: tuple[Exchange, ...] = (),
    pages: tuple[PageLoad, ...] = (),
    expectations: tuple[Expectation, ...] = (),
    cleanup: bool = False,
) -> Step:
    """A step that passed, unless it is given the kind of a failure."""
    attributes: dict[str, Attribute] = {}
    if part:
        attributes["cad.part"] = part
    if part_bytes:
        attributes["cad.bytes"] = part_bytes
    ours = kind is not None and kind.is_ours
    outcome = Outcome.PASS if kind is None else Outcome.INCONCLUSIVE if ours else Outcome.FAIL
    return Step(
        name,
        started_ns,
        duration_ns,
        outcome,
        failure=Failure(kind, message) if kind else None,
        exchanges=exchanges,
        pages=pages,
        expectations=expectations,
        attributes=attributes,
        cleanup=cleanup,
    )


def make_run(*steps: Step, scenario: str = "quote", number: int = 1) -> Run:
    """A run of those steps, whose outcome follows from theirs; `number` makes its id."""
    failed = next((step for step in steps if step.failure is not None and not step.cleanup), None)
    return Run(
        identity=RunIdentity("fleet", "region", "probe", scenario, STARTED_AT),
        run_id=f"run{number:05d}",
        trace_id="0" * 31 + "1",
        target="stand-in",
        scenario_version="1",
        scheduled_at=STARTED_AT,
        started_at=STARTED_AT,
        duration_ns=sum(step.duration_ns for step in steps),
        outcome=failed.outcome if failed else Outcome.PASS,
        steps=steps,
        failure=failed.failure if failed else None,
        failed_step=failed.name if failed else "",
    )
