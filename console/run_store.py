"""The runs of the past, so that `show RUN` can tell about them: one wire record per file, the oldest removed.

A run is found by its id, or by a beginning or an end of it that only one id has. Refuses to fail a session: what cannot be
kept is reported and the report goes on. Called by `console.session`, `console.smoke_command` and `console.soak_command` (keep)
and `console.show` (finds).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from console.atomic_file import write_atomically
from probes.errors import DependencyError, FleetError, OperatorError
from probes.records import Run
from probes.wire import parse_run, render_run

__all__ = ["RunKeeper", "RunStore"]

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


class RunKeeper:
    """Keeps runs while others are being timed: in a thread, one after the other, for a disk may take half a second to be sure.

    An async context manager; at its end everything is kept, or `tell` was told why not, once for each reason.
    """

    def __init__(self, store: RunStore, tell: Callable[[str], None]) -> None:
        self._store = store
        self._tell = tell
        self._told: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "runs")
        self._open: set[asyncio.Future[str]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._open:
                await asyncio.wait(self._open)
        finally:
            self._thread.shutdown(wait=False)

    def keep(self, run: Run) -> None:
        """Returns at once."""
        keeping = asyncio.get_running_loop().run_in_executor(self._thread, self._store.keep, run)
        self._open.add(keeping)
        keeping.add_done_callback(self._kept)

    def _kept(self, keeping: asyncio.Future[str]) -> None:
        self._open.discard(keeping)
        problem = "" if keeping.cancelled() else keeping.result()
        if problem and problem not in self._told:
            self._told.add(problem)
            self._tell(problem)
