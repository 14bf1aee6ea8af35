"""Whether the browser under a page still lives and answers: what ends or hangs with it is never the page's failure.

A page that waits for news hears nothing of a browser or a driver that ended, so somebody has to ask. Refuses to look at the page
itself. Made by `probes.browser` for each session, asked by `probes.browser_load`, `probes.browser_perform` and the session.
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError

from probes.browser_chromium import Chromium
from probes.browser_failure import LOOK_AT_MEMORY, PageFailed, raise_if_ours
from probes.browser_log import BrowserLog
from probes.errors import DependencyError

__all__ = ["BrowserHealth"]

# The browser's own process has nothing to do with a page's scripts; one that takes longer than this is starved or stopped.
ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class BrowserHealth:
    """The browser of one session, and what its log noted of renderers that crashed."""

    chromium: Chromium
    log: BrowserLog

    def raise_if_ours(self, error: PlaywrightError | None = None) -> None:
        """Raises DependencyError when Chromium, its driver or a renderer are gone, or when the error says so."""
        raise_if_ours(error, self.log.crashed)
        if not self.chromium.is_alive:
            raise DependencyError("Chromium ended in the middle of a run", remedy=LOOK_AT_MEMORY) from error

    async def raise_if_silent(self, failed: PageFailed) -> None:
        """Raises DependencyError when the page's time ran out under a browser that is gone or does not answer for itself.

        Takes up to `ANSWER_S` seconds, outside of all clocks.
        """
        self.raise_if_ours()
        if not await self.chromium.answers(ANSWER_S):
            self.raise_if_ours()
            raise DependencyError(
                f"Chromium itself did not answer within {ANSWER_S:.0f} s when the time of a page had run out",
                remedy="Look at this host's load and memory",
            ) from failed
