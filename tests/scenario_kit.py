"""What tests of scenarios share: an environment around one target, and runs of the built-in scenarios in it.

Real engines all the way: HTTP, Chromium, the reference parts. Called by the system tests of scenarios.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from console.stand_in import StandIn
from fixtures.cad.catalog import open_catalog
from probes.browser import BrowserEngine, find_browser
from probes.clock import SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.http import HttpEngine
from probes.records import Outcome, Run, Step
from probes.registry import load_registry
from probes.targets import Target, load_target
from scenarios.platform import open_platform

__all__ = [
    "control",
    "describe",
    "failed_steps",
    "open_scenario_environment",
    "run_built_in",
    "step_named",
    "target_of",
]


def target_of(stand_in: StandIn) -> Target:
    """The built-in description with the addresses of this stand-in."""
    return load_target(
        "stand-in",
        environ={},
        base_overrides=stand_in.urls,
        ca_file=stand_in.ca_file,
        trusted_spki=stand_in.trusted_spki,
    )


@asynccontextmanager
async def open_scenario_environment(target: Target) -> AsyncIterator[RunEnvironment]:
    """Engines for the length of the block; the browser starts when a scenario wants it."""
    async with AsyncExitStack() as opened:
        yield RunEnvironment(
            clock=SystemClock(),
            http=await opened.enter_async_context(HttpEngine()),
            target=target,
            catalog=open_catalog(),
            browser=await opened.enter_async_context(BrowserEngine(find_browser())),
            platform_factory=open_platform,
        )


async def run_built_in(name: str, environment: RunEnvironment) -> Run:
    """One run of the built-in scenario `name`."""
    return await run_scenario(load_registry("scenarios").get(name), environment=environment)


def failed_steps(run: Run) -> list[Step]:
    """The steps that did not pass, clean-up aside."""
    return [step for step in run.steps if step.outcome is not Outcome.PASS and not step.cleanup]


def describe(run: Run) -> str:
    """What a failing test prints of a run: every step, what it took, and why it failed."""
    lines = [f"{run.identity.scenario}: {run.outcome} {run.failure or ''}"]
    for step in run.steps:
        part = step.attributes.get("cad.part", "")
        lines.append(f"  {step.name} {part} {step.duration_ns / 1e9:.3f} s {step.outcome} {step.failure or ''}")
        lines += [f"    {check.name}: {check.expected} / {check.found}" for check in step.expectations if not check.ok]
    lines += [f"  {effect}" for effect in run.side_effects]
    return "\n".join(lines)


def control(stand_in: StandIn, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """Ask the stand-in's control site."""
    request = urllib.request.Request(  # noqa: S310 - our own, http
        stand_in.urls["control"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        return json.load(answer)


def step_named(run: Run, name: str) -> Step:
    """The first step so named."""
    return next(step for step in run.steps if step.name == name)
