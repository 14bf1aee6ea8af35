"""Packing tighter what is not fresh any more: many small batches of one probe become one block of half the size.

The slow part, compressing, is done beside the ingest; only the exchange of the old batches for the block is a write. When
another collector has done the same meanwhile, the exchange finds that and is undone.

Called by `collector.store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, delete, select, update

from collector.store_intake import EndedSlot, Intake, file_entry
from collector.store_packing import FINAL_FORM, packed_block, stored_lines
from collector.store_session import Row, Session
from collector.store_tables import batches, microseconds_of, runs, senders, series
from probes.messages import Address, RawEntry

__all__ = ["Block", "BlockOutdatedError", "exchange", "prepare_block"]

BLOCK_LINES: Final = 200
BLOCK_BYTES: Final = 2 << 20
FRESH: Final = timedelta(minutes=15)
MOVE: Final = (
    update(runs)
    .where(
        runs.c.slot_ms == bindparam("slot"),
        runs.c.series_id == bindparam("of_series"),
        runs.c.turn == bindparam("which"),
        runs.c.batch_no == bindparam("old_batch"),
        runs.c.line == bindparam("old_line"),
    )
    .values(batch_no=bindparam("new_batch"), line=bindparam("new_line"))
)


class BlockOutdatedError(Exception):
    """The batches of a block are not there any more."""


@dataclass(frozen=True, slots=True)
class Move:
    """A slot whose record changes its place."""

    slot: EndedSlot
    old_batch: int
    old_line: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block that can take the place of batches: its lines are `moves` in their order, gaps aside."""

    sender_id: int
    old_batches: list[int]
    newest_slot_ms: int
    form: int
    content: bytes
    moves: list[Move]


async def prepare_block(session: Session, now: datetime) -> Block | None:
    """A block of the records of one probe's oldest loose batches; None when all are packed or fresh. Only reads."""
    fresh_us = microseconds_of(now - FRESH)
    loose = (batches.c.form < FINAL_FORM, batches.c.received_us < fresh_us)
    order = (batches.c.form, batches.c.batch_no)
    first = await session.fetch(
        select(senders.c.sender_id, senders.c.fleet, senders.c.region, senders.c.probe)
        .select_from(batches.join(senders, senders.c.sender_id == batches.c.sender_id))
        .where(*loose)
        .order_by(*order)
        .limit(1)
    )
    if not first:
        return None
    sender_id, *names = first[0]
    columns = (batches.c.batch_no, batches.c.form, batches.c.body, batches.c.newest_slot_ms)
    query = select(*columns).where(batches.c.sender_id == sender_id, *loose).order_by(*order).limit(BLOCK_LINES)
    return block_of(sender_id, Address(*names), await session.fetch(query))


def block_of(sender_id: int, sender: Address, found: Sequence[Row]) -> Block:
    """As many of the batches as fit into one block; what ended no slot (its table has it) stays behind."""
    kept: list[bytes] = []
    moves: list[Move] = []
    taken: list[int] = []
    newest_ms = size_bytes = 0
    for batch_no, form, content, batch_newest_ms in found:
        lines = stored_lines(form, bytes(content))
        if taken and (len(kept) + len(lines) > BLOCK_LINES or size_bytes > BLOCK_BYTES):
            break
        for old_line, line in enumerate(lines):
            for slot in slots_of(sender, line):
                kept.append(line)
                moves.append(Move(slot, batch_no, old_line))
                size_bytes += len(line)
        newest_ms = max(newest_ms, batch_newest_ms)
        taken.append(batch_no)
    return Block(sender_id, taken, newest_ms, *packed_block(kept), moves)


async def exchange(session: Session, block: Block, now: datetime) -> None:
    """Put the block in the place of its batches; raises BlockOutdatedError when they are gone."""
    await session.lock_senders([block.sender_id])
    removed = await session.execute(delete(batches).where(batches.c.batch_no.in_(block.old_batches)))
    if removed != len(block.old_batches):
        raise BlockOutdatedError
    new_batch = await session.next_batch_no()
    row = (new_batch, block.sender_id, microseconds_of(now), block.newest_slot_ms, block.form, block.content)
    await session.insert(batches, [row])
    query = select(series.c.scenario, series.c.series_id).where(series.c.sender_id == block.sender_id)
    series_ids: dict[str, int] = dict(await session.fetch(query))
    for new_line, move in enumerate(block.moves):
        await session.execute(
            MOVE,
            slot=move.slot.slot_ms,
            of_series=series_ids.get(move.slot.scenario, 0),
            which=move.slot.turn,
            old_batch=move.old_batch,
            old_line=move.old_line,
            new_batch=new_batch,
            new_line=new_line,
        )


def slots_of(sender: Address, line: bytes) -> list[EndedSlot]:
    """The slot that an entry ends; none for other entries and for poison."""
    _, kind, body = line.split(b" ", 2)
    intake = Intake(sender, 0, 0, [], (), 0, b"")
    file_entry(intake, 0, RawEntry(0, kind.decode(), body))
    return intake.slots
