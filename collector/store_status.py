"""What a probe last said about itself, kept as text. Refuses to read it.

Called by `collector.store`; `collector.ingest` takes the bound from here.
"""

from __future__ import annotations

from typing import Final

from collector import store_statements as sql
from collector.store_session import Session
from probes.messages import Address

__all__ = ["MAX_STATUS_BYTES", "set_status"]

MAX_STATUS_BYTES: Final = 65_536


async def set_status(session: Session, sender: Address, status: bytes, *, now_us: int) -> None:
    """Keep it, unless a later word is there; a probe that was never heard is known from then on."""
    name = {"fleet": sender.fleet, "region": sender.region, "probe": sender.probe}
    text = status[:MAX_STATUS_BYTES].decode(errors="replace").replace("\0", "")
    found = await session.fetch(sql.SENDER, **name)
    if not found:  # PostgreSQL uses up a number for each row that it is offered, also for one that is there
        await session.execute(sql.NEW_SENDER, **name, now_us=now_us)
        found = await session.fetch(sql.SENDER, **name)
    await session.execute(sql.SET_STATUS, sender=found[0][0], now_us=now_us, content=text)
