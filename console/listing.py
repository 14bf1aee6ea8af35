"""`list`: every scenario with what it does, how often, what it touches, and the files that would not load.

Refuses to hide a broken file: the exit code is 2 when there is one. Called by `console.app`.
"""

from __future__ import annotations

from rich.padding import Padding
from rich.text import Text

from console.desk import Desk
from console.verdict import ExitCode
from console.wiring import load_scenarios
from probes.registry import ScenarioSpec

__all__ = ["list_scenarios"]

_SECONDS_OF_UNIT = {"d": 86_400, "h": 3_600, "m": 60}


async def list_scenarios(desk: Desk) -> ExitCode:
    """Print the scenarios; 2 when a file would not load."""
    console = desk.console
    registry = load_scenarios(desk.arguments, desk.settings)
    for spec in registry:
        heading = Text.assemble((spec.name, "bold"), (f"  every {interval_text(spec.every_s)}", "dim"))
        if marks := _marks(spec):
            heading.append(f"  {', '.join(marks)}", style="yellow")
        console.print(heading)
        console.print(Padding(Text(spec.summary), (0, 0, 0, 4)))
    for problem in registry.problems:
        console.print(Text(f"would not load: {problem}", style="bold red"))
    return ExitCode.USAGE if registry.problems else ExitCode.PASSED


def _marks(spec: ScenarioSpec) -> list[str]:
    marks = {"writes": spec.writes, "browser": spec.browser, "payment (test mode only)": spec.payment}
    return [name for name, is_set in marks.items() if is_set]


def interval_text(interval_s: float) -> str:
    """`90s`, `15m`, `1h`: the way it is written in a scenario."""
    for unit, seconds in _SECONDS_OF_UNIT.items():
        if interval_s >= seconds and interval_s % seconds == 0:
            return f"{interval_s / seconds:g}{unit}"
    return f"{interval_s:g}s"
