"""What a lane is handed by the wiring: open engines, its scenarios with their schedules, and how many runs may go at once.

The worker may not know scenarios, reference parts or a command line, so the wiring names a factory as `module:function`; the
lane's own process imports it and opens what it returns. Refuses to open anything itself. Implemented by the wiring, called by
`probes.worker_lane`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from probes.errors import OperatorError
from probes.execute import RunEnvironment
from probes.registry import ScenarioSpec
from probes.schedule import Schedule
from probes.worker_pipe import LaneOrder
from probes.worker_slots import MaintenanceRule, no_maintenance

__all__ = ["LaneFactory", "LaneKit", "ScheduledScenario", "find_factory"]


@dataclass(frozen=True, slots=True)
class ScheduledScenario:
    """A scenario and its slots in this region."""

    spec: ScenarioSpec
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneKit:
    """Everything a lane works with. `environment.fitness` is left out: the lane watches its own process.

    `on_request` are scenarios that have no schedule here but may be asked for.
    """

    environment: RunEnvironment
    scheduled: tuple[ScheduledScenario, ...]
    on_request: tuple[ScenarioSpec, ...] = ()
    maintenance: MaintenanceRule = no_maintenance


LaneFactory = Callable[[LaneOrder], AbstractAsyncContextManager[LaneKit]]
"""Opens the kit for the length of a block. Raises OperatorError or DependencyError when the lane cannot work here."""


def find_factory(reference: str) -> LaneFactory:
    """The factory called `module:function`; raises OperatorError when there is none."""
    module_name, _, name = reference.partition(":")
    try:
        found: object = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise OperatorError(f"there is no lane factory {reference!r}: {error}", where="LaneOrder.factory") from error
    if not callable(found):
        raise OperatorError(f"{reference!r} is not a function", where="LaneOrder.factory")
    return found
