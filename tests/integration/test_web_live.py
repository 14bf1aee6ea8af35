"""The board live: changes reach every viewer once, from one producer; who is slow is let go, who comes back catches up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from collector.store import Store, open_store
from collector.web.live import LIVE, MOST_BEHIND, MOST_KEPT, MOST_VIEWERS, FullError, Live
from collector.web.server import make_application
from probes.ledger_entries import OwedSlots
from probes.outbox import EntryKind
from tests.broker_kit import until
from tests.clock import JumpingClock
from tests.release_kit import release_at
from tests.store_kit import NOW, deliver, other_entry, run_at, run_entry
from tests.web_kit import QuickClock, site_over

PATIENCE_S = 60.0
OWED = OwedSlots(
    scenario="quote",
    interval_ms=3_600_000,
    phase_ms=0,
    tolerance_ms=5_000,
    timeout_ms=30_000,
    from_at=NOW,
    until_at=NOW + timedelta(hours=1),
)


@dataclass(slots=True)
class Board:
    """Pages over a store, and the live part itself."""

    url: str
    store: Store
    live: Live
    session: aiohttp.ClientSession
    clock: JumpingClock
    seq: int = 1

    async def run(self, number: int) -> None:
        """A run of `quote` in the slot of that number, filed."""
        at = NOW + timedelta(seconds=15 * number)
        await self.store.file([deliver([run_entry(run_at(at, number=number))], first_seq=self.seq)])
        self.seq += 1
        # Not before: the producer would look at once, find nothing new, and not look again at this instant.
        self.clock.advance(15)
        await self.live.board()

    @asynccontextmanager
    async def watch(self, since: int | None = None) -> AsyncIterator[aiohttp.StreamReader]:
        """The stream as a viewer reads it."""
        headers = {} if since is None else {"Last-Event-ID": str(since)}
        async with self.session.get(f"{self.url}/live", headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            yield answer.content


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Board]:
    """A board with a clock that is moved by hand: the producer looks whenever it is asked and 15 seconds have passed."""
    async with open_store(str(tmp_path / "store.db")) as store:
        clock = JumpingClock(NOW)
        application = make_application(site_over(store, clock=clock))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with aiohttp.ClientSession() as session:
                yield Board(url, store, application[LIVE], session, clock)
        finally:
            await runner.cleanup()


async def event(stream: aiohttp.StreamReader, *, is_look: bool = False) -> tuple[str, str, Any]:
    """The next event: its number, its name, its data; the word that figures may be newer is passed over, or alone waited for."""
    found = {"id": "", "event": "", "data": ""}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = (await stream.readline()).decode().rstrip("\n")
            name, _, text = line.partition(": ")
            if name in found:
                found[name] = text
            if not line and found["event"] and (found["event"] == "look") is not is_look:
                found = {"id": "", "event": "", "data": ""}
            elif not line and found["event"]:
                return found["id"], found["event"], json.loads(found["data"])


async def test_a_change_reaches_every_viewer_once_and_is_read_once(board: Board) -> None:
    """Twenty viewers cost the store no more than one."""
    await board.run(1)
    streams = []
    async with aiohttp.ClientSession() as session:
        answers = [await session.get(f"{board.url}/live") for _ in range(20)]
        streams = [answer.content for answer in answers]
        await until(lambda: board.live.viewers == 20)
        await board.run(2)
        told = [await event(stream) for stream in streams]
        assert {number for number, _, _ in told} == {told[0][0]}
        assert all(document["cells"][0]["scenario"] == "quote" for _, _, document in told)
        for answer in answers:
            answer.close()


async def test_the_newest_slot_wins_whatever_the_order_of_arrival(board: Board) -> None:
    """A late record of an older slot changes nothing on the board."""
    await board.run(3)
    before = (await board.live.board()).cells["quote", "eu-west"]
    await board.run(2)
    after = (await board.live.board()).cells["quote", "eu-west"]
    assert (after.at, after.word) == (before.at, before.word)


async def test_who_comes_back_gets_what_it_missed(board: Board) -> None:
    """By the number of the last change that it saw; nothing twice."""
    await board.run(1)
    async with board.watch() as stream:
        await until(lambda: board.live.viewers == 1)
        await board.run(2)
        number, _, _ = await event(stream)
    await board.run(3)
    await board.run(4)
    async with board.watch(int(number)) as stream:
        missed = [await event(stream), await event(stream)]
    assert [int(one[0]) for one in missed] == [int(number) + 1, int(number) + 2]


async def test_a_release_reaches_viewers_once_and_who_comes_back_gets_it_too(board: Board) -> None:
    """Also an old one that was told late; what was known when somebody first looked is no news."""
    await board.store.releases.add("fleet", release_at(-5, name="known"), now=NOW)
    await board.run(1)
    async with board.watch() as stream:
        await until(lambda: board.live.viewers == 1)
        for name, minutes in (("new", 0), ("old", -60)):
            await board.store.releases.add("fleet", release_at(minutes, name=name, cause="why\x1b"), now=NOW)
            board.clock.advance(15)
            await board.live.board()
        first, second = await event(stream), await event(stream)
    assert [one[1] for one in (first, second)] == ["releases", "releases"]
    assert [[told["name"] for told in one[2]["releases"]] for one in (first, second)] == [["new"], ["old"]]
    assert first[2]["releases"][0]["cause"] == "why\ufffd"
    async with board.watch(int(first[0])) as stream:
        assert await event(stream) == second


@pytest.mark.parametrize("since", [999_999, 0])
async def test_who_was_away_too_long_is_told_to_load_the_page_again(board: Board, since: int) -> None:
    """A number of another life of the process, or one that is not kept any more."""
    for number in range(1, 4 + (MOST_KEPT if since == 0 else 0)):
        await board.run(number)
    async with board.watch(since) as stream:
        assert (await event(stream))[1] == "reload"


async def test_a_viewer_that_does_not_keep_up_is_let_go_and_holds_up_nobody(board: Board) -> None:
    """Its queue is short; the others get every change."""
    await board.run(1)
    with board.live.look_on(None) as slow, board.live.look_on(None) as quick:
        seen = 0
        for number in range(2, MOST_BEHIND + 4):
            await board.run(number)
            while not quick.queue.empty():
                seen += quick.queue.get_nowait().number > 0
        assert slow.is_slow
        assert slow.queue.qsize() <= MOST_BEHIND
        assert not quick.is_slow
        assert seen == MOST_BEHIND + 2
    assert board.live.let_go >= 1


async def test_viewers_are_bounded(board: Board) -> None:
    """One more than may look is told to come later; the page itself stays."""
    opened = [board.live.look_on(None) for _ in range(MOST_VIEWERS)]
    for one in opened:
        one.__enter__()
    try:
        with pytest.raises(FullError), board.live.look_on(None):
            pass
        async with board.session.get(f"{board.url}/live") as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        async with board.session.get(f"{board.url}/") as answer:
            assert answer.status == 200
    finally:
        for one in opened:
            one.__exit__(None, None, None)


async def test_nobody_looks_and_nothing_is_read(board: Board) -> None:
    """The producer ends with the last viewer."""
    await board.run(1)
    with board.live.look_on(None):
        await until(lambda: board.live.looks >= 2)
    looks = board.live.looks
    for _ in range(50):
        board.clock.advance(60)
        await asyncio.sleep(0)
    assert board.live.looks == looks


async def test_every_viewer_is_told_that_figures_may_be_newer_and_who_wants_no_board_gets_nothing_else(
    board: Board,
) -> None:
    """Pages without a board listen for that alone; the store is not read for them."""
    await board.run(1)
    looks = board.live.looks
    async with board.session.get(f"{board.url}/live?only=looks") as answer:
        assert (await event(answer.content, is_look=True))[0] == ""
        assert board.live.looks == looks
    async with board.watch() as stream:
        assert (await event(stream, is_look=True))[1] == "look"


async def test_slots_are_counted_apart_and_the_board_does_not_wait(tmp_path: Path) -> None:
    """The first board may be without counts; they come with a later one."""
    database = str(tmp_path / "store.db")
    async with open_store(database) as store:
        await store.file([deliver([run_entry(run_at(NOW, number=1)), other_entry(EntryKind.SCHEDULE, OWED)])])
        clock = QuickClock(NOW + timedelta(minutes=30))
        application = make_application(site_over(store, database, clock=clock))
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (cell := (await application[LIVE].board()).cells["quote", "eu-west"]).due:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.05)
            assert (cell.ran, cell.due) == (1, 1)
        finally:
            await runner.cleanup()
