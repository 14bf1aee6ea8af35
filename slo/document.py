"""Documents of objective files, of every kind, from YAML text to data, with file and line of whatever is wrong.

One pass over a text finds all of its problems, each with the place, the key and what to do; the documents without a problem are
still returned. Refuses to open files: it is handed texts. Pure; called by whoever reads a folder of objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from slo.burn_tiers import AlertPreset
from slo.document_own import (
    FLEET,
    NotMeasured,
    read_alert_preset,
    read_maintenance,
    read_not_measured,
    read_obligation,
)
from slo.document_parts import TOP_KEYS
from slo.document_slo import OPENSLO, read_objective
from slo.document_text import Place, Problem, TextDocument, split_documents
from slo.fields import Fields, Problems
from slo.maintenance import MaintenanceWindow
from slo.objective import Objective
from slo.obligation import Obligation

__all__ = ["Entry", "Item", "parse_text"]

Item = Objective | Obligation | MaintenanceWindow | AlertPreset | NotMeasured

_OWN: Final[Mapping[str, Callable[[Fields], Item | None]]] = {
    "Obligation": read_obligation,
    "MaintenanceWindow": read_maintenance,
    "AlertPreset": read_alert_preset,
    "NotMeasured": read_not_measured,
}
_MOST_KEPT: Final = 256
"""Texts whose documents are kept: a collector reads its folder again every minute, and parsing the built-in one takes 60 ms."""
_KINDS: Final = {OPENSLO: ("SLO",), FLEET: tuple(_OWN)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One document that was understood, and where it stands."""

    item: Item
    place: Place


def parse_text(
    text: str, file: str, *, intervals_s: Mapping[str, float] | None = None
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """The documents of a file and what is wrong with others, in the order of their lines; `file` is how messages call it.

    `intervals_s`: seconds between two runs of scenarios, where known; a line of slices shorter than that is refused.
    """
    return _parse_text(text, file, frozenset((intervals_s or {}).items()))


@lru_cache(_MOST_KEPT)
def _parse_text(
    text: str, file: str, intervals_s: frozenset[tuple[str, float]]
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    documents, problems = split_documents(text, file)
    entries: list[Entry] = []
    found = list(problems)
    for document in documents:
        item, refused = _parse(document, dict(intervals_s))
        found += refused
        if item is not None and not refused:
            entries.append(Entry(item, document.place))
    return tuple(entries), tuple(sorted(found, key=lambda problem: problem.line))


def _parse(document: TextDocument, intervals_s: Mapping[str, float]) -> tuple[Item | None, tuple[Problem, ...]]:
    problems = Problems()
    top = Fields(document.value, "", allowed=TOP_KEYS, problems=problems)
    item = _read(top, intervals_s)
    place = document.place
    return item, tuple(place.problem(error.key, error.reason, error.remedy) for error in problems.found)


def _read(top: Fields, intervals_s: Mapping[str, float]) -> Item | None:
    """The item of the kind that the document says it is; None when nobody knows that kind."""
    version, kind = top.text("apiVersion"), top.text("kind")
    if not version or not kind:
        return None
    if version not in _KINDS:
        top.refuse(
            "apiVersion", f"{version!r} is not one of {', '.join(_KINDS)}", f"Write {OPENSLO} for an SLO, else {FLEET}"
        )
        return None
    if kind not in _KINDS[version]:
        of = next((known for known, kinds in _KINDS.items() if kind in kinds), "")
        remedy = f"{kind} goes with apiVersion: {of}" if of else f"Write one of {', '.join(_KINDS[version])}"
        top.refuse("kind", f"{kind!r} is no kind of {version} that is scored", remedy)
        return None
    return read_objective(top, intervals_s) if version == OPENSLO else _OWN[kind](top)
