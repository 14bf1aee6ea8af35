"""Releases for tests, at minutes after the instant of the store's kit."""

from __future__ import annotations

from datetime import timedelta

from probes.release_marker import ReleaseMarker, ReleaseOutcome
from tests.store_kit import NOW

__all__ = ["release_at"]


def release_at(
    minutes: float,
    *,
    name: str = "2026.11.3",
    target: str = "stand-in",
    outcome: ReleaseOutcome = ReleaseOutcome.PASS,
    environment: str = "",
    cause: str = "",
    by: str = "",
    report_url: str = "",
    note: str = "",
) -> ReleaseMarker:
    """A release whose gate began so many minutes after NOW and took two; one without a gate took no time."""
    began_at = NOW + timedelta(minutes=minutes)
    ended_at = began_at if outcome is ReleaseOutcome.NO_GATE else began_at + timedelta(minutes=2)
    return ReleaseMarker(name, target, began_at, ended_at, outcome, environment, cause, by, report_url, note)
