"""What has changed since minutes were last decided: alerts that fire, alerts that end, and what would have fired in the past.

An alert fires only while it is on: one that came and went in minutes that nobody decided in time (the collector was down, the
results came late) is logged as what would have fired and told to nobody. Pure; called by `collector.alerting.engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from collector.alerting.model import Alert, AlertFacts, AlertKind, Origin
from collector.alerting.tiers import TierState
from slo.burn import Cause, Episode
from slo.burn_tiers import Severity
from slo.window import instant_of_minute, minute_of

__all__ = ["Change", "Ending", "Firing", "Past", "TierName", "by_tier", "firing_key", "firing_of", "tier_changes"]

TierName = tuple[str, Severity, str]
KIND_OF_CAUSE: Final = {Cause.BURN: AlertKind.BURN, Cause.NO_DATA: AlertKind.NO_DATA}


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that begins. `costs`: the minutes that made it fire; `state` where it is a tier's. `is_late`: it was on before."""

    kind: AlertKind
    origin: Origin
    severity: Severity
    tier: Severity
    subject: str
    region: str
    line: str
    title: str
    fired_minute: int
    facts: AlertFacts = field(default_factory=AlertFacts)
    costs: Mapping[int, int] = field(default_factory=dict)
    silenced_by: str = ""
    state: TierState | None = None
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """An alert that is over since the end of `resolved_minute`."""

    alert: Alert
    resolved_minute: int


@dataclass(frozen=True, slots=True)
class Past:
    """An alert that would have been on from the end of one minute to the end of another; None: it goes on, and fires now."""

    kind: AlertKind
    state: TierState
    fired_minute: int
    resolved_minute: int | None


Change = Firing | Ending | Past


def firing_key(fleet: str, target: str, firing: Firing) -> str:
    """The key of the alert: what, which tier, why, where, and the minute."""
    fired_at = f"{instant_of_minute(firing.fired_minute):%Y-%m-%dT%H:%MZ}"
    place = firing.region or "-"
    return f"{fleet}/{target}/{firing.subject}/{firing.tier.value}/{firing.kind.value}/{place}/{fired_at}"


def by_tier(alerts: Iterable[Alert]) -> Mapping[TierName, list[Alert]]:
    """The alerts of tiers, by what the tier is."""
    found: dict[TierName, list[Alert]] = {}
    for alert in alerts:
        if alert.kind in KIND_OF_CAUSE.values():
            found.setdefault((alert.subject, alert.tier, alert.region), []).append(alert)
    return found


def tier_changes(state: TierState, recorded: Sequence[Alert], decided: int) -> Iterator[Change]:
    """What becomes of a tier in the minutes after `decided` up to its own. `recorded`: its alerts that were on lately."""
    for alert in recorded:
        if alert.is_open and (ended := _end_of(state, alert, decided)) is not None:
            yield Ending(alert, ended)
    for episode in state.episodes:
        kind = KIND_OF_CAUSE[episode.cause]
        is_on = episode.resolved_at_minute is None
        known = [one for one in recorded if one.kind is kind and _overlaps(state, one, episode, decided)]
        if is_on and any(one.is_open and _end_of(state, one, decided) is None for one in known):
            continue
        if is_on:
            minute = max(episode.fired_at_minute, decided + 1)
            yield firing_of(state, kind, minute, is_late=episode.fired_at_minute < minute)
        elif not known:
            yield Past(kind, state, episode.fired_at_minute, episode.resolved_at_minute)


def _end_of(state: TierState, alert: Alert, decided: int) -> int | None:
    """The minute after `decided` at whose end an open alert was off; None: it is still on."""
    first = max(decided, minute_of(alert.fired_at))
    for episode in state.episodes:
        if KIND_OF_CAUSE[episode.cause] is not alert.kind:
            continue
        ended = episode.resolved_at_minute
        if episode.fired_at_minute <= first + 1 and (ended is None or ended > first):
            return ended
    return min(first + 1, state.minute)


def _overlaps(state: TierState, alert: Alert, episode: Episode, decided: int) -> bool:
    """Whether an alert was on in minutes of an episode."""
    ended = _end_of(state, alert, decided) if alert.resolved_at is None else minute_of(alert.resolved_at)
    is_before = ended is not None and ended <= episode.fired_at_minute
    is_after = episode.resolved_at_minute is not None and minute_of(alert.fired_at) >= episode.resolved_at_minute
    return not (is_before or is_after)


def firing_of(state: TierState, kind: AlertKind, minute: int | None = None, *, is_late: bool = False) -> Firing:
    """An alert of a tier, as if it fired at the end of a minute; None: the tier's own."""
    objective, tier = state.objective, state.fit.tier
    is_blind = kind is AlertKind.NO_DATA
    return Firing(
        kind=kind,
        origin=state.origin(kind),
        severity=state.severity(kind),
        tier=tier.severity,
        subject=objective.name,
        region=state.region,
        line=objective.line,
        title=f"No data: {state.title}" if is_blind else state.title,
        fired_minute=state.minute if minute is None else minute,
        costs=state.costs(kind, tier.long_minutes if is_blind else tier.short_minutes),
        state=state,
        is_late=is_late,
    )
