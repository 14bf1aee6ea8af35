"""Decides alerts every few seconds: what fires, what ends, what belongs together, and enters it where all collectors see it.

It reads minutes that are settled and decides each of them once: of several collectors on one database the one that moves the book
on decides, and the others find it moved. A collector that was down catches up: what is on is told now, what came and went
meanwhile is logged. Refuses to send messages (an `Outbox` does) and to hold up results. Called by the wiring as a companion of
the collector.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from collector.alerting.changes import Ending, Firing, Past, TierName, by_tier, firing_of, tier_changes
from collector.alerting.evidence import Evidence, refreshed
from collector.alerting.kept_histories import KeptEvents, KeptHistories
from collector.alerting.model import Alert, AlertFacts, AlertKind, is_worse
from collector.alerting.notice import NoOutbox, Outbox
from collector.alerting.record import LOOKED_BACK, Decided, Recorder
from collector.alerting.silence import silencing_works
from collector.alerting.tiers import TierState, tier_states
from collector.alerting.worries import FleetWorries, Limits
from collector.score_reader import Asked, Reader, maintenance_of
from collector.score_upkeep import ObjectiveSource
from collector.store import Store, StoreError
from collector.store_alerts import AlertBook
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from slo.burn import settled_minute
from slo.burn_tiers import Severity
from slo.window import MINUTES_PER_DAY, Span, minute_of

__all__ = ["AlertEngine", "Watched"]

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0
LATE_LOOK_MINUTES: Final = 60
"""Results that are later than this are not looked at for alerts that would have fired; budgets are scored anew all the same."""
MOST_CATCH_UP_MINUTES: Final = 3 * MINUTES_PER_DAY
TARGETS_EVERY_S: Final = 300.0
MOST_AHEAD_MINUTES: Final = 2
"""Clocks of several collectors may differ by so much; a book that is further ahead was moved on by a wrong one."""
TAKEN_BACK_AFTER_S: Final = 180.0
"""A book that is ahead and that nobody moves on for so long is taken back: whoever was wrong is gone, or right again."""
_BURNS: Final = frozenset((AlertKind.BURN, AlertKind.NO_DATA))


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose alerts are decided. `target` empty: every one that runs are stored of. `timeouts_s` are the scenarios' own."""

    fleet: str
    regions: tuple[str, ...]
    target: str = ""
    timeouts_s: Mapping[str, float] = field(default_factory=dict)


class AlertEngine:
    """Decides; `run` until cancelled."""

    def __init__(
        self,
        store: Store,
        objectives: ObjectiveSource,
        watched: Watched,
        limits: Limits,
        *,
        clock: Clock,
        outbox: Outbox | None = None,
    ) -> None:
        self._store = store
        self._objectives = objectives
        self._watched = watched
        self._clock = clock
        self._outbox = outbox or NoOutbox()
        self._worries = FleetWorries(store, limits, fleet=watched.fleet)
        self._kept = KeptEvents()
        self._done: dict[str, int] = {}
        self._ahead: dict[str, tuple[int, int]] = {}
        self._targets: tuple[str, ...] = ()
        self._targets_from_ns: int | None = None
        self.looked_at: datetime | None = None
        """When all that was settled had been decided; None: not yet."""

    async def run(self) -> None:
        """Decide whenever there is something to decide. A database that is away is waited for; a bug of ours is logged."""
        while True:
            try:
                await self.tick()
            except (StoreError, StoreRefusedError) as error:
                log.warning("alerts.put_off", error=str(error))
            except Exception:
                log.exception("alerts.failed")
            await self._clock.sleep(EVERY_S)

    async def tick(self) -> None:
        """Decide every minute that has settled since the last time, for each target. Raises StoreError."""
        now = self._clock.now()
        minute = settled_minute(now)
        is_all = True
        for place, target in enumerate(await self._targets_now()):
            if minute == self._done.get(target):
                continue
            try:
                is_decided = await self._decide(target, minute, now, with_fleet=place == 0)
            except Exception:
                self._worries.look_again()  # what was seen is not on record
                raise
            if is_decided:
                self._done[target] = minute
            is_all = is_all and is_decided
        if is_all:
            self.looked_at = now

    async def _targets_now(self) -> tuple[str, ...]:
        """The targets, looked up now and then: the first one's book holds the worries about the fleet too."""
        if self._watched.target:
            return (self._watched.target,)
        now_ns = self._clock.monotonic_ns()
        is_old = self._targets_from_ns is None or now_ns - self._targets_from_ns > TARGETS_EVERY_S * 1e9
        if is_old or not self._targets:
            self._targets = tuple(await self._store.scores.targets())
            self._targets_from_ns = now_ns
        return self._targets

    async def _decide(self, target: str, minute: int, now: datetime, *, with_fleet: bool) -> bool:
        """Decide one target up to a minute; whether that is done, by us or by another."""
        fleet = self._watched.fleet
        before = known_minute = await self._store.alerts.decided_minute(fleet, target)
        if known_minute is not None and known_minute >= minute:
            if known_minute <= minute + MOST_AHEAD_MINUTES:
                return True
            if not self._is_given_up(target, known_minute, minute):
                return False
            before = minute - 1  # what was decided of minutes that had not been yet is looked at anew
        # Who begins knows nothing of before: what is on is told, and the past is left alone.
        decided = minute - 1 if before is None else max(before, minute - MOST_CATCH_UP_MINUTES)
        from_minute = minute if before is None else decided + 1 - LATE_LOOK_MINUTES
        known = self._objectives.current
        asked = Asked(target, fleet, self._watched.regions, now, timeouts_s=self._watched.timeouts_s)
        reader = Reader(self._store, asked, await maintenance_of(self._store, known))
        states = await tier_states(
            reader, KeptHistories(reader, known.presets, self._kept), known, Span("alerts", from_minute, minute + 1)
        )
        recorded, _ = await self._store.alerts.look(fleet, target, now - LOOKED_BACK)
        draft = _Draft(reader, Evidence(reader, known.objectives), decided, minute)
        await draft.take_tiers(states, by_tier(recorded))
        draft.end_orphans(states, recorded, known.objectives)
        if with_fleet:
            await self._take_worries(draft, recorded, now)

        async def decision(book: AlertBook) -> None:
            await Recorder(book, self._outbox, fleet=fleet, target=target, now=now).enter(draft.decided())

        if not await self._store.alerts.decide(fleet, target, known_minute, minute, decision):
            log.info("alerts.decided_by_another", target=target, minute=minute)
        return True

    def _is_given_up(self, target: str, known_minute: int, minute: int) -> bool:
        """Whether a book that is ahead of our clock has stood still for so long that we take it back."""
        now_ns = self._clock.monotonic_ns()
        seen_minute, since_ns = self._ahead.get(target, (-1, now_ns))
        if seen_minute != known_minute:
            self._ahead[target] = (known_minute, now_ns)
            log.error("alerts.book_ahead", target=target, ahead_min=known_minute - minute)
            return False
        if now_ns - since_ns < TAKEN_BACK_AFTER_S * 1e9:
            return False
        log.error("alerts.book_taken_back", target=target, ahead_min=known_minute - minute)
        return True

    async def _take_worries(self, draft: _Draft, recorded: Sequence[Alert], now: datetime) -> None:
        """What is wrong with the fleet itself: new worries fire, those that are gone end."""
        own = {(one.kind, one.subject): one for one in recorded if one.is_open and one.kind not in _BURNS}
        found = await self._worries.now(now)
        for worry in found.worries:
            key = (worry.kind, worry.subject)
            if key in own:
                alert = own.pop(key)
                first = alert.facts.first_bad_at or worry.facts.first_bad_at
                draft.facts[alert.alert_id] = replace(worry.facts, first_bad_at=first)
            else:
                draft.firings.append(replace(worry, fired_minute=draft.minute, costs=worry.costs or {draft.minute: 1}))
        for alert in own.values():
            if alert.kind in found.looked_at:
                draft.endings.append((Ending(alert, draft.minute), alert.facts))


