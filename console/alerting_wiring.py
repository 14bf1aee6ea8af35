"""Alerts beside a collector: what of the settings the engine is told, and what runs beside it for the sake of alerts.

Refuses to decide and to send. Called by `console.collector_command`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collector.alerting.ask import BrokerAsker, Say
from collector.alerting.confirm import Confirmer
from collector.alerting.engine import AlertEngine, Watched
from collector.alerting.worries import Limits
from collector.score_upkeep import ObjectiveSource
from collector.service import Companion
from collector.store import Store
from console.desk import Desk
from console.fleet_places import FLEET_KEY
from console.messages_wiring import messages_beside, outbox_of
from console.wiring import load_scenarios

__all__ = ["companions_of", "confirmer_of", "engine_of"]


def engine_of(desk: Desk, store: Store, objectives: ObjectiveSource) -> AlertEngine:
    """The engine for the fleet of the settings."""
    settings = desk.settings
    alerts = settings.alerts
    watched = Watched(
        fleet=settings.fleet,
        regions=settings.regions,
        target=settings.target,
        timeouts_s={spec.name: spec.timeout_s for spec in load_scenarios(desk.arguments, settings)},
    )
    limits = Limits(
        silent_minutes=alerts.silent_minutes,
        coverage_percent=alerts.coverage_percent,
        clock_s=alerts.clock_s,
        certificate_days=alerts.certificate_days,
    )
    return AlertEngine(store, objectives, watched, limits, clock=desk.clock, outbox=outbox_of(desk))


def companions_of(
    desk: Desk, store: Store, objectives: ObjectiveSource, say: Say, is_ready: Callable[[], bool]
) -> Mapping[str, Companion]:
    """What runs beside the collector for the sake of alerts. Raises OperatorError for a channel that cannot be."""
    engine = engine_of(desk, store, objectives)
    found: dict[str, Companion] = {"alerts": engine.run, **messages_beside(desk, store, engine, is_ready)}
    confirmer = confirmer_of(desk, store, objectives, say)
    if confirmer is not None:
        found["confirm"] = confirmer.run
    return found


def confirmer_of(desk: Desk, store: Store, objectives: ObjectiveSource, say: Say) -> Confirmer | None:
    """Who asks another region at once when something fails; None without the fleet's key, for then no probe obeys."""
    settings = desk.settings
    if FLEET_KEY not in settings.secret_sources:
        desk.say(f"no confirming runs: no secret {FLEET_KEY!r} is described, and probes obey no other")
        return None
    asker = BrokerAsker(say, settings.secret(FLEET_KEY), fleet=settings.fleet, clock=desk.clock)
    return Confirmer(store, objectives, asker, fleet=settings.fleet, clock=desk.clock)
