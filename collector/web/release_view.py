"""Releases as the pages show them: with a word and a tone for how the gate ended, and numbered for the lines of a plot.

A name never goes into a drawing: the line has a number, and the list below the drawing says what it stands for. Refuses to ask
the store. Called by the modules of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web
from pydantic import JsonValue

from collector.store_releases import StoredRelease
from collector.texts.figures import printable
from collector.web.charts import Moment
from collector.web.site import site_of
from probes.release_marker import ReleaseMarker, ReleaseOutcome
from slo.window import Span, instant_of_minute, minute_of

__all__ = [
    "MOST_DRAWN",
    "NumberedRelease",
    "ShownRelease",
    "latest_of",
    "moments_of",
    "numbered_of",
    "release_document",
    "releases_among",
    "shown_of",
]

MOST_DRAWN: Final = 40
"""On one plot; the newest are."""
WORDS: Final[Mapping[ReleaseOutcome, str]] = {
    ReleaseOutcome.PASS: "gate passed",
    ReleaseOutcome.FAIL: "gate failed",
    ReleaseOutcome.UNDECIDED: "gate undecided",
    ReleaseOutcome.INCONCLUSIVE: "gate inconclusive",
    ReleaseOutcome.INTERRUPTED: "gate interrupted",
    ReleaseOutcome.NO_GATE: "no gate",
}
TONES: Final[Mapping[ReleaseOutcome, str]] = {
    ReleaseOutcome.PASS: "good",
    ReleaseOutcome.FAIL: "bad",
    ReleaseOutcome.UNDECIDED: "warn",
    ReleaseOutcome.INCONCLUSIVE: "warn",
    ReleaseOutcome.INTERRUPTED: "warn",
    ReleaseOutcome.NO_GATE: "none",
}


@dataclass(frozen=True, slots=True)
class ShownRelease:
    """A release with its word and tone. `identity` is that of the marker; `link` is its report's, where that is of the web."""

    identity: str
    marker: ReleaseMarker
    word: str
    tone: str
    link: str

    @property
    def took_minutes(self) -> int | None:
        """How long its gate took, in minutes; None without a gate."""
        if not self.marker.has_gate:
            return None
        return max(1, -(-int((self.marker.ended_at - self.marker.began_at).total_seconds()) // 60))


@dataclass(frozen=True, slots=True)
class NumberedRelease:
    """A release that a plot draws as the line of this number."""

    number: int
    shown: ShownRelease


def shown_of(found: Sequence[StoredRelease]) -> tuple[ShownRelease, ...]:
    """The same, ready to be shown, in the same order."""
    return tuple(
        ShownRelease(
            one.identity,
            one.marker,
            WORDS[one.marker.outcome],
            TONES[one.marker.outcome],
            one.marker.report_url if one.marker.report_url.startswith(("http://", "https://")) else "",
        )
        for one in found
    )


async def numbered_of(request: web.Request, target: str, span: Span | None) -> tuple[NumberedRelease, ...]:
    """The newest releases of a target that began within a span, numbered from 1 in order of time. Raises StoreError."""
    if span is None or not target:
        return ()
    site = site_of(request)
    found = await site.store.releases.within(
        site.fleet,
        instant_of_minute(span.from_minute),
        instant_of_minute(span.until_minute),
        target=target,
        limit=MOST_DRAWN,
    )
    return tuple(NumberedRelease(number, one) for number, one in enumerate(reversed(shown_of(found)), 1))


def moments_of(numbered: Sequence[NumberedRelease]) -> tuple[Moment, ...]:
    """The same for a chart."""
    return tuple(
        Moment(
            minute_of(one.shown.marker.began_at),
            str(one.number),
            one.shown.tone,
            f"{printable(one.shown.marker.name)}, {one.shown.word}",
        )
        for one in numbered
    )


async def latest_of(request: web.Request, target: str, *, days: int, limit: int) -> tuple[ShownRelease, ...]:
    """The newest releases of a target in the last days; of all where nothing was measured yet. Raises StoreError."""
    site = site_of(request)
    now: datetime = site.clock.now()
    found = await site.store.releases.within(
        site.fleet, now - timedelta(days=days), now + timedelta(minutes=1), target=target, limit=limit
    )
    return shown_of(found)


def releases_among(instants: Sequence[datetime], found: Sequence[ShownRelease]) -> dict[int, list[ShownRelease]]:
    """Before which of these instants, the newest first, each release stands in a list of both; both are in that order."""
    places: dict[int, list[ShownRelease]] = {}
    for one in found:
        place = next((number for number, at in enumerate(instants) if at < one.marker.began_at), len(instants))
        places.setdefault(place, []).append(one)
    return places


def release_document(shown: ShownRelease) -> dict[str, JsonValue]:
    """A release as the stream of changes tells it."""
    marker = shown.marker
    return {
        "identity": shown.identity,
        "target": marker.target,
        "name": printable(marker.name),
        "environment": printable(marker.environment),
        "word": shown.word,
        "tone": shown.tone,
        "cause": printable(marker.cause),
        "by": printable(marker.by),
        "link": shown.link,
        "at": marker.began_at.isoformat(),
    }
