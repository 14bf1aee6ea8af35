"""Messages beside a collector: channels with their secrets, the queue that notices go into, who sends, the sign of life.

Refuses to send. Called by `console.alerting_wiring`, by the pages' wiring and by the commands `alerts`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import Dispatcher
from collector.alerting.engine import AlertEngine
from collector.alerting.heartbeat import Heartbeat
from collector.alerting.notice import Outbox
from collector.alerting.outbox import MessageOutbox, ack_key_of
from collector.service import Companion
from collector.store import Store
from console.desk import Desk
from console.pages_place import pages_url
from probes.settings_alerts import ChannelSettings

__all__ = ["ack_key_for", "channel_of", "messages_beside", "outbox_of"]

DECIDED_WITHIN: Final = timedelta(minutes=5)
"""Alerts are looked at every few seconds; a collector that has not done so for this long is not well."""


def outbox_of(desk: Desk) -> Outbox:
    """Where notices go: into the queue, for the channels of the settings."""
    return MessageOutbox({one.name: frozenset(one.severities) for one in desk.settings.alerts.channels})


def channel_of(desk: Desk, one: ChannelSettings) -> Channel:
    """A channel with its secrets; raises OperatorError for one that is missing, is no address, or needs an extra."""
    settings = desk.settings
    where = f"alerts.channels.{one.name}"
    url = settings.secret(one.secret).get_secret_value() if one.secret else one.url
    signing_key = settings.secret(one.signing).get_secret_value() if one.signing else ""
    return Channel(one.name, one.kind, sender_of(one.kind, url, where=where, signing_key=signing_key))


async def ack_key_for(desk: Desk, store: Store) -> bytes:
    """The key that signs the links in messages; raises OperatorError for a secret that is missing, StoreError."""
    return await ack_key_of(store, _chosen_key(desk))


def _chosen_key(desk: Desk) -> str:
    name = desk.settings.alerts.ack_key
    return desk.settings.secret(name).get_secret_value() if name else ""


def messages_beside(
    desk: Desk, store: Store, engine: AlertEngine, is_ready: Callable[[], bool]
) -> dict[str, Companion]:
    """Who sends, and the sign of life. Raises OperatorError for a channel that cannot be."""
    settings = desk.settings
    dispatcher = Dispatcher(
        store,
        [channel_of(desk, one) for one in settings.alerts.channels],
        name=settings.collector.name,
        clock=desk.clock,
        base_url=pages_url(settings.pages),
        ack_key=_chosen_key(desk),
    )
    companions: dict[str, Companion] = {"messages": dispatcher.run}

    def trouble() -> str:
        if not is_ready():
            return "results are not taken or not stored"
        if engine.looked_at is None or desk.clock.now() - engine.looked_at > DECIDED_WITHIN:
            return "alerts are not decided"
        return dispatcher.trouble()

    alerts = settings.alerts
    url = settings.secret(alerts.heartbeat).get_secret_value() if alerts.heartbeat else alerts.heartbeat_url
    if url:
        companions["heartbeat"] = Heartbeat(url, alerts.heartbeat_every_s, trouble, clock=desk.clock).run
    return companions
