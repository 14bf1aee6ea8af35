"""What is said to people when something happens to an incident, and the outbox that it is put into.

A notice is put inside the very transaction that records the event: what is recorded is said, at least once, and under one key.
Refuses to send. Made by `collector.alerting`; taken by whoever keeps the queue of messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from collector.alerting.model import Origin
from collector.store_session import Session
from slo.burn_tiers import Severity

__all__ = ["NoOutbox", "Notice", "NoticeKind", "Outbox"]


class NoticeKind(StrEnum):
    """What happened: it began, it became worse, somebody knows of it, it is over."""

    FIRED = "fired"
    UPGRADED = "upgraded"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say. `key` is that of the event: two notices with one key are one.

    `lines` are whole sentences, the most important first, with every time in UTC and saying so. `severity` is the incident's.
    `facts` are words for programs: `target`, `regions`, `scenarios`, `step`, `failure_kind`, `objectives`, `run_ids` (several
    with spaces between), `first_bad_at`, `resolved_at` (ISO 8601).
    """

    key: str
    kind: NoticeKind
    severity: Severity
    origin: Origin
    fleet: str
    incident_id: int
    incident_key: str
    title: str
    lines: tuple[str, ...]
    at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)


class Outbox(Protocol):
    """Where notices are put; what is put is sent after the transaction has been committed, and not before."""

    async def put(self, session: Session, notice: Notice) -> None:
        """Keep the notice in this transaction; the same key again changes nothing."""
        ...


class NoOutbox:
    """Nobody is told: for whoever only wants the record."""

    async def put(self, session: Session, notice: Notice) -> None:
        """Let it go."""
