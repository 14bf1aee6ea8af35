"""The engines of a session, opened in order and closed in the opposite one: HTTP, browser, parts, evidence, fitness.

The only place that knows them all. Refuses to open a browser that no chosen scenario wants, so that a host without one can
still probe over HTTP; a host without one that needs it is told before anything runs. Called by `console.session`, the demo and
the lanes of a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from console.arguments import Arguments
from console.progress import Progress
from fixtures.cad.catalog import open_catalog
from probes.browser import BrowserEngine, find_browser
from probes.clock import Clock
from probes.evidence import EvidenceMode, EvidenceStore
from probes.execute import RunEnvironment
from probes.fitness import FitnessSampler
from probes.fitness_control import ControlTarget
from probes.http import HttpEngine
from probes.registry import Registry, ScenarioSpec, load_registry
from probes.settings import Settings
from probes.targets import Target
from scenarios.platform import open_platform

__all__ = ["load_scenarios", "open_engines", "open_environment"]

log = structlog.get_logger(__name__)

_BUILT_IN_SCENARIOS = "scenarios"


def load_scenarios(arguments: Arguments, settings: Settings) -> Registry:
    """The built-in scenarios, those of the settings' folder, and those of every `--scenarios`."""
    folders = [settings.scenarios_dir] if settings.scenarios_dir is not None else []
    return load_registry(_BUILT_IN_SCENARIOS, *folders, *arguments.scenario_dirs)


@asynccontextmanager
async def open_environment(
    arguments: Arguments,
    settings: Settings,
    target: Target,
    specs: Sequence[ScenarioSpec],
    *,
    clock: Clock,
    progress: Progress,
) -> AsyncIterator[RunEnvironment]:
    """Everything that the runs of `specs` need, for the length of the block; this process's fitness and its network are watched.

    Raises OperatorError or DependencyError when the evidence folder cannot be written or there is no browser.
    """
    async with (
        open_engines(arguments, settings, target, specs, clock=clock, say=progress.say) as environment,
        FitnessSampler() as fitness,
        _open_control(settings.worker.control_url, environment) as control,
    ):
        yield replace(environment, fitness=fitness, control=control)


@asynccontextmanager
async def _open_control(url: str, environment: RunEnvironment) -> AsyncIterator[ControlTarget | None]:
    """The control target, where the settings name one."""
    control = ControlTarget(url, engine=environment.http, clock=environment.clock) if url else None
    try:
        yield control
    finally:
        if control is not None:
            await control.close()


@asynccontextmanager
async def open_engines(
    arguments: Arguments,
    settings: Settings,
    target: Target,
    specs: Sequence[ScenarioSpec],
    *,
    clock: Clock,
    say: Callable[[str], None],
) -> AsyncIterator[RunEnvironment]:
    """The same without anybody who watches the host: a lane of the worker does that itself."""
    store = _evidence_store(arguments, settings, clock)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(_prune, store, settings)
        engine = await opened.enter_async_context(HttpEngine(max_in_flight=settings.max_in_flight))
        browser = None
        if any(spec.browser for spec in specs):
            choice = find_browser(settings.browser_path)
            browser = await opened.enter_async_context(BrowserEngine(choice, sandbox=settings.browser_sandbox))
        yield RunEnvironment(
            clock=clock,
            http=engine,
            target=target,
            fleet=settings.fleet,
            region=settings.region,
            probe=settings.probe,
            catalog=open_catalog(
                settings.parts_dir,
                on_making=lambda part_id, _bytes: say(f"making the reference part {part_id}, once"),
            ),
            browser=browser,
            evidence=store,
            platform_factory=open_platform,
        )


def _evidence_store(arguments: Arguments, settings: Settings, clock: Clock) -> EvidenceStore:
    """The store, checked before anything runs."""
    mode = EvidenceMode(arguments.evidence_mode or settings.evidence_mode)
    store = EvidenceStore(arguments.evidence_dir or settings.evidence_dir, mode=mode, clock=clock)
    store.check_writable()
    return store


async def _prune(store: EvidenceStore, settings: Settings) -> None:
    """Remove evidence that is older or more than the settings keep, after everything was measured."""
    pruned = await asyncio.to_thread(
        store.prune, keep_days=settings.evidence_keep_days, keep_bytes=settings.evidence_keep_bytes
    )
    for problem in pruned.problems:
        log.warning("evidence.not_pruned", problem=problem)
