"""What a probe says about itself, as far as it can be read: a hostile or broken one says nothing.

Refuses to know what the words mean. Called by the fleet's own alerts and by the metrics.
"""

from __future__ import annotations

import json

__all__ = ["said_of"]


def said_of(status: str) -> dict[str, object]:
    """The status as an object; empty when it is none."""
    try:
        found = json.loads(status) if status else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
