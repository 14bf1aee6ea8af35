"""Scenario `payment`: from a file to a settled payment, in test mode only; no real money and no order ever."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.quote import QUOTE_NEEDS, walk_to_quote


@scenario(
    "payment",
    every="15m",
    timeout="4m",
    writes=True,
    payment=True,
    needs=(*QUOTE_NEEDS, "checkout", "settle"),
    tags=("money",),
)
async def payment(probe: Journey) -> None:
    """Make a quote and pay it in the platform's test mode; the amount must stay the same all the way."""
    platform = probe.platform
    quote = await walk_to_quote(probe, keep=True)
    async with probe.step("checkout", deadline_s=20):
        order = await platform.checkout(quote)
    async with probe.step("settle", deadline_s=30):
        await platform.settle(order)
