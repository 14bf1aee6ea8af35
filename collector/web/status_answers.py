"""What the API answers anybody about the platform: the public page as JSON, and not a word more.

Refuses to ask and to work out anything. Called by `collector.web.routes_status`.
"""

from __future__ import annotations

from datetime import datetime

from collector.web.api import Answer
from collector.web.api_answers import DayAnswer, day_answer
from collector.web.public_view import DAYS, Component, PublicStatus

__all__ = ["StatusAnswer", "status_answer"]


class ComponentAnswer(Answer):
    """A promised uptime. `state` is good, bad, warn or none (unknown), `word` says the same; the counts are minutes."""

    title: str
    state: str
    word: str
    good: int
    bad: int
    unknown: int
    excluded: int
    days: list[DayAnswer]


class DisruptionAnswer(Answer):
    """Something that customers could notice; null: it goes on. `minutes` is how long it took, or takes by now."""

    since_at: datetime
    until_at: datetime | None
    minutes: int
    components: list[str]


class WorksAnswer(Answer):
    """Announced works."""

    from_at: datetime
    until_at: datetime
    components: list[str]


class StatusAnswer(Answer):
    """How the platform is, and was in the last `span_days`. `as_of` null: nothing was measured yet."""

    as_of: datetime | None
    state: str
    headline: str
    span_days: int
    components: list[ComponentAnswer]
    disruptions: list[DisruptionAnswer]
    works: list[WorksAnswer]


def status_answer(status: PublicStatus | None) -> StatusAnswer:
    """The status as the API tells it."""
    return StatusAnswer(
        as_of=status.as_of if status else None,
        state=status.state if status else "none",
        headline=status.headline if status else "Nothing was measured yet.",
        span_days=DAYS,
        components=[_component(one) for one in status.components] if status else [],
        disruptions=[DisruptionAnswer.model_validate(one) for one in status.disruptions] if status else [],
        works=[WorksAnswer.model_validate(one) for one in status.works] if status else [],
    )


def _component(one: Component) -> ComponentAnswer:
    return ComponentAnswer(
        title=one.title,
        state=one.state,
        word=one.word,
        good=one.good,
        bad=one.bad,
        unknown=one.unknown,
        excluded=one.excluded,
        days=[day_answer(day) for day in one.days],
    )
