"""Two processes of one name push each other off, and each is told so, whatever the broker says of it."""

from __future__ import annotations

from pathlib import Path

from probes.clock import SystemClock
from probes.mqtt_breaks import ShortConnections
from probes.outbox import Outbox
from probes.stream import Stream, StreamLimits
from tests.broker_kit import PROBES, Iotcore, going, running, until

QUICK = StreamLimits(retry_first_s=0.05, retry_most_s=0.2)


async def test_two_probes_of_one_name_are_told_of_each_other(tmp_path: Path) -> None:
    """The broker that comes with the install closes without a word: the likely cause is named, and nothing that is untrue."""
    with running(Iotcore()) as broker, Outbox(tmp_path / "a") as one, Outbox(tmp_path / "b") as other:
        address = broker.as_probe(PROBES[0])
        streams = [Stream(outbox, PROBES[0], address, clock=SystemClock(), limits=QUICK) for outbox in (one, other)]
        async with going(streams[0].run()), going(streams[1].run()):
            await until(lambda: any("another process may be" in stream.state.last_error for stream in streams))
        for stream in streams:
            assert "refuses us" not in stream.state.last_error
            assert "tried again by itself" not in stream.state.last_error


def test_one_short_connection_is_no_reason_to_suspect_anybody() -> None:
    """A broker that is restarted, or cannot be reached for hours, has no rival's name in it; a long connection clears it."""
    short = ShortConnections()
    assert [short.ended(1.0, was_made=False) for _ in range(9)] == [""] * 9
    assert [short.ended(1.0, was_made=True) for _ in range(2)] == [""] * 2
    assert short.ended(60.0, was_made=True) == ""
    assert [bool(short.ended(1.0, was_made=True)) for _ in range(4)] == [False, False, True, True]
