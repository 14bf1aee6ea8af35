"""What burn-rate alerts look back on, read from the store: decided minutes, or events by minute, with their lead-in.

Called by `collector.scorecard` for the rates of the moment, and by the command `slo alerts` for those of a whole window.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache, reduce
from operator import or_
from typing import Final

from collector.score_reader import Reader
from slo.bitmaps import ones
from slo.burn import EventHistory, History, SliceHistory, TierBurn, burn_now
from slo.burn_tiers import AlertPreset, AlertTier, Counting, TierFit, fit_tiers
from slo.cells import Measured
from slo.maintenance import Exclusions
from slo.objective import Objective
from slo.slices import decide_slices
from slo.window import MINUTES_PER_DAY, RollingDays, Span, minute_of

__all__ = ["BurnHistories", "fits_of"]

NO_TIERS: Final = AlertPreset("", ())
MOST_FITS: Final = 1_024


def fits_of(objective: Objective, presets: Mapping[str, AlertPreset]) -> tuple[TierFit, ...]:
    """The tiers of a line by its preset, with why one is not used where that is so; none for a line without alerts."""
    preset = presets.get(objective.alerts, NO_TIERS)
    counting = Counting.EVENTS if objective.slices is None else Counting.SLICES
    days = objective.window.days if isinstance(objective.window, RollingDays) else 30
    return _fits(preset.tiers, objective.allowed_bad, counting, days * MINUTES_PER_DAY)


@lru_cache(maxsize=MOST_FITS)
def _fits(
    tiers: tuple[AlertTier, ...], allowed_bad: Fraction, counting: Counting, period_minutes: int
) -> tuple[TierFit, ...]:
    return fit_tiers(tiers, allowed_bad, counting, period_minutes=period_minutes)


class BurnHistories:
    """The histories of lines, from what a reader reads."""

    def __init__(self, reader: Reader, presets: Mapping[str, AlertPreset]) -> None:
        self._reader = reader
        self._presets = presets

    def fits(self, objective: Objective) -> tuple[TierFit, ...]:
        """The tiers of a line, with why one is not used where that is so."""
        return fits_of(objective, self._presets)

    async def burn_now(self, objective: Objective) -> tuple[TierBurn, ...]:
        """Each usable tier at the newest settled minute."""
        fits = self.fits(objective)
        until_minute = minute_of(self._reader.asked.now)
        history = await self.history(objective, Span("now", until_minute, until_minute), fits)
        return burn_now(history, fits, self._reader.asked.now)

    async def history(
        self, objective: Objective, span: Span, fits: tuple[TierFit, ...], *, region: str = ""
    ) -> History:
        """What the tiers look at in a span, and as far before it as the longest of them looks back.

        `region`: as this region alone saw a line of minutes.
        """
        lead_in = max((fit.tier.long_minutes for fit in fits if fit.is_usable), default=0)
        whole = Span(span.name, span.from_minute - lead_in, span.until_minute)
        exclusions = self._reader.exclusions(objective, whole)
        if objective.slices is not None:
            measured = await self._reader.measured(objective.check, whole)
            regions = (region,) if region else self._reader.regions_of(objective)
            slices = decide_slices(measured, objective.slices, regions, excluded=exclusions.by_region)
            before = await self._before_the_fleet(measured)
            return SliceHistory(whole, slices.good & ~before, slices.bad & ~before, slices.excluded | before)
        return await self._event_history(objective, whole, exclusions)

    async def _event_history(self, objective: Objective, span: Span, exclusions: Exclusions) -> EventHistory:
        return EventHistory(span, await self._events(objective, span, exclusions))

    async def _events(self, objective: Objective, span: Span, exclusions: Exclusions) -> dict[int, tuple[int, int]]:
        """Good and bad events by minute, without what maintenance leaves out."""
        if exclusions.is_empty:  # then the database adds up the regions: a tenth of the time
            return await self._reader.events(objective.check, span, self._reader.regions_of(objective))
        events: dict[int, tuple[int, int]] = {}
        for (place, _), of_probe in (await self._reader.cells(objective.check, span)).items():
            if place not in self._reader.regions_of(objective):
                continue
            left_out = exclusions.by_region.get(place, 0)
            for minute, cell in of_probe.items():
                if cell.total and not left_out >> (minute - span.from_minute) & 1:
                    good, bad = events.get(minute, (0, 0))
                    events[minute] = (good + cell.good, bad + cell.bad)
        return events

    async def _before_the_fleet(self, measured: Measured) -> int:
        """The minutes in which the fleet did not exist yet: nobody owed a word, so that they count for nothing.

        Without this a fleet's first days would be an alert, for three days in which nothing is known.
        """
        span, first_seen_at = measured.span, await self._reader.first_seen_at()
        if first_seen_at is None or first_seen_at < span.from_at:
            return 0
        said = reduce(or_, (track.good | track.bad | track.mute for track in measured.tracks), 0)
        # A probe is seen when it first sends, and what it sends is about minutes before that.
        first_word = (said & -said).bit_length() - 1 if said else span.minutes
        return ones(min(first_word, minute_of(first_seen_at) - span.from_minute))
