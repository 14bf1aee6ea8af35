"""A stored run with the passing run nearest to it: what the page of a run is made of.

Looks near the instant that a run's id tells, then everywhere. Refuses to judge. Called by `collector.web.routes_runs`, in the
process for heavy questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from collector.store import Store
from collector.store_runs import RunFilter, RunSummary
from probes.records import Outcome, Run, RunIdentity
from probes.wire import WireError, parse_run

__all__ = ["FoundRun", "find_with_nearest"]

NEAR: Final = timedelta(days=1)
MOST_LOOKED_AT: Final = 200
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of run ids. Source: `probes.ids`."""
TIME_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class FoundRun:
    """Records as they came; `nearest` is empty where no run near it passed. `is_unfit`: its host said so of that minute."""

    record: bytes
    nearest: bytes = b""
    is_unfit: bool = False


async def find_with_nearest(store: Store, run_id: str) -> FoundRun | None:
    """The run and its nearest passing one; None where there is none of that id. Raises StoreError."""
    record = b""
    if (about := started_about(run_id)) is not None:
        record = await store.find_run(run_id, about)
    record = record or await store.find_run(run_id, None)
    if not record:
        return None
    try:
        run = parse_run(record)
    except WireError:
        return FoundRun(record)
    slot_at = run.identity.slot_at
    same_minute = await _runs(store, run, slot_at, slot_at + timedelta(microseconds=1), ())
    is_unfit = any(one.is_unfit for one in same_minute if one.identity == run.identity)
    nearest = await nearest_passing(store, run)
    return FoundRun(record, await store.record(nearest) if nearest else b"", is_unfit)


async def nearest_passing(store: Store, run: Run) -> RunIdentity | None:
    """The passing run of a fit host, of the same scenario, region and target, whose slot is nearest; None: none within a day."""
    slot_at, passed = run.identity.slot_at, (Outcome.PASS,)
    before = await _runs(store, run, slot_at - NEAR, slot_at, passed)
    if before:
        near = slot_at - before[0].identity.slot_at
        after = await _runs(store, run, slot_at + timedelta(microseconds=1), slot_at + near, passed)
    else:
        after = await _runs(store, run, slot_at + timedelta(microseconds=1), slot_at + NEAR, passed)
    found = [*before[:1], *after[-1:]]
    return min(found, key=lambda one: abs(one.identity.slot_at - slot_at)).identity if found else None


async def _runs(
    store: Store, run: Run, from_at: datetime, until_at: datetime, outcomes: tuple[Outcome, ...]
) -> list[RunSummary]:
    """Fit runs like this one in a window, newest first."""
    id_ = run.identity
    wanted = RunFilter(id_.fleet, id_.scenario, id_.region, outcomes)
    found = await store.views.runs(from_at, until_at, wanted, limit=MOST_LOOKED_AT)
    return [
        one
        for one in found
        if not outcomes or (not one.is_unfit and one.target == run.target and one.identity != run.identity)
    ]


def started_about(run_id: str) -> datetime | None:
    """When a run began, as its id tells; None for an id of another form."""
    digits = [ALPHABET.find(character) for character in run_id[:TIME_LENGTH]]
    if len(digits) < TIME_LENGTH or min(digits) < 0:
        return None
    milliseconds = 0
    for digit in digits:
        milliseconds = milliseconds * len(ALPHABET) + digit
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
