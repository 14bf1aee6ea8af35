"""Scenario `widget-quote`: what the platform is there for, inside the widget, as a visitor of a customer's page."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.platform import part_attributes
from scenarios.widget import WidgetPage


@scenario(
    "widget-quote", every="15m", timeout="4m", writes=True, browser=True, needs=("widget",), tags=("widget", "money")
)
async def widget_quote(probe: Journey) -> None:
    """Load the widget, upload a part, read what was measured, ask prices at several quantities, make a quote."""
    part = probe.platform.quote_part()
    content = part.path.read_bytes()
    async with probe.browser(trusted_spki=probe.target.trusted_spki) as session:
        widget = WidgetPage(probe, session)
        async with probe.step("load", deadline_s=30):
            await widget.load()
        async with probe.step("upload", deadline_s=30, **part_attributes(part)):
            await widget.upload(part, content)
        uploaded = await widget.answer_to("upload")
        probe.platform.adopt_upload(part, widget.file_name(part), uploaded and uploaded.body)
        async with probe.step("analyse", deadline_s=60, **part_attributes(part)):
            await widget.analyse()
        await widget.expect_geometry(part)
        async with probe.step("price", deadline_s=30):
            prices = await widget.prices(probe.target.quantities)
        widget.expect_fair(prices)
        async with probe.step("quote", deadline_s=30):
            await widget.quote(prices[-1] if prices else None)
        quoted = await widget.answer_to("quote")
        probe.platform.adopt_quote(quoted and quoted.body, quoted.token if quoted else "")
