"""Runs one after the other, round after round, until the last or until somebody asks to stop.

One at a time, because two at once would be in each other's timings. Every run is kept for `show` as soon as it is over. Refuses
to judge. Called by `console.session` and `console.demo`.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.texts.figures import count_text
from console.progress import Progress
from console.rounds import Round, Rounds
from console.run_store import RunStore
from console.stopping import Stop
from probes.execute import RunEnvironment, run_scenario
from probes.records import Run
from probes.registry import ScenarioSpec

__all__ = ["RunLoop"]


class RunLoop:
    """The runs of one session: `runs` has what there is so far, `notes` what a reader should know about it."""

    def __init__(
        self,
        specs: Sequence[ScenarioSpec],
        *,
        environment: RunEnvironment,
        stop: Stop,
        progress: Progress,
        store: RunStore,
        seed: int | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._environment = environment
        self._stop = stop
        self._progress = progress
        self._store = store
        self._seed = seed
        self.runs: list[Run] = []
        self.notes: list[str] = []

    async def run_rounds(self, rounds: Rounds) -> None:
        """Every round that is due; returns early, with what there is, when somebody asks to stop."""
        clock = self._environment.clock
        while not self._stop.asked() and (due := rounds.next()) is not None:
            await self._stop.guard(clock.sleep(rounds.wait_s(due)))
            lag_ns = rounds.lag_ns(due)
            for index, spec in enumerate(self._specs):
                if self._stop.asked():
                    break
                await self._run_one(spec, due, planned=rounds.planned, lag_ns=lag_ns if index == 0 else 0)
        if rounds.missed:
            self._note(f"{count_text(rounds.missed, 'round')} missed: the one before took longer than --every")

    async def _run_one(self, spec: ScenarioSpec, due: Round, *, planned: int | None, lag_ns: int) -> None:
        """One run. The first of a round was due with it; the others are due when their turn comes."""
        of_all = f" of {planned}" if planned is not None else ""
        self._progress.announce(f"round {due.number}{of_all}" if planned != 1 else "")
        run = await self._stop.guard(
            run_scenario(
                spec,
                environment=self._environment,
                scheduled_at=due.scheduled_at if lag_ns else None,
                schedule_lag_ns=lag_ns,
                seed=self._seed,
                observer=self._progress,
            )
        )
        if run is None:
            return
        self.runs.append(run)
        self._progress.run_finished(run)
        self._note(self._store.keep(run))

    def _note(self, text: str) -> None:
        if text and text not in self.notes:
            self.notes.append(text)
