"""What the API answers about two sides beside each other: models, and how they are made of what the page shows.

Refuses to ask and to work out anything. Called by `collector.web.routes_compare`.
"""

from __future__ import annotations

from datetime import datetime

from collector.web.api import Answer
from collector.web.comparison_view import ComparisonView, Ends
from slo.comparison import Finding

__all__ = ["ComparisonAnswer", "comparison_answer"]


class EndsAnswer(Answer):
    """How the runs of a side ended; failures by kind and by failed step. `is_cut`: of very many steps the newest were read."""

    passed: int
    failed: int
    inconclusive: int
    kinds: dict[str, int]
    failed_steps: dict[str, int]
    is_cut: bool


class ChoiceAnswer(Answer):
    """A side that can be chosen, by its `name`: runs whose slots are from `from_at` until `until_at`. `label` says it."""

    name: str
    label: str
    from_at: datetime
    until_at: datetime


class SideAnswer(Answer):
    """Times of passed steps at nearest rank; null where too few are there to say."""

    count: int
    hours: int
    median_ns: int | None
    p95_ns: int | None


class StepAnswer(Answer):
    """A step. `middle` is about typical times, `tail` about the share of slow ones; both say how the second differs."""

    step: str
    first: SideAnswer
    second: SideAnswer
    middle: Finding
    tail: Finding


class FoundAnswer(Answer):
    """What was found. All findings together are wrong with a chance of at most 5 % where nothing differs."""

    first: EndsAnswer
    second: EndsAnswer
    failures: Finding
    steps: list[StepAnswer]


class ComparisonAnswer(Answer):
    """What can be chosen (`sides`, `scenarios`), and what was found; null until two different sides are chosen."""

    target: str
    by: str
    days: int
    scenario: str
    scenarios: list[str]
    sides: list[ChoiceAnswer]
    a: str | None
    b: str | None
    found: FoundAnswer | None


def comparison_answer(view: ComparisonView) -> ComparisonAnswer:
    """The comparison as the API tells it."""
    found = view.found
    return ComparisonAnswer(
        target=view.choice.target,
        by=view.kind,
        days=view.days,
        scenario=view.scenario,
        scenarios=list(view.scenarios),
        sides=[
            ChoiceAnswer(name=name, label=one.label, from_at=one.heap.from_at, until_at=one.heap.until_at)
            for name, one in view.sides.items()
        ],
        a=view.first,
        b=view.second,
        found=None
        if found is None
        else FoundAnswer(
            first=_ends(found.first),
            second=_ends(found.second),
            failures=found.failures,
            steps=[StepAnswer.model_validate(one) for one in found.steps],
        ),
    )


def _ends(ends: Ends) -> EndsAnswer:
    return EndsAnswer(
        passed=ends.passed,
        failed=ends.failed,
        inconclusive=ends.inconclusive,
        kinds={kind.value: count for kind, count in ends.kinds.items()},
        failed_steps=dict(ends.failed_steps),
        is_cut=ends.is_cut,
    )
