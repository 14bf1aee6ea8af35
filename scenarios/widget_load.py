"""Scenario `widget-load`: the widget on a customer's page, cold, until its own controls answer inside the frame."""

from __future__ import annotations

from probes.journey import Journey
from probes.records import FailureKind
from probes.registry import scenario
from scenarios.widget import WidgetPage


@scenario("widget-load", every="1m", timeout="60s", browser=True, needs=("widget",), tags=("widget",))
async def widget_load(probe: Journey) -> None:
    """Load a customer's page and wait until the widget is ready; no script of the page may fail on the way."""
    async with probe.browser(trusted_spki=probe.target.trusted_spki) as session:
        widget = WidgetPage(probe, session)
        async with probe.step("load", deadline_s=30):
            await widget.load()
        page = await widget.settle()
        if page.uncaught_errors:
            probe.fail(FailureKind.BROWSER, f"uncaught in the page: {'; '.join(page.uncaught_errors)}")
