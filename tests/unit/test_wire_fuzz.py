"""Whatever is on the wire, a reader answers with a record or with its own refusal, in bounded time: never with anything else."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from collector.archive import entry_of_line, line_of
from collector.store import ArchivedEntry
from collector.store_decode import MAX_DOUBTED_BYTES, decode_run
from collector.store_intake import Delivery, Intake, Refused, judge
from probes.commands import CommandGate, RunCommand, sign_command, signature_of
from probes.errors import OperatorError
from probes.ledger_entries import FitnessMinute, LedgerEntry, Loss, OwedSlots, SlotEnd, parse_entry, render_entry
from probes.messages import (
    MAX_BODY_BYTES,
    MAX_ENTRIES,
    MAX_INFLATED_BYTES,
    Acknowledgement,
    Hello,
    MessageError,
    RawEntry,
    parse_acknowledgement,
    parse_batch,
    parse_hello,
    render_batch,
)
from probes.outbox import EntryKind
from probes.records import Run
from probes.wire import WireError, parse_run, render_run
from tests.fuzz_kit import INT64_END, entries, mangled, plain, runs
from tests.store_kit import EPOCH, NOW, PROBE, deliver, run_at

KEY: Final = SecretStr("0123456789abcdef0123456789abcdef")
KINDS: Final = {
    SlotEnd: EntryKind.SLOT,
    OwedSlots: EntryKind.SCHEDULE,
    FitnessMinute: EntryKind.FITNESS,
    Loss: EntryKind.LOSS,
}
HEAD: Final = b'{"v":1,"fleet":"fleet","region":"eu-west","probe":"probe-1","epoch":7}'
MOST_CPU_S: Final = 2.0
"""For the largest payload there is, on any machine that this may run on; the worst of them take less than half of it."""

DEPTHS: Final = [
    pytest.param(100, id="short"),
    pytest.param(2_500, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
]
a_run = st.sampled_from([render_run(run_at(NOW)), render_run(run_at(NOW, scenario="cad-large", number=7))])
some_runs = a_run | runs.map(render_run)
command = RunCommand(
    fleet="local",
    region="eu",
    request_id="0123456789abcdef",
    scenario="quote",
    seed=7,
    issued_at=NOW,
    expires_at=NOW + timedelta(seconds=30),
)


def fuzzed(examples: int) -> settings:
    """So many examples, and no clock: this machine may be busy."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


def answer_of(read: Callable[[bytes], object], data: bytes, refusal: type[Exception]) -> object:
    """What the reader says, None for a refusal; everything else is passed on and fails the test."""
    try:
        return read(data)
    except refusal:
        return None


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_mangled_run_is_a_record_or_refused_and_both_decoders_say_which(examples: int) -> None:
    """Whatever was done to it: one answer, the same from the strict reader and from the fast one."""

    @fuzzed(examples)
    @given(mangled(some_runs))
    def holds(body: bytes) -> None:
        slow, fast = answer_of(parse_run, body, WireError), answer_of(decode_run, body, WireError)
        if isinstance(slow, Run) and fast is None:
            durations = [slow.duration_ns, slow.schedule_lag_ns, *(step.duration_ns for step in slow.steps)]
            assert len(body) > MAX_DOUBTED_BYTES or any(
                not -INT64_END <= number < INT64_END for number in durations
            )  # no database holds it
        else:
            assert says_the_same(plain(fast), plain(slow))

    holds()


def says_the_same(fast: object, slow: object) -> bool:
    """Equal values; instants to the microsecond, because one reader rounds what is finer and the other cuts it off."""
    if isinstance(fast, dict) and isinstance(slow, dict):
        return fast.keys() == slow.keys() and all(says_the_same(fast[key], slow[key]) for key in fast)
    if isinstance(fast, list) and isinstance(slow, list):
        return len(fast) == len(slow) and all(map(says_the_same, fast, slow))
    if isinstance(fast, datetime) and isinstance(slow, datetime):
        return abs(fast - slow) <= timedelta(microseconds=1)
    return type(fast) is type(slow) and fast == slow


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_record_that_was_taken_can_be_written_and_read_again(examples: int) -> None:
    """Nothing gets in that cannot get out: an export of what a hostile probe sent can be imported."""

    @fuzzed(examples)
    @given(mangled(some_runs))
    def holds(body: bytes) -> None:
        run = answer_of(parse_run, body, WireError)
        if isinstance(run, Run):
            assert parse_run(render_run(run)) == run

    holds()


