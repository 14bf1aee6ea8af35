"""Two releases, two regions, or two times between announced releases beside each other: step times and failures.

With how many there were and whether it is chance. Says "no difference was found" where none was, never that there is none.
Refuses to judge a release (the gate does that, before it goes out). Called by `collector.web.parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from collector.store_samples import ReleaseSeen
from collector.web.apart import APART
from collector.web.comparison_answers import ComparisonAnswer, comparison_answer
from collector.web.comparison_view import (
    COMPARISONS,
    DEFAULT_KIND,
    KINDS,
    MOST_DAYS,
    RELEASES,
    Comparison,
    comparison_view,
)
from collector.web.kept import Kept, keep
from collector.web.parameters import TARGET
from collector.web.registry import NavLink, Operation, Parameter, Part, Route
from collector.web.render import render
from collector.web.site import SITE
from slo.comparison import LEAST_HOURS, Finding

__all__ = ["PART"]

MOST_KEPT: Final = 12
LEAST_AGE_S: Final = 30.0
WORDS: Final[Mapping[Finding, str]] = {
    Finding.MORE: "more in B",
    Finding.LESS: "less in B",
    Finding.NOT_FOUND: "no difference found",
    Finding.TOO_FEW: "too few hours",
}
TONES: Final[Mapping[Finding, str]] = {
    Finding.MORE: "bad",
    Finding.LESS: "good",
    Finding.NOT_FOUND: "none",
    Finding.TOO_FEW: "none",
}
BY: Final = Parameter("by", {"type": "string", "enum": list(KINDS), "default": DEFAULT_KIND}, "What the sides are.")
DAYS: Final = Parameter(
    "days",
    {"type": "integer", "minimum": 1, "maximum": MOST_DAYS, "default": 7},
    "How many days back runs are looked at.",
)
SCENARIO: Final = Parameter("scenario", {"type": "string"}, "Runs of this scenario alone; without it of all.")
FIRST: Final = Parameter("a", {"type": "string"}, "The first side, by the `name` of one of `sides`.")
SECOND: Final = Parameter("b", {"type": "string"}, "The second side; findings say how it differs from the first.")


async def show_comparison(request: web.Request) -> web.StreamResponse:
    """The form, and below it the figures once two different sides are chosen."""
    view = await comparison_view(request, is_soon=True)
    sides, names = view.sides, list(view.sides)
    return render(
        request,
        "compare.html",
        title="Compare",
        choice=view.choice,
        kind=view.kind,
        kinds=KINDS,
        days=view.days,
        scenario=view.scenario,
        scenarios=view.scenarios,
        sides=sides,
        first=view.first if view.first is not None else (names[1] if len(names) > 1 else ""),
        second=view.second if view.second is not None else (names[0] if names else ""),
        heap=view.heap,
        is_same=view.first is not None and view.first == view.second,
        found=view.found,
        words=WORDS,
        tones=TONES,
        least_hours=LEAST_HOURS,
    )


async def tell_comparison(request: web.Request) -> ComparisonAnswer:
    """See the operation."""
    return comparison_answer(await comparison_view(request))


def begin(application: web.Application) -> None:
    """Keep what was worked out."""
    apart, clock = application[APART], application[SITE].clock
    releases: Kept[list[ReleaseSeen]] = Kept(apart, clock, most=MOST_KEPT, least_age_s=LEAST_AGE_S)
    comparisons: Kept[Comparison] = Kept(apart, clock, most=MOST_KEPT, least_age_s=LEAST_AGE_S)
    application[RELEASES] = keep(application, releases)
    application[COMPARISONS] = keep(application, comparisons)


PART = Part(
    routes=(Route("GET", "/compare", show_comparison),),
    nav=(NavLink(50, "Compare", "/compare"),),
    api=(
        Operation(
            "GET",
            "/compare",
            tell_comparison,
            "Two releases, regions or times beside each other; without `a` and `b`, what can be chosen",
            ComparisonAnswer,
            (BY, TARGET, SCENARIO, DAYS, FIRST, SECOND),
        ),
    ),
    begin=begin,
)
