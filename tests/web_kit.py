"""What tests of the pages share: a site over a store, served on a free port, and a client that looks like this host or another.

Used by tests named web. Everything is real: server, store, templates, objectives.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.web.server import open_pages
from collector.web.site import Site
from console.objectives import BUILT_IN_OBJECTIVES
from console.watched_objectives import WatchedObjectives
from probes.clock import Clock, SystemClock
from tests.alert_kit import open_an_incident
from tests.clock import JumpingClock
from tests.release_kit import release_at
from tests.store_kit import NOW, OTHER, deliver, runs_from

__all__ = [
    "READ",
    "WRITE",
    "Filled",
    "Pages",
    "QuickClock",
    "ServedApart",
    "Told",
    "open_filled",
    "open_site",
    "served_apart",
    "served_over",
    "served_with_nothing",
    "site_over",
]

READ = "a-token-that-reads"
WRITE = "a-token-that-operates"
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    text: str
    cookies: dict[str, str]

    def csrf(self) -> str:
        """The proof in the page's first form."""
        return self.text.partition('name="csrf" value="')[2].partition('"')[0]


class Pages:
    """The pages as one visitor sees them. `host` is the name asked for; another one than this host's is a stranger."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def ask(self, path: str, method: str = "GET", *, host: str = "", **more: Any) -> Told:  # noqa: ANN401 - aiohttp's own
        """One request; redirects are not followed."""
        headers = {**({"Host": host} if host else {}), **more.pop("headers", {})}
        target = URL(self.url + path, encoded=True)
        async with self._session.request(method, target, headers=headers, allow_redirects=False, **more) as answer:
            cookies = {name: morsel.OutputString() for name, morsel in answer.cookies.items()}
            return Told(answer.status, dict(answer.headers), await answer.text(errors="replace"), cookies)

    async def read(self, path: str) -> Told:
        """A page with its figures, which may take a moment to be worked out."""
        give_up_s = time.monotonic() + DEADLINE_S
        while "being worked out" in (told := await self.ask(path)).text:
            assert time.monotonic() < give_up_s, f"not within {DEADLINE_S:g} s: {path}"
            await asyncio.sleep(0.05)
        return told


def site_over(store: Store, database: str = "", *, clock: Clock | None = None, **changes: Any) -> Site:  # noqa: ANN401 - the fields of a dataclass
    """A site over a store, with the built-in objectives."""
    site = Site(
        store=store,
        database=database,
        objectives=WatchedObjectives(BUILT_IN_OBJECTIVES),
        clock=clock or SystemClock(),
        fleet="fleet",
        regions=("eu-west", "us-east"),
    )
    return replace(site, **changes)


@asynccontextmanager
async def open_site(folder: Path, **changes: Any) -> AsyncIterator[Pages]:  # noqa: ANN401 - the fields of a dataclass
    """The pages over an empty store of their own."""
    database = str(folder / "store.db")
    async with open_store(database) as store:
        site = site_over(store, database, **changes)
        await store.scores.begin(Scorer.of(site.objectives.current))
        async with (
            open_pages(site, "127.0.0.1:0") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True) as session,
        ):
            yield Pages(url, session)


@dataclass(frozen=True, slots=True)
class Filled:
    """Pages over some runs of two probes, an open incident and a release, an hour after them."""

    pages: Pages
    store: Store
    clock: Clock


@asynccontextmanager
async def open_filled(
    folder: Path,
    *,
    apart: bool = False,
    clock: Clock | None = None,
    **changes: Any,  # noqa: ANN401 - the fields of a dataclass
) -> AsyncIterator[Filled]:
    """The pages an hour after some runs of two probes were stored; `apart` as a collector has them."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a folder of the test
    database = str(folder / "store.db")
    clock = clock or JumpingClock(NOW + timedelta(hours=1))
    async with open_store(database) as store:
        site = site_over(store, database if apart else "", clock=clock, **changes)
        await store.scores.begin(Scorer.of(site.objectives.current))
        await store.file([deliver(runs_from(20)), deliver(runs_from(20, probe=OTHER), probe=OTHER)])
        await open_an_incident(store, NOW + timedelta(minutes=5), fleet="fleet", target="stand-in")
        await store.releases.add("fleet", release_at(2), now=NOW, received_from="gate")
        async with (
            open_pages(site, "127.0.0.1:0") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            yield Filled(Pages(url, session), store, clock)


class QuickClock:
    """Stands at one instant of the calendar; its other hand runs twenty times as fast as time, so that no client must wait."""

    def __init__(self, now: datetime = NOW + timedelta(hours=1)) -> None:
        self._now = now

    def now(self) -> datetime:
        """The instant."""
        return self._now

    def monotonic_ns(self) -> int:
        """Twenty times what the host says."""
        return time.monotonic_ns() * 20

    async def sleep(self, duration_s: float) -> None:
        """As long as it says."""
        await asyncio.sleep(duration_s)


@dataclass(frozen=True, slots=True)
class ServedApart:
    """Pages that a thread serves."""

    url: str


TOKENS: Mapping[str, Any] = {"read_tokens": {"desk": READ}, "operate_tokens": {"oncall": WRITE}}


@contextmanager
def served_apart(folder: Path) -> Iterator[ServedApart]:
    """The filled pages, served by a thread of its own, for clients that block or measure."""
    with _in_thread(lambda: open_filled(folder, clock=QuickClock(), **TOKENS)) as url:
        yield ServedApart(url)


@contextmanager
def served_with_nothing(folder: Path, *, clock: Clock | None = None) -> Iterator[ServedApart]:
    """The same over an empty store."""
    with _in_thread(lambda: open_site(folder, clock=clock or QuickClock(), **TOKENS)) as url:
        yield ServedApart(url)


@contextmanager
def served_over(
    database: Path,
    clock: Clock,
    **changes: Any,  # noqa: ANN401 - the fields of a dataclass
) -> Iterator[ServedApart]:
    """The same over a store that is there; heavy questions have a process of their own, as a collector has it."""
    with _in_thread(lambda: _open_over(database, clock, changes)) as url:
        yield ServedApart(url)


@asynccontextmanager
async def _open_over(database: Path, clock: Clock, changes: Mapping[str, Any]) -> AsyncIterator[str]:
    async with open_store(str(database)) as store:
        site = site_over(store, str(database), clock=clock, **TOKENS, **changes)
        await store.scores.begin(Scorer.of(site.objectives.current))
        async with open_pages(site, "127.0.0.1:0") as url:
            yield url


@contextmanager
def _in_thread(opened: Callable[[], AbstractAsyncContextManager[Filled | Pages | str]]) -> Iterator[str]:
    """Whatever is opened, in a loop of a thread of its own; its address."""
    ready: queue.Queue[str] = queue.Queue()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with opened() as found:
            pages = found.pages if isinstance(found, Filled) else found
            ready.put(pages if isinstance(pages, str) else pages.url)
            await stop.wait()

    def live() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        yield ready.get(timeout=DEADLINE_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)
