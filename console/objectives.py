"""Objective files of a folder: read, parsed, joined to one set, and refused with file, line and key when they are wrong.

The reader beside the pure engine: `slo` takes texts and knows no files. Refuses half a set: whoever loads a folder gets all of
it, or every problem in it at once. Called by `console.session`, `show`, the demo, `slo check` and whoever scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from probes.errors import OperatorError
from slo.burn_tiers import AlertPreset
from slo.document import Entry, parse_text
from slo.document_text import Problem
from slo.objective import Objective, Tier
from slo.objective_set import ObjectiveSet, join_entries

__all__ = [
    "BUILT_IN_OBJECTIVES",
    "ReadSet",
    "load_objectives",
    "load_set",
    "objective_files",
    "read_set",
    "refusal",
]

BUILT_IN_OBJECTIVES: Final = Path(__file__).resolve().parent.parent / "config" / "slos"
_MOST_PROBLEMS: Final = 8
"""How many problems one message lists; `slo check` lists them all."""


@dataclass(frozen=True, slots=True)
class ReadSet:
    """What files say, and what is wrong with them; with problems, `known` lacks what they concern."""

    known: ObjectiveSet
    problems: tuple[Problem, ...]


def load_objectives(folder: Path | None = None, *, at: datetime | None = None) -> tuple[Objective, ...]:
    """The lines that runs on demand are judged by, in the order of the lines; OperatorError for files that are wrong.

    Lines that count minutes are left out: a few runs by hand say nothing about a month's uptime. So are stretch lines: nobody
    promised them. `folder`: None is the built-in one. `at`: the versions that were in force then; without it the newest ones.
    """
    known = load_set(folder or BUILT_IN_OBJECTIVES)
    found = [versions[-1] for versions in known.objectives.values()] if at is None else known.objectives_at(at)
    return tuple(line for line in found if line.slices is None and line.tier is Tier.CONTRACT)


def load_set(folder: Path = BUILT_IN_OBJECTIVES, *, intervals_s: Mapping[str, float] | None = None) -> ObjectiveSet:
    """Everything that the folder promises; OperatorError that lists what is wrong.

    `intervals_s`: seconds between two runs of scenarios, where known; minutes that no scenario can fill are refused.
    """
    found = read_set(objective_files([folder]), intervals_s=intervals_s)
    if found.problems:
        raise refusal(found.problems)
    return found.known


def objective_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files themselves, and the YAML files of folders; OperatorError for a path that is not there or a folder without any."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise OperatorError(
                "there is no such file or folder", where=str(path), remedy="Name a YAML file, or a folder of them"
            )
        found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not found:
            raise OperatorError(
                "no file in it ends in .yaml", where=str(path), remedy=f"Copy one from {BUILT_IN_OBJECTIVES}"
            )
        files += found
    return tuple(dict.fromkeys(files))


def read_set(
    files: Sequence[Path],
    *,
    intervals_s: Mapping[str, float] | None = None,
    presets: Mapping[str, AlertPreset] | None = None,
) -> ReadSet:
    """The files as one set, with every problem in the order of files and lines. `presets`: known besides those of the files."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for path in files:
        text = _text_of(path)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        found, wrong = parse_text(text, str(path), intervals_s=intervals_s)
        entries += found
        problems += wrong
    known, unfit = join_entries(entries, presets or {})
    order = {str(path): place for place, path in enumerate(files)}
    ordered = sorted([*problems, *unfit], key=lambda problem: (order[problem.file], problem.line))
    return ReadSet(known, tuple(ordered))


def refusal(problems: Sequence[Problem]) -> OperatorError:
    """One error out of one or more problems."""
    first, rest = problems[0], problems[1:]
    more = "".join(f"\n  also {problem.where}: {problem.what}" for problem in rest[: _MOST_PROBLEMS - 1])
    hidden = len(rest) - (_MOST_PROBLEMS - 1)
    more += f"\n  and {hidden} more; `slo check` lists them all" if hidden > 0 else ""
    return OperatorError(first.what, where=first.where, remedy=first.remedy + more)


def _text_of(path: Path) -> str | Problem:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return Problem(str(path), 1, "", f"cannot be read: {error.strerror}", "See to the file and its permissions")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem(str(path), line, "", "is not UTF-8", "Save it as UTF-8")
