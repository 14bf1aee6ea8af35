"""What came over the wire, judged before anything is written: rows for the good, reasons for the bad. Pure.

A batch whose header cannot be trusted is refused as a whole; an entry that breaks a rule is *poison* and goes to
quarantine alone, the rest of its batch is stored.

Refuses to know SQL and MQTT. Called by the store's writers, `collector.archive` and tests.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec

from collector.scoring import NOTHING, Scorer, SlotScore
from collector.store_decode import decode_run
from collector.store_packing import packed_payload
from collector.store_tables import ENDED_AS_RUN, KIND_CODES, OUTCOME_CODES, REASON_CODES, microseconds_of
from probes.ledger_entries import FitnessMinute, Loss, OwedSlots, SlotEnd, parse_entry
from probes.messages import Address, MessageError, RawEntry, parse_address, parse_batch
from probes.outbox import EntryKind
from probes.records import Outcome, Step
from probes.wire import WireError

__all__ = [
    "Delivery",
    "EndedSlot",
    "Intake",
    "Poison",
    "Refused",
    "SlotFacts",
    "StepFacts",
    "judge",
    "run_check_of",
]

MAX_SCENARIO_LENGTH: Final = 60
SCENARIO_FORM: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?")
MIN_US: Final = 946_684_800_000_000  # 2000
MAX_US: Final = 7_258_118_400_000_000  # 2200
MAX_EPOCH: Final = MAX_US
MAX_ATTEMPT: Final = 1_000_000
MAX_STEPS: Final = 1_000
MAX_DOUBTS: Final = 10
"""So many bad entries of one delivery are looked at twice; no honest probe has more, and a second look costs time."""

RUN: Final = EntryKind.RUN.value
PART: Final = "cad.part"
CHECK_MASK: Final = 0x7FFF_FFFF
PASS: Final = Outcome.PASS
PASSED: Final = OUTCOME_CODES[PASS]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker handed it over."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """A delivery that cannot be filed or acknowledged: nobody knows which numbers it carries. `sender` as its topic says."""

    delivery: Delivery
    sender: Address | None
    reason: str


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry that is not what it claims to be."""

    seq: int
    kind: str
    reason: str
    body: bytes


StepFacts = tuple[int, str, str, int, int, int]
"""What reports need of a step: code of the outcome, name, part, duration in nanoseconds, code of the failure, 1 for a clean-up.

A bare tuple: there are four to a run, and a class with names costs more than all else that is done with them.
"""


class SlotFacts(msgspec.Struct, frozen=True, gc=False):
    """What reports need of how a slot ended; `run_check` tells run ids nearly apart.

    This and `EndedSlot` are made for every record that arrives: a dataclass takes five times as long to make, and the
    garbage collection looks through every one.
    """

    ended: int
    outcome: int
    kind: int
    duration_ns: int
    lag_us: int
    run_check: int
    failed_step: str
    target: str
    release: str
    steps: list[StepFacts]


class EndedSlot(msgspec.Struct, frozen=True, gc=False):
    """A slot that ended, as a run or without one: its identity, the line of its entry, and what the rows will say.

    The decoded record itself is let go at once: thousands of them would be cold in memory when their rows are made, which
    took as long as decoding them.
    """

    seq: int
    line: int
    scenario: str
    slot_ms: int
    turn: int
    facts: SlotFacts
    score: SlotScore = NOTHING


@dataclass(frozen=True, slots=True)
class Intake:
    """A delivery that can be filed: good entries by kind, poison beside them. `numbers` are all its sequence numbers."""

    sender: Address
    epoch: int
    received_us: int
    numbers: list[int]
    entries: tuple[RawEntry, ...]
    form: int
    stored_body: bytes
    slots: list[EndedSlot] = field(default_factory=list)
    schedules: list[tuple[int, OwedSlots]] = field(default_factory=list)
    unfit_minutes: list[tuple[int, FitnessMinute]] = field(default_factory=list)
    losses: list[tuple[int, Loss]] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)

    def received_at(self, received_us: int) -> Intake:
        """The same, received at another instant."""
        return replace(self, received_us=received_us)


def judge(delivery: Delivery, scorer: Scorer | None = None) -> Intake | Refused:
    """The delivery's entries, each checked and, with a scorer, scored; refused when its topic or header cannot be believed."""
    sender: Address | None = None
    try:
        channel, sender = parse_address(delivery.topic)
        if channel != "results":
            return Refused(delivery, None, f"results do not come on the topic {delivery.topic[:120]}")
        batch = parse_batch(delivery.payload)
    except MessageError as error:
        return Refused(delivery, sender, str(error))
    if batch.sender != sender:
        return Refused(delivery, sender, f"the header names {batch.sender}, the topic {sender}")
    if batch.epoch > MAX_EPOCH:
        return Refused(delivery, sender, f"there is no epoch {batch.epoch:.3e}")
    form, stored_body = packed_payload(delivery.payload)
    numbers = [entry.seq for entry in batch.entries]
    received_us = microseconds_of(delivery.received_at)
    intake = Intake(sender, batch.epoch, received_us, numbers, batch.entries, form, stored_body)
    for line, entry in enumerate(batch.entries):
        file_entry(intake, line, entry, scorer)
    return intake


