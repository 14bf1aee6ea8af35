"""A second opinion on a simulated month of `api-health`: minute by minute, by the words of the documents and nothing of ours.

Reads the plan as TOML itself, votes, takes majorities and slides windows in the plainest way there is, in fractions. Imports
no code of the project, so that a mistake there cannot be repeated here. Called by `tests/integration/test_month_by_hand.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

__all__ = ["HandMonth", "alerts_by_hand", "month_by_hand"]

MONTH = datetime(2026, 9, 1, tzinfo=UTC)
WORKS = (MONTH + timedelta(days=12, hours=2), MONTH + timedelta(days=12, hours=4))
ALLOWED = Fraction(1, 1000)
TIERS = {
    "critical": (60, 5, Fraction(2, 100), 2),
    "high": (360, 30, Fraction(5, 100), 2),
    "medium": (1440, 120, Fraction(10, 100), 1),
    "report": (4320, 360, Fraction(10, 100), 1),
}
"""Long window, short window, share of the budget of thirty days, least bad minutes of a page."""


@dataclass
class HandMonth:
    """What each minute was: a letter of g(ood), b(ad), u(nknown), x (left out); and the ties and the doubtful ones."""

    states: str = ""
    ties: list[int] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)


def month_by_hand(plan_file: Path, days: int) -> HandMonth:
    """The first days of September."""
    plan = tomllib.loads(plan_file.read_text(encoding="utf-8"))
    found = HandMonth()
    for minute in range(days * 1440):
        if WORKS[0] <= MONTH + timedelta(minutes=minute) < WORKS[1]:
            found.states += "x"
            continue
        votes = [_vote(plan, minute, index) for index in range(len(plan["regions"]))]
        good, bad = votes.count("pass"), votes.count("fail")
        if good + bad < 2:
            found.states += "u"
            if bad:
                found.suspects.append(minute)
        elif bad > good:
            found.states += "b"
        else:
            found.states += "g"
            if bad == good:
                found.ties.append(minute)
    return found


def _vote(plan: dict[str, Any], minute: int, region: int) -> str:
    """What the last statement says that is about this minute in this region."""
    what = "pass"
    at = MONTH + timedelta(minutes=minute)
    for statement in plan["statement"]:
        if not any(fnmatchcase("api-health", glob) for glob in statement.get("scenarios", ["*"])):
            continue
        if not any(fnmatchcase(plan["regions"][region], glob) for glob in statement.get("regions", ["*"])):
            continue
        if "from" in statement and at < statement["from"]:
            continue
        if "until" in statement and at >= statement["until"]:
            continue
        if (residue := statement.get("residue")) is not None:
            shifted = minute + residue.get("per_region", 0) * region
            if shifted % residue["mod"] != residue["equals"]:
                continue
        what = statement["what"]
    return what


def alerts_by_hand(states: str) -> dict[str, list[tuple[str, str, str]]]:
    """By tier: cause, the minute in which it fired, and the one in which it resolved, as `03 10:01`."""
    return {name: list(_alerts_of(states, *tier)) for name, tier in TIERS.items()}


def _alerts_of(states: str, long: int, short: int, budget: Fraction, least: int) -> Iterator[tuple[str, str, str]]:
    share = budget * 43_200 / long * ALLOWED
    counts = {letter: [0] for letter in "gbux"}
    for state in states:
        for letter, sums in counts.items():
            sums.append(sums[-1] + (state == letter))

    def within(letter: str, minute: int, width: int) -> int:
        return counts[letter][minute + 1] - counts[letter][max(0, minute + 1 - width)]

    def is_above(minute: int, width: int) -> bool:
        bad = within("b", minute, width)
        known = bad + within("g", minute, width)
        return known > 0 and Fraction(bad, known) > share

    def cause_at(minute: int) -> str:
        if within("u", minute, long) > within("g", minute, long) + within("b", minute, long):
            return "no_data"
        is_burning = within("b", minute, long) >= least and is_above(minute, long) and is_above(minute, short)
        return "burn" if is_burning else ""

    causes = groupby(range(len(states)), key=cause_at)
    stretches = [(cause, next(minutes)) for cause, minutes in causes]
    for (cause, since), (_, until) in pairwise([*stretches, ("", len(states))]):
        if cause:
            yield cause, _text(since), _text(until)


def _text(minute: int) -> str:
    return (MONTH + timedelta(minutes=minute)).strftime("%d %H:%M")
