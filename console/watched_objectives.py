"""Objectives that are read again while something long-lived scores with them: a broken folder never takes the good ones away.

Refuses to begin with a broken folder, for then there is nothing to fall back on. Reads files: a loop that must not wait calls
`reload` in a thread. Called by the collector's process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from console.objectives import load_set, objective_files, read_set
from probes.errors import OperatorError
from slo.document_text import Problem
from slo.objective_set import ObjectiveSet

__all__ = ["WatchedObjectives"]

log = structlog.get_logger(__name__)


class WatchedObjectives:
    """The last good set of a folder, and what is wrong with the folder since."""

    def __init__(self, folder: Path, *, intervals_s: Mapping[str, float] | None = None) -> None:
        """Read the folder; OperatorError when it is broken from the start."""
        self._folder = folder
        self._intervals_s = intervals_s
        self.current: ObjectiveSet = load_set(folder, intervals_s=intervals_s)
        self.problems: tuple[Problem, ...] = ()

    def reload(self) -> tuple[Problem, ...]:
        """Read the folder again: take over what it says, or keep the last good set and return what is wrong.

        Every call says in the log what is wrong, once for each change of it.
        """
        before, self.problems = self.problems, self._read()
        if self.problems and self.problems != before:
            log.warning(
                "objectives.kept_last_good",
                folder=str(self._folder),
                problems=len(self.problems),
                first=str(self.problems[0]),
            )
        elif before and not self.problems:
            log.info("objectives.mended", folder=str(self._folder))
        return self.problems

    def _read(self) -> tuple[Problem, ...]:
        """Take the folder's set when all of it is good."""
        try:
            found = read_set(objective_files([self._folder]), intervals_s=self._intervals_s)
        except OperatorError as error:
            return (Problem(error.where, 1, "", error.what, error.remedy),)
        if not found.problems and found.known != self.current:
            self.current = found.known
            log.info("objectives.changed", folder=str(self._folder), lines=len(self.current.lines))
        return found.problems
