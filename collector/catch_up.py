"""Scores the past of checks that are new, an hour of stored runs at a time, while results keep coming in.

Newest hours first, for they are asked about most. Until all are done the checks say that they are not complete; a restart begins
again, which changes nothing in hours that were done. Called by `collector.service` and by the command `rescore`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from collector.store import Store
from probes.clock import Clock

__all__ = ["Rescored", "score_past"]

log = structlog.get_logger(__name__)

PAUSE_BETWEEN_HOURS_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Rescored:
    """What scoring the past found: hours and slots looked at, cells and facts that were not as they must be."""

    hours: int
    slots: int
    cells_changed: int
    facts_changed: int


async def score_past(
    store: Store,
    keys: frozenset[str],
    *,
    clock: Clock,
    writes: bool = True,
    tell: Callable[[int, int], None] | None = None,
) -> Rescored:
    """Score every stored run again for these keys; `tell` hears how many hours are done, of how many.

    With `writes` the keys count as complete afterwards. Raises StoreError when the database cannot be used; what was done stays.
    """
    spans = await store.scores.hours()
    slots = cells_changed = facts_changed = 0
    for number, span in enumerate(spans, 1):
        hour = await store.scores.rescore(span, keys, writes=writes)
        slots += hour.slots
        cells_changed += hour.cells_changed
        facts_changed += hour.facts_changed
        if tell is not None:
            tell(number, len(spans))
        await clock.sleep(PAUSE_BETWEEN_HOURS_S if writes else 0)
    if writes:
        await store.scores.confirm(keys)
        log.info("scores.complete", hours=len(spans), slots=slots, cells_changed=cells_changed)
    return Rescored(len(spans), slots, cells_changed, facts_changed)
