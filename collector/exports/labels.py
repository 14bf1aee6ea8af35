"""Names that become labels, bounded: a probe chooses them, and each new one costs the monitoring system memory for weeks.

So many names have a label of their own; whatever comes after them is counted under `other`. Names that the settings or the
objectives use are sure of theirs. Refuses to forget one: a series that changes its meaning is worse than a coarse one. Called by
the exporters of metrics. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["OTHER", "Labels", "label_text"]

OTHER: Final = "other"
MOST_LENGTH: Final = 100


def label_text(name: str) -> str:
    """A name as a label carries it: of bounded length, and what every format can encode."""
    return name[:MOST_LENGTH].encode("utf-8", "replace").decode("utf-8")


class Labels:
    """The label of each name: itself, as long as there are fewer than `most`, else `other`."""

    def __init__(self, most: int, sure: Iterable[str] = ()) -> None:
        """`sure` names have a label whatever else comes."""
        self._most = most
        self._known = {name: label_text(name) for name in sure}

    def __call__(self, name: str) -> str:
        """The name's label."""
        label = self._known.get(name)
        if label is None:
            if len(self._known) >= self._most:
                return OTHER
            label = self._known[name] = label_text(name)
        return label

    def __len__(self) -> int:
        """How many names have a label of their own."""
        return len(self._known)
