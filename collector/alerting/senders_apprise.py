"""Slack, e-mail, PagerDuty, Teams and a hundred others through apprise, each message in a process that is ended at its deadline.

Refuses to try again and to hold an address in any error. Made by `collector.alerting.channels`; needs the extra `notify`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from collector.alerting.message import Message, subject_of, text_of
from collector.alerting.notice import NoticeKind
from collector.alerting.senders import DEADLINE_S, SendError, mask_of
from collector.texts.figures import printable
from probes.errors import OperatorError
from slo.burn_tiers import Severity

__all__ = ["AppriseSender", "has_apprise"]

PROGRAM: Final = "collector.alerting.apprise_process"
KILL_DEADLINE_S: Final = 5.0
_URGENT: Final = (Severity.CRITICAL, Severity.HIGH)
_MOST_SAID: Final = 300
_PACKAGES: Final = Path(__file__).resolve().parents[2]


def has_apprise() -> bool:
    """Whether the extra is installed."""
    return find_spec("apprise") is not None


class AppriseSender:
    """Sends to one address of apprise's."""

    resends_every_s = 0.0

    def __init__(self, url: str, *, where: str) -> None:
        """Raises OperatorError without the extra and for what is no address at all; which services there are, apprise knows."""
        if not has_apprise():
            remedy = "Type: pip install 'probe-fleet[notify]', or use a channel of another kind"
            raise OperatorError("it needs the package 'apprise', which is not installed", where=where, remedy=remedy)
        try:
            self._mask = mask_of(url)
        except ValueError:
            url = ""
        if "://" not in url:
            remedy = "For example mailtos://USER:...@HOST"
            raise OperatorError("it is no address of apprise's", where=where, remedy=remedy)
        self._url = url

    async def send(self, message: Message) -> None:
        """Send it; raises SendError."""
        asked = {
            "url": self._url,
            "title": subject_of(message),
            "body": text_of(message),
            "tone": _tone_of(message),
            "incident": sha256(message.notice.incident_key.encode()).hexdigest()[:32],
        }
        await self._understand(await _answer_of(json.dumps(asked).encode()))

    async def remind(self, messages: Sequence[Message]) -> None:
        """Whoever reads it remembers."""

    async def _understand(self, answer: bytes) -> None:
        try:
            found = json.loads(answer)
            known, taken, said = bool(found["known"]), bool(found["taken"]), [str(one) for one in found["said"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SendError("apprise ended without an answer; it may have run out of memory") from error
        if taken:
            return
        reason = " ".join(printable(self._mask("; ".join(said))).split())[:_MOST_SAID]
        if not known:
            raise SendError(f"apprise does not understand the address{f': {reason}' if reason else ''}")
        raise SendError(f"the receiver did not take it{f': {reason}' if reason else ''}")


async def _answer_of(asked: bytes) -> bytes:
    """What the process says; it is ended at the deadline and whenever we are cancelled. Raises SendError."""
    # From wherever we were started, and with nothing from the folder that we happen to be in (-P).
    path = os.pathsep.join([str(_PACKAGES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        limit=1 << 20,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            answer, _ = await process.communicate(asked)
    except TimeoutError as error:
        raise SendError(f"the receiver has not answered within {DEADLINE_S:g} s") from error
    except OSError as error:
        raise SendError(f"apprise could not be asked: {error}") from error
    finally:
        await _end(process)
    return answer


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_DEADLINE_S):
            await process.wait()


def _tone_of(message: Message) -> str:
    """The tone that apprise gives it: its colour, its picture, in some services its urgency."""
    match message.notice.kind:
        case NoticeKind.RESOLVED:
            return "success"
        case NoticeKind.ACKNOWLEDGED:
            return "info"
        case NoticeKind.FIRED | NoticeKind.UPGRADED:
            return "failure" if message.notice.severity in _URGENT else "warning"
