"""What cost budget, as episodes: bad minutes that belong together, and how much each took.

An episode ends with the first minute that everybody who could tell found good; minutes that nobody can tell about end none,
unless they go on for an hour. So one outage is one episode even where the probes were blind in the middle of it. Refuses to know
why (`collector.line_account` asks the runs). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slo.bitmaps import ones

__all__ = ["CostEpisode", "costliest", "episodes_of"]

LONGEST_GAP_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class CostEpisode:
    """Minutes that cost budget, in order, and the cost of all: bad minutes, or bad events."""

    minutes: tuple[int, ...]
    cost: int

    @property
    def from_minute(self) -> int:
        """The first bad minute."""
        return self.minutes[0]

    @property
    def until_minute(self) -> int:
        """The first minute after the last bad one."""
        return self.minutes[-1] + 1


def episodes_of(costs: Mapping[int, int], good: int, first_minute: int) -> tuple[CostEpisode, ...]:
    """The episodes in order of time. `costs` has the bad minutes; bit i of `good` is the minute `first_minute + i`."""
    groups: list[list[int]] = []
    for minute in sorted(costs):
        if groups and not _is_over(groups[-1][-1], minute, good, first_minute):
            groups[-1].append(minute)
        else:
            groups.append([minute])
    return tuple(CostEpisode(tuple(group), sum(costs[minute] for minute in group)) for group in groups)


def _is_over(last: int, minute: int, good: int, first_minute: int) -> bool:
    """Whether something good, or too long a silence, lies between two bad minutes."""
    between = minute - last - 1
    if between > LONGEST_GAP_MINUTES:
        return True
    return between > 0 and bool(good >> (last + 1 - first_minute) & ones(between))


def costliest(episodes: Sequence[CostEpisode], most: int) -> tuple[CostEpisode, ...]:
    """Those that cost the most, the earlier one of two that cost the same; in order of time."""
    chosen: Collection[CostEpisode] = sorted(episodes, key=lambda one: (-one.cost, one.from_minute))[:most]
    return tuple(sorted(chosen, key=lambda one: one.from_minute))
