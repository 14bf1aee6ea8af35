"""The announcement of a run before it starts, in the form of the entry that it becomes if nobody ends the run.

Refuses to write it (`probes.outbox`). Called by the lanes, which announce, and by the supervisor, which ends what a dead
process left open.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from probes.ledger_entries import SlotEnd, SlotReason, parse_entry, render_entry
from probes.outbox import Intent
from probes.wire import WireError

__all__ = ["aborted_because", "aborted_entry", "intent_key"]

MAX_DETAIL_LENGTH = 500


def intent_key(scenario: str, slot_at: datetime, attempt: int) -> str:
    """What tells a run's announcement from all others of this probe."""
    return f"{scenario}/{slot_at.isoformat()}/{attempt}"


def aborted_entry(scenario: str, slot_at: datetime, attempt: int, *, lag_ns: int, detail: str = "") -> bytes:
    """The entry of a slot whose run was cut off; without a detail it is the body of the run's announcement."""
    end = SlotEnd(
        scenario=scenario,
        slot_at=slot_at,
        reason=SlotReason.ABORTED,
        attempt=attempt,
        detail=detail[:MAX_DETAIL_LENGTH],
        schedule_lag_ns=lag_ns,
    )
    return render_entry(end)


def aborted_because(detail: str) -> Callable[[Intent], bytes]:
    """Turns an announcement into the entry of an aborted slot that says why, for `Outbox.abandon`."""

    def as_entry(intent: Intent) -> bytes:
        try:
            end = parse_entry(SlotEnd, intent.body)
        except WireError:
            return intent.body  # written by another version; the collector files what it cannot read
        return render_entry(end.model_copy(update={"detail": detail[:MAX_DETAIL_LENGTH]}))

    return as_entry
