"""Commands to probes: signed with the fleet's key, for one region, for a short time, and each of them at most once.

A command says "run this scenario now". The signature is HMAC-SHA-256 over the exact bytes of the command; a command that is too
old, from the future, for another region, or that was heard before is refused, and so is everything that was issued before the
probe has listened for a few seconds: what an earlier life of it has obeyed it cannot be told again. Whoever holds the key can
command every region, so that a probe that is not trusted with that must not have it; without a key it listens to no commands.

Refuses to run anything. Called by the wiring of the worker, which listens, and of the console, which asks. Source: RFC 2104.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from probes.errors import OperatorError
from probes.messages import MessageError

__all__ = ["CLOCKS_MAY_DIFFER", "CommandGate", "RunCommand", "command_topic", "sign_command"]

MAX_COMMAND_BYTES: Final = 8_192
MAX_REMEMBERED: Final = 10_000
MIN_KEY_BYTES: Final = 16
LONGEST_LIFE: Final = timedelta(minutes=5)
CLOCKS_MAY_DIFFER: Final = timedelta(seconds=5)
PURPOSE: Final = b"probe-fleet command 1\n"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunCommand(_Strict):
    """Run the scenario now, in this region, and tell every step under this request's id."""

    v: Literal[1] = 1
    kind: Literal["run"] = "run"
    fleet: str = Field(max_length=64)
    region: str = Field(max_length=64)
    request_id: str = Field(pattern=r"^[0-9a-z]{16,64}$")
    scenario: str = Field(min_length=1, max_length=60)
    seed: int | None = None
    issued_at: AwareDatetime
    expires_at: AwareDatetime


class _Signed(_Strict):
    command: str
    signature: str = Field(pattern=r"^[0-9a-f]{64}$")


def command_topic(fleet: str, region: str) -> str:
    """Where the probes of a region listen."""
    return f"fleet/v1/{fleet}/commands/{region}"


def sign_command(command: RunCommand, key: SecretStr) -> bytes:
    """The command as it travels; raises OperatorError for a key that is too short to be one."""
    text = command.model_dump_json()
    return json.dumps({"command": text, "signature": signature_of(text, key)}).encode()


def signature_of(text: str, key: SecretStr) -> str:
    """The signature of a command's text."""
    secret = key.get_secret_value().strip().encode()
    if len(secret) < MIN_KEY_BYTES:
        remedy = f"Use {MIN_KEY_BYTES} random characters or more, for example from: openssl rand -hex 32"
        raise OperatorError("the fleet's key is too short", where="secrets.fleet_key", remedy=remedy)
    return hmac.new(secret, PURPOSE + text.encode(), hashlib.sha256).hexdigest()


class CommandGate:
    """Lets a command through once. One for each listening probe; its memory is bounded by the life of a command."""

    def __init__(self, key: SecretStr, *, fleet: str, region: str, now: datetime) -> None:
        signature_of("", key)  # a key that is none is found now, not at the first command
        self._key = key
        self._fleet = fleet
        self._region = region
        # An earlier life may have admitted whatever was issued up to here by a clock that is ahead.
        self._memory_from = now + CLOCKS_MAY_DIFFER
        self._latest = now
        self._heard: dict[str, datetime] = {}

    def admit(self, payload: bytes, *, now: datetime) -> RunCommand:
        """The command in a payload; raises MessageError for one that must not be obeyed."""
        if len(payload) > MAX_COMMAND_BYTES:
            message = f"{len(payload)} bytes are too many for a command"
            raise MessageError(message)
        try:
            signed = _Signed.model_validate_json(payload)
        except ValidationError as error:
            message = "this is no signed command"
            raise MessageError(message) from error
        if not hmac.compare_digest(signature_of(signed.command, self._key), signed.signature):
            message = "the command's signature is not the fleet's"
            raise MessageError(message)
        try:
            command = RunCommand.model_validate_json(signed.command)
        except ValidationError as error:
            message = "the command is signed, and of a kind that this version does not know"
            raise MessageError(message) from error
        self._check(command, now)
        self._heard[command.request_id] = command.expires_at
        return command

    def _check(self, command: RunCommand, now: datetime) -> None:
        """Raise MessageError unless the command is for us, for now, and new."""
        self._latest = max(self._latest, now)  # a clock that is set back brings nothing back that was forgotten
        self._heard = {name: until_at for name, until_at in self._heard.items() if until_at >= self._latest}
        refusals = {
            "the command is for others": (command.fleet, command.region) != (self._fleet, self._region),
            "the command lives for too long": command.expires_at - command.issued_at > LONGEST_LIFE,
            "the command has expired": self._latest > command.expires_at,
            "the command comes from the future": command.issued_at > now + CLOCKS_MAY_DIFFER,
            "the command is older than our memory": command.issued_at <= self._memory_from,
            "the command was heard before": command.request_id in self._heard,
            "there are too many commands": len(self._heard) >= MAX_REMEMBERED,
        }
        for reason, holds in refusals.items():
            if holds:
                raise MessageError(reason)
