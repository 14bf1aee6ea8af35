"""A process that sends one message through apprise and ends: `python -m collector.alerting.apprise_process`.

apprise blocks, and a receiver may never stop answering: a process can be ended, a thread cannot. The address comes through
standard input, because arguments can be seen by everybody on the host. Refuses everything that needs more memory than a message
does. Started by `collector.alerting.senders_apprise`, which understands the answer on standard output.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from typing import Final

import apprise
from apprise import AppriseAsset, NotifyType

__all__ = ["main"]

MOST_MEMORY_BYTES: Final = 1 << 30
MOST_SAID: Final = 20


def main() -> None:
    """Read what to send, send it, say how it went."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    asked: dict[str, str] = json.load(sys.stdin)
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Keep what apprise complains about."""
            said.append(record.getMessage())

    logging.getLogger("apprise").addHandler(Ear(logging.WARNING))
    known, taken = deliver(asked)
    sys.stdout.write(json.dumps({"known": known, "taken": taken, "said": said[-MOST_SAID:]}))


def deliver(asked: dict[str, str]) -> tuple[bool, bool]:
    """Whether apprise understands the address, and whether the receiver took the message."""
    # Without storage on disk, and without files of this host: the address is only ever one to send to.
    sending = apprise.Apprise(asset=AppriseAsset(app_id="probe-fleet", app_desc="Probe fleet", secure_logging=True))
    if not sending.add(asked["url"]):
        return False, False
    for plugin in sending:
        # Those that keep incidents by a key (PagerDuty and others) get ours: then an all-clear ends what it belongs to.
        if hasattr(plugin, "dedup") and not plugin.dedup:
            plugin.dedup = asked["incident"]
            if getattr(plugin, "action", "") == "trigger":
                setattr(plugin, "action", "map")  # noqa: B010 - only some have it
    return True, bool(sending.notify(body=asked["body"], title=asked["title"], notify_type=NotifyType(asked["tone"])))


if __name__ == "__main__":
    main()
