"""A stand-in for each file, and real HTTP around it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from console.stand_in import StandIn, start_stand_in
from probes.clock import SystemClock
from probes.execute import RunEnvironment
from probes.http import HttpEngine
from scenarios.platform import open_platform
from tests.scenario_kit import target_of


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand_in() -> AsyncIterator[StandIn]:
    """One stand-in for all tests of a file."""
    async with start_stand_in(["--warm", "0"]) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def environment(stand_in: StandIn) -> AsyncIterator[RunEnvironment]:
    """A real HTTP engine around it."""
    async with HttpEngine() as http:
        yield RunEnvironment(clock=SystemClock(), http=http, target=target_of(stand_in), platform_factory=open_platform)