@pytest.mark.parametrize("examples", DEPTHS)
def test_entries_of_the_books_come_back_and_mangled_ones_are_refused(examples: int) -> None:
    """Every kind of entry: rendered and parsed it equals itself; mangled it is an entry or a `WireError`."""

    @fuzzed(examples)
    @given(entries)
    def come_back(entry: LedgerEntry) -> None:
        assert parse_entry(type(entry), render_entry(entry)) == entry

    @fuzzed(examples)
    @given(mangled(entries.map(render_entry)), st.sampled_from(list(KINDS)))
    def are_judged(body: bytes, kind: type[LedgerEntry]) -> None:
        answer_of(lambda data: parse_entry(kind, data), body, WireError)

    come_back()
    are_judged()


bodies = st.one_of(
    st.tuples(st.just(EntryKind.RUN), some_runs),
    st.tuples(st.just(EntryKind.RUN), mangled(some_runs)),
    st.tuples(st.sampled_from(list(KINDS.values())), mangled(entries.map(render_entry))),
)
batches = st.lists(bodies, min_size=1, max_size=6).map(
    lambda contents: [RawEntry(seq, kind.value, body) for seq, (kind, body) in enumerate(contents, 1)]
)


@pytest.mark.parametrize("examples", DEPTHS)
def test_every_entry_of_a_mangled_batch_is_filed_once_or_set_aside(examples: int) -> None:
    """What is filed fits into any database: its numbers into 64 bits, its words into UTF-8."""

    @fuzzed(examples)
    @given(batches)
    def holds(contents: list[RawEntry]) -> None:
        judged = judge(Delivery(PROBE.topic("results"), render_batch(PROBE, EPOCH, contents), NOW))
        if isinstance(judged, Refused):
            assert judged.reason
            return
        filed = [slot.seq for slot in judged.slots] + [poison.seq for poison in judged.poison]
        others = [seq for part in (judged.schedules, judged.unfit_minutes, judged.losses) for seq, _ in part]
        assert sorted(filed + others) == judged.numbers == [entry.seq for entry in contents]
        assert all(fits(judged, number) for number in range(len(judged.slots)))
        assert all(len(poison.reason) <= 500 for poison in judged.poison)

    holds()


def fits(judged: Intake, number: int) -> bool:
    """Whether a database takes the slot's rows."""
    slot = judged.slots[number]
    facts = slot.facts
    numbers = [slot.slot_ms, slot.turn, facts.duration_ns, facts.lag_us, facts.run_check]
    words = [slot.scenario, facts.failed_step, facts.target, facts.release]
    for _, name, part, duration_ns, _, _ in facts.steps:
        numbers.append(duration_ns)
        words += [name, part]
    for word in words:
        word.encode()
    return all(-INT64_END <= one < INT64_END for one in numbers)


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_mangled_payload_is_a_batch_that_keeps_the_rules_or_refused(examples: int) -> None:
    """Plain or deflated, changed before or after packing."""

    @fuzzed(examples)
    @given(batches, st.booleans(), st.data())
    def holds(contents: list[RawEntry], deflated: bool, data: st.DataObject) -> None:
        lines = [HEAD, *(b"%d %s %s" % (one.seq, one.kind.encode(), one.body) for one in contents)]
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(mangled(st.just(lines[at])))
        text = b"\n".join(lines)
        payload = b"\x02" + zlib.compress(text, 1, -15) if deflated else b"\x01" + text
        if data.draw(st.booleans()):
            payload = data.draw(mangled(st.just(payload)))
        batch = answer_of(parse_batch, payload, MessageError)
        if batch is not None:
            numbers = [one.seq for one in batch.entries]  # type: ignore[attr-defined]
            assert numbers == sorted(set(numbers))
            assert len(numbers) <= MAX_ENTRIES
        judge(Delivery(PROBE.topic("results"), payload, NOW))

    holds()


