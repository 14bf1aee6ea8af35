"""Scenario `api-health`: is the API well, and the CAD service behind it? Judged by content, never by status alone."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.expectations import expect_moved


@scenario("api-health", every="1m", timeout="30s", needs=("api_health",), tags=("health",))
async def api_health(probe: Journey) -> None:
    """Ask the API and the CAD service how they are; fields must be right and the clock in them must move."""
    platform = probe.platform
    async with probe.step("api-health", deadline_s=10):
        before = await platform.health("api_health")
    if platform.has("cad_health"):
        async with probe.step("cad-health", deadline_s=10):
            await platform.health("cad_health")
    if before:
        await probe.sleep(platform.moving_after_s("api_health"))
        async with probe.step("api-health", deadline_s=10):
            after = await platform.health("api_health")
        expect_moved(probe, before, after)
