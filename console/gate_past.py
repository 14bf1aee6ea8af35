"""The last days of the collector as a gate's baseline: the times of each step of the newest runs that passed.

True only as far as those days are like today: other hours, other regions and other hardware are differences like a release is.
So only one target's results are taken, those of this region where there are any, and no run of an unfit minute. Refuses fewer
runs than a percentile can be told from. Called by `console.smoke_command`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from collector.store import Store
from collector.store_runs import RunSummary
from console.desk import Desk
from console.gate_rounds import times_of
from console.scored_choice import the_only
from console.scored_store import open_existing
from probes.errors import OperatorError
from probes.records import Outcome
from probes.wire import WireError, parse_run

__all__ = ["PastTimes", "past_times"]

_MOST_RUNS: Final = 300
_FEWEST_RUNS: Final = 100


@dataclass(frozen=True, slots=True)
class PastTimes:
    """What was found: `name` for the report, `times_ns` by check and step."""

    name: str
    times_ns: Mapping[str, Mapping[str, Sequence[int]]]


async def past_times(desk: Desk, days: int, checks: Sequence[str]) -> PastTimes:
    """The times of these checks in the last days; OperatorError where there is no target to choose or too few runs."""
    now = desk.clock.now()
    async with open_existing(desk) as store:
        targets = await store.scores.targets()
        if not targets:
            raise OperatorError("no run was stored there yet", where=store.where, remedy="Name a target as --baseline")
        target = the_only("target", desk.settings.target, targets, remedy="Set `target` in the settings")
        found: dict[str, Mapping[str, Sequence[int]]] = {}
        for check in checks:
            summaries = await store.runs(
                now - timedelta(days=days), now, scenario=check, outcomes=[Outcome.PASS], limit=4 * _MOST_RUNS
            )
            chosen = _comparable(summaries, target, desk.settings.region)
            if len(chosen) < _FEWEST_RUNS:
                raise OperatorError(
                    f"{check} passed {len(chosen)} times against {target} in {_days_text(days)}; "
                    f"a baseline takes {_FEWEST_RUNS}",
                    where=store.where,
                    remedy="Take more days, leave the scenario out, or name a target to run beside",
                )
            found[check] = await _times(store, chosen[:_MOST_RUNS])
    return PastTimes(f"{_days_text(days)} of {target}", found)


def _days_text(days: int) -> str:
    return "the last day" if days == 1 else f"the last {days} days"


def _comparable(summaries: Sequence[RunSummary], target: str, region: str) -> list[RunSummary]:
    """Those of the target from fit minutes; of our own region alone where it has some."""
    fit = [summary for summary in summaries if summary.target == target and not summary.is_unfit]
    own = [summary for summary in fit if summary.identity.region == region]
    return own or fit


async def _times(store: Store, summaries: Sequence[RunSummary]) -> Mapping[str, Sequence[int]]:
    times: dict[str, list[int]] = {}
    for summary in summaries:
        record = await store.record(summary.identity)
        try:
            run = parse_run(record)
        except WireError:
            continue  # retention took it meanwhile, or a later version wrote it
        for name, time_ns in times_of([run]).items():
            times.setdefault(name, []).append(time_ns)
    return times
