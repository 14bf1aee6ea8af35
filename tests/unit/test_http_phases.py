"""The ledger of phases and the meter of an upload: pure rules, checked for any order of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.http_phases import FlowMeter, Phase, PhaseLedger

events = st.lists(
    st.tuples(st.sampled_from(["charge", "enter", "restart"]), st.sampled_from(list(Phase)), st.integers(0, 10**12)),
    max_size=40,
)


@given(start=st.integers(0, 10**9), happened=events)
def test_the_phases_add_up_to_the_total_exactly_whatever_was_noticed_when(
    start: int, happened: list[tuple[str, Phase, int]]
) -> None:
    """No order of events, however absurd, loses or invents a nanosecond."""
    ledger = PhaseLedger(start)
    last = start
    for kind, phase, at_ns in happened:
        if kind == "charge":
            ledger.charge(phase, at_ns)
            last = max(last, at_ns)
        elif kind == "enter":
            ledger.enter(phase, at_ns)
            last = max(last, at_ns)
        else:
            ledger.restart_as_queue()
    phases = ledger.phases()
    assert phases.total_ns == last - start == ledger.cursor_ns - start
    assert min(ledger.spent_ns(p) for p in Phase) >= 0


def test_what_turns_out_to_be_our_own_doing_becomes_queue_and_nothing_else_does() -> None:
    """The first address was the target's fault, the second ours."""
    ledger = PhaseLedger(0)
    ledger.charge(Phase.CONNECT, 30)
    before_ns = ledger.spent_ns(Phase.CONNECT)
    ledger.charge(Phase.CONNECT, 70)
    ledger.rebook(Phase.CONNECT, before_ns)
    ledger.charge(Phase.CONNECT, 75)
    assert (ledger.spent_ns(Phase.QUEUE), ledger.spent_ns(Phase.CONNECT), ledger.phases().total_ns) == (40, 35, 75)


def test_an_instant_that_has_passed_books_nothing() -> None:
    """A stamp that lies behind the cursor cannot make a phase negative."""
    ledger = PhaseLedger(100)
    ledger.charge(Phase.CONNECT, 150)
    ledger.charge(Phase.TLS, 120)
    assert ledger.phases().tls_ns == 0
    assert ledger.phases().connect_ns == 50


def test_our_own_work_before_a_phase_is_queue() -> None:
    """Entering a phase books what went before it on us."""
    ledger = PhaseLedger(0)
    ledger.enter(Phase.WAIT, 7)
    ledger.charge(Phase.WAIT, 10)
    assert (ledger.phases().queue_ns, ledger.phases().wait_ns) == (7, 3)


def test_doubt_keeps_the_longest_stretch() -> None:
    """The doubt of an exchange is that of its least certain border."""
    ledger = PhaseLedger(0)
    for stretch_ns in (5, 9, 2):
        ledger.doubt(stretch_ns)
    assert ledger.doubt_ns == 9


def test_a_description_names_only_phases_that_took_time() -> None:
    """What a person reads in a timeout is short."""
    ledger = PhaseLedger(0)
    ledger.charge(Phase.DNS, 400_000)
    ledger.charge(Phase.WAIT, 5_000_400_000)
    assert ledger.describe() == "dns 0.4 ms, wait 5,000.0 ms"
    assert PhaseLedger(0).describe() == "no time in any phase"


def test_a_pause_of_the_threshold_is_a_stall() -> None:
    """Pauses below the threshold are not counted, those from it on are, and the longest is known."""
    meter = FlowMeter(0, threshold_ns=100)
    meter.took(10, 99)
    meter.took(10, 199)
    meter.took(10, 500)
    flow = meter.flow(510)
    assert (flow.stalls, flow.stalled_ns, flow.longest_stall_ns) == (2, 401, 301)
    assert flow.body_bytes == 30


def test_a_pause_before_the_last_byte_left_is_a_stall_too() -> None:
    """A kernel that holds the last bytes back for long has stalled, though it had taken them."""
    meter = FlowMeter(0, threshold_ns=100)
    meter.took(10, 10)
    assert meter.flow(400).stalls == 1


@given(pieces=st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_throughput_is_bytes_over_the_whole_send(pieces: list[tuple[int, int]]) -> None:
    """Bytes per second times seconds gives the bytes back."""
    meter = FlowMeter(0)
    now_ns = 0
    for taken, pause_ns in pieces:
        now_ns += pause_ns
        meter.took(taken, now_ns)
    flow = meter.flow(now_ns + 1)
    assert abs(flow.bytes_per_s * (now_ns + 1) / 1e9 - sum(p[0] for p in pieces)) < 1
    assert flow.stalled_ns <= now_ns + 1
