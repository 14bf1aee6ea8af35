"""Everything that a folder of objective files promises, by name and version, and what only shows across files.

Refuses: one name for two things, a version twice, a version that takes force before the one before it, a preset that nobody
wrote, and versions that cannot be scored in one window. Pure; called by `console.objectives`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, pairwise
from typing import Generic, TypeVar

from slo.burn_tiers import AlertPreset
from slo.document import Entry, Item
from slo.document_own import NotMeasured
from slo.document_text import Place, Problem
from slo.maintenance import MaintenanceWindow
from slo.objective import Objective
from slo.obligation import Obligation

__all__ = ["DOCUMENT_LINES", "ObjectiveSet", "join_entries", "line_order"]

DOCUMENT_LINES = tuple(str(number) for number in range(1, 30))
"""The lines of the service-level document."""

_Promise = TypeVar("_Promise", Objective, Obligation)
_PLURALS: Mapping[type[Item], str] = {
    Objective: "objectives",
    Obligation: "obligations",
    NotMeasured: "unmeasured lines",
    AlertPreset: "alert presets",
    MaintenanceWindow: "maintenance windows",
}


@dataclass(frozen=True, slots=True)
class ObjectiveSet:
    """All that was promised. Versions of one name stand in rising order; names in the order of the lines."""

    objectives: Mapping[str, tuple[Objective, ...]] = field(default_factory=dict)
    obligations: Mapping[str, tuple[Obligation, ...]] = field(default_factory=dict)
    maintenance: tuple[MaintenanceWindow, ...] = ()
    presets: Mapping[str, AlertPreset] = field(default_factory=dict)
    not_measured: tuple[NotMeasured, ...] = ()

    def objectives_at(self, instant: datetime) -> tuple[Objective, ...]:
        """The version of each objective that is in force at that instant; one that comes later is left out."""
        return tuple(_in_force(self.objectives, instant))

    def obligations_at(self, instant: datetime) -> tuple[Obligation, ...]:
        """The version of each obligation that is in force at that instant; one that comes later is left out."""
        return tuple(_in_force(self.obligations, instant))

    @property
    def lines(self) -> frozenset[str]:
        """Every line of the document that something is said about."""
        measured = {versions[-1].line for versions in self.objectives.values()}
        owed = {versions[-1].line for versions in self.obligations.values()}
        return frozenset(measured | owed | {gap.line for gap in self.not_measured})


def line_order(line: str, name: str) -> tuple[int, str, str]:
    """Sorts lines as the document has them; those of one's own come after, by their text."""
    return (int(line) if line.isdecimal() else 1_000, line, name)


def join_entries(
    entries: Sequence[Entry], more_presets: Mapping[str, AlertPreset]
) -> tuple[ObjectiveSet, tuple[Problem, ...]]:
    """The documents as one set, without those that do not fit, and what does not fit. `more_presets` are known besides them."""
    problems: list[Problem] = []
    kept = _without_twins(entries, problems)
    own = {entry.item.name: entry.item for entry in kept if isinstance(entry.item, AlertPreset)}
    presets = {**more_presets, **own}
    kept = [entry for entry in kept if not _lacks_preset(entry, presets, problems)]
    joined = ObjectiveSet(
        objectives=_Versions[Objective](kept, Objective, problems).by_name(),
        obligations=_Versions[Obligation](kept, Obligation, problems).by_name(),
        maintenance=tuple(entry.item for entry in kept if isinstance(entry.item, MaintenanceWindow)),
        presets=presets,
        not_measured=tuple(_gaps(kept, problems)),
    )
    return joined, tuple(problems)


def _in_force(promises: Mapping[str, tuple[_Promise, ...]], instant: datetime) -> Iterator[_Promise]:
    for versions in promises.values():
        begun = [one for one in versions if one.effective_from is None or one.effective_from <= instant]
        if begun:
            yield begun[-1]


def _without_twins(entries: Sequence[Entry], problems: list[Problem]) -> list[Entry]:
    """A name stands for one thing, of which an objective or obligation may have several versions."""
    first: dict[tuple[str, str], Entry] = {}
    versions: dict[tuple[str, int], Entry] = {}
    kept = []
    for entry in entries:
        item = entry.item
        there = first.setdefault((_namespace(item), item.name), entry)
        if there is not entry and (type(there.item) is not type(item) or not isinstance(item, Objective | Obligation)):
            problems.append(_twin(entry, there))
            continue
        if isinstance(item, Objective | Obligation):
            there = versions.setdefault((item.name, item.version), entry)
            if there is not entry:
                problems.append(_twin(entry, there, version=item.version))
                continue
        kept.append(entry)
    return kept


