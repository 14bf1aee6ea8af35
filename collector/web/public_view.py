"""What anybody may know of the platform: its promised uptimes day by day, disruptions, and announced works.

Worked out apart, the same for everybody. Names of scenarios, steps, probes, regions and works, and what failed how, never get
in here: what is not in these values cannot be shown by mistake. A day or a moment of which nothing is known is said to be
unknown and never good. Called by `collector.web.routes_status`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from collector.alerting.model import Incident, Origin
from collector.alerting.reading import alert_history
from collector.score_reader import maintenance_of
from collector.scorecard import Asked, LineScore, make_scorecard
from collector.store import Store
from collector.web.standing import Day, days_of_minutes
from slo.burn_tiers import Severity
from slo.maintenance import occurrences_of
from slo.objective import Good, Objective, Tier
from slo.objective_set import ObjectiveSet
from slo.score import Score, SliceDetail
from slo.window import Span, instant_of_minute, minute_of

__all__ = ["DAYS", "Component", "Disruption", "PublicStatus", "Works", "components_of", "state_of", "status_of"]

DAYS: Final = 90
AHEAD: Final = timedelta(days=30)
KNOWN_FOR: Final = timedelta(minutes=15)
"""So long after the last minute that could be judged a component's state is still said; then it is unknown."""
SAID: Final = frozenset({Severity.CRITICAL, Severity.HIGH})
MOST_DISRUPTIONS: Final = 50
MOST_WORKS: Final = 20


@dataclass(frozen=True, slots=True)
class Component:
    """One promised uptime. `state` is good, bad, warn or none and `word` says the same. Minutes are of the whole ninety days."""

    title: str
    state: str
    word: str
    days: tuple[Day, ...]
    good: int
    bad: int
    unknown: int
    excluded: int

    @property
    def share_text(self) -> str:
        """The share of good minutes among those that are known, rounded down."""
        known = self.good + self.bad
        return f"{self.good * 100_000 // known / 1000:.3f} %" if known else "unknown"


@dataclass(frozen=True, slots=True)
class Disruption:
    """Something that customers could notice. `components` is empty where none of the promised uptimes is named by it."""

    since_at: datetime
    until_at: datetime | None
    minutes: int
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Works:
    """Announced works."""

    from_at: datetime
    until_at: datetime
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublicStatus:
    """All of it as of an instant."""

    as_of: datetime
    state: str
    headline: str
    components: tuple[Component, ...]
    disruptions: tuple[Disruption, ...]
    works: tuple[Works, ...]


def components_of(known: ObjectiveSet) -> dict[str, Objective]:
    """By name the lines that are uptimes and were promised, in the order of the document."""
    newest = {name: versions[-1] for name, versions in known.objectives.items()}
    return {
        name: one
        for name, one in newest.items()
        if one.slices is not None and one.tier is Tier.CONTRACT and one.good is Good.PASSED
    }


async def status_of(store: Store, known: ObjectiveSet, asked: Asked) -> PublicStatus:
    """Work it out. Raises StoreError."""
    chosen = components_of(known)
    question = replace(asked, window=f"{DAYS}d", names=tuple(chosen), with_burn=False)
    card = await make_scorecard(store, known, question)
    found = await alert_history(
        store,
        asked.now - timedelta(days=DAYS),
        asked.now + timedelta(minutes=1),
        fleet=asked.fleet,
        target=asked.target,
        limit=1000,
    )
    said = [one for one in found if one.origin is Origin.PLATFORM and one.severity in SAID and not one.silenced_by]
    troubled = {alert.subject for one in said if one.is_open for alert in one.alerts if alert.is_open}
    components = tuple(
        _component(line, chosen[line.name].title, line.name in troubled, asked.now)
        for line in card.lines
        if line.name in chosen
    )
    state, headline = headline_of([one.state for one in components], has_disruption=any(one.is_open for one in said))
    titles = {name: one.title for name, one in chosen.items()}
    return PublicStatus(
        as_of=asked.now,
        state=state,
        headline=headline,
        components=components,
        disruptions=tuple(_disruption(one, titles, asked.now) for one in said[:MOST_DISRUPTIONS]),
        works=tuple(await _works(store, known, asked, chosen)),
    )


def headline_of(states: Sequence[str], *, has_disruption: bool) -> tuple[str, str]:
    """The worst first; what is not known is never called well."""
    if has_disruption or "bad" in states:
        return "bad", "There is a disruption."
    if "warn" in states:
        return "warn", "Trouble was just seen; it is being looked at."
    if not states or all(state == "none" for state in states):
        return "none", "At present nothing is known."
    if "none" in states:
        return "none", "What is known is well; not everything is known at present."
    return "good", "Everything that is watched is well."


def state_of(last_minute: int | None, *, is_good: bool, has_alert: bool, now: datetime) -> tuple[str, str]:
    """State and word, from the last minute that could be judged."""
    if has_alert:
        return "bad", "disruption"
    if last_minute is None or now - instant_of_minute(last_minute) > KNOWN_FOR:
        return "none", "unknown at present"
    return ("good", "well") if is_good else ("warn", "trouble just seen")


def _component(line: LineScore, title: str, has_alert: bool, now: datetime) -> Component:  # noqa: FBT001 - private, by place
    detail = line.score.detail if isinstance(line.score, Score) else None
    if not isinstance(detail, SliceDetail) or not isinstance(line.score, Score):
        state, word = state_of(None, is_good=False, has_alert=has_alert, now=now)
        return Component(title, state, word, (), 0, 0, 0, 0)
    days = tuple(days_of_minutes(line.score, detail))
    last, is_good = _last_known(detail)
    state, word = state_of(last, is_good=is_good, has_alert=has_alert, now=now)
    return Component(
        title=title,
        state=state,
        word=word,
        days=days,
        good=sum(day.total - day.bad for day in days),
        bad=sum(day.bad for day in days),
        unknown=sum(day.unknown for day in days),
        excluded=sum(day.excluded for day in days),
    )


def _last_known(detail: SliceDetail) -> tuple[int | None, bool]:
    """The last minute that was good or bad, and whether it was good."""
    last, is_good = None, False
    for span, slices in detail.pieces:
        place = (slices.good | slices.bad).bit_length() - 1
        if place >= 0 and (last is None or span.from_minute + place > last):
            last, is_good = span.from_minute + place, bool(slices.good >> place & 1)
    return last, is_good


def _disruption(incident: Incident, titles: Mapping[str, str], now: datetime) -> Disruption:
    """An incident without anything but when, and which promised uptimes."""
    length = incident.duration(now)
    return Disruption(
        since_at=incident.first_bad_at,
        until_at=None if incident.is_open else incident.first_bad_at + length,
        minutes=max(1, int(length.total_seconds() // 60)),
        components=tuple(sorted({titles[one.subject] for one in incident.alerts if one.subject in titles})),
    )


async def _works(store: Store, known: ObjectiveSet, asked: Asked, chosen: Mapping[str, Objective]) -> Sequence[Works]:
    windows = await maintenance_of(store, known)
    start = minute_of(asked.now)
    span = Span("ahead", start, start + int(AHEAD.total_seconds() // 60))
    times: dict[tuple[int, int], set[str]] = {}
    for one in chosen.values():
        for occurrence in occurrences_of(windows, one, span, one.regions or asked.regions):
            times.setdefault((occurrence.from_minute, occurrence.until_minute), set()).add(one.title)
    return [
        Works(instant_of_minute(since), instant_of_minute(until), tuple(sorted(titles)))
        for (since, until), titles in sorted(times.items())[:MOST_WORKS]
    ]
