"""A run that failed, with all that a record can hold, stored where pages show it. Used by tests of pages and of the API."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from probes.records import Evidence, Expectation, FailureKind, Fitness, Run, SideEffect
from tests.sample_runs import MS, make_exchange, make_run, make_step
from tests.store_kit import NOW, deliver, run_at, run_entry
from tests.web_kit import Filled

__all__ = ["DAY", "failed_run", "store_run", "with_evidence"]

DAY = "2026-03-01"


def failed_run(at: datetime, *, number: int = 99, text: str = "price: expected 12, found 0") -> Run:
    """A run that failed at its second step, with all that a record can hold; `text` is what the platform wrote."""
    slow = make_exchange(wait_ns=400 * MS, status=500)
    steps = (
        make_step("sign-in", 20 * MS, exchanges=(make_exchange(),)),
        make_step(
            "upload",
            600 * MS,
            started_ns=20 * MS,
            kind=FailureKind.ASSERTION,
            message=text,
            exchanges=(slow, make_exchange(send_ns=100 * MS)),
            expectations=(Expectation("price", "12", text, ok=False), Expectation("currency", "EUR", "EUR", ok=True)),
        ),
    )
    shot = f"{DAY}/run{number:05d}/screenshot-upload.png"
    return replace(
        make_run(*steps, number=number),
        identity=run_at(at).identity,
        scheduled_at=at,
        started_at=at,
        clock_offset_ns=3 * MS,
        clock_bound_ns=MS,
        fitness=Fitness(loop_lag_ns=2 * MS, steal_ratio=0.01),
        marks=("http-timing-excess",),
        evidence=(Evidence("screenshot", "screenshot-upload.png", shot, hashlib.sha256(b"png").hexdigest(), 3),),
        side_effects=(SideEffect("file", "cube.step", read_back=True, fate="deleted"),),
    )


async def store_run(filled: Filled, run: Run) -> None:
    """Have the run stored."""
    await filled.store.file([deliver([run_entry(run)], first_seq=1000 + int(run.run_id.removeprefix("run")))])


def with_evidence(*files: tuple[str, bytes]) -> Run:
    """A failed run that kept these files."""
    run = failed_run(NOW + timedelta(minutes=40))
    return replace(
        run,
        evidence=tuple(
            Evidence("body", name, f"{DAY}/{run.run_id}/{name}", hashlib.sha256(content).hexdigest(), len(content))
            for name, content in files
        ),
    )
