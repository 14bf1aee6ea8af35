"""What came over the wire is judged, whatever it is: filed, set aside, or refused, and never an error of ours."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from collector.store_decode import RUN_DECODER
from collector.store_intake import Delivery, Intake, Refused, judge
from collector.store_packing import deflated_entries, packed_block, packed_payload, stored_entries
from probes.outbox import EntryKind
from probes.wire import render_run
from tests.store_kit import NOW, PROBE, Content, deliver, run_at, runs_from

TOPIC = PROBE.topic("results")
KINDS = [kind.value for kind in EntryKind] + ["novelty"]
HEAD = b'{"v":1,"fleet":"fleet","region":"eu-west","probe":"probe-1","epoch":7}'


@given(st.text(max_size=60) | st.just(TOPIC), st.binary(max_size=300))
def test_any_bytes_on_any_topic_are_judged(topic: str, payload: bytes) -> None:
    """Noise is refused with a reason."""
    judged = judge(Delivery(topic, payload, NOW))
    assert isinstance(judged, Refused)
    assert judged.reason


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=80)), max_size=5), st.booleans())
def test_every_line_of_a_batch_is_filed_or_set_aside(entries: list[tuple[str, bytes]], deflated: bool) -> None:
    """A batch that can be read has each of its numbers in exactly one place."""
    lines = [b"%d %s {%s}" % (seq, kind.encode(), noise) for seq, (kind, noise) in enumerate(entries, 1)]
    text = b"\n".join([HEAD, *lines])
    judged = judge(Delivery(TOPIC, b"\x02" + zlib.compress(text, wbits=-15) if deflated else b"\x01" + text, NOW))
    if isinstance(judged, Intake):
        filed = [slot.seq for slot in judged.slots] + [poison.seq for poison in judged.poison]
        others = [seq for part in (judged.schedules, judged.unfit_minutes, judged.losses) for seq, _ in part]
        assert sorted(filed + others) == judged.numbers


def test_nesting_without_end_is_poison() -> None:
    """The fast reader gives up with an error that is no value error; that is caught too."""
    deep = b'{"schema_version":1,"deep":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    try:
        RUN_DECODER.decode(deep)
    except RecursionError:
        pass
    else:
        raise AssertionError("then nothing needs to be caught")
    judged = judge(deliver([(EntryKind.RUN, deep), *runs_from(1)]))
    assert isinstance(judged, Intake)
    assert [poison.seq for poison in judged.poison] == [1]
    assert [slot.seq for slot in judged.slots] == [2]


@given(st.lists(st.sampled_from(runs_from(20)), min_size=1, max_size=30))
def test_every_form_gives_back_what_was_put_in(contents: list[Content]) -> None:
    """Small plain, large deflated, packed: the same entries, in their order."""
    lines = [b"%d %s %s" % (number, kind.value.encode(), body) for number, (kind, body) in enumerate(contents)]
    expected = [(kind.value, body) for kind, body in contents]
    assert stored_entries(*packed_payload(deliver(contents).payload)) == expected
    assert stored_entries(*packed_payload(b"\x01" + b"\n".join([HEAD, *lines]))) == expected
    assert stored_entries(*packed_block(lines)) == expected
    assert stored_entries(*deflated_entries(lines)) == expected


def test_a_lone_record_is_made_small_by_the_dictionary() -> None:
    """A record shares most of its text with the dictionary that every collector has."""
    body = render_run(run_at(NOW))
    alone = len(zlib.compress(body, 6))
    assert len(packed_payload(b"\x01" + HEAD + b"\n1 run " + body)[1]) < 0.75 * alone
