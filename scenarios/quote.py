"""Scenario `quote`: what the platform is there for, from a file to a quote; every answer checked."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.expectations import expect_fair, expect_findings
from scenarios.platform import part_attributes
from scenarios.results import Quote

QUOTE_NEEDS = ("sign_in", "upload", "analyse", "price", "quote")


@scenario("quote", every="5m", timeout="3m", writes=True, needs=QUOTE_NEEDS, tags=("money",))
async def quote(probe: Journey) -> None:
    """Sign in, upload a part, have it measured and checked, ask its price at several quantities, make a quote."""
    await walk_to_quote(probe)


async def walk_to_quote(probe: Journey, *, keep: bool = False) -> Quote:
    """The way to a quote, which `payment` walks too; `keep` the quote if it is going to be paid."""
    platform = probe.platform
    part = platform.quote_part()
    async with probe.step("sign-in", deadline_s=15):
        await platform.sign_in()
    async with probe.step("upload", deadline_s=30, **part_attributes(part)):
        upload = await platform.upload(part)
    async with probe.step("analyse", deadline_s=60, **part_attributes(part)):
        analysis = await platform.analyse(upload)
    probe.expect_geometry(analysis, part)
    if platform.has("dfm"):
        async with probe.step("dfm", deadline_s=60, **part_attributes(part)):
            findings = await platform.dfm(upload)
        expect_findings(probe, findings, part)
    async with probe.step("price", deadline_s=30):
        prices = [await platform.price(analysis, quantity) for quantity in probe.target.quantities]
        again = await platform.price(analysis, prices[0].quantity)
    expect_fair(probe, prices, again)
    async with probe.step("quote", deadline_s=30):
        made: Quote = await platform.quote(analysis, prices[0], keep=keep)
    if platform.has("read_quote"):
        async with probe.step("read-back", deadline_s=15):
            await platform.read_quote(made)
    return made
