"""Whether runs of a stored span can carry facts at all, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from collector.store import open_store
from probes.records import Outcome
from tests.store_kit import NOW, PROBE, deliver, run_at, run_entry

DAY = timedelta(days=1)
TARGET = "stand-in"


async def test_a_conclusive_run_is_found_where_it_is_and_nowhere_else(url: str) -> None:
    """In its span, of its scenario and target, and not where runs say nothing of the target."""
    others = [
        replace(run_at(NOW + 2 * DAY, number=2), outcome=Outcome.INCONCLUSIVE),
        replace(run_at(NOW + 3 * DAY, number=3), target="another"),
        run_at(NOW + 4 * DAY, scenario="sign-in", number=4),
    ]
    async with open_store(url) as store:
        await store.file([deliver([run_entry(one) for one in (run_at(NOW), *others)])])

        async def found(days: int, *scenarios: str) -> bool:
            from_at = NOW + days * DAY
            return await store.scores.has_conclusive_run(
                scenarios, target=TARGET, fleet=PROBE.fleet, from_at=from_at, until_at=from_at + DAY
            )

        assert [await found(days, "qu*") for days in range(-1, 5)] == [False, True, False, False, False, False]
        assert await found(4, "qu*", "sign-in")
        assert not await found(0, "payment")
