"""Channels by their settings: the kinds there are, and what each is made with.

Refuses to look up secrets (the wiring does). Called by `console.alerting_wiring`.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.alerting.senders import Sender
from collector.alerting.senders_alertmanager import AlertmanagerSender
from collector.alerting.senders_apprise import AppriseSender
from collector.alerting.senders_webhook import WebhookSender
from probes.errors import BugError

__all__ = ["Channel", "sender_of"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach somebody; `kind` is the sender's."""

    name: str
    kind: str
    sender: Sender


def sender_of(kind: str, url: str, *, where: str, signing_key: str = "") -> Sender:
    """The sender of this kind; raises OperatorError that names `where` for an address that cannot be one."""
    match kind:
        case "apprise":
            return AppriseSender(url, where=where)
        case "alertmanager":
            return AlertmanagerSender(url, where=where)
        case "webhook":
            return WebhookSender(url, where=where, signing_key=signing_key)
    raise BugError(f"no channel is of the kind {kind!r}", where=where)
