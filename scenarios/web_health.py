"""Scenario `web-health`: is the web site well? Judged by content, never by status alone."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario


@scenario("web-health", every="1m", timeout="20s", needs=("web_health",), tags=("health",))
async def web_health(probe: Journey) -> None:
    """Ask the web site how it is."""
    async with probe.step("web-health", deadline_s=10):
        await probe.platform.health("web_health")
