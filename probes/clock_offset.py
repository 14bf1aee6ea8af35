"""How far this host's wall clock is from the collector's, with its error bound, and whether it was set.

A request and its answer give four stamps: two of our monotonic clock around two of the collector's wall clock. Each exchange
pins the collector's time to our monotonic clock; the error is at most half of what the round trip took outside the
collector, so the quickest exchange of the last minutes decides. Because samples are tied to the monotonic clock, a wall clock
that is set shows in the very next reading, without another exchange.

Refuses to set any clock and to correct a record: records keep the offset and the bound beside our own stamps. Called by
`probes.stream` (which carries the messages), by the worker (readings, fitness) and by the collector (answers).
Source: RFC 5905, sections 8 (on-wire protocol) and 10 (clock filter).
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from probes.clock import Clock
from probes.messages import MessageError

__all__ = ["ClockOffset", "ClockReading", "answer_time_request"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_NS: Final = 1_000_000_000
WINDOW_NS: Final = 900 * SECOND_NS
MAX_SAMPLES: Final = 64
DRIFT_PPM: Final = 50
"""How fast two undisciplined clocks may part; ordinary crystals keep this, and slewing (500 ppm) ends within minutes."""
OFFSET_LIMIT_NS: Final = SECOND_NS
STEP_NS: Final = 100_000_000
STEP_REMEMBERED_NS: Final = 120 * SECOND_NS
MAX_MESSAGE_BYTES: Final = 1_024
MAX_INSTANT_NS: Final = 7_258_118_400 * SECOND_NS  # the year 2200


class _TimeMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    v: Literal[1] = 1
    id: str = Field(min_length=1, max_length=64)


class _TimeRequest(_TimeMessage):
    pass


class _TimeAnswer(_TimeMessage):
    received_ns: int = Field(ge=0, le=MAX_INSTANT_NS)
    sent_ns: int = Field(ge=0, le=MAX_INSTANT_NS)


AnyTimeMessage = TypeVar("AnyTimeMessage", bound=_TimeMessage)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What to add to this host's wall clock to get the collector's, and how wrong that can be; `age_ns` of its sample."""

    offset_ns: int
    bound_ns: int
    age_ns: int


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ns: int  # monotonic
    ahead_ns: int  # the collector's wall clock minus our monotonic clock
    bound_ns: int

    def bound_at(self, monotonic_ns: int) -> int:
        return self.bound_ns + (monotonic_ns - self.at_ns) * DRIFT_PPM // 1_000_000


class ClockOffset:
    """The probe's side: `request` and `heard` exchange, `reading` and `reasons` tell. Plain functions, bounded memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=MAX_SAMPLES)
        self._asked: tuple[str, int] | None = None
        self._wall_ahead_ns = self._wall_minus_monotonic()
        self._step: tuple[int, int] | None = None  # when (monotonic), by how much

    def request(self) -> bytes:
        """A new question for the collector; an answer to an earlier one is ignored from now on."""
        self._watch()
        question = _TimeRequest(id=secrets.token_hex(8))
        self._asked = (question.id, self._clock.monotonic_ns())
        return question.model_dump_json().encode()

    def heard(self, payload: bytes) -> None:
        """Take an answer. Raises MessageError for one that cannot be true; one that nobody waits for is ignored."""
        heard_ns = self._clock.monotonic_ns()
        answer = _parsed(_TimeAnswer, payload)
        if self._asked is None or answer.id != self._asked[0]:
            return
        asked_ns, self._asked = self._asked[1], None
        held_ns = answer.sent_ns - answer.received_ns
        round_trip_ns = heard_ns - asked_ns - held_ns
        if held_ns < 0 or round_trip_ns < 0:
            message = f"the collector says that it held a question for {held_ns} ns of {heard_ns - asked_ns} ns"
            raise MessageError(message)
        ahead_ns = (answer.received_ns + answer.sent_ns - asked_ns - heard_ns) // 2
        self._keep(_Sample(heard_ns, ahead_ns, round_trip_ns // 2 + 1))

    def reading(self) -> ClockReading | None:
        """The offset now by the best sample, None when there is none of the last quarter of an hour."""
        self._watch()
        now_ns = self._clock.monotonic_ns()
        best = self._best(now_ns)
        if best is None:
            return None
        offset_ns = best.ahead_ns - self._wall_minus_monotonic()
        return ClockReading(offset_ns, best.bound_at(now_ns), now_ns - best.at_ns)

    def reasons(self) -> tuple[str, ...]:
        """Why records of this moment should not be trusted in time; empty when nothing is known against them."""
        reading = self.reading()
        reasons = []
        if reading is not None and abs(reading.offset_ns) - reading.bound_ns > OFFSET_LIMIT_NS:
            reasons.append(
                f"our clock is {-reading.offset_ns / SECOND_NS:+.1f} s from the collector's "
                f"(error at most {reading.bound_ns / SECOND_NS:.3f} s, limit {OFFSET_LIMIT_NS / SECOND_NS:g} s)"
            )
        if self._step is not None and self._clock.monotonic_ns() - self._step[0] <= STEP_REMEMBERED_NS:
            reasons.append(f"our clock was set by {self._step[1] / SECOND_NS:+.1f} s")
        return tuple(reasons)

    def _keep(self, sample: _Sample) -> None:
        """Add a sample; earlier ones that it contradicts were of another time (a clock was set, this host was suspended)."""
        best = self._best(sample.at_ns)
        if best is not None and abs(sample.ahead_ns - best.ahead_ns) > sample.bound_ns + best.bound_at(sample.at_ns):
            self._samples.clear()
        self._samples.append(sample)

    def _best(self, now_ns: int) -> _Sample | None:
        while self._samples and now_ns - self._samples[0].at_ns > WINDOW_NS:
            self._samples.popleft()
        return min(self._samples, key=lambda sample: sample.bound_at(now_ns), default=None)

    def _watch(self) -> None:
        """Notice that the wall clock was set: it has moved against the monotonic one by more than slewing can."""
        ahead_ns = self._wall_minus_monotonic()
        step_ns = ahead_ns - self._wall_ahead_ns
        if abs(step_ns) > STEP_NS:
            self._step = (self._clock.monotonic_ns(), step_ns)
        self._wall_ahead_ns = ahead_ns

    def _wall_minus_monotonic(self) -> int:
        return nanoseconds(self._clock.now()) - self._clock.monotonic_ns()


def answer_time_request(payload: bytes, *, received_at: datetime, clock: Clock) -> bytes:
    """The collector's answer to a question that came at `received_at`; raises MessageError. Render it just before sending."""
    question = _parsed(_TimeRequest, payload)
    received_ns = nanoseconds(received_at)
    answer = _TimeAnswer(id=question.id, received_ns=received_ns, sent_ns=max(nanoseconds(clock.now()), received_ns))
    return answer.model_dump_json().encode()


def nanoseconds(instant: datetime) -> int:
    """Since the Unix epoch; exact to the microsecond of the instant."""
    return (instant - EPOCH) // timedelta(microseconds=1) * 1_000


def _parsed(model: type[AnyTimeMessage], payload: bytes) -> AnyTimeMessage:
    if len(payload) > MAX_MESSAGE_BYTES:
        message = f"{len(payload)} bytes are too many for a message about time"
        raise MessageError(message)
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the JSON"
        message = f"a message about time: {place}: {first['msg']}"
        raise MessageError(message) from error
