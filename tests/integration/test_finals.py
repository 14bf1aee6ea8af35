"""Final scores on record: the same again is no revision, late data and changed rules are, and each says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from collector.finals import changes_between, facts_of, is_final, keep_finals
from collector.scorecard import Scorecard, make_scorecard
from collector.scoring import Scorer
from collector.store import Retention, Store, open_store
from collector.texts.scorecard_page import page_of
from collector.texts.scorecard_rows import kept_text
from console.objectives import load_set
from slo.objective_set import ObjectiveSet
from slo.window import Span
from tests.report_kit import AFTERWARDS, MINUTES, MORNING, SEPTEMBER, asked, file_all, morning_of

KNOWN = load_set()
NAMES = ("api-uptime", "api-errors", "backup-daily")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store that scores the built-in lines."""
    async with open_store(str(tmp_path / "some.db")) as opened:
        await opened.scores.begin(Scorer.of(KNOWN))
        yield opened


async def card_of(store: Store, known: ObjectiveSet = KNOWN, now: datetime = AFTERWARDS) -> Scorecard:
    """The scorecard of three lines of September."""
    return await make_scorecard(store, known, asked(*NAMES, now=now))


async def test_the_same_score_is_put_on_record_once(store: Store, tmp_path: Path) -> None:
    """However often and however much later it is asked for."""
    await file_all(store, morning_of(tmp_path))
    first = await keep_finals(store, await card_of(store))
    assert set(first) == set(NAMES)
    later = await keep_finals(store, await card_of(store, now=AFTERWARDS + timedelta(days=20)))
    assert later == first
    assert [len(kept.revisions) for kept in later.values()] == [1, 1, 1]
    assert first["api-uptime"].revisions[0].made_at == AFTERWARDS


async def test_late_data_makes_a_revision_that_says_what_changed(store: Store, tmp_path: Path) -> None:
    """And the report shows number, instant and reason; lines that it does not touch keep theirs."""
    half = MORNING.from_minute + MINUTES // 2
    await file_all(store, morning_of(tmp_path, span=Span("early", MORNING.from_minute, half)))
    await keep_finals(store, await card_of(store))
    await file_all(store, morning_of(tmp_path, span=Span("late", half, MORNING.until_minute)))
    late = AFTERWARDS + timedelta(hours=1)
    card = await card_of(store, now=late)
    kept = await keep_finals(store, card)
    assert [one.revision for one in kept["api-uptime"].revisions] == [1, 2]
    assert [one.revision for one in kept["backup-daily"].revisions] == [1]
    page = page_of(card, KNOWN, kept)
    (row,) = [row for row in page.rows if row.name == "api-uptime"]
    (phase,) = [fact.text for fact in row.facts if fact.label == "phase"]
    assert row.is_told
    assert "final since 2026-10-02 00:00 UTC; revision 2 of 2026-10-05 13:00 UTC: records came in after" in phase
    assert f"good {MINUTES // 2} -> {MINUTES}" in phase
    assert "unknown" in phase
    again = await keep_finals(store, await card_of(store, now=late + timedelta(hours=1)))
    assert again == kept


async def test_an_open_or_tried_out_or_rolling_score_is_not_final(store: Store, tmp_path: Path) -> None:
    """Nor one of a window that closed less than a day ago; nothing is written for them."""
    await file_all(store, morning_of(tmp_path))
    question = asked("api-uptime")
    within_a_day = SEPTEMBER.until_at + timedelta(hours=23, minutes=59)
    others = (
        replace(question, now=SEPTEMBER.from_at + timedelta(days=3)),
        replace(question, now=within_a_day),
        replace(question, what_if=Fraction(1, 2000)),
        replace(question, window="30d"),
    )
    for one in others:
        card = await make_scorecard(store, KNOWN, one)
        assert not is_final(card.lines[0], one)
        assert await keep_finals(store, card) == {}
    at_last = replace(question, now=SEPTEMBER.until_at + timedelta(hours=24))
    assert set(await keep_finals(store, await make_scorecard(store, KNOWN, at_last))) == {"api-uptime"}


async def test_a_month_of_which_nothing_is_known_is_not_put_on_record(store: Store, tmp_path: Path) -> None:
    """A target that is new, or long gone, would fill the database with nothing."""
    await file_all(store, morning_of(tmp_path))
    card = await make_scorecard(store, KNOWN, replace(asked("api-uptime", "api-errors"), window="2026-08"))
    assert await keep_finals(store, card) == {}


async def test_two_fleets_that_probe_one_target_have_records_of_their_own(store: Store, tmp_path: Path) -> None:
    """Or each would revise the other for ever."""
    await file_all(store, morning_of(tmp_path))
    card = await card_of(store)
    await keep_finals(store, card)
    other = replace(card, asked=replace(card.asked, fleet="other"))
    kept = await keep_finals(store, other)
    assert [one.revision for one in kept["api-uptime"].revisions] == [1]


async def test_a_changed_rule_is_named_as_the_reason(store: Store, tmp_path: Path) -> None:
    """Without any record having come."""
    await file_all(store, morning_of(tmp_path))
    await keep_finals(store, await card_of(store))
    (line,) = KNOWN.objectives["api-uptime"]
    stricter = {**KNOWN.objectives, "api-uptime": (replace(line, allowed_bad=Fraction(1, 2000)),)}
    kept = await keep_finals(store, await card_of(store, replace(KNOWN, objectives=stricter)))
    text = kept_text(kept["api-uptime"])
    assert "revision 2" in text
    assert "the line, its version or the regions that it asks were changed" in text
    assert "allowed bad 216/5 -> 108/5" in text


async def test_deleting_old_runs_revises_nothing(store: Store, tmp_path: Path) -> None:
    """What is on record stays, and the report says that its figures are not those any more."""
    await file_all(store, morning_of(tmp_path))
    before = await keep_finals(store, await card_of(store))
    much_later = AFTERWARDS + timedelta(days=300)
    while (await store.prune(Retention(max_age=timedelta(days=30)), now=much_later)).has_more:
        pass
    assert await store.scores.hours() == []
    after = await keep_finals(store, await card_of(store, now=much_later))
    assert after["api-uptime"].revisions == before["api-uptime"].revisions
    assert "runs behind it were deleted since" in kept_text(after["api-uptime"])


async def test_records_hold_nothing_of_the_moment_they_were_made(store: Store, tmp_path: Path) -> None:
    """Two readings at different instants have equal facts."""
    await file_all(store, morning_of(tmp_path))
    early, late = await card_of(store), await card_of(store, now=AFTERWARDS + timedelta(days=40))
    for one, other in zip(early.lines, late.lines, strict=True):
        assert facts_of(one, early.asked) == facts_of(other, late.asked)


def test_maintenance_that_was_entered_afterwards_is_named_as_the_reason() -> None:
    """It changes what is left out."""
    why, changes = changes_between({"good": 10, "excluded": 0}, {"good": 4, "excluded": 6})
    assert why == "maintenance was entered or withdrawn afterwards"
    assert changes == ("good 10 -> 4", "excluded 0 -> 6")
