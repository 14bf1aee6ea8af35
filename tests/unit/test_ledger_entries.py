"""The entries that keep the books come back as they were, and nonsense is refused with its key."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from probes.ledger_entries import FitnessMinute, Loss, OwedSlots, SlotEnd, SlotReason, parse_entry, render_entry
from probes.wire import WireError

NOON = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def test_every_kind_comes_back_as_it_was() -> None:
    """Rendered and parsed, an entry equals itself, and is one line."""
    owed = OwedSlots(scenario="quote", interval_ms=60_000, phase_ms=5, tolerance_ms=9, timeout_ms=9_000, from_at=NOON)
    for entry in (
        SlotEnd(scenario="quote", slot_at=NOON, reason=SlotReason.MISSED, schedule_lag_ns=12),
        owed,
        owed.model_copy(update={"until_at": NOON}),
        FitnessMinute(minute_at=NOON, reasons=["loop-lag"]),
        Loss(first_seq=1, last_seq=5, entries=3, reason="full"),
    ):
        body = render_entry(entry)
        assert b"\n" not in body
        assert parse_entry(type(entry), body) == entry


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{}", "scenario"),
        (b'{"scenario":"q","slot_at":"2026-09-01T12:00:00","reason":"missed"}', "slot_at"),
        (b'{"scenario":"q","slot_at":"2026-09-01T12:00:00Z","reason":"tired"}', "reason"),
        (b'{"schema_version":2,"scenario":"q","slot_at":"2026-09-01T12:00:00Z","reason":"missed"}', "schema_version"),
        (b"nonsense", ""),
    ],
)
def test_a_body_that_is_no_entry_is_refused_at_its_key(body: bytes, where: str) -> None:
    """A naive instant, an unknown reason or another version never pass for something else."""
    with pytest.raises(WireError) as refusal:
        parse_entry(SlotEnd, body)
    assert refusal.value.where == where
