"""What pages of a large fleet are made of: the sentence above the board, slots by scenario, parts that are made once for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from markupsafe import Markup

from collector.ledger import SlotCounts
from collector.web.board import Board, Cell, board_words
from collector.web.fleet_slots import slots_by_region, slots_by_scenario
from collector.web.shared import GOOD_FOR_S, MOST_PARTS, Shared
from tests.clock import JumpingClock

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def board_with(bad: dict[str, tuple[str, ...]]) -> Board:
    """Nine scenarios in six regions, of which these failed."""
    regions, scenarios = tuple(f"r{number}" for number in range(6)), tuple(f"s{number}" for number in range(9))
    good = Cell("", "", "good", "passed", "", NOW, 1, 1)
    cells = {
        (scenario, region): replace(
            good, scenario=scenario, region=region, state="bad" if region in bad.get(scenario, ()) else "good"
        )
        for scenario in scenarios
        for region in regions
    }
    return Board(1, NOW, regions, scenarios, cells)


def test_the_sentence_above_the_board_names_what_failed_and_where() -> None:
    """Few regions by name, many as a number; of many scenarios the first ones, and how many more."""
    assert board_words(board_with({})) == "None of 54 cells failed."
    assert board_words(board_with({"s1": ("r0", "r3")})) == "2 of 54 cells failed: s1 in r0, r3."
    many = board_with({f"s{number}": tuple(f"r{region}" for region in range(6)) for number in range(9)})
    words = board_words(many)
    assert words.startswith("54 of 54 cells failed: s0 in 6 regions; ")
    assert words.endswith("; and 3 more scenarios.")


def test_slots_of_many_regions_are_a_row_with_the_region_that_covered_least() -> None:
    """Sums over the regions; a region is named only where something is not covered."""
    counts = {
        ("quote", "a"): SlotCounts(on_time=9, missing=1),
        ("quote", "b"): SlotCounts(on_time=5, missing=5),
        ("sign-in", "a"): SlotCounts(on_time=4),
    }
    quote, sign_in = slots_by_scenario(counts)
    assert (quote.counts.due, quote.counts.ran, quote.covered, quote.least) == (20, 14, "70.0 %", "b 50.0 %")
    assert (sign_in.covered, sign_in.least) == ("100.0 %", "")
    assert [row.name for row in slots_by_region(counts, "quote")] == ["a", "b"]
    assert counts["quote", "a"].due == 10, "adding up must not change what was counted"


async def test_a_part_is_made_once_for_all_who_ask_at_once_and_again_when_it_is_old() -> None:
    """Fifty viewers, one rendering."""
    clock, made = JumpingClock(NOW), 0
    shared = Shared(clock)

    async def make() -> Markup:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return Markup(f"{made}")  # noqa: S704 - a number

    assert set(await asyncio.gather(*(shared.get("a", make) for _ in range(50)))) == {Markup("1")}
    clock.advance(GOOD_FOR_S + 0.1)
    assert set(await asyncio.gather(*(shared.get("a", make) for _ in range(50)))) == {Markup("2")}
    assert shared.made == made == 2


async def test_what_cannot_be_made_is_tried_again_and_few_parts_are_kept() -> None:
    """An error is nobody's answer for later; strangers' keys do not grow without bound."""
    shared = Shared(JumpingClock(NOW))

    async def fail() -> Markup:
        message = "not now"
        raise ValueError(message)

    async def make() -> Markup:
        return Markup("x")

    with pytest.raises(ValueError, match="not now"):
        await shared.get("a", fail)
    assert await shared.get("a", make) == "x"
    for number in range(3 * MOST_PARTS):
        await shared.get(number, make)
    assert len(shared._parts) == MOST_PARTS