def _namespace(item: Item) -> str:
    """Lines share one: a report lists them side by side."""
    return "line" if isinstance(item, Objective | Obligation | NotMeasured) else type(item).__name__


def _twin(entry: Entry, first: Entry, *, version: int | None = None) -> Problem:
    there = f"{first.place.file}:{first.place.line_of('metadata.name')}"
    what = _PLURALS[type(entry.item)] if type(entry.item) is type(first.item) else "documents"
    which = f"{entry.item.name!r}" if version is None else f"{entry.item.name!r} in version {version}"
    remedy = (
        "Rename one" if version is None else "Rename one, or raise its fleet/version and say its fleet/effectiveFrom"
    )
    return entry.place.problem("metadata.name", f"two {what} are called {which}; the other is in {there}", remedy)


def _lacks_preset(entry: Entry, presets: Mapping[str, AlertPreset], problems: list[Problem]) -> bool:
    item = entry.item
    if not isinstance(item, Objective) or not item.alerts or item.alerts in presets:
        return False
    known = ", ".join(sorted(presets)) or "none"
    reason = f"there is no AlertPreset {item.alerts!r}"
    remedy = f"Write it under apiVersion: fleet/v1, or use one that is there: {known}"
    problems.append(entry.place.problem("metadata.annotations.fleet/alerts", reason, remedy))
    return True


class _Versions(Generic[_Promise]):
    """The versions of all names of one kind."""

    def __init__(self, entries: Sequence[Entry], kind: type[_Promise], problems: list[Problem]) -> None:
        self._found: list[tuple[_Promise, Place]] = [
            (entry.item, entry.place) for entry in entries if isinstance(entry.item, kind)
        ]
        self._problems = problems

    def by_name(self) -> dict[str, tuple[_Promise, ...]]:
        """Each name with its versions, rising, in the order of the lines; what keeps versions from following is noted."""
        names: dict[str, tuple[_Promise, ...]] = {}
        ordered = sorted(self._found, key=lambda found: (found[0].name, found[0].version))
        for name, group in groupby(ordered, key=lambda found: found[0].name):
            versions = list(group)
            for (before, _), (after, place) in pairwise(versions):
                self._check_step(before, after, place)
            names[name] = tuple(item for item, _ in versions)
        return dict(sorted(names.items(), key=lambda pair: line_order(pair[1][-1].line, pair[0])))

    def _check_step(self, before: _Promise, after: _Promise, place: Place) -> None:
        at = "metadata.annotations."
        if after.effective_from is None:
            reason = f"is missing: version {after.version} follows version {before.version}, but since when?"
            remedy = 'Write "fleet/effectiveFrom": "2026-10-01T00:00:00Z" beside it'
            self._problems.append(place.problem(f"{at}fleet/effectiveFrom", reason, remedy))
        elif before.effective_from is not None and after.effective_from <= before.effective_from:
            reason = f"version {after.version} takes force no later than version {before.version}"
            remedy = f"Write an instant after {before.effective_from.isoformat()}"
            self._problems.append(place.problem(f"{at}fleet/effectiveFrom", reason, remedy))
        if before.line != after.line:
            reason = f"version {before.version} of {after.name!r} is line {before.line}"
            self._problems.append(
                place.problem(f"{at}fleet/line", reason, "A version stays on its line; rename the other")
            )
        if before.window != after.window:
            reason = f"version {before.version} of {after.name!r} has the window {before.window.text}"
            remedy = "Versions share one window; another window is an objective with a name of its own"
            self._problems.append(place.problem("spec.timeWindow", reason, remedy))
        (counted, _), (counts, key) = _counting(before), _counting(after)
        if counted != counts:
            reason = f"version {before.version} of {after.name!r} counts {counted}"
            remedy = "What is counted differently does not add up; use a name of its own"
            self._problems.append(place.problem(key, reason, remedy))


def _counting(promise: Objective | Obligation) -> tuple[str, str]:
    """What is counted, and the key that says so."""
    if isinstance(promise, Obligation):
        return f"as {promise.duty.value}", "spec.duty"
    return "events" if promise.slices is None else "minutes", "spec.budgetingMethod"


def _gaps(entries: Sequence[Entry], problems: list[Problem]) -> Iterator[NotMeasured]:
    """Lines that nothing measures; one that something measures after all is a contradiction."""
    measured = {entry.item.line for entry in entries if isinstance(entry.item, Objective | Obligation)}
    for entry in entries:
        if not isinstance(entry.item, NotMeasured):
            continue
        if entry.item.line in measured:
            reason = f"line {entry.item.line} is said to be measured by another document"
            problems.append(entry.place.problem("metadata.annotations.fleet/line", reason, "Remove this document"))
        yield entry.item
