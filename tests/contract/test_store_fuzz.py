"""Whatever a hostile probe sends is filed or set aside by either database, and never holds up what comes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.store import Store, open_store
from probes.ledger_entries import FitnessMinute, Loss, OwedSlots, SlotEnd, render_entry
from probes.outbox import EntryKind
from probes.records import RunIdentity
from probes.wire import render_run
from tests.fuzz_kit import entries, instants, mangled, runs_by
from tests.store_kit import NOW, OTHER, PROBE, Content, deliver, runs_from

KINDS = {
    SlotEnd: EntryKind.SLOT,
    OwedSlots: EntryKind.SCHEDULE,
    FitnessMinute: EntryKind.FITNESS,
    Loss: EntryKind.LOSS,
}


def is_a_line(content: Content) -> bool:
    """Whether it can stand in a batch; a delivery with anything else is refused as a whole, which is another matter."""
    return content[1].startswith(b"{") and content[1].endswith(b"}")


identities = st.builds(
    RunIdentity,
    st.just(PROBE.fleet),
    st.just(PROBE.region),
    st.just(PROBE.probe),
    st.sampled_from(["quote", "cad-large"]),
    instants,
    st.integers(0, 5),
)
records = runs_by(identities).map(render_run)
contents = st.one_of(
    st.tuples(st.just(EntryKind.RUN), records),
    st.tuples(st.just(EntryKind.RUN), mangled(records)),
    entries.map(lambda entry: (KINDS[type(entry)], render_entry(entry))),
    st.tuples(st.sampled_from(list(KINDS.values())), mangled(entries.map(render_entry))),
).filter(is_a_line)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with open_store(url) as opened:
        yield opened


def drawn(examples: int) -> list[list[Content]]:
    """So many batches of good and mangled entries."""
    batches: list[list[Content]] = []
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)
    @given(st.lists(contents, min_size=1, max_size=6))
    def draw(batch: list[Content]) -> None:
        batches.append(batch)

    draw()
    return batches


@pytest.mark.parametrize(
    "examples", [60, pytest.param(1_500, marks=[pytest.mark.slow, pytest.mark.timeout(600)], id="long")]
)
async def test_everything_that_is_sent_is_acknowledged_and_filed_or_set_aside(
    store: Store, capfd: pytest.CaptureFixture[str], examples: int
) -> None:
    """The database refuses nothing that the checks let through, every number is settled, and an honest probe's runs are in."""
    seq, honest = 1, 0
    for batch in drawn(examples):
        deliveries = [deliver(batch, first_seq=seq)]
        start_at = NOW + timedelta(seconds=15 * honest)
        deliveries.append(deliver(runs_from(1, start_at=start_at, probe=OTHER), probe=OTHER, first_seq=honest + 1))
        filed = await store.file(deliveries)
        assert [receipt.numbers for receipt in filed.receipts] == [
            list(range(seq, seq + len(batch))),
            [honest + 1],
        ]
        seq, honest = seq + len(batch), honest + 1
    mine, others = await store.probes()
    assert (mine.entries, others.entries) == (seq - 1, honest)
    assert (others.quarantined, others.conflicts, others.missing) == (0, 0, 0)
    assert "store.refused" not in capfd.readouterr().out
    async for page in store.entries(NOW - timedelta(days=20_000), NOW + timedelta(days=70_000)):
        for entry in page:
            assert entry.body.decode()