class _Draft:
    """What is decided about one target, before it is entered."""

    def __init__(self, reader: Reader, evidence: Evidence, decided: int, minute: int) -> None:
        self._reader = reader
        self._evidence = evidence
        self._before = decided
        self.minute = minute
        self.firings: list[Firing] = []
        self.endings: list[tuple[Ending, AlertFacts]] = []
        self._pasts: list[Past] = []
        self.facts: dict[int, AlertFacts] = {}
        self._silenced: dict[int, str] = {}
        self._worse: dict[int, Severity] = {}
        self._lasting: dict[int, tuple[Firing, int]] = {}

    def decided(self) -> Decided:
        """The whole."""
        return Decided(
            self.minute, self.firings, self.endings, self._pasts, self.facts, self._silenced, self._worse, self._lasting
        )

    async def take_tiers(self, states: Sequence[TierState], recorded: Mapping[TierName, list[Alert]]) -> None:
        """What becomes of every tier."""
        for state in states:
            known = recorded.get(state.name, [])
            ended: set[int] = set()
            for change in tier_changes(state, known, self._before):
                match change:
                    case Firing():
                        await self._fire(state, change)
                    case Ending(alert, resolved_minute):
                        ended.add(alert.alert_id)
                        facts = await self._evidence.of_ending(state, alert.kind, alert.facts, resolved_minute)
                        self.endings.append((change, facts))
                    case Past():
                        self._pasts.append(change)
            for alert in known:
                if alert.is_open and alert.alert_id not in ended:
                    self._stay(state, alert)

    def end_orphans(self, states: Sequence[TierState], recorded: Sequence[Alert], known: Collection[str]) -> None:
        """Alerts of tiers and of lines that are no more, because somebody changed the objectives, end with that.

        `known` names the lines that there are. One of them that cannot be read now has no states, and its alerts stay.
        """
        names = {state.name for state in states}
        read = {state.objective.name for state in states}
        for alert in recorded:
            is_gone = alert.subject not in known or (
                alert.subject in read and (alert.subject, alert.tier, alert.region) not in names
            )
            if alert.is_open and alert.kind in _BURNS and is_gone:
                self.endings.append((Ending(alert, self.minute), alert.facts))

    async def _fire(self, state: TierState, firing: Firing) -> None:
        facts = await self._evidence.of_firing(state, firing.kind, firing.fired_minute)
        works = self._works(state, facts)
        self.firings.append(replace(firing, facts=facts, silenced_by=works))

    def _stay(self, state: TierState, alert: Alert) -> None:
        facts = refreshed(alert.facts, state, alert.kind)
        self.facts[alert.alert_id] = facts
        severity = state.severity(alert.kind)
        if is_worse(severity, alert.severity):
            self._worse[alert.alert_id] = severity
        if alert.silenced_by:
            self._silenced[alert.alert_id] = self._works(state, facts)
        if alert.kind is AlertKind.BURN and alert.severity is not Severity.REPORT:
            firing = replace(firing_of(state, alert.kind), facts=facts, silenced_by=alert.silenced_by)
            self._lasting[alert.alert_id] = (firing, state.fit.tier.short_minutes)

    def _works(self, state: TierState, facts: AlertFacts) -> str:
        """The works that explain the newest bad minute."""
        minute = minute_of(facts.last_bad_at) if facts.last_bad_at else state.minute
        regions = facts.regions or self._reader.regions_of(state.objective)
        return silencing_works(self._reader.maintenance, state.objective, minute, regions)
