"""A request as a receiver of the tests took it. Used by the kits that stand in for receivers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Posted"]


@dataclass(frozen=True, slots=True)
class Posted:
    """A request whose body, where it has one, is an object of JSON."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """Its body as an object."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def key(self) -> str:
        """What says that two messages are one."""
        return str(self.json["key"])
