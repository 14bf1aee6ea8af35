"""The burn-rate tiers of a line as rules for Prometheus, over the counters that the collector exports.

The counters: `fleet_slices_total{objective, state}` with the states good, bad, unknown and excluded, and
`fleet_events_total{objective, outcome}` with good and bad; each begins at 0, and a minute's counts appear at its end. Windows are
differences of two samples and not `increase()`, which extrapolates and which loses counts where late records make a counter
smaller; `max` and not `sum`, because several collectors export one database.

Refuses tiers that PromQL cannot say exactly (`left_out`), and to write files: the groups are plain data, for YAML or JSON.
Called by the exports. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from slo.burn_tiers import Counting, FireRule, TierFit
from slo.chance import MOST_CHANCE, is_beyond_chance

__all__ = ["BURN_ALERT", "NO_DATA_ALERT", "RuleGroup", "rule_group"]

BURN_ALERT: Final = "FleetBudgetBurn"
NO_DATA_ALERT: Final = "FleetBudgetNoData"
_COUNTERS: Final = {Counting.SLICES: ("fleet_slices", "state"), Counting.EVENTS: ("fleet_events", "outcome")}
_KINDS: Final = {Counting.SLICES: ("good", "bad", "unknown"), Counting.EVENTS: ("good", "bad")}
_IN_A_ROW_MINUTES: Final = 2
_MOST_STEPS: Final = 100
"""More steps of the table of chance than this would be a rule that nobody can read."""


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """A group as Prometheus reads it under `groups:`, and the usable tiers that it had to leave out."""

    content: dict[str, object]
    left_out: tuple[TierFit, ...]


def rule_group(objective: str, fits: Sequence[TierFit]) -> RuleGroup:
    """Recording rules for each window and an alert for each usable tier of one line, evaluated at whole minutes."""
    usable = [fit for fit in fits if fit.is_usable]
    guards = [(fit, _guard(fit, objective)) for fit in usable]
    kept = [(fit, guard) for fit, guard in guards if guard is not None]
    windows = sorted({minutes for fit, _ in kept for minutes in _windows(fit)})
    counting = kept[0][0].counting if kept else Counting.SLICES
    rules = [_record(objective, counting, kind, minutes) for minutes in windows for kind in _KINDS[counting]]
    for fit, guard in kept:
        rules.append(_burn_alert(objective, fit, guard))
        if counting is Counting.SLICES:
            rules.append(_no_data_alert(objective, fit))
    content: dict[str, object] = {"name": f"fleet-burn-{objective}", "interval": "1m", "rules": rules}
    return RuleGroup(content, tuple(fit for fit, guard in guards if guard is None))


def _windows(fit: TierFit) -> tuple[int, ...]:
    if fit.rule is FireRule.TWO_IN_A_ROW:
        return (fit.tier.long_minutes, _IN_A_ROW_MINUTES)
    return (fit.tier.long_minutes, fit.tier.short_minutes)


def _record_name(counting: Counting, kind: str, minutes: int) -> str:
    return f"objective:{_COUNTERS[counting][0]}_{kind}:increase{minutes}m"


def _record(objective: str, counting: Counting, kind: str, minutes: int) -> dict[str, object]:
    """Counts of a window: now less then, and less nothing where the counter is younger than the window."""
    counter, label = _COUNTERS[counting]
    series = f'{counter}_total{{objective="{objective}",{label}="{kind}"}}'
    return {
        "record": _record_name(counting, kind, minutes),
        "expr": f"max({series}) - (max({series} offset {minutes}m) or max({series}) * 0)",
        "labels": {"objective": objective},
    }


class _Window:
    """The recorded counts of one window, as PromQL."""

    def __init__(self, objective: str, counting: Counting, minutes: int) -> None:
        self._objective, self._counting, self._minutes = objective, counting, minutes

    def _count(self, kind: str) -> str:
        return f'{_record_name(self._counting, kind, self._minutes)}{{objective="{self._objective}"}}'

    @property
    def bad(self) -> str:
        return self._count("bad")

    @property
    def unknown(self) -> str:
        return self._count("unknown")

    @property
    def total(self) -> str:
        return f"({self._count('good')} + {self.bad})"

    def burns(self, fit: TierFit) -> str:
        """Above the share, in whole numbers."""
        return f"{self.bad} * {fit.share.denominator} > {self.total} * {fit.share.numerator}"


def _burn_alert(objective: str, fit: TierFit, guard: str) -> dict[str, object]:
    long = _Window(objective, fit.counting, fit.tier.long_minutes)
    if fit.rule is FireRule.TWO_IN_A_ROW:
        terms = [f"{_Window(objective, fit.counting, _IN_A_ROW_MINUTES).bad} >= {_IN_A_ROW_MINUTES}"]
        summary = "two bad minutes in a row"
    else:
        short = _Window(objective, fit.counting, fit.tier.short_minutes)
        terms = [long.burns(fit), short.burns(fit), f"{long.bad} >= {fit.least_bad}"]
        summary = f"the budget burns more than {float(fit.burn):g} times too fast"
    terms += [guard] if guard else []
    expression = " and ".join(f"({term})" for term in terms)
    if fit.counting is Counting.SLICES:
        expression += f" unless ({_knows_too_little(long)})"
    return _alert(BURN_ALERT, objective, fit, expression, summary)


def _no_data_alert(objective: str, fit: TierFit) -> dict[str, object]:
    expression = _knows_too_little(_Window(objective, fit.counting, fit.tier.long_minutes))
    return _alert(NO_DATA_ALERT, objective, fit, expression, "fewer than half of the minutes are known")


def _knows_too_little(window: _Window) -> str:
    return f"{window.unknown} > {window.total}"


def _alert(name: str, objective: str, fit: TierFit, expression: str, summary: str) -> dict[str, object]:
    return {
        "alert": name,
        "expr": expression,
        "labels": {"objective": objective, "severity": fit.tier.severity.value},
        "annotations": {"summary": f"{objective}: {summary}, over {fit.tier.long_minutes} minutes"},
    }


def _guard(fit: TierFit, objective: str) -> str | None:
    """That so many bad events are no chance, as a table of counts; empty: nothing to guard; None: no short table says it.

    Beyond a number of events whatever burns is beyond chance, so that the table ends there; it has no end at a burn rate of 1.
    """
    if fit.counting is Counting.SLICES:
        return ""
    share, allowed = float(fit.share), float(fit.allowed_bad)
    if fit.burn <= 1:
        return None
    divergence = share * math.log(share / allowed) + (1 - share) * math.log((1 - share) / (1 - allowed))
    enough = math.ceil(-math.log(MOST_CHANCE) / divergence) + 1
    steps = math.floor(share * enough) + 1
    if steps > _MOST_STEPS:
        return None
    window = _Window(objective, fit.counting, fit.tier.long_minutes)
    table = [
        f"{window.bad} >= {bad} and {window.total} <= {most}"
        for bad in range(1, steps + 1)
        if (most := _most_events(bad, enough, fit)) >= bad
    ]
    return " or ".join((*table, f"{window.total} > {enough}"))


def _most_events(bad: int, enough: int, fit: TierFit) -> int:
    """Among how many events at most so many bad ones are beyond chance; less than `bad` when among none."""
    low, high = bad - 1, enough + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_beyond_chance(bad, middle, fit.allowed_bad) else (low, middle)
    return low
