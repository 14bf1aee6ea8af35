"""`alerts test`: a message through each channel now, and what became of it, so that nobody finds out at night.

Goes past the queue and the database: it says whether the receiver takes a message at this moment. Refuses to try again. Called
by `console.incident_command`.
"""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from collector.alerting.channels import Channel
from collector.alerting.message import Message
from collector.alerting.model import Origin
from collector.alerting.notice import Notice, NoticeKind
from collector.alerting.senders import DEADLINE_S, SendError
from collector.texts.utc_text import instant_text
from console.alert_options import AlertOptions
from console.desk import Desk
from console.messages_wiring import channel_of
from console.verdict import ExitCode
from probes.errors import OperatorError
from probes.settings_alerts import ChannelSettings
from slo.burn_tiers import Severity

__all__ = ["send_test_messages"]

_TITLE: Final = "A test of this channel: nothing is wrong"


async def send_test_messages(desk: Desk) -> ExitCode:
    """Send one through each channel, all at once; 0 when all were taken, 1 when one was not.

    Raises OperatorError for a channel that the settings do not have, for settings without any, and for one that cannot be.
    """
    wanted = (desk.arguments.alerts or AlertOptions()).channel
    channels = [channel_of(desk, one) for one in _chosen(desk, wanted)]
    now = desk.clock.now()
    errors = await asyncio.gather(*(_error_of(channel, _message(desk, channel, now)) for channel in channels))
    for channel, error in zip(channels, errors, strict=True):
        told = "taken" if error is None else f"NOT taken: {error}"
        desk.console.print(f"{channel.name} ({channel.kind}): {told}", markup=False, highlight=False, soft_wrap=True)
    return ExitCode.PASSED if not any(errors) else ExitCode.PLATFORM_FAILED


def _chosen(desk: Desk, wanted: str) -> Sequence[ChannelSettings]:
    known = desk.settings.alerts.channels
    if not known:
        remedy = "Describe one under [alerts.channels.NAME]; docs/how-to/be-woken.md has examples"
        raise OperatorError("the settings name no channel", where="alerts.channels", remedy=remedy)
    found = [one for one in known if wanted in ("", one.name)]
    if not found:
        names = ", ".join(one.name for one in known)
        raise OperatorError(f"no channel is called {wanted!r}", where="--channel", remedy=f"There are: {names}")
    return found


async def _error_of(channel: Channel, message: Message) -> str | None:
    try:
        async with asyncio.timeout(DEADLINE_S + 5):
            await channel.sender.send(message)
    except SendError as error:
        return error.what
    except TimeoutError:
        return f"it was not done within {DEADLINE_S:g} s"
    return None


def _message(desk: Desk, channel: Channel, now: datetime) -> Message:
    """A message that is over as it begins: no receiver keeps it open."""
    fleet = desk.settings.fleet
    key = f"{fleet}/test/{channel.name}/{now:%Y-%m-%dT%H:%M:%S.%fZ}"
    who = f"{_user(desk)}@{socket.gethostname()}"
    lines = (f"Sent by `runner.py alerts test` at {instant_text(now)} UTC by {who}, for the fleet {fleet}.",)
    notice = Notice(
        key=key,
        kind=NoticeKind.RESOLVED,
        severity=Severity.REPORT,
        origin=Origin.FLEET,
        fleet=fleet,
        incident_id=0,
        incident_key=key,
        title=_TITLE,
        lines=(_TITLE + ".", *lines),
        at=now,
        facts={"test": "true"},
    )
    return Message(notice, channel.name, attempt=1, sent_at=now)


def _user(desk: Desk) -> str:
    try:
        return desk.settings.environ.get("USER", "") or getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
