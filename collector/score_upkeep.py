"""What keeps scores right beside the ingest: objectives read again, new checks scored over the past, final scores put on record.

Objective files are read again every minute, in a thread; a broken folder changes nothing but what is said about it. When they
change, what arrives from then on is scored by the new ones, and the past of new checks is caught up with, newest hours first.
About hourly the scores of the last two months are looked at, a bounded number of lines at a time with pauses between, and those
that are final are put on record.

Refuses to read files (whoever wires it hands it a source) and to hold up results. Called by `collector.service`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog
from pydantic import JsonValue

from collector.catch_up import score_past
from collector.finals import keep_finals
from collector.scorecard import Asked, make_scorecard
from collector.scoring import Scorer
from collector.store import Store, StoreError
from collector.store_session import StoreRefusedError
from probes.clock import Clock
from slo.document_text import Problem
from slo.objective_set import ObjectiveSet

__all__ = ["ObjectiveSource", "ScoreUpkeep", "months_before"]

log = structlog.get_logger(__name__)

RELOAD_EVERY_S: Final = 60.0
PUT_OFF_S: Final = 60.0
FINALS_EVERY_S: Final = 3600.0
MOST_LINES_AT_ONCE: Final = 200
PAUSE_BETWEEN_LINES_S: Final = 0.05
MONTHS_LOOKED_AT: Final = 2


class ObjectiveSource(Protocol):
    """Where objectives come from: `current` is the last good set, `reload` looks for another one and may take a while."""

    current: ObjectiveSet
    problems: tuple[Problem, ...]

    def reload(self) -> tuple[Problem, ...]:
        """Look again; what is wrong is returned and leaves `current` as it is."""


@dataclass(frozen=True, slots=True)
class FinalJob:
    """One line of one month of one target, to be looked at."""

    target: str
    month: str
    name: str


class ScoreUpkeep:
    """Keeps what a store scores in step with its objectives; `begin` before anything is filed, then `run` until cancelled."""

    def __init__(
        self, store: Store, source: ObjectiveSource, *, fleet: str, regions: Sequence[str], clock: Clock
    ) -> None:
        self._store = store
        self._source = source
        self._fleet = fleet
        self._regions = tuple(regions)
        self._clock = clock
        self._scored: ObjectiveSet | None = None
        self._unscored: frozenset[str] = frozenset()
        self._jobs: deque[FinalJob] = deque()

    async def begin(self) -> None:
        """Score by the objectives as they are now. Raises StoreError."""
        known = self._source.current
        self._unscored = await self._store.scores.begin(Scorer.of(known))
        self._scored = known

    async def run(self) -> None:
        """Watch, catch up and keep, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="objectives")
            group.create_task(self._keep_finals(), name="finals")

    def status(self) -> dict[str, JsonValue]:
        """What is scored, what is wrong with the files since, and how many checks have a past that is still to be scored."""
        problems = self._source.problems
        return {
            "unscored": len(self._unscored),
            "objectives": {
                "lines": len(self._scored.lines) if self._scored else 0,
                "kept_last_good": bool(problems),
                "problems": [f"{problem.where}: {problem.what}" for problem in problems[:10]],
            },
        }

    def trouble(self) -> str:
        """The same in a few words, where something is wrong."""
        found = len(self._source.problems)
        return f"{found} problems in the objective files, the last good ones are used" if found else ""

    async def _follow(self) -> None:
        """Catch up with what is new; begin again whenever the objectives change."""
        catching_up = asyncio.create_task(self._catch_up(), name="scores")
        try:
            while True:
                await self._clock.sleep(RELOAD_EVERY_S)
                await asyncio.to_thread(self._source.reload)
                if catching_up.done():
                    catching_up.result()
                if self._source.current == self._scored:
                    continue
                catching_up.cancel()
                await asyncio.wait({catching_up})
                try:
                    await self.begin()
                except (StoreError, StoreRefusedError) as error:
                    log.warning("objectives.put_off", error=str(error))
                else:
                    log.info("objectives.begun", unscored=len(self._unscored))
                catching_up = asyncio.create_task(self._catch_up(), name="scores")
        finally:
            catching_up.cancel()
            await asyncio.wait({catching_up})

    async def _catch_up(self) -> None:
        """Score the past of what is new, however long the database takes to let it."""
        while self._unscored:
            try:
                await score_past(self._store, self._unscored, clock=self._clock)
            except (StoreError, StoreRefusedError) as error:
                log.warning("scores.put_off", error=str(error))
                await self._clock.sleep(PUT_OFF_S)
            else:
                self._unscored = frozenset()

    async def _keep_finals(self) -> None:
        while True:
            try:
                await self.keep_some()
            except (StoreError, StoreRefusedError) as error:
                log.warning("finals.put_off", error=str(error))
            await self._clock.sleep(PUT_OFF_S if self._jobs else FINALS_EVERY_S)

    async def keep_some(self) -> None:
        """Look at as many lines as are looked at in one go, going on where the last time ended. Raises StoreError."""
        if not self._jobs:
            self._jobs.extend(await self._due())
        for _ in range(min(MOST_LINES_AT_ONCE, len(self._jobs))):
            await self._keep_one(self._jobs.popleft())
            await self._clock.sleep(PAUSE_BETWEEN_LINES_S)

    async def _keep_one(self, job: FinalJob) -> None:
        """A line that cannot be scored is our bug: it must cost neither the other lines nor the results that come in."""
        try:
            await self._keep(job)
        except (StoreError, StoreRefusedError):
            raise
        except Exception:
            log.exception("finals.failed", target=job.target, month=job.month, line=job.name)

    async def _keep(self, job: FinalJob) -> None:
        asked = Asked(
            target=job.target,
            fleet=self._fleet,
            regions=self._regions,
            now=self._clock.now(),
            window=job.month,
            names=(job.name,),
            with_burn=False,
        )
        await keep_finals(self._store, await make_scorecard(self._store, self._source.current, asked))

    async def _due(self) -> list[FinalJob]:
        known = self._source.current
        months = list(months_before(self._clock.now(), MONTHS_LOOKED_AT))
        names = [*known.objectives, *known.obligations]
        targets = await self._store.scores.targets()
        return [FinalJob(target, month, name) for target in targets for month in months for name in names]


def months_before(now: datetime, count: int) -> Iterator[str]:
    """The names of so many calendar months before the one (UTC) that holds `now`, the newest first."""
    first = now.replace(day=1)
    for _ in range(count):
        first = (first - timedelta(days=1)).replace(day=1)
        yield first.strftime("%Y-%m")
