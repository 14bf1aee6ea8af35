"""Releases on both databases: each counts once, what was told first stays, and old databases learn to keep them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.store import Retention, Store, backend_for, open_store
from collector.store_migrations import MIGRATIONS, migrate
from collector.store_releases import ReleaseConflictError
from collector.store_session import Session
from probes.release_marker import ReleaseOutcome
from tests.release_kit import release_at
from tests.store_kit import NOW, deliver, runs_from

HOUR = timedelta(hours=1)
FIRST_WITH_RELEASES = 6


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(url) as found:
        yield found


async def test_a_release_comes_out_as_it_went_in_and_counts_once(store: Store) -> None:
    """Every field, in whatever letters; the same again is no news, whoever tells it and when."""
    marker = release_at(
        0, name="Zürich <b>\"'", cause="price: 0 → 1", note="%s {} ;--", report_url="https://ci.example/1"
    )
    first = await store.releases.add("fleet", marker, now=NOW, received_from="gate")
    again = await store.releases.add("fleet", marker, now=NOW + HOUR, received_from="other")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.release == again.release
    assert (first.release.marker, first.release.received_at, first.release.received_from) == (marker, NOW, "gate")
    assert await store.releases.within("fleet", NOW, NOW + HOUR) == [first.release]
    assert (await store.releases.add("elsewhere", marker, now=NOW)).is_new


async def test_the_same_release_told_by_many_at_once_counts_once(store: Store) -> None:
    """Whoever is first."""
    told = await asyncio.gather(*(store.releases.add("fleet", release_at(0), now=NOW) for _ in range(8)))
    assert sum(one.is_new for one in told) == 1
    assert len(await store.releases.heard_last("fleet", 10)) == 1


async def test_a_repeat_that_says_something_else_is_refused_and_the_first_stays(store: Store) -> None:
    """The refusal names what differs."""
    known = release_at(0)
    await store.releases.add("fleet", known, now=NOW)
    other = replace(known, outcome=ReleaseOutcome.FAIL, cause="it broke")
    with pytest.raises(ReleaseConflictError, match="another outcome, cause"):
        await store.releases.add("fleet", other, now=NOW)
    assert [one.marker for one in await store.releases.within("fleet", NOW, NOW + HOUR)] == [known]


async def test_releases_are_found_by_target_and_time_the_newest_first(store: Store) -> None:
    """The end is not within; what was heard last is told apart from what was last."""
    early, late, other = release_at(1), release_at(5), release_at(3, target="cnc-quote")
    for one in late, other, early, release_at(60), release_at(-1):
        await store.releases.add("fleet", one, now=NOW)
    found = await store.releases.within("fleet", NOW, NOW + HOUR)
    assert [one.marker for one in found] == [late, other, early]
    of_target = await store.releases.within("fleet", NOW, NOW + HOUR, target="stand-in")
    assert [one.marker for one in of_target] == [late, early]
    assert [one.marker for one in await store.releases.within("fleet", NOW, NOW + HOUR, limit=1)] == [late]
    assert [one.marker for one in await store.releases.heard_last("fleet", 2)] == [release_at(-1), release_at(60)]
    assert await store.releases.within("nobody", NOW, NOW + HOUR) == []


async def test_releases_go_when_the_results_of_their_time_go(store: Store) -> None:
    """By age, and never those of the two months that are protected."""
    for days in 0, 15, 100:
        await store.releases.add("fleet", release_at(-days * 24 * 60), now=NOW)
    await store.prune(Retention(max_age=timedelta(days=5)), now=NOW)
    kept = await store.releases.heard_last("fleet", 10)
    # NOW is the first of March: February is protected, whatever its age.
    assert [one.marker for one in kept] == [release_at(-15 * 24 * 60), release_at(0)]


@pytest.mark.parametrize("version", sorted(MIGRATIONS)[: FIRST_WITH_RELEASES - 1])
async def test_a_database_of_each_older_version_learns_of_releases_and_keeps_what_it_has(
    url: str, version: int
) -> None:
    """Made as that version made it, then opened by this program."""
    steps = {number: MIGRATIONS[number] for number in sorted(MIGRATIONS) if number <= version}
    backend = backend_for(url, survives_power_cut=False)
    await backend.open()

    async def make(session: Session) -> tuple[int, int]:
        made = await migrate(session, backend.dialect, backend.where, steps)
        await session.script(["INSERT INTO words (word) VALUES ('upload')"])
        return made

    assert await backend.write(make) == (0, version)
    await backend.close()
    async with open_store(url) as store:
        assert (await store.releases.add("fleet", release_at(0), now=NOW)).is_new
        await store.file([deliver(runs_from(3))])
        assert (await store.totals()).entries == 3
    async with open_store(url) as store:
        assert [one.marker for one in await store.releases.heard_last("fleet", 9)] == [release_at(0)]
