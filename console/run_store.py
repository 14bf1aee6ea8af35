"""The runs of the past, so that `show RUN` can tell about them: one wire record per file, the oldest removed.

A run is found by its id, or by a beginning or an end of it that only one id has. Refuses to fail a session: what cannot be
kept is reported and the report goes on. Called by `console.session` (keeps) and `console.show` (finds).
"""

from __future__ import annotations

from pathlib import Path

from console.atomic_file import write_atomically
from probes.errors import DependencyError, FleetError, OperatorError
from probes.records import Run
from probes.wire import parse_run, render_run

__all__ = ["RunStore"]

_KEPT_RUNS = 1_000
_SUFFIX = ".json"


class RunStore:
    """Records below the state folder, named by run id; ids sort by time."""

    def __init__(self, state_dir: Path, *, kept_runs: int = _KEPT_RUNS) -> None:
        self._folder = state_dir / "runs"
        self._kept_runs = kept_runs

    def keep(self, run: Run) -> str:
        """Keep the run and forget the oldest ones; returns what went wrong, or nothing."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{run.run_id}{_SUFFIX}", render_run(run))
            for path in self._paths()[: -self._kept_runs]:
                path.unlink(missing_ok=True)
        except (DependencyError, OSError) as error:
            return f"the run could not be kept for `show`: {error}"
        return ""

    def find(self, word: str) -> Run:
        """The run that `word` is the id of, or the only beginning or end; OperatorError when there is none or more than one."""
        paths = self._paths()
        matches = [path for path in paths if path.stem.startswith(word) or path.stem.endswith(word)]
        if len(matches) > 1:
            ids = ", ".join(path.stem for path in matches[-5:])
            raise OperatorError(
                f"{len(matches)} runs match {word!r}: {ids}", where="show", remedy="Give more of the id"
            )
        if not matches:
            remedy = f"The latest is {paths[-1].stem}; `show` lists more" if paths else "No run was kept yet"
            raise OperatorError(f"there is no run {word!r} in {self._folder}", where="show", remedy=remedy)
        return self._read(matches[0])

    def latest(self, count: int) -> tuple[Run, ...]:
        """The latest runs that can be read, the newest first."""
        runs = []
        for path in reversed(self._paths()[-count:]):
            try:
                runs.append(self._read(path))
            except FleetError:
                continue  # an unreadable neighbour must not hide the others; `show` with its id says what is wrong
        return tuple(runs)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{_SUFFIX}"))

    def _read(self, path: Path) -> Run:
        try:
            return parse_run(path.read_bytes())
        except (OSError, ValueError) as error:
            raise OperatorError(f"the record cannot be read: {error}", where=str(path)) from error
