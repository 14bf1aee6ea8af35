"""What is not wrong in a set of objectives, but hardly meant: uncovered lines, alerts that can never fire, unknown names.

Refuses nothing; it tells. What exists on this fleet (scenarios, their steps, regions) is handed to it. Pure; called by
`runner.py slo check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from slo.burn_tiers import Counting, fit_tiers
from slo.objective import Objective
from slo.objective_set import DOCUMENT_LINES, ObjectiveSet
from slo.obligation import Obligation, ObservationSource
from slo.window import MINUTES_PER_DAY, CalendarMonths, Window

__all__ = ["alert_doubts", "gap_doubts", "name_doubts"]

_MONTH_DAYS = 30
"""What burn rates are reckoned with where the window is a month: 14.4 is 2 % of 30 days in an hour."""


def gap_doubts(known: ObjectiveSet) -> Iterator[str]:
    """Lines of the document about which no file says anything."""
    missing = [line for line in DOCUMENT_LINES if line not in known.lines]
    if missing:
        yield f"no file covers line {', '.join(missing)} of the document: write an objective, or a NotMeasured that says why"


def alert_doubts(known: ObjectiveSet) -> Iterator[str]:
    """Tiers that can never fire for an objective, or only when nearly everything fails."""
    for versions in known.objectives.values():
        for objective in versions:
            tiers = known.presets[objective.alerts].tiers if objective.alerts in known.presets else ()
            counting = Counting.EVENTS if objective.slices is None else Counting.SLICES
            for fit in fit_tiers(tiers, objective.allowed_bad, counting, period_minutes=_minutes(objective.window)):
                if fit.refused:
                    which = f"{objective.name}: the {fit.tier.severity.value} tier of {objective.alerts!r}"
                    yield f"{which} is not used: {fit.refused}"


def _minutes(window: Window) -> int:
    return (_MONTH_DAYS if isinstance(window, CalendarMonths) else window.days) * MINUTES_PER_DAY


def name_doubts(
    known: ObjectiveSet, steps_of: Mapping[str, frozenset[str] | None], regions: Sequence[str]
) -> Iterator[str]:
    """Scenarios, steps and regions that nothing on this fleet is called.

    `steps_of`: the steps of each scenario; None where nobody can tell without running it.
    """
    for objectives in known.objectives.values():
        objective = objectives[-1]
        selector = objective.selector
        steps = [*selector.steps, *([selector.after] if selector.after else [])]
        yield from _step_doubts(objective, selector.scenarios, steps, steps_of)
        for region in objective.regions:
            if region not in regions:
                yield f"{objective.name}: the fleet has no region {region!r}; it stands in {', '.join(regions)}"
    for obligations in known.obligations.values():
        obligation = obligations[-1]
        if obligation.selector.source is ObservationSource.RUNS:
            yield from _step_doubts(obligation, obligation.selector.scenarios, obligation.selector.steps, steps_of)


def _step_doubts(
    promise: Objective | Obligation,
    globs: Sequence[str],
    steps: Sequence[str],
    steps_of: Mapping[str, frozenset[str] | None],
) -> Iterator[str]:
    chosen: list[frozenset[str] | None] = []
    for glob in globs:
        matching = [found for name, found in steps_of.items() if fnmatchcase(name, glob)]
        if not matching:
            yield f"{promise.name}: no scenario is called {glob!r}"
        chosen += matching
    if not chosen or None in chosen:
        return
    there = frozenset().union(*(found for found in chosen if found is not None))
    for step in steps:
        if step not in there:
            yield f"{promise.name}: no scenario of {', '.join(globs)} has a step {step!r}"
