"""What a lane of the worker works with: which scenarios, against which target, how often; opened in the lane's own process.

The supervisor and its lanes read the same settings and come to the same choice: it to know which lanes there must be and to
refuse what cannot work before anything starts, they to run it. Refuses to run anything. `open_lane` is named to the worker as
its factory (`probes.worker_kit`), the rest is called by `console.worker_command` and `console.fleet_command`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, JsonValue

from console.arguments import Arguments
from console.choices import Choice, choose_scenarios, own_folders
from console.logs import configure_logs
from console.pauses import Pause, parse_pauses, rule_of
from console.timetable import check_schedule, intervals_of
from console.wiring import load_scenarios, open_engines
from probes.browser import find_browser
from probes.clock import SystemClock
from probes.registry import Registry, ScenarioSpec
from probes.schedule import schedule_for
from probes.settings import Settings, load_settings
from probes.targets import Target, load_target
from probes.worker_kit import LaneKit, ScheduledScenario
from probes.worker_pipe import LaneOrder

__all__ = ["BROWSER_LANE", "FACTORY", "HTTP_LANE", "LaneOptions", "Plan", "make_plan", "open_lane"]

log = structlog.get_logger(__name__)

FACTORY: Final = "console.lane_kit:open_lane"
HTTP_LANE: Final = "http"
BROWSER_LANE: Final = "browser"


class LaneOptions(BaseModel):
    """What a lane must be told beyond the settings, which it reads itself. `bases`, `ca_file`, `spki` lay a stand-in's over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings_file: str = ""
    target: str
    bases: dict[str, str] = {}
    ca_file: str = ""
    spki: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    scenario_dirs: tuple[str, ...] = ()
    every_s: float | None = None
    log_level: int = logging.INFO

    def as_json(self) -> dict[str, JsonValue]:
        """The form in which they travel."""
        found: dict[str, JsonValue] = self.model_dump(mode="json")
        return found

    def arguments(self) -> Arguments:
        """The part of a command line that the wiring looks at."""
        return Arguments(scenario_dirs=tuple(map(Path, self.scenario_dirs)))


@dataclass(frozen=True, slots=True)
class Plan:
    """What one worker will do: the target, the scenarios that may run against it, and seconds between their slots."""

    target: Target
    choice: Choice
    registry: Registry
    every_s: dict[str, float | None]
    pauses: tuple[Pause, ...] = ()

    def specs_of(self, lane: str) -> tuple[ScenarioSpec, ...]:
        """The scenarios of a lane."""
        return tuple(spec for spec in self.choice.specs if spec.browser == (lane == BROWSER_LANE))

    def lanes(self) -> tuple[str, ...]:
        """The lanes that have something to do."""
        return tuple(lane for lane in (HTTP_LANE, BROWSER_LANE) if self.specs_of(lane))


def make_plan(options: LaneOptions, settings: Settings) -> Plan:
    """Choose what runs; raises OperatorError for whatever a person must change first, DependencyError without a browser."""
    registry = load_scenarios(options.arguments(), settings)
    check_schedule(settings.schedule, registry)
    target = load_target(
        options.target,
        folders=own_folders(settings.targets_dir),
        environ=settings.environ,
        base_overrides=options.bases,
        ca_file=Path(options.ca_file) if options.ca_file else None,
        trusted_spki=options.spki,
    )
    choice = choose_scenarios(options.scenarios or ("*",), registry, target)
    if any(spec.browser for spec in choice.specs):
        find_browser(settings.browser_path)
    intervals = intervals_of(choice.specs, settings.schedule, options.every_s)
    return Plan(target, choice, registry, intervals, parse_pauses(settings.worker.maintenance, registry))


@asynccontextmanager
async def open_lane(order: LaneOrder) -> AsyncIterator[LaneKit]:
    """The kit of a lane, as `probes.worker_lane` asks for it."""
    options = LaneOptions.model_validate(order.options)
    configure_logs(level=options.log_level)
    settings_file = Path(options.settings_file) if options.settings_file else None
    read = load_settings(environ=os.environ, path=settings_file)
    settings = replace(read, fleet=order.fleet, region=order.region, probe=order.probe)
    plan = make_plan(options, settings)
    specs = plan.specs_of(order.name)
    scheduled = tuple(
        ScheduledScenario(
            spec, schedule_for(spec.name, interval_s=every_s, region=order.region, regions=settings.regions)
        )
        for spec in specs
        if (every_s := plan.every_s[spec.name]) is not None
    )
    async with open_engines(
        options.arguments(),
        settings,
        plan.target,
        specs,
        clock=SystemClock(),
        say=lambda text: log.info("lane.says", text=text),
    ) as environment:
        yield LaneKit(environment=environment, scheduled=scheduled, on_request=specs, maintenance=rule_of(plan.pauses))
