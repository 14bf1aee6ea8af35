"""Scoring again from stored runs: an hour at a time, as the difference to what the cells say, inside one transaction.

A check that is new has no past; a program that was wrong may have written a wrong one. Both are mended by the arithmetic that
scores what arrives: new counts minus old ones are added to the cells, so that an hour that was right changes nothing, and runs
that arrive meanwhile wait for the probe's lock and are added on top. Minutes whose runs retention has taken stay as they are.

Called by `collector.store_scores`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, select, tuple_

from collector.scoring import NOTHING, Scorer, SlotScore
from collector.store_archive import fetch_page
from collector.store_cells import MS_PER_MINUTE, SUMS, CellKey, add_cells
from collector.store_decode import decode_run
from collector.store_observations import ObservationRow, observation_rows
from collector.store_session import Session
from collector.store_tables import cell_days, cells, microseconds_of, observations, senders, series, words
from probes.ledger_entries import SlotEnd, parse_entry
from probes.messages import Address
from probes.outbox import EntryKind
from slo.cells import Cell
from slo.window import Span

__all__ = ["RescoredHour", "rescore_hour"]

NO_TARGET: Final = 0


@dataclass(frozen=True, slots=True)
class RescoredHour:
    """What scoring an hour again found: how many slots it looked at, how many cells and facts were not what they must be."""

    slots: int
    cells_changed: int
    facts_changed: int


@dataclass(frozen=True, slots=True)
class _Names:
    """The numbers that the database gave."""

    senders: Mapping[Address, int]
    series: Mapping[tuple[int, str], int]
    words: Mapping[str, int]
    targets: Sequence[int]
    """Those that any cell has; each is in the sums of its day."""


async def rescore_hour(
    session: Session, scorer: Scorer, check_ids: Mapping[str, int], span: Span, *, writes: bool = True
) -> RescoredHour:
    """Bring the cells and facts of some checks in a span to what the stored runs say; only look unless it `writes`.

    The lock of every probe is held from here to the end of the transaction.
    """
    names = await _names(session)
    if writes:
        await session.lock_senders(sorted(names.senders.values()))
    slots = 0
    wanted: dict[CellKey, Cell] = defaultdict(Cell)
    facts: list[ObservationRow] = []
    after: tuple[int, int, int] | None = None
    while True:
        page = await fetch_page(session, span.from_at, span.until_at, after)
        for entry in page.entries:
            scored = _score(entry.kind, entry.body, scorer)
            if scored is None:
                continue
            slots += 1
            score, scenario, slot_at, target = scored
            sender_id = names.senders[entry.sender]
            minute = microseconds_of(slot_at) // 1000 // MS_PER_MINUTE
            for key, cell in score.cells:
                wanted[check_ids[key], names.words.get(target, NO_TARGET), sender_id, minute] += cell
            series_id = names.series[sender_id, scenario]
            slot_ms = microseconds_of(slot_at) // 1000
            target_id = names.words.get(target, NO_TARGET)
            facts += observation_rows(score.observations, check_ids, slot_ms, series_id, target_id)
        after = page.next_after
        if after is None:
            break
    changed = await _correct_cells(session, _within(check_ids.values(), names, span), wanted, writes=writes)
    facts_changed = await _correct_facts(session, check_ids.values(), span, facts, writes=writes)
    return RescoredHour(slots, changed, facts_changed)


def _score(kind: str, body: bytes, scorer: Scorer) -> tuple[SlotScore, str, datetime, str] | None:
    """What a stored entry adds, its scenario, slot and target; None for an entry that ends no slot or is a repetition."""
    if kind == EntryKind.RUN:
        run = decode_run(body)
        score, identity = scorer.score_run(run), run.identity
        return None if identity.attempt else (score, identity.scenario, identity.slot_at, run.target)
    if kind == EntryKind.SLOT:
        slot = parse_entry(SlotEnd, body)
        score = NOTHING if slot.attempt else scorer.score_silence(slot.scenario)
        return None if slot.attempt else (score, slot.scenario, slot.slot_at, "")
    return None


async def _names(session: Session) -> _Names:
    found = await session.fetch(select(senders.c.sender_id, senders.c.fleet, senders.c.region, senders.c.probe))
    of_series = await session.fetch(select(series.c.series_id, series.c.sender_id, series.c.scenario))
    of_words = await session.fetch(select(words.c.word_id, words.c.word))
    return _Names(
        {Address(*row[1:]): row[0] for row in found},
        {(row[1], row[2]): row[0] for row in of_series},
        {row[1]: row[0] for row in of_words},
        sorted(row[0] for row in await session.fetch(select(cell_days.c.target).distinct())),
    )


def _within(check_ids: Iterable[int], names: _Names, span: Span) -> ColumnElement[bool]:
    """The cells of a span. All targets and probes are named: without them each hour would walk the whole past of a check."""
    return and_(
        cells.c.check_id.in_(sorted(check_ids)),
        cells.c.target.in_(names.targets),
        cells.c.sender_id.in_(sorted(names.senders.values())),
        cells.c.minute >= span.from_minute,
        cells.c.minute < span.until_minute,
    )


async def _correct_cells(
    session: Session, within: ColumnElement[bool], wanted: Mapping[CellKey, Cell], *, writes: bool
) -> int:
    keys = ("check_id", "target", "sender_id", "minute")
    query = select(*(cells.c[name] for name in (*keys, *SUMS))).where(within)
    stored = {(row[0], row[1], row[2], row[3]): Cell(*row[4:]) for row in await session.fetch(query)}
    differences: dict[CellKey, Cell] = {}
    for key in stored.keys() | wanted.keys():
        is_now, must_be = stored.get(key, Cell()), wanted.get(key, Cell())
        if is_now != must_be:
            differences[key] = must_be + Cell(-is_now.good, -is_now.bad, -is_now.inconclusive, -is_now.runs)
    if writes and differences:
        await add_cells(session, differences)
        empty = and_(*(cells.c[name] == 0 for name in SUMS))
        await session.execute(delete(cells).where(within, empty))
    return len(differences)


async def _correct_facts(
    session: Session, check_ids: Iterable[int], span: Span, wanted: Sequence[ObservationRow], *, writes: bool
) -> int:
    from_ms, until_ms = span.from_minute * MS_PER_MINUTE, span.until_minute * MS_PER_MINUTE
    query = select(observations).where(
        observations.c.check_id.in_(sorted(check_ids)),
        observations.c.slot_ms >= from_ms,
        observations.c.slot_ms < until_ms,
    )
    stored = {tuple(row) for row in await session.fetch(query)}
    must_be = set(wanted)
    wrong, missing = stored - must_be, must_be - stored
    if writes and (wrong or missing):
        for key in sorted(row[:4] for row in wrong):
            columns = (observations.c.check_id, observations.c.slot_ms, observations.c.series_id, observations.c.place)
            await session.execute(delete(observations).where(tuple_(*columns) == tuple_(*key)))
        await session.put(observations, sorted(missing))
    return len(wrong | missing)
