"""The quarantine of one transaction: what could not be taken for what it claims to be, kept where a person finds it.

Of each probe only so much is kept: the counters go on, the disk does not fill. Refuses to judge. Called by
`collector.store_commit` and `collector.store_slots`.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector import store_statements as sql
from collector.store_intake import Intake, Refused
from collector.store_rows import kept_text, kept_word
from collector.store_session import Session
from collector.store_tables import microseconds_of

__all__ = ["Aside"]

KEPT_PER_SENDER = 1_000
KEPT_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something for the quarantine."""

    sender_id: int
    received_us: int
    epoch: int
    seq: int
    topic: str
    kind: str
    reason: str
    body: bytes


class Aside:
    """What one transaction sets aside; nothing is written before `insert`."""

    def __init__(self) -> None:
        self._items: list[SetAside] = []

    def add_delivery(self, refused: Refused, sender_id: int) -> None:
        """A delivery that was refused as a whole."""
        delivery = refused.delivery
        received_us = microseconds_of(delivery.received_at)
        self._items.append(
            SetAside(sender_id, received_us, 0, 0, delivery.topic, "delivery", refused.reason, delivery.payload)
        )

    def add_entry(self, intake: Intake, sender_id: int, *, seq: int, kind: str, reason: str, body: bytes) -> None:
        """One entry of a delivery."""
        topic = intake.sender.topic("results")
        self._items.append(SetAside(sender_id, intake.received_us, intake.epoch, seq, topic, kind, reason, body))

    async def insert(self, session: Session) -> None:
        """Write it, as far as each probe still has room."""
        room: dict[int, int] = {}
        for item in self._items:
            if item.sender_id not in room:
                ((kept,),) = await session.fetch(sql.KEPT, sender=item.sender_id)
                room[item.sender_id] = KEPT_PER_SENDER - kept
            if room[item.sender_id] > 0:
                room[item.sender_id] -= 1
                await session.execute(
                    sql.NEW_QUARANTINE,
                    now_us=item.received_us,
                    sender=item.sender_id,
                    life=item.epoch,
                    number=item.seq,
                    came_on=kept_word(item.topic),
                    sort=kept_word(item.kind),
                    why=kept_text(item.reason),
                    content=item.body[:KEPT_BODY_BYTES],
                )
