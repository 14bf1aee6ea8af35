"""Asks over the collector's own connection to the broker: a command signed with the fleet's key.

Refuses to choose whom to ask (`collector.alerting.confirm`) and to wait for an answer. Made by the wiring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from probes.clock import Clock
from probes.commands import RunCommand, command_topic, sign_command

__all__ = ["BrokerAsker", "Say"]

LIFE: Final = timedelta(seconds=30)

Say = Callable[[str, bytes], Awaitable[None]]
"""Publish bytes to a topic under a deadline of its own; raises FleetError."""


class BrokerAsker:
    """Asks the probes of a fleet."""

    def __init__(self, say: Say, key: SecretStr, *, fleet: str, clock: Clock) -> None:
        self._say = say
        self._key = key
        self._fleet = fleet
        self._clock = clock

    async def ask(self, region: str, scenario: str, request_id: str) -> None:
        """Ask; returns when the broker has it. Raises FleetError: the broker is away, slow, or does not let us."""
        now = self._clock.now()
        command = RunCommand(
            fleet=self._fleet,
            region=region,
            request_id=request_id,
            scenario=scenario,
            issued_at=now,
            expires_at=now + LIFE,
        )
        await self._say(command_topic(self._fleet, region), sign_command(command, self._key))