def file_entry(intake: Intake, line: int, entry: RawEntry, scorer: Scorer | None = None) -> None:
    """Put one entry where it belongs, into quarantine if it breaks a rule."""
    try:
        if entry.kind == RUN:  # nearly every one
            may_doubt = len(intake.poison) < MAX_DOUBTS
            intake.slots.append(_ended_as_run(intake.sender, line, entry, scorer, may_doubt=may_doubt))
            return
        match entry.kind:
            case EntryKind.SLOT:
                intake.slots.append(_ended_without(line, entry, scorer))
            case EntryKind.SCHEDULE:
                intake.schedules.append((entry.seq, _checked_debt(parse_entry(OwedSlots, entry.body))))
            case EntryKind.FITNESS:
                minute = parse_entry(FitnessMinute, entry.body)
                _split_instant(minute.minute_at)
                intake.unfit_minutes.append((entry.seq, minute))
            case EntryKind.LOSS:
                intake.losses.append((entry.seq, _checked_loss(parse_entry(Loss, entry.body))))
            case _:
                reason = f"nobody here knows entries of the kind {entry.kind!r}"
                intake.poison.append(Poison(entry.seq, entry.kind, reason, entry.body))
    except WireError as error:
        intake.poison.append(Poison(entry.seq, entry.kind, str(error)[:500], entry.body))


def run_check_of(run_id: str) -> int:
    """A small number that nearly tells run ids apart: finding a run needs no index on ids."""
    return zlib.crc32(run_id.encode()) & CHECK_MASK


def _ended_as_run(sender: Address, line: int, entry: RawEntry, scorer: Scorer | None, *, may_doubt: bool) -> EndedSlot:
    run = decode_run(entry.body, may_doubt=may_doubt)
    identity = run.identity
    if identity.fleet != sender.fleet or identity.region != sender.region or identity.probe != sender.probe:
        raise WireError("the run belongs to another probe than its sender", where="identity")
    if len(run.steps) > MAX_STEPS:
        raise WireError(f"{len(run.steps)} steps are too many (limit {MAX_STEPS})", where="steps")
    if run.duration_ns < 0 or run.schedule_lag_ns < 0 or any(step.duration_ns < 0 for step in run.steps):
        raise WireError("a time is negative", where="duration_ns, schedule_lag_ns")
    facts = SlotFacts(
        ENDED_AS_RUN,
        PASSED if run.outcome is PASS else OUTCOME_CODES[run.outcome],
        KIND_CODES[run.failure.kind] if run.failure else 0,
        run.duration_ns,
        run.schedule_lag_ns // 1000,
        run_check_of(run.run_id),
        run.failed_step,
        run.target,
        run.target_release,
        facts_of(run.steps),
    )
    score = NOTHING if scorer is None else scorer.score_run(run)
    return _ended_slot(line, entry.seq, identity.scenario, identity.slot_at, identity.attempt, facts, score)


def facts_of(steps: Iterable[Step]) -> list[StepFacts]:
    """What reports need of steps; a pass without a look-up, because hashing a member of an enumeration is slow."""
    return [
        (
            PASSED if step.outcome is PASS else OUTCOME_CODES[step.outcome],
            step.name,
            str(step.attributes.get(PART, "")) if step.attributes else "",
            step.duration_ns,
            KIND_CODES[step.failure.kind] if step.failure else 0,
            1 if step.cleanup else 0,
        )
        for step in steps
    ]


def _ended_without(line: int, entry: RawEntry, scorer: Scorer | None) -> EndedSlot:
    slot = parse_entry(SlotEnd, entry.body)
    ended, check = REASON_CODES[slot.reason], run_check_of(slot.run_id)
    facts = SlotFacts(
        ended, OUTCOME_CODES[Outcome.INCONCLUSIVE], 0, 0, slot.schedule_lag_ns // 1000, check, "", "", "", []
    )
    score = NOTHING if scorer is None or slot.attempt else scorer.score_silence(slot.scenario)
    return _ended_slot(line, entry.seq, slot.scenario, slot.slot_at, slot.attempt, facts, score)


def _ended_slot(
    line: int, seq: int, scenario: str, slot_at: datetime, attempt: int, facts: SlotFacts, score: SlotScore
) -> EndedSlot:
    _check_scenario(scenario)
    if not 0 <= attempt <= MAX_ATTEMPT:
        raise WireError(f"there is no attempt {attempt}", where="attempt")
    slot_ms, beyond_us = _split_instant(slot_at)
    return EndedSlot(seq, line, scenario, slot_ms, attempt * 1000 + beyond_us, facts, score)


def _check_scenario(name: str) -> None:
    if len(name) > MAX_SCENARIO_LENGTH or not is_scenario(name):
        raise WireError(f"{name[:80]!r} is not the name of a scenario", where="scenario")


@lru_cache(maxsize=1024)
def is_scenario(name: str) -> bool:
    """Whether a scenario may have this short name; remembered, because the same few come again and again."""
    return SCENARIO_FORM.fullmatch(name) is not None


def _split_instant(instant: datetime) -> tuple[int, int]:
    """Whole milliseconds since the epoch, and the microseconds beyond."""
    if instant.tzinfo is None:
        raise WireError("an instant has no time zone", where="slot_at")
    microseconds = microseconds_of(instant)
    if not MIN_US <= microseconds < MAX_US:
        raise WireError(f"{instant.isoformat()} is not an instant of this fleet's time", where="slot_at")
    return divmod(microseconds, 1000)


def _checked_debt(debt: OwedSlots) -> OwedSlots:
    _check_scenario(debt.scenario)
    for instant in (debt.from_at, debt.until_at):
        if instant is not None:
            _split_instant(instant)
    _checked_int64(debt.interval_ms, debt.phase_ms, debt.tolerance_ms, debt.timeout_ms)
    return debt


def _checked_loss(loss: Loss) -> Loss:
    _checked_int64(loss.first_seq, loss.last_seq, loss.entries)
    if loss.first_seq > loss.last_seq:
        raise WireError("the lost range runs backwards", where="first_seq")
    return loss


def _checked_int64(*numbers: int) -> None:
    if any(number >= 1 << 62 for number in numbers):
        raise WireError("a number is beyond all measure")
