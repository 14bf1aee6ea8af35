"""One producer for all viewers: the board and releases, read from the store while somebody looks, told to viewers as changes.

The store is asked at most every two seconds, however many look, and not at all when nobody does. A change is rendered once
and put into each viewer's short queue; a viewer that does not keep up is let go and comes back by itself. What was sent
lately is kept, so that a viewer who comes back with the number of its last change gets what it missed. Now and then every viewer
is told that figures may be newer, so that pages look again. Nothing here is ever waited for by the ingest.

Refuses to know HTTP (`collector.web.live_stream` does). Called by `collector.web.routes_overview` and the API.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from aiohttp import web
from pydantic import JsonValue

from collector.ledger import SlotCounts, by_region
from collector.store import Store, StoreError
from collector.store_releases import StoredRelease
from collector.store_session import StoreRefusedError
from collector.web.board import Board, Cell, board_of
from collector.web.kept import Kept, NotYetError
from collector.web.release_view import release_document, shown_of
from collector.web.site import Site

__all__ = ["COVERAGE_EVERY_S", "LIVE", "Change", "FullError", "Live", "Viewer", "cell_document"]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0
COVERAGE_EVERY_S: Final = 30.0
LOOK_BACK: Final = timedelta(hours=6)
OVERLAP: Final = timedelta(minutes=10)
COVERED: Final = timedelta(hours=1)
COMES_LATE: Final = timedelta(minutes=1)
MOST_VIEWERS: Final = 200
MOST_BEHIND: Final = 16
MOST_KEPT: Final = 64
FIGURES_EVERY_S: Final = 30.0
MOST_RELEASES: Final = 20
"""So many of those that were heard of last are looked at: of more in two seconds, loading the page again tells."""
_S: Final = 1_000_000_000
LOOK: Final = b"event: look\ndata: {}\n\n"


class FullError(Exception):
    """As many look as may."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the board: its number, and the text of the event, ready to be sent to everybody."""

    number: int
    data: bytes


@dataclass(slots=True, eq=False)
class Viewer:
    """Somebody who looks. `is_slow` is set when the queue was full; such a viewer is let go.

    Without `wants_board` only told that figures may be newer.
    """

    queue: asyncio.Queue[Change] = field(default_factory=lambda: asyncio.Queue(MOST_BEHIND))
    is_slow: bool = False
    wants_board: bool = True


async def counts_of(store: Store, fleet: str, now: datetime) -> Mapping[tuple[str, str], SlotCounts]:
    """The slots of the last hour by scenario and region: every one of them is looked at, so that this is asked apart."""
    accounts = await store.accounts(now - COVERED, now, now=now)
    return by_region(one for one in accounts if one.series.address.fleet == fleet)


