"""A browser for each file, two sites, and a store that keeps nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from probes import browser_health
from probes.browser import BrowserEngine, find_browser
from probes.evidence import EvidenceMode, EvidenceStore
from tests.integration.browser.browser_site import open_site
from tests.integration.browser.page_loads import DEADLINE_S, Sites


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[BrowserEngine]:
    """One browser for this file."""
    async with BrowserEngine(find_browser()) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def sites() -> AsyncIterator[Sites]:
    """Two sites, so that the frame lives in a process of its own."""
    async with open_site() as host, open_site(host="localhost") as widget:
        yield Sites(host, widget)


@pytest.fixture
def patient_with_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    """For files that are not about a Chromium that does not answer for itself: on a busy host it may take its time."""
    monkeypatch.setattr(browser_health, "ANSWER_S", DEADLINE_S)


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    """Keeps nothing, so that a failure costs no screenshot."""
    return EvidenceStore(tmp_path, mode=EvidenceMode.NEVER)
