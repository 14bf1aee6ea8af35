"""The outbox of alerts: queues each notice for the channels that are to hear it, in the transaction that records the event.

Refuses to send. Made by the wiring; called by `collector.alerting` through its protocol `Outbox`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from collector.alerting.notice import Notice
from collector.store import Store
from collector.store_messages import add_messages
from collector.store_session import Session

__all__ = ["MessageOutbox", "ack_key_of"]

_ACK_KEY: Final = "ack"
_KEY_BYTES: Final = 32


class MessageOutbox:
    """Queues for channels, by their names and the severities from which on they hear of an incident."""

    def __init__(self, channels: Mapping[str, frozenset[str]]) -> None:
        self._channels = dict(channels)

    async def put(self, session: Session, notice: Notice) -> None:
        """Keep the notice in this transaction; the same key again changes nothing."""
        await add_messages(session, notice, self._channels)


async def ack_key_of(store: Store, chosen: str = "") -> bytes:
    """The key that signs links: the one that was chosen, else one that the database keeps for all its collectors.

    Raises StoreError.
    """
    return (chosen or await store.messages.key(_ACK_KEY, secrets.token_hex(_KEY_BYTES))).encode()
