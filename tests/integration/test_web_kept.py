"""What pages keep: whoever asks gets an answer or is told to come back, however many ask at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from collector.store import Store, open_store
from collector.web.apart import Apart, BusyError
from collector.web.kept import Kept
from tests.clock import JumpingClock
from tests.store_kit import NOW


async def answer_of(_store: Store, number: int) -> int:
    """A question that takes a few turns of the loop."""
    for _ in range(10):
        await asyncio.sleep(0)
    return number


async def test_who_is_pushed_out_by_other_questions_is_told_to_come_back(tmp_path: Path) -> None:
    """It is an error in words, not the end of the request; the others get their answers."""
    async with open_store(str(tmp_path / "some.db")) as store:
        kept: Kept[int] = Kept(Apart(store, "", in_place=True), JumpingClock(NOW), most=2)
        asked = [asyncio.create_task(kept.get(number, answer_of, number)) for number in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[0], BusyError)
        assert answers[1:] == [1, 2]


async def test_an_answer_is_given_again_until_it_is_old(tmp_path: Path) -> None:
    """And once while it is asked for again."""
    async with open_store(str(tmp_path / "some.db")) as store:
        clock = JumpingClock(NOW)
        kept: Kept[int] = Kept(Apart(store, "", in_place=True), clock, most=2, least_age_s=5)
        assert await kept.get("one", answer_of, 1) == 1
        assert await kept.get("one", answer_of, 2) == 1
        assert kept.asked == 1
        clock.advance(timedelta(seconds=600).total_seconds())
        assert await kept.get("one", answer_of, 3) == 1
        assert kept.asked == 2
        await kept.stop()
