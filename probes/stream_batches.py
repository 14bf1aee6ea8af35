"""Cuts the outbox into batches that can travel: within every bound, and never held up by one entry that cannot.

Two kinds of entry cannot travel. One that no collector would take (over the bound of the wire, or not one line of JSON, which
would have its whole batch refused) goes as a *substitute*: its number, what it was, its digest and its beginning, under a kind
that every collector files in quarantine, where a person finds it. One that is only too large for what this broker says it takes
stays in the outbox and is held back, until the broker takes more; the others pass it.

Refuses to send and to look into a record. Called by `probes.stream`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from probes.messages import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, Address, RawEntry, render_batch
from probes.outbox import Entry, Outbox
from probes.stream_window import StreamLimits, Window

__all__ = ["SUBSTITUTE_KIND", "Batch", "BatchCutter"]

log = structlog.get_logger(__name__)

SUBSTITUTE_KIND: Final = "unsendable"
HEAD_BYTES: Final = 4_096
PACKET_HEAD_BYTES: Final = 512
"""What a packet has besides its payload: fixed header, topic (at most 217 bytes), packet id, properties."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries and the payload that carries them; `replaced` of them go as substitutes."""

    entries: list[Entry]
    payload: bytes
    replaced: int


class BatchCutter:
    """The next batch of an outbox for one connection; `held_back` entries are too large for its broker."""

    def __init__(
        self, outbox: Outbox, sender: Address, window: Window, limits: StreamLimits, max_packet_bytes: int
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._window = window
        self._limits = limits
        self._max_bytes = MAX_PAYLOAD_BYTES
        if max_packet_bytes:
            self._max_bytes = min(MAX_PAYLOAD_BYTES, max(max_packet_bytes - PACKET_HEAD_BYTES, 1))
        self._held_back: set[int] = set()
        self._is_read_up = False

    def look_again(self) -> None:
        """Something may be new in the outbox, or may have to go again."""
        self._is_read_up = False

    @property
    def is_read_up(self) -> bool:
        """True while all that was in the outbox has been read: room in the window is then no reason to look again."""
        return self._is_read_up

    @property
    def held_back(self) -> int:
        """How many entries this connection cannot carry."""
        return len(self._held_back)

    def next_batch(self) -> Batch | None:
        """What goes next, oldest first; None when there is nothing, or no room for it."""
        while not self._is_read_up and self._window.room():
            entries, are_all = self._outbox.page(
                after_seq=self._window.cursor,
                max_entries=self._window.page_entries(),
                max_bytes=self._limits.batch_bytes,
            )
            batch = self._of(entries) if entries else None
            self._is_read_up = are_all and (not entries or self._window.cursor >= entries[-1].seq)
            if batch is not None:
                return batch
        return None

    def _of(self, entries: Sequence[Entry]) -> Batch | None:
        fresh = [entry for entry in self._window.take(entries) if entry.seq not in self._held_back]
        return self._fitting(fresh) if fresh else None

    def _fitting(self, entries: list[Entry]) -> Batch | None:
        """The entries, or the first of them, in a payload that fits; the rest is read again next time."""
        while True:
            sendable = [entry if (reason := refusal(entry)) == "" else substitute(entry, reason) for entry in entries]
            payload = render_batch(self._sender, self._outbox.epoch, sendable)
            if len(payload) <= self._max_bytes:
                return Batch(entries, payload, sum(isinstance(entry, RawEntry) for entry in sendable))
            if len(entries) == 1:
                self._hold_back(entries[0], len(payload))
                return None
            entries = entries[: len(entries) // 2]
            self._window.cursor = entries[-1].seq

    def _hold_back(self, entry: Entry, payload_bytes: int) -> None:
        self._held_back.add(entry.seq)
        log.error(
            "stream.entry_held_back",
            seq=entry.seq,
            payload_bytes=payload_bytes,
            broker_takes_bytes=self._max_bytes,
            remedy="let the broker take larger packets",
        )


def refusal(entry: Entry) -> str:
    """Why no collector would take the entry, empty when one would."""
    if len(entry.body) > MAX_BODY_BYTES:
        return f"{len(entry.body)} bytes are over the bound of {MAX_BODY_BYTES}"
    if not (entry.body.startswith(b"{") and entry.body.endswith(b"}")) or b"\n" in entry.body:
        return "it is not a JSON object on one line"
    return ""


def substitute(entry: Entry, reason: str) -> RawEntry:
    """What goes in the entry's place, under its number."""
    facts = {"kind": entry.kind.value, "body_bytes": len(entry.body), "reason": reason}
    log.error("stream.entry_replaced", seq=entry.seq, **facts)
    digest = hashlib.sha256(entry.body).hexdigest()
    head = entry.body[:HEAD_BYTES].decode("utf-8", "backslashreplace")
    body = {"schema_version": 1, **facts, "created_at": entry.created_at.isoformat(), "sha256": digest, "head": head}
    return RawEntry(entry.seq, SUBSTITUTE_KIND, json.dumps(body).encode())
