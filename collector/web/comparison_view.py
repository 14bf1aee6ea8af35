"""What can be compared and what was found: releases, regions or times beside each other, as page and API have it.

Figures are worked out apart and kept. Refuses what cannot be compared, and to draw. Called by `collector.web.routes_compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from aiohttp import web

from collector.store import Store
from collector.store_samples import Heap, HeapSamples, ReleaseSeen
from collector.texts.figures import printable
from collector.web.choice import Choice, choice_of
from collector.web.kept import Kept
from collector.web.release_view import MOST_DRAWN
from collector.web.release_windows import windows_of
from collector.web.site import site_of
from probes.records import FailureKind, Outcome
from slo.comparison import Finding, StepComparison, compare_shares, compare_steps

__all__ = [
    "COMPARISONS",
    "DEFAULT_KIND",
    "KINDS",
    "MOST_DAYS",
    "RELEASES",
    "Comparison",
    "ComparisonView",
    "Ends",
    "Side",
    "compared_of",
    "comparison_view",
]

DAYS: Final = 7
MOST_DAYS: Final = 90
ANNOUNCED: Final = "announced"
DEFAULT_KIND: Final = "release"
KINDS: Final[Mapping[str, str]] = {
    DEFAULT_KIND: "release that runs found",
    ANNOUNCED: "release announced",
    "region": "region",
}


@dataclass(frozen=True, slots=True)
class Side:
    """What can be chosen: how it is said, and the runs that it means."""

    label: str
    heap: Heap


@dataclass(frozen=True, slots=True)
class Ends:
    """How the runs of one side ended."""

    passed: int
    failed: int
    inconclusive: int
    kinds: Mapping[FailureKind, int]
    failed_steps: Mapping[str, int]
    is_cut: bool

    @property
    def share_text(self) -> str:
        """The failed ones of those that were decided."""
        decided = self.passed + self.failed
        return f"{self.failed * 100 / decided:.2f} %" if decided else "none decided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that the page shows of two heaps."""

    first: Ends
    second: Ends
    failures: Finding
    steps: tuple[StepComparison, ...]


async def releases_of(store: Store, heap: Heap) -> list[ReleaseSeen]:
    """The heavy part of the choice, asked apart."""
    return await store.samples.releases(heap)


async def compared_of(store: Store, first: Heap, second: Heap) -> Comparison:
    """The heavy part of the figures, asked apart."""
    one, other = await store.samples.of(first), await store.samples.of(second)
    looks = 2 * len({*one.steps, *other.steps}) + 1
    return Comparison(
        first=_ends(one),
        second=_ends(other),
        failures=compare_shares(one.hours, other.hours, looks=looks),
        steps=compare_steps(one.steps, other.steps, looks=1),
    )


def _ends(samples: HeapSamples) -> Ends:
    return Ends(
        passed=samples.outcomes.get(Outcome.PASS, 0),
        failed=samples.outcomes.get(Outcome.FAIL, 0),
        inconclusive=samples.outcomes.get(Outcome.INCONCLUSIVE, 0),
        kinds=samples.kinds,
        failed_steps=samples.failed_steps,
        is_cut=samples.is_cut,
    )


RELEASES: Final = web.AppKey("compare_releases", Kept[list[ReleaseSeen]])
COMPARISONS: Final = web.AppKey("comparisons", Kept[Comparison])


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """What can be chosen, what was, and what was found. Sides are by how they are named in an address, releases newest first.

    `first` and `second` are None where nobody chose; `found` is None until two different sides are chosen.
    """

    choice: Choice
    kind: str
    days: int
    scenario: str
    scenarios: Sequence[str]
    heap: Heap
    sides: Mapping[str, Side]
    first: str | None
    second: str | None
    found: Comparison | None


async def comparison_view(request: web.Request, *, is_soon: bool = False) -> ComparisonView:
    """What a request asks about. `is_soon`: NotYetError when figures take longer than a person notices.

    Raises 400 and 404 for what cannot be compared, StoreError.
    """
    site, choice = site_of(request), await choice_of(request)
    kind, days, scenario = _kind_of(request), _days_of(request), request.query.get("scenario", "")
    now = site.clock.now().replace(second=0, microsecond=0)
    heap = Heap(site.fleet, choice.target, now - timedelta(days=days), now, scenario)
    scenarios = await site.store.views.scenarios(site.fleet)
    if scenario and scenario not in scenarios:
        raise web.HTTPNotFound(text="There is no scenario of that name.")
    sides = await _sides(request, kind, days, heap, is_soon=is_soon)
    first, second = request.query.get("a"), request.query.get("b")
    found = None
    if first is not None and second is not None and choice.target:
        if first not in sides or second not in sides:
            raise web.HTTPNotFound(text="There is no such side to compare in that time.")
        if first != second:
            kept = request.app[COMPARISONS]
            get = kept.get_soon if is_soon else kept.get
            # What windows there are belongs to it: with one more release the one before it ends earlier.
            windows = tuple(sides) if kind == ANNOUNCED else ()
            key = (kind, choice.target, days, scenario, first, second, windows)
            found = await get(key, compared_of, sides[first].heap, sides[second].heap)
    return ComparisonView(choice, kind, days, scenario, scenarios, heap, sides, first, second, found)


async def _sides(request: web.Request, kind: str, days: int, heap: Heap, *, is_soon: bool) -> dict[str, Side]:
    """What can be chosen, by how it is named in an address."""
    site = site_of(request)
    if not heap.target:
        return {}
    if kind == ANNOUNCED:
        told = await site.store.releases.within(
            site.fleet, heap.from_at, heap.until_at, target=heap.target, limit=MOST_DRAWN
        )
        return {one.key: Side(one.label, one.of(heap)) for one in windows_of(told, heap)}
    if kind == "region":
        others = {state.address.region for state in await site.store.probes() if state.address.fleet == site.fleet}
        regions = [*site.regions, *sorted(others - set(site.regions))]
        return {name: Side(name, replace(heap, region=name)) for name in regions}
    kept = request.app[RELEASES]
    get = kept.get_soon if is_soon else kept.get
    seen = await get((heap.target, days, heap.scenario), releases_of, heap)
    return {
        one.release: Side(printable(one.release) or "no release said", replace(heap, release=one.release))
        for one in seen
    }


def _kind_of(request: web.Request) -> str:
    kind = request.query.get("by", DEFAULT_KIND)
    if kind not in KINDS:
        raise web.HTTPBadRequest(text=f"by is one of {', '.join(KINDS)}.")
    return kind


def _days_of(request: web.Request) -> int:
    text = request.query.get("days", str(DAYS))
    if len(text) > 3 or not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MOST_DAYS:
        raise web.HTTPBadRequest(text=f"days is a number from 1 to {MOST_DAYS}.")
    return int(text)
