"""Instants on the command line: ISO 8601 with a zone. Refuses to guess one. Called by the commands that take an instant."""

from __future__ import annotations

from datetime import datetime

from probes.errors import OperatorError

__all__ = ["parse_instant"]


def parse_instant(text: str, *, where: str) -> datetime:
    """The instant that an option names; OperatorError for what is none, or names no zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        remedy = "Write it as 2026-10-03T02:00Z"
        raise OperatorError(f"{text!r} is no instant", where=where, remedy=remedy) from error
    if found.utcoffset() is None:
        remedy = f"Write {text}Z for UTC, or {text}+02:00"
        raise OperatorError(f"{text!r} names no zone", where=where, remedy=remedy)
    return found
