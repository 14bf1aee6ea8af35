"""A written plan of a month: which slots of which scenarios and regions end how; later statements overwrite earlier ones.

A plan is a TOML file of statements. Each names scenarios and regions (globs), minutes (a range of instants, ranges of minutes, a
residue class), and what happens there. What no statement says anything about passes. The meaning of a plan is a function of the
slot alone, so that anybody can work a month out by hand (docs/reference/simulation.md).

Pure but for reading the file. Called by `collector.simulation` and the command `simulate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from probes.errors import OperatorError
from probes.forms import form
from probes.records import FailureKind
from probes.registry import parse_duration_s
from probes.target_strict import Items
from probes.toml_file import TomlProblem, nearest, read_toml
from slo.window import Span, minute_of

__all__ = ["DEFAULT_JOURNEYS", "Effect", "Plan", "Residue", "Statement", "read_plan"]

DEFAULT_REGIONS: Final = ("eu-west", "us-east", "ap-south")
DEFAULT_JOURNEYS: Final = {
    "api-health": "1m",
    "web-health": "1m",
    "widget-load": "1m",
    "sign-in": "5m",
    "quote": "5m",
    "cad-small": "15m",
    "cad-large": "15m",
    "payment": "15m",
}
"""The scenarios that can be simulated, and how often they run where a plan does not say."""


class Effect(StrEnum):
    """What happens in the slots that a statement is about."""

    PASS = "pass"
    FAIL = "fail"
    SLOW = "slow"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"
    MAINTENANCE = "maintenance"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Residue(_Strict):
    """The minutes with (minute + per_region x region) mod `mod` = `equals`; both counted from 0, regions in the plan's order."""

    mod: int = Field(ge=1)
    equals: int = Field(ge=0)
    per_region: int = 0

    @model_validator(mode="after")
    def _can_be_met(self) -> Residue:
        if self.equals >= self.mod:
            message = f"equals must be below mod ({self.mod}), or no minute is meant"
            raise ValueError(message)
        return self

    def holds(self, minute: int, region_index: int) -> bool:
        """Whether a minute of the month is meant in a region."""
        return (minute + self.per_region * region_index) % self.mod == self.equals


class Statement(_Strict):
    """One statement. Without `from`, `until`, `minutes` and `residue` it is about every minute; with several, where all hold.

    `minutes` are half-open ranges `[first, end]` counted from the month's first minute. `times` and `median_ms` belong to
    `slow`: so many times slower, or a log-normal time around that median with the spread `sigma`.
    """

    scenarios: Items[str] = ("*",)
    regions: Items[str] = ("*",)
    from_at: AwareDatetime | None = Field(default=None, alias="from")
    until_at: AwareDatetime | None = Field(default=None, alias="until")
    minutes: Items[Annotated[tuple[int, int], Field(strict=False)]] = ()
    residue: Residue | None = None
    what: Annotated[Effect, Field(strict=False)]
    kind: Annotated[FailureKind, Field(strict=False)] = FailureKind.TIMEOUT
    step: str = ""
    times: float | None = Field(default=None, gt=0, le=10_000)
    median_ms: float | None = Field(default=None, gt=0, le=86_400_000)
    sigma: float = Field(default=0.25, ge=0, le=3)

    @model_validator(mode="after")
    def _is_consistent(self) -> Statement:
        if self.what is Effect.SLOW and (self.times is None) == (self.median_ms is None):
            message = "slow needs either times or median_ms"
            raise ValueError(message)
        if self.what is not Effect.SLOW and (self.times is not None or self.median_ms is not None):
            message = f"times and median_ms belong to slow, not to {self.what.value}"
            raise ValueError(message)
        if self.what is Effect.FAIL and self.kind.is_ours:
            message = f"a failure of kind {self.kind.value} is the probe's own: say inconclusive"
            raise ValueError(message)
        if any(first >= end or first < 0 for first, end in self.minutes):
            message = "minutes are half-open ranges [first, end] with 0 <= first < end"
            raise ValueError(message)
        return self

    def is_about(self, scenario: str, region: str) -> bool:
        """Whether a scenario in a region is meant at all."""
        return is_matched(scenario, self.scenarios) and is_matched(region, self.regions)

    def holds(self, slot_at: datetime, minute: int, region_index: int) -> bool:
        """Whether a slot is meant, whose minute is counted from the month's first."""
        if self.from_at is not None and slot_at < self.from_at:
            return False
        if self.until_at is not None and slot_at >= self.until_at:
            return False
        if self.minutes and not any(first <= minute < end for first, end in self.minutes):
            return False
        return self.residue is None or self.residue.holds(minute, region_index)


class PlanFile(_Strict):
    """The file as it is written."""

    seed: int = 1
    fleet: Annotated[
        str, form(r"[a-z0-9][a-z0-9-]{0,62}", "1 to 63 lower-case letters, digits and hyphens, the first no hyphen")
    ] = "simulated"
    target: str = Field(default="simulated", min_length=1, max_length=60)
    regions: Items[str] = DEFAULT_REGIONS
    journeys: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_JOURNEYS))
    statement: Items[Statement] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was read: who probes what how often, and the statements in their order."""

    seed: int
    fleet: str
    target: str
    regions: tuple[str, ...]
    every_s: dict[str, float]
    statements: tuple[Statement, ...]

    def statements_about(self, scenario: str, region: str) -> tuple[Statement, ...]:
        """The statements that may mean a slot of a scenario in a region, the last one first."""
        return tuple(one for one in reversed(self.statements) if one.is_about(scenario, region))


def decide(statements: Sequence[Statement], slot_at: datetime, span: Span, region_index: int) -> Statement | None:
    """The statement that rules a slot: the first of these that holds; None: it passes."""
    minute = minute_of(slot_at) - span.from_minute
    for statement in statements:
        if statement.holds(slot_at, minute, region_index):
            return statement
    return None


def is_matched(word: str, patterns: Sequence[str]) -> bool:
    """Whether one of the globs matches."""
    return any(fnmatchcase(word, pattern) for pattern in patterns)


def read_plan(path: Path) -> Plan:
    """The plan in a file; OperatorError names file, line and key of what cannot be."""
    file = read_toml(path)
    plan = file.validate(PlanFile)
    problems = [
        TomlProblem(
            ("journeys", name),
            f"{name!r} cannot be simulated",
            nearest(name, DEFAULT_JOURNEYS) or f"There are {', '.join(DEFAULT_JOURNEYS)}",
        )
        for name in plan.journeys
        if name not in DEFAULT_JOURNEYS
    ]
    for number, statement in enumerate(plan.statement):
        known = (("scenarios", statement.scenarios, plan.journeys), ("regions", statement.regions, plan.regions))
        for key, patterns, names in known:
            problems += [
                TomlProblem(("statement", number, key), f"no {key[:-1]} matches {pattern!r}", nearest(pattern, names))
                for pattern in patterns
                if not any(fnmatchcase(name, pattern) for name in names)
            ]
    if len(set(plan.regions)) != len(plan.regions) or not plan.regions:
        problems.append(TomlProblem(("regions",), "must name at least one region, each once"))
    if problems:
        raise file.refusal(problems)
    every_s = {name: parse_duration_s(every, where=f"{path}: journeys.{name}") for name, every in plan.journeys.items()}
    short = [name for name, seconds in every_s.items() if seconds < 1]
    if short:
        raise OperatorError("an interval below a second cannot be scheduled", where=file.where(("journeys", short[0])))
    return Plan(plan.seed, plan.fleet, plan.target, plan.regions, every_s, plan.statement)
