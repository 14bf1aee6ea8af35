"""Which version of a line was in force when: a window cut into pieces, so that none is judged by a rule of another time.

Refuses: a line that changed between minutes and events, which nobody can add up; such a line needs another name. Called by
whoever scores a window, before anything is read. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slo.objective import Objective
from slo.window import Span, first_minute_from

__all__ = ["Piece", "pieces_of"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a window and the version that was in force in it."""

    objective: Objective
    span: Span


def pieces_of(versions: Sequence[Objective], span: Span) -> tuple[Piece, ...]:
    """The pieces of `span` in order of time; none for minutes before the first version came into force.

    A version is in force from the first minute that starts at `effective_from` or after it, until the next one is. Raises
    ValueError for versions of different lines, or of different kinds.
    """
    if len({version.name for version in versions}) > 1:
        message = f"{', '.join(sorted({version.name for version in versions}))} are no versions of one line"
        raise ValueError(message)
    pieces: list[Piece] = []
    until_minute = span.until_minute
    for version in sorted(versions, key=lambda version: (_first_minute(version, span), version.version), reverse=True):
        from_minute = max(_first_minute(version, span), span.from_minute)
        if from_minute < until_minute:
            pieces.append(Piece(version, Span(span.name, from_minute, until_minute)))
            until_minute = from_minute
    if len({piece.objective.slices is None for piece in pieces}) > 1:
        message = f"{pieces[0].objective.name} counted minutes and events in one window; give the new line another name"
        raise ValueError(message)
    return tuple(reversed(pieces))


def _first_minute(version: Objective, span: Span) -> int:
    if version.effective_from is None:
        # Before everything with a date, and never outside the window for the sake of it.
        return min(span.from_minute, 0)
    return first_minute_from(version.effective_from)
