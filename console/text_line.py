"""A line for a person: its words, how far it stands in, and how it looks. Wrapped by whoever prints it, never cut off."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Line"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report."""

    text: str
    indent: int = 2
    style: str = ""
