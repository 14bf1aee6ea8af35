"""What newly stored slots add to cells and facts, inside the transaction that stores them.

Refuses to know whether a slot is new (`collector.store_commit` does). Called by `collector.store_scores`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collector.scoring import SlotScore
from collector.store_cells import MS_PER_MINUTE, CellKey, add_counts
from collector.store_observations import ObservationRow, observation_rows
from collector.store_session import Session
from collector.store_tables import observations

__all__ = ["ScoredSlot", "add_scores"]


class ScoredSlot(NamedTuple):
    """What a slot says, and the numbers of where it belongs."""

    score: SlotScore
    slot_ms: int
    sender_id: int
    series_id: int
    target: int


async def add_scores(session: Session, slots: Iterable[ScoredSlot], check_ids: Mapping[str, int]) -> None:
    """Add what these slots say; `check_ids` has a number for each key of the scorer that they were judged with."""
    # Runs that say the same share one score: counted first, and multiplied, there is little left to add up.
    alike: dict[tuple[int, int, int, int], _Alike] = {}
    facts: list[ObservationRow] = []
    for score, slot_ms, sender_id, series_id, target in slots:
        place = (id(score.cells), target, sender_id, slot_ms // MS_PER_MINUTE)
        held = alike.get(place)
        if held is None:
            alike[place] = _Alike(score)
        else:
            held.slots += 1
        if score.observations:
            facts += observation_rows(score.observations, check_ids, slot_ms, series_id, target)
    additions = _sums_of(alike, check_ids)
    if additions:
        await add_counts(session, additions)
    if facts:
        await session.put(observations, facts)


class _Alike:
    """Slots of one place and minute that say the same. Holds the score, so that its number stays its own."""

    __slots__ = ("score", "slots")

    def __init__(self, score: SlotScore) -> None:
        self.score = score
        self.slots = 1


def _sums_of(
    alike: Mapping[tuple[int, int, int, int], _Alike], check_ids: Mapping[str, int]
) -> Mapping[CellKey, list[int]]:
    """What they say together, by cell."""
    sums: dict[CellKey, list[int]] = {}
    for (_, target, sender_id, minute), held in alike.items():
        slots = held.slots
        for key, cell in held.score.cells:
            place = (check_ids[key], target, sender_id, minute)
            counts = sums.get(place)
            if counts is None:
                sums[place] = [cell.good * slots, cell.bad * slots, cell.inconclusive * slots, cell.runs * slots]
            else:
                counts[0] += cell.good * slots
                counts[1] += cell.bad * slots
                counts[2] += cell.inconclusive * slots
                counts[3] += cell.runs * slots
    return sums
