"""Commands: only the fleet's own, for this region, for now, and each of them once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from probes.commands import CommandGate, RunCommand, sign_command
from probes.errors import OperatorError
from probes.messages import MessageError

KEY = SecretStr("0123456789abcdef0123456789abcdef")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
LIFE = timedelta(seconds=30)


def command_of(**changes: object) -> RunCommand:
    """A command that is in order, but for the changes."""
    given_fields = {
        "fleet": "local",
        "region": "eu",
        "request_id": "0123456789abcdef",
        "scenario": "quote",
        "issued_at": NOW,
        "expires_at": NOW + LIFE,
    }
    return RunCommand.model_validate({**given_fields, **changes})


def gate() -> CommandGate:
    """A probe that has listened for a while."""
    return CommandGate(KEY, fleet="local", region="eu", now=NOW - timedelta(hours=1))


def test_a_command_is_obeyed_once() -> None:
    """Heard again, from whoever, it is refused; another one is not."""
    listening = gate()
    payload = sign_command(command_of(seed=7), KEY)
    assert listening.admit(payload, now=NOW).seed == 7
    with pytest.raises(MessageError, match="heard before"):
        listening.admit(payload, now=NOW + timedelta(seconds=1))
    listening.admit(sign_command(command_of(request_id="f" * 16), KEY), now=NOW)


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        ({"region": "us"}, NOW, "for others"),
        ({"fleet": "theirs"}, NOW, "for others"),
        ({}, NOW + LIFE + timedelta(seconds=1), "expired"),
        ({}, NOW - timedelta(seconds=6), "future"),
        ({"expires_at": NOW + timedelta(days=1)}, NOW, "lives for too long"),
    ],
)
def test_a_command_for_others_or_another_time_is_refused(
    changes: dict[str, object], now: datetime, reason: str
) -> None:
    """However well it is signed."""
    with pytest.raises(MessageError, match=reason):
        gate().admit(sign_command(command_of(**changes), KEY), now=now)


@pytest.mark.parametrize("ahead_s", [-5, 0, 5])
@pytest.mark.parametrize("restarted_s", [0, 1, 10])
def test_a_restart_does_not_make_old_commands_new(ahead_s: int, restarted_s: int) -> None:
    """What an earlier life has obeyed the next one refuses, whichever of the two clocks is ahead."""
    payload = sign_command(command_of(issued_at=NOW + timedelta(seconds=ahead_s)), KEY)
    gate().admit(payload, now=NOW)
    restarted = CommandGate(KEY, fleet="local", region="eu", now=NOW + timedelta(seconds=restarted_s))
    with pytest.raises(MessageError, match="older than our memory"):
        restarted.admit(payload, now=NOW + timedelta(seconds=restarted_s))


def test_a_clock_that_is_set_back_brings_nothing_back() -> None:
    """What was obeyed and forgotten stays expired."""
    listening = gate()
    payload = sign_command(command_of(), KEY)
    listening.admit(payload, now=NOW)
    with pytest.raises(MessageError, match="expired"):
        listening.admit(sign_command(command_of(request_id="e" * 16), KEY), now=NOW + timedelta(hours=1))
    with pytest.raises(MessageError, match="expired"):
        listening.admit(payload, now=NOW)


def test_another_key_and_a_changed_command_are_refused() -> None:
    """One letter is enough."""
    with pytest.raises(MessageError, match="not the fleet's"):
        gate().admit(sign_command(command_of(), SecretStr("f" * 32)), now=NOW)
    signed = json.loads(sign_command(command_of(), KEY))
    signed["command"] = signed["command"].replace("quote", "payment")
    with pytest.raises(MessageError, match="not the fleet's"):
        gate().admit(json.dumps(signed).encode(), now=NOW)


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else_happens(payload: bytes) -> None:
    """Whatever the bytes are, the answer is a refusal."""
    with pytest.raises(MessageError):
        gate().admit(payload, now=NOW)


def test_a_key_that_is_none_is_found_at_the_start() -> None:
    """An empty file would let everybody in who guesses it."""
    with pytest.raises(OperatorError, match="too short"):
        CommandGate(SecretStr("\n"), fleet="local", region="eu", now=NOW)
