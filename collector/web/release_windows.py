"""The times between releases as something to compare: before the first one, and from each one to the next.

A window is one of a target: from when a release, or its gate, began there. Refuses to ask the store. Called by
`collector.web.routes_compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from collector.store_releases import StoredRelease
from collector.store_samples import Heap
from collector.texts.figures import printable
from collector.texts.utc_text import instant_text

__all__ = ["BEFORE", "ReleaseWindow", "windows_of"]

BEFORE: Final = "before"
"""What the window is called that ends with the first release."""


@dataclass(frozen=True, slots=True)
class ReleaseWindow:
    """A stretch of time. `key` names it in an address: the identity of the release that it begins with, or `BEFORE`."""

    key: str
    name: str
    from_at: datetime
    until_at: datetime

    @property
    def label(self) -> str:
        """For people: which release, from when to when."""
        return f"{printable(self.name)}, {instant_text(self.from_at)} to {instant_text(self.until_at)} UTC"

    def of(self, heap: Heap) -> Heap:
        """The part of a heap that is in this window."""
        return replace(heap, from_at=self.from_at, until_at=self.until_at)


def windows_of(found: Sequence[StoredRelease], heap: Heap) -> tuple[ReleaseWindow, ...]:
    """The windows of a heap's time, the newest first; none where no release began in it. `found` is the newest first."""
    windows, until_at = [], heap.until_at
    for one in found:
        began_at = one.marker.began_at
        if heap.from_at < began_at < until_at:
            windows.append(ReleaseWindow(one.identity, one.marker.name, began_at, until_at))
            until_at = began_at
    if windows:
        windows.append(ReleaseWindow(BEFORE, f"before {windows[-1].name}", heap.from_at, until_at))
    return tuple(windows)
