"""The journeys that can be simulated: the steps of each, how long they take on a healthy platform, and what they do.

The names are those of the real scenarios (`scenarios/`), so that every service level finds in a simulated month what it finds in
a real one; a test holds the two together. Medians are made up. Data only; called by `collector.simulation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["JOURNEYS", "SimulatedStep"]


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """A step: its median time in milliseconds, how many requests it makes, the part it sends, and whether it loads a page."""

    name: str
    median_ms: float
    requests: int = 0
    part: str = ""
    part_bytes: int = 0
    is_page: bool = False


def _part(part: str, part_bytes: int, upload_ms: float, analyse_ms: float) -> tuple[SimulatedStep, SimulatedStep]:
    return (
        SimulatedStep("upload", upload_ms, 1, part, part_bytes),
        SimulatedStep("analyse", analyse_ms, 2, part, part_bytes),
    )


SIGN_IN: Final = SimulatedStep("sign-in", 90, 1)
QUOTE: Final = (
    SIGN_IN,
    *_part("bracket", 60_000, 140, 1_900),
    SimulatedStep("dfm", 700, 3, "bracket", 60_000),
    SimulatedStep("price", 260, 3),
    SimulatedStep("quote", 120, 1),
)
JOURNEYS: Final[Mapping[str, tuple[SimulatedStep, ...]]] = {
    "api-health": (
        SimulatedStep("api-health", 45, 1),
        SimulatedStep("cad-health", 40, 1),
        SimulatedStep("api-health", 45, 1),
    ),
    "web-health": (SimulatedStep("web-health", 40, 1),),
    "widget-load": (SimulatedStep("load", 800, 0, is_page=True),),
    "sign-in": (SIGN_IN, SimulatedStep("session", 50, 1), SimulatedStep("wrong-password", 70, 1)),
    "quote": QUOTE,
    "cad-small": (*_part("bracket", 60_000, 140, 1_900), *_part("heat-sink", 400_000, 200, 3_500)),
    "cad-large": (
        *_part("near-limit-step", 49_900_000, 4_200, 14_000),
        *_part("near-limit-mib-stl", 52_400_000, 4_400, 9_000),
    ),
    "payment": (*QUOTE, SimulatedStep("checkout", 150, 1), SimulatedStep("settle", 180, 1)),
}
