"""Objectives from `config/slos/*.yaml`: read, parsed, and refused with file and key when they are wrong.

The reader beside the pure engine: `slo` takes mappings and knows no files. Called by `console.app` once, at start.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from probes.errors import OperatorError
from slo.objective import Objective, ObjectiveError, parse_objective

__all__ = ["BUILT_IN_OBJECTIVES", "load_objectives"]

BUILT_IN_OBJECTIVES: Final = Path(__file__).resolve().parent.parent / "config" / "slos"


def load_objectives(folder: Path = BUILT_IN_OBJECTIVES) -> tuple[Objective, ...]:
    """Every objective of the folder, in the order of the lines; OperatorError for a file that is wrong or a name used twice."""
    found = [(path, _load(path)) for path in sorted(folder.glob("*.yaml"))]
    _refuse_twins(found)
    return tuple(objective for _, objective in sorted(found, key=lambda pair: _line_order(pair[1])))


def _load(path: Path) -> Objective:
    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = str(getattr(error, "problem", "") or error)
        raise OperatorError(f"is not YAML: {reason}", where=where) from error
    except OSError as error:
        raise OperatorError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        return parse_objective(document)
    except ObjectiveError as error:
        raise OperatorError(str(error), where=str(path), remedy="See config/slos/ for the form") from error


def _refuse_twins(found: Iterable[tuple[Path, Objective]]) -> None:
    seen: dict[str, Path] = {}
    for path, objective in found:
        if objective.name in seen:
            first = seen[objective.name]
            raise OperatorError(f"two objectives are called {objective.name!r}", where=f"{first} and {path}")
        seen[objective.name] = path


def _line_order(objective: Objective) -> tuple[int, str]:
    return (int(objective.line) if objective.line.isdecimal() else 1_000, objective.name)