@pytest.mark.parametrize("examples", DEPTHS)
def test_words_of_collectors_are_understood_or_refused(examples: int) -> None:
    """Acknowledgements and hellos: as they were when whole, a `MessageError` or a valid one when mangled."""
    acknowledgement = Acknowledgement(epoch=7, ranges=[(1, 4), (6, 9)], collector="one").model_dump_json().encode()
    hello = Hello(collector="one", boot="b1").model_dump_json().encode()

    @fuzzed(examples)
    @given(mangled(st.just(acknowledgement)), mangled(st.just(hello)))
    def holds(first: bytes, second: bytes) -> None:
        heard = answer_of(parse_acknowledgement, first, MessageError)
        if isinstance(heard, Acknowledgement):
            assert all(1 <= low <= high for low, high in heard.ranges)
        answer_of(parse_hello, second, MessageError)

    holds()


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_mangled_command_is_never_obeyed_although_it_is_signed(examples: int) -> None:
    """Changed after the signature: refused. Changed before it, by whoever holds the key: in order, or refused."""
    text = command.model_dump_json().encode()

    @fuzzed(examples)
    @given(mangled(st.just(sign_command(command, KEY))), mangled(st.just(text)))
    def holds(payload: bytes, changed: bytes) -> None:
        gate = CommandGate(KEY, fleet="local", region="eu", now=NOW - timedelta(hours=1))
        obeyed = answer_of(lambda data: gate.admit(data, now=NOW), payload, MessageError)
        assert obeyed in (None, command)
        signed = changed.decode("utf-8", "replace")
        again = json.dumps({"command": signed, "signature": signature_of(signed, KEY)}).encode()
        heard = answer_of(lambda data: gate.admit(data, now=NOW), again, MessageError)
        if isinstance(heard, RunCommand):
            assert (heard.fleet, heard.region) == ("local", "eu")
            assert heard.expires_at >= NOW

    holds()


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_mangled_line_of_an_archive_is_an_entry_on_one_line_or_refused(examples: int) -> None:
    """A line that another program wrote, or spoiled, cannot smuggle in a second entry."""
    lines = bodies.map(lambda content: line_of(ArchivedEntry(PROBE, content[0].value, content[1])).rstrip(b"\n"))

    @fuzzed(examples)
    @given(mangled(lines))
    def holds(line: bytes) -> None:
        entry = answer_of(lambda data: entry_of_line(data, "file:1"), line, OperatorError)
        if isinstance(entry, ArchivedEntry):
            batch = render_batch(entry.sender, EPOCH, [RawEntry(1, entry.kind, entry.body)])
            assert [(one.kind, one.body) for one in parse_batch(batch).entries] == [(entry.kind, entry.body)]

    holds()


def padded(text: bytes) -> bytes:
    """The largest body that starts like a run and goes on like this."""
    return (b'{"schema_version":1,"x":' + text)[: MAX_BODY_BYTES - 1] + b"}"


