"""The slots of a day as the page of the fleet has them: a row for each scenario, or the regions of one.

A row for each scenario of each region would be hundreds of rows. Refuses to count (`collector.probe_line` does). Called by
`collector.web.routes_fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.ledger import SlotCounts
from collector.texts.probe_texts import coverage_text
from collector.web.render import url_for

__all__ = ["ShownSlots", "slots_by_region", "slots_by_scenario"]


@dataclass(frozen=True, slots=True)
class ShownSlots:
    """The slots of a scenario or of a region; `least` names the region of a scenario that covered least."""

    name: str
    counts: SlotCounts
    covered: str
    least: str
    link: str


def slots_by_scenario(counts: Mapping[tuple[str, str], SlotCounts]) -> list[ShownSlots]:
    """A row for each scenario, all regions together, with the region that covered least where one did not cover all."""
    regions: dict[str, dict[str, SlotCounts]] = {}
    for (scenario, region), of_region in counts.items():
        regions.setdefault(scenario, {})[region] = of_region
    rows = []
    for scenario, of_scenario in sorted(regions.items()):
        whole = SlotCounts()
        for of_region in of_scenario.values():
            whole.add(of_region)
        short = {name: one.ran / one.due for name, one in of_scenario.items() if one.ran < one.due}
        least = min(sorted(short), key=short.__getitem__, default="")
        words = f"{least} {coverage_text(of_scenario[least])}" if least else ""
        link = f"{url_for('/fleet', scenario=scenario)}#slots"
        rows.append(ShownSlots(scenario, whole, coverage_text(whole), words, link))
    return rows


def slots_by_region(counts: Mapping[tuple[str, str], SlotCounts], scenario: str) -> list[ShownSlots]:
    """A row for each region of one scenario, which leads to its runs."""
    return [
        ShownSlots(region, one, coverage_text(one), "", url_for("/runs", scenario=scenario, region=region))
        for (name, region), one in sorted(counts.items())
        if name == scenario
    ]
