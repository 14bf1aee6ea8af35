"""What an outbox carries besides runs: slots that ended without one, what slots are owed, minutes of fitness, losses.

With these the collector can prove its books: every slot that a `schedule` entry owes ends as a run or as a `slot` entry, or
it is missing and shown as such. JSON with a schema version; known keys strict, unknown keys tolerated.

Refuses to know runs (`probes.wire`) and queues (`probes.outbox`). Written by the worker, read by `collector.ingest`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field, ValidationError

from probes.wire import WireError

__all__ = ["FitnessMinute", "Loss", "OwedSlots", "SlotEnd", "SlotReason", "parse_entry", "render_entry"]


class SlotReason(StrEnum):
    """Why a slot has no run of its own: nobody could start it in time, it was agreed not to run, or the run was cut off."""

    MISSED = "missed"
    MAINTENANCE = "maintenance"
    ABORTED = "aborted"


class LedgerEntry(BaseModel):
    """What all of them share; instants are aware, names are those of the settings."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    schema_version: Literal[1] = 1


class SlotEnd(LedgerEntry):
    """A slot that ended without a run. `schedule_lag_ns` is how late it was when it was given up, 0 or more."""

    scenario: str = Field(min_length=1, max_length=60)
    slot_at: AwareDatetime
    reason: SlotReason
    attempt: int = Field(default=0, ge=0)
    run_id: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=500)
    schedule_lag_ns: int = Field(default=0, ge=0)


class OwedSlots(LedgerEntry):
    """From `from_at` on the probe owes a run at every `n * interval + phase` since the epoch, until it says otherwise.

    `until_at` ends the debt: an orderly stop, or a changed schedule. Without it the probe owes, even if it is silent.
    """

    scenario: str = Field(min_length=1, max_length=60)
    interval_ms: int = Field(ge=1_000)
    phase_ms: int = Field(ge=0)
    tolerance_ms: int = Field(ge=1)
    timeout_ms: int = Field(ge=1)
    from_at: AwareDatetime
    until_at: AwareDatetime | None = None


class FitnessMinute(LedgerEntry):
    """A minute in which this host was not fit to measure, and why; fit minutes are not reported.

    `minutes` are so many from `minute_at` on: an outbox that is full of such words joins those of an hour.
    """

    minute_at: AwareDatetime
    minutes: int = Field(default=1, ge=1, le=60)
    reasons: Annotated[list[str], FailFast()] = Field(min_length=1, max_length=20)


class Loss(LedgerEntry):
    """Entries that a full or too old outbox had to drop: within this closed range what never arrived is lost for good."""

    first_seq: int = Field(ge=1)
    last_seq: int = Field(ge=1)
    entries: int = Field(ge=1)
    reason: str = Field(max_length=60)


AnyEntry = TypeVar("AnyEntry", bound=LedgerEntry)


def render_entry(entry: LedgerEntry) -> bytes:
    """The entry as one line of JSON."""
    return entry.model_dump_json(exclude_none=True).encode()


def parse_entry(kind: type[AnyEntry], body: bytes) -> AnyEntry:
    """The entry in these bytes; raises WireError that names the key."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WireError(f"this is not a {kind.__name__}: {first['msg']}", where=where) from error