LARGEST_BODIES: Final = {
    "brackets": padded(b"[" * MAX_BODY_BYTES),
    "braces": padded(b'{"a":' * (MAX_BODY_BYTES // 5)),
    "digits": padded(b"9" * MAX_BODY_BYTES),
    "fraction": padded(b"0." + b"3" * MAX_BODY_BYTES),
    "exponent": padded(b"1e" + b"9" * MAX_BODY_BYTES),
    "escapes": padded(b'"' + b"\\u00e4" * (MAX_BODY_BYTES // 6)),
    "half pairs": padded(b'"' + b"\\ud800" * (MAX_BODY_BYTES // 6)),
    "keys": padded(b"{" + b",".join(b'"%d":0' % number for number in range(150_000)) + b"}"),
    "one key": padded(b"{" + b'"a":0,' * 300_000 + b'"a":0}'),
    "steps": b'{"schema_version":1,"steps":[' + b"{}," * 600_000 + b"{}]}",
    "texts that are numbers": b'{"schema_version":1,"marks":[' + b"1," * 900_000 + b"1]}",
    "attributes that are lists": b'{"schema_version":1,"attributes":{' + b'"a":[],' * 250_000 + b'"b":[]}}',
    "spaces": b'{"schema_version":1' + b" " * (MAX_BODY_BYTES - 30) + b"}",
}
LARGEST_TEXTS: Final = {
    "line ends": b"\n" * MAX_INFLATED_BYTES,
    "one line": b" " * MAX_INFLATED_BYTES,
    "a header of brackets": b"[" * MAX_INFLATED_BYTES,
    "a header of keys": b'{"v":1,' + b'"a":0,' * (MAX_INFLATED_BYTES // 7) + b'"b":0}',
    "a number": HEAD + b"\n" + b"1" * (MAX_INFLATED_BYTES - 100),
    "a kind": HEAD + b"\n1 " + b"r" * (MAX_INFLATED_BYTES - 100),
    "almost a body": HEAD + b"\n1 run {" + b"}{" * (MAX_INFLATED_BYTES // 2 - 100),
    "reasons that are numbers": HEAD + b'\n1 fitness {"reasons":[' + b"1," * (MAX_INFLATED_BYTES // 2 - 100) + b"1]}",
    "ranges that are none": b'{"v":1,"ranges":[' + b"[]," * (MAX_INFLATED_BYTES // 3 - 100) + b"[]]}",
    "records of brackets": HEAD
    + b"".join(
        b'\n%d run {"schema_version":1,"duration_ns":9223372036854775808,"x":[' % number + b"[]," * 5_000 + b"1]}"
        for number in range(1, MAX_ENTRIES + 1)
    ),
    "small entries": HEAD + b"".join(b"\n%d run {}" % number for number in range(1, MAX_ENTRIES + 1)),
}


@pytest.mark.parametrize("name", LARGEST_BODIES)
def test_the_worst_body_of_the_largest_size_costs_bounded_time(name: str) -> None:
    """Two megabytes of the sort that readers fear are set aside, and the entry behind them is filed."""
    body = LARGEST_BODIES[name]
    assert len(body) <= MAX_BODY_BYTES
    delivery = deliver([(EntryKind.RUN, body), (EntryKind.RUN, render_run(run_at(NOW)))])
    began_s = time.process_time()
    judged = judge(delivery)
    assert time.process_time() - began_s < MOST_CPU_S
    assert isinstance(judged, Intake)
    assert [poison.seq for poison in judged.poison] == [1]
    assert [slot.seq for slot in judged.slots] == [2]


@pytest.mark.parametrize("name", LARGEST_TEXTS)
def test_the_worst_payload_of_the_largest_size_costs_bounded_time(name: str) -> None:
    """Eight megabytes out of a few kilobytes are refused, or set aside entry by entry."""
    payload = b"\x02" + zlib.compress(LARGEST_TEXTS[name], 9, -15)
    began_s = time.process_time()
    judged = judge(Delivery(PROBE.topic("results"), payload, datetime.now(UTC)))
    assert time.process_time() - began_s < MOST_CPU_S
    if isinstance(judged, Intake):
        assert len(judged.poison) == len(judged.numbers) >= 1


def test_the_worst_acknowledgement_of_the_largest_size_costs_bounded_time() -> None:
    """A probe is not held up by what claims to come from a collector."""
    for text in (b"[]," * 650_000 + b"[]", b"[1,1]," * 300_000 + b"[1,1]"):
        began_s = time.process_time()
        with pytest.raises(MessageError):
            parse_acknowledgement(b'{"v":1,"epoch":1,"collector":"c","ranges":[' + text + b"]}")
        assert time.process_time() - began_s < MOST_CPU_S
