"""How a bench says what it found: goals with what was measured, and tables for people.

A goal is missed, met, or was not measured for a stated reason. Called by every bench and by `bench.__main__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

__all__ = ["Findings", "Goal", "median", "percentile"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: `measured` must not pass `limit` (or must reach it, with `at_least`); None: not measured, `note` says why."""

    name: str
    limit: float
    measured: float | None
    at_least: bool = False
    note: str = ""

    @property
    def missed(self) -> bool:
        """True when it was measured and the promise does not hold."""
        if self.measured is None:
            return False
        return self.measured < self.limit if self.at_least else self.measured > self.limit


@dataclass(slots=True)
class Findings:
    """What one bench found."""

    title: str
    heads: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Prints the table, the goals and the notes."""
        table = Table(*self.heads, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for goal in self.goals:
            bound = "at least" if goal.at_least else "at most"
            if goal.measured is None:
                console.print(f"  not measured  {goal.name}: {goal.note}")
            else:
                verdict = "MISSED" if goal.missed else "met"
                console.print(f"  {verdict:12}  {goal.name}: {goal.measured:.2f}, {bound} {goal.limit:g} {goal.note}")
        for note in self.notes:
            console.print(f"  {note}")
        console.print()


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def median(values: Sequence[float]) -> float:
    """Nearest rank of one half."""
    return percentile(values, 0.5)