class Live:
    """The board and its viewers."""

    def __init__(self, site: Site, counted: Kept[Mapping[tuple[str, str], SlotCounts]]) -> None:
        self._site = site
        self._counted = counted
        self._clock = site.clock
        self._viewers: set[Viewer] = set()
        self._kept: deque[Change] = deque(maxlen=MOST_KEPT)
        self._board: Board | None = None
        self._looked_ns = 0
        self._last_counts: Mapping[tuple[str, str], SlotCounts] = {}
        self._newest_at: datetime | None = None
        self._known_releases: frozenset[str] | None = None
        self._looking = asyncio.Lock()
        self._producer: asyncio.Task[None] | None = None
        self.looks = 0
        self.let_go = 0

    @property
    def viewers(self) -> int:
        """How many look at present."""
        return len(self._viewers)

    async def board(self) -> Board:
        """The board, at most two seconds old. Raises StoreError."""
        async with self._looking:
            if self._board is None or self._clock.monotonic_ns() - self._looked_ns >= LOOK_EVERY_S * _S:
                await self._look()
            assert self._board is not None  # noqa: S101 - just looked
            return self._board

    @contextmanager
    def look_on(self, last: int | None, *, wants_board: bool = True) -> Iterator[Viewer]:
        """Be told of changes for the length of the block; with `last` first of those after it, where they are still kept.

        Without `wants_board` only of newer figures.

        Raises FullError when too many look already.
        """
        if len(self._viewers) >= MOST_VIEWERS:
            raise FullError
        viewer = Viewer(wants_board=wants_board)
        for change in self._missed(last) if wants_board else ():
            viewer.queue.put_nowait(change)
        self._viewers.add(viewer)
        if self._producer is None or self._producer.done():
            self._producer = asyncio.create_task(self._produce(), name="board")
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers and self._producer is not None:
                self._producer.cancel()
                self._producer = None

    def knows(self, number: int) -> bool:
        """Whether what came after this change can still be told."""
        board = self._board
        if board is None:
            return False
        return number == board.number or any(change.number == number + 1 for change in self._kept)

    def _missed(self, last: int | None) -> list[Change]:
        if last is None:
            return []
        return [change for change in self._kept if change.number > last][-MOST_BEHIND:]

    async def stop(self) -> None:
        """Send everybody away."""
        for viewer in self._viewers:
            viewer.is_slow = True
            self._wake(viewer)
        if self._producer is not None:
            self._producer.cancel()
            await asyncio.wait({self._producer})

    async def _produce(self) -> None:
        told_ns = self._clock.monotonic_ns()
        while True:
            if any(viewer.wants_board for viewer in self._viewers):
                try:
                    await self.board()
                except (StoreError, StoreRefusedError) as error:
                    log.warning("board.not_read", error=str(error))
            if self._clock.monotonic_ns() - told_ns >= FIGURES_EVERY_S * _S:
                told_ns = self._clock.monotonic_ns()
                for viewer in self._viewers:
                    if viewer.queue.empty():  # a word that comes again never takes the place of a change
                        viewer.queue.put_nowait(Change(0, LOOK))
            await self._clock.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Ask the store for what is new and tell it."""
        site, now = self._site, self._clock.now()
        self._looked_ns = self._clock.monotonic_ns()
        self.looks += 1
        since = now - LOOK_BACK if self._newest_at is None else max(self._newest_at - OVERLAP, now - LOOK_BACK)
        endings = await site.store.views.latest(site.fleet, since, now + COMES_LATE)
        fresh = board_of(endings, await self._counts(now), regions=site.regions, at=now)
        if endings:
            self._newest_at = max(ending.slot_at for ending in endings)
        self._take(self._united(fresh))
        self._tell_releases(await site.store.releases.heard_last(site.fleet, MOST_RELEASES))

    async def _counts(self, now: datetime) -> Mapping[tuple[str, str], SlotCounts]:
        """The slots of the last hour, counted apart some seconds ago; none while they are counted for the first time."""
        with suppress(
            NotYetError, StoreError
        ):  # the board does without; what was counted before is better than nothing
            self._last_counts = await self._counted.get_soon("hour", counts_of, self._site.fleet, now)
        return self._last_counts

    def _united(self, fresh: Board) -> Board:
        """The board with what it had before, for only the newest slots were read."""
        if self._board is None:
            return fresh
        cells = dict(self._board.cells)
        for key, cell in fresh.cells.items():
            before = cells.get(key)
            is_older = before is not None and before.at is not None and (cell.at is None or cell.at < before.at)
            if before is not None and is_older:
                cells[key] = replace(before, ran=cell.ran, due=cell.due)
            else:
                cells[key] = cell
        others = tuple(sorted({region for _, region in cells} - set(self._site.regions)))
        scenarios = tuple(sorted({scenario for scenario, _ in cells}))
        return Board(self._board.number, fresh.at, (*self._site.regions, *others), scenarios, cells)

    def _take(self, board: Board) -> None:
        """Make it the board, and tell what changed."""
        before = self._board
        if before is None:
            self._board = replace(board, number=1)
            return
        changed = [cell for key, cell in board.cells.items() if before.cells.get(key) != cell]
        if not changed:
            self._board = replace(board, number=before.number)
            return
        self._change(board, "cells", _data(board.at, changed))

    def _tell_releases(self, found: Sequence[StoredRelease]) -> None:
        """Tell those that were not known at the last look; at the first look all are."""
        known, self._known_releases = self._known_releases, frozenset(one.identity for one in found)
        fresh = [one for one in reversed(found) if known is not None and one.identity not in known]
        if fresh and self._board is not None:
            documents: list[JsonValue] = [release_document(one) for one in shown_of(fresh)]
            self._change(self._board, "releases", {"releases": documents})

    def _change(self, board: Board, event: str, document: dict[str, JsonValue]) -> None:
        """Make it the board of the next number, and tell every viewer what changed."""
        self._board = replace(board, number=(self._board or board).number + 1)
        text = json.dumps(document, separators=(",", ":"))
        change = Change(self._board.number, f"id: {self._board.number}\nevent: {event}\ndata: {text}\n\n".encode())
        self._kept.append(change)
        for viewer in self._viewers:
            if viewer.wants_board:
                self._tell(viewer, change)

    def _tell(self, viewer: Viewer, change: Change) -> None:
        try:
            viewer.queue.put_nowait(change)
        except asyncio.QueueFull:
            viewer.is_slow = True
            self.let_go += 1
            self._wake(viewer)

    def _wake(self, viewer: Viewer) -> None:
        """Have its stream look up: the oldest change makes room for an empty one."""
        if viewer.queue.full():
            viewer.queue.get_nowait()
        viewer.queue.put_nowait(Change(0, b""))


LIVE: Final = web.AppKey("live", Live)


def cell_document(cell: Cell) -> dict[str, JsonValue]:
    """A cell as the API and the stream tell it."""
    return {
        "scenario": cell.scenario,
        "region": cell.region,
        "state": cell.state,
        "word": cell.word,
        "detail": cell.detail,
        "at": cell.at.isoformat() if cell.at else None,
        "ran": cell.ran,
        "due": cell.due,
        "probe": cell.probe,
        "attempt": cell.attempt,
    }


def _data(at: datetime, cells: list[Cell]) -> dict[str, JsonValue]:
    return {"at": at.isoformat(), "cells": [cell_document(cell) for cell in cells]}
