"""Why a connection keeps breaking: a guess from how long the last ones stood, for a broker that gives no reason.

Two processes of one name push each other off, and a broker that does not say so (iotcore 0.4 closes without a word, and so does
every broker with MQTT 3.1.1) leaves both with a bare "closed". Pure: no clock. Called by `probes.stream` and `collector.ingest`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ShortConnections"]

SHORT_S: Final = 30.0
"""Twice the longest pause between two tries: a rival that was pushed off is back before that."""
MANY: Final = 3


class ShortConnections:
    """Counts how many connections in a row were made and did not last."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def ended(self, lasted_s: float, *, was_made: bool) -> str:
        """What may be the cause, after a try that ended; empty when there is nothing to guess from."""
        if not was_made:
            return ""
        self._in_a_row = self._in_a_row + 1 if lasted_s < SHORT_S else 0
        if self._in_a_row < MANY:
            return ""
        return f"{self._in_a_row} connections in a row broke soon; another process may be connecting under this name"
