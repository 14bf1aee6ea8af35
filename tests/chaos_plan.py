"""What is broken when, in a test of exactly-once: drawn from a seed, tied to progress and not to the clock.

The same seed draws the same plan; which instruction of which process it hits is up to the machine, so a seed narrows a failure
down and does not replay it. Pure. Called by `tests.chaos_fleet`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random, SystemRandom

from tests.faulty_proxy import Break

__all__ = ["SEED_VARIABLE", "Blow", "chosen_seed", "plan_blows"]

SEED_VARIABLE = "CHAOS_SEED"
FIRST_SHARE, LAST_SHARE = 0.03, 0.97


@dataclass(frozen=True, slots=True)
class Blow:
    """Once so many slots have ended: kill `victim` and leave it dead for `hold_s`, or break its link for so long."""

    at_ended: int
    victim: str
    hold_s: float
    link_break: Break | None = None

    def __str__(self) -> str:
        what = f"its link {self.link_break.value}" if self.link_break else "killed"
        return f"at {self.at_ended}: {self.victim} {what}, for {self.hold_s:.1f} s"


def chosen_seed() -> int:
    """The seed of `CHAOS_SEED`, or a new one."""
    return int(os.environ.get(SEED_VARIABLE) or SystemRandom().randrange(1_000_000))


def plan_blows(
    random: Random, *, slots: int, kills: Mapping[str, int], links: Sequence[str], breaks: int, longest_s: float
) -> list[Blow]:
    """So many kills of each victim, spread over the whole time, and so many breaks of links, every kind as often."""
    blows = []
    for victim, count in kills.items():
        for turn in range(count):
            place = (turn + random.random()) / count
            blows.append(Blow(ended_at(place, slots), victim, random.uniform(0, longest_s)))
    kinds = list(Break)
    random.shuffle(kinds)
    for turn in range(breaks):
        place = (turn + random.random()) / breaks
        hold_s = random.uniform(0.2, longest_s)
        blows.append(Blow(ended_at(place, slots), random.choice(links), hold_s, kinds[turn % len(kinds)]))
    return sorted(blows, key=lambda blow: blow.at_ended)


def ended_at(place: float, slots: int) -> int:
    """The progress at a place between 0 and 1; something goes before the first blow, and after the last."""
    return round(slots * (FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * place))
