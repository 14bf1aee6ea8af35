"""What the supervisor and its lanes say to each other: one line of JSON each, over the lane's stdin and a pipe back.

Orders go down, events come up. The first line down is the lane's own description. Nothing here has to arrive: what must not
be lost is in the outbox; an event only saves time (the stream is woken, a screen shows a step).

Refuses to know processes (`probes.worker_process`) and runs. Called by both ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from probes.fitness import FitnessLimits
from probes.outbox import Durability, OutboxLimits

__all__ = [
    "MAX_LINE_BYTES",
    "Beat",
    "ClockOrder",
    "Event",
    "LaneOrder",
    "Live",
    "MaintenanceOrder",
    "Order",
    "Put",
    "Ready",
    "RunOrder",
    "StopOrder",
    "parse_event",
    "parse_order",
    "render_line",
]

# A live event may carry a whole run's record; nothing that is honest is longer.
MAX_LINE_BYTES = 4 * 1024 * 1024


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LaneOrder(_Message):
    """Everything a lane is told at its start.

    `factory` is `module:function`; it is handed this order and opens what the lane needs (`probes.worker_kit.LaneKit`).
    `options` are the wiring's own words to it.
    """

    name: str
    fleet: str
    region: str
    probe: str
    outbox_path: Path
    outbox_limits: OutboxLimits = OutboxLimits()
    durability: Durability = Durability.NORMAL
    factory: str = Field(pattern=r"^[\w.]+:\w+$")
    options: Mapping[str, JsonValue] = Field(default_factory=dict)
    places: int = Field(ge=1, le=100)
    fitness_limits: FitnessLimits = FitnessLimits()
    control_url: str = ""


class StopOrder(_Message):
    """Start nothing more; runs that have not ended within the deadline are abandoned."""

    kind: Literal["stop"] = "stop"
    deadline_s: float = Field(ge=0)


class RunOrder(_Message):
    """Run the scenario now, beside the schedule, and tell every step."""

    kind: Literal["run"] = "run"
    request_id: str = Field(min_length=1, max_length=64)
    scenario: str
    seed: int | None = None


class MaintenanceOrder(_Message):
    """From now until then slots of scenarios that match (globs) end as `maintenance`; `until_at` in the past ends it early."""

    kind: Literal["maintenance"] = "maintenance"
    scenarios: tuple[str, ...] = ("*",)
    until_at: AwareDatetime
    detail: str = Field(default="", max_length=200)


class ClockOrder(_Message):
    """How far this host's clock is off the collector's, and how sure that is."""

    kind: Literal["clock"] = "clock"
    offset_ns: int
    bound_ns: int


class Ready(_Message):
    """The lane walks its schedules; `scenarios` names them."""

    kind: Literal["ready"] = "ready"
    scenarios: tuple[str, ...]


class Put(_Message):
    """There is something new in the outbox."""

    kind: Literal["put"] = "put"


class Beat(_Message):
    """The lane is alive: how many runs go on, how many runs and slots it has ended, what speaks against this minute.

    `stands_still`: the disk takes nothing. `next_slot_at` far ahead: the clock was stepped back and must catch up first.
    """

    kind: Literal["beat"] = "beat"
    running: int
    runs: int
    slots: int
    unfit: tuple[str, ...] = ()
    stands_still: bool = False
    next_slot_at: AwareDatetime | None = None


class Live(_Message):
    """Progress of a run that was asked for: `refused`, `run_started`, `step_started`, `sent`, `step_finished`, `run_finished`."""

    kind: Literal["live"] = "live"
    request_id: str
    what: str
    data: Mapping[str, JsonValue] = Field(default_factory=dict)


Order = Annotated[StopOrder | RunOrder | MaintenanceOrder | ClockOrder, Field(discriminator="kind")]
Event = Annotated[Ready | Put | Beat | Live, Field(discriminator="kind")]

_ORDER: TypeAdapter[Order] = TypeAdapter(Order)
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def render_line(message: BaseModel) -> bytes:
    """The message as one line."""
    return message.model_dump_json().encode() + b"\n"


def parse_order(line: bytes) -> StopOrder | RunOrder | MaintenanceOrder | ClockOrder:
    """The order in a line; raises pydantic's ValidationError, which is our own bug."""
    return _ORDER.validate_json(line)


def parse_event(line: bytes) -> Ready | Put | Beat | Live:
    """The event in a line; raises pydantic's ValidationError, which is our own bug."""
    return _EVENT.validate_json(line)
