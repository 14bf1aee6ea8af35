"""What tests of page loads share: a widget in a host page, a cold load, one that must fail, and what comes with a load later.

Used by the tests of this folder, whose `conftest.py` has the browser and the sites.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from probes.browser import BrowserEngine, BrowserSession, PageFailed, ReadyCheck
from probes.evidence import EvidenceStore
from probes.records import PageLoad
from tests.integration.browser.browser_site import Site, html

__all__ = ["CHECK", "CONTROLS", "DEADLINE_S", "HEADERS", "SHORT_S", "TRIES", "Sites", "collected", "failure_of", "load"]

CHECK = ReadyCheck("#widget", ("input[type=file]", "button"))
CONTROLS = "<input type=file><button>Upload</button>"
HEADERS = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-request-id": "run-7", "User-Agent": "probe-fleet/9"}
DEADLINE_S = 60.0
SHORT_S = 5.0
"""For a load that fails because its time is over: what it says must have been seen until then, on a busy host too."""
TRIES = 5
"""So often a time is taken that a busy host may spoil: each adds to it, and none takes away. The best one counts."""


@dataclass
class Sites:
    """A host page, and a widget on another site."""

    host: Site
    widget: Site

    def embed(self, body: str = CONTROLS, path: str = "/widget", **headers: str) -> str:
        """Serve this widget in a host page, whose address is handed back."""
        self.widget.routes[path] = html(body, **headers)
        return self.frame(f"{self.widget.url}{path}")

    def frame(self, url: str) -> str:
        """A host page with a frame on this address."""
        self.host.routes["/"] = html(f'<h1>host</h1><iframe id=widget src="{url}"></iframe>')
        return f"{self.host.url}/"


async def load(
    engine: BrowserEngine,
    store: EvidenceStore,
    url: str,
    *,
    check: ReadyCheck = CHECK,
    deadline_s: float = DEADLINE_S,
    **options: Any,  # noqa: ANN401 - those of a session
) -> PageLoad:
    """One cold load."""
    sink = store.sink("run-7")
    async with engine.session(origin_ns=0, headers=HEADERS, evidence=sink, **options) as session:
        return await session.load(url, ready=check, deadline_s=deadline_s)


async def failure_of(
    engine: BrowserEngine,
    store: EvidenceStore,
    url: str,
    **options: Any,  # noqa: ANN401 - those of `load`
) -> PageFailed:
    """The failure of a load that must fail."""
    with pytest.raises(PageFailed) as caught:
        await load(engine, store, url, **{"deadline_s": SHORT_S, **options})
    return caught.value


async def collected(session: BrowserSession, has_come: Callable[[PageLoad], object]) -> PageLoad:
    """The load as it stands once something has come, which Chromium tells when it gets round to it."""
    async with asyncio.timeout(DEADLINE_S):
        while not has_come(loaded := await session.collect()):  # noqa: ASYNC110 - a condition of another process
            await asyncio.sleep(0.02)
    return loaded
