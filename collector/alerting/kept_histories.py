"""Histories of events that are moved on from minute to minute: only the newest minutes are read again, all of them now and then.

Three days of a fleet's events are a second of work each minute otherwise. Results that are later than the minutes that are read
again are seen within half an hour: they make no alert of the past in any case. Called by `collector.alerting.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.burn_history import BurnHistories
from collector.score_reader import Reader
from slo.burn import EventHistory, EventSums
from slo.burn_tiers import AlertPreset
from slo.maintenance import Exclusions, Occurrence
from slo.objective import Objective
from slo.window import Span

__all__ = ["KeptEvents", "KeptHistories"]

READ_AGAIN_MINUTES: Final = 10
ALL_AGAIN_MINUTES: Final = 30
MOST_LINES: Final = 500

_Key = tuple[str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Kept:
    """The events of one line from a minute on. `read_minute`: when all of them were read."""

    events: dict[int, tuple[int, int]]
    sums: EventSums
    from_minute: int
    until_minute: int
    read_minute: int
    occurrences: tuple[Occurrence, ...]


class KeptEvents:
    """What one engine keeps from minute to minute."""

    def __init__(self) -> None:
        self.lines: dict[_Key, _Kept] = {}

    def forget_some(self) -> None:
        """Lines come and go with the objectives; what is not kept is read again."""
        if len(self.lines) > MOST_LINES:
            self.lines.clear()


class KeptHistories(BurnHistories):
    """Histories of lines that were looked at a minute ago."""

    def __init__(self, reader: Reader, presets: Mapping[str, AlertPreset], kept: KeptEvents) -> None:
        super().__init__(reader, presets)
        self._kept = kept

    async def _event_history(self, objective: Objective, span: Span, exclusions: Exclusions) -> EventHistory:
        """The events of a span, kept but for the newest minutes; there may be more in it, and it lasts until the next minute."""
        key = (self._reader.asked.target, objective.check, self._reader.regions_of(objective))
        known = self._kept.lines.get(key)
        # Where works may leave minutes out, the places of minutes matter: then everything is read.
        is_fit = (
            known is not None
            and not exclusions.occurrences
            and not known.occurrences
            and known.from_minute <= span.from_minute <= known.until_minute <= span.until_minute
            and span.until_minute - known.read_minute < ALL_AGAIN_MINUTES
        )
        if known is None or not is_fit:
            events = await self._events(objective, span, exclusions)
            sums = EventSums(span.from_minute)
            sums.take(events, span.from_minute, span.until_minute)
            self._kept.forget_some()
            kept = _Kept(events, sums, span.from_minute, span.until_minute, span.until_minute, exclusions.occurrences)
            self._kept.lines[key] = kept
            return EventHistory(span, events, sums)
        first = max(known.until_minute - READ_AGAIN_MINUTES, span.from_minute)
        news = await self._events(objective, Span(span.name, first, span.until_minute), exclusions)
        self._move_on(known, news, first, span)
        return EventHistory(span, known.events, known.sums)

    def _move_on(self, known: _Kept, news: Mapping[int, tuple[int, int]], first: int, span: Span) -> None:
        """Take the minutes from `first` on as they are now, and forget as many of the oldest as there are new ones.

        Not more: another line with the same events may look back further, and has been given them a moment ago.
        """
        from_minute = min(known.from_minute + span.until_minute - known.until_minute, span.from_minute)
        for minute in (*range(known.from_minute, from_minute), *range(first, known.until_minute)):
            known.events.pop(minute, None)
        known.events.update(news)
        known.sums.forget(from_minute)
        known.sums.take(known.events, first, span.until_minute)
        known.from_minute, known.until_minute = from_minute, span.until_minute
