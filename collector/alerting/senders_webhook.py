"""The plain webhook: each message as JSON, posted with a key that stays the same, and signed where there is a secret.

Refuses to try again. Made by `collector.alerting.channels`. The form is in docs/reference/messages.md.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from collector.alerting.message import Message, payload_of
from collector.alerting.senders import Poster

__all__ = ["KEY_HEADER", "SIGNATURE_HEADER", "WebhookSender", "signature_of"]

KEY_HEADER: Final = "idempotency-key"
SIGNATURE_HEADER: Final = "x-probe-fleet-signature"


class WebhookSender:
    """Posts to one address; any 2xx means that it was taken."""

    resends_every_s = 0.0

    def __init__(self, url: str, *, where: str, signing_key: str = "") -> None:
        self._poster = Poster(url, where=where, secrets=[signing_key])
        self._signing_key = signing_key.encode()

    async def send(self, message: Message) -> None:
        """Post it; raises SendError."""
        body = json.dumps(payload_of(message)).encode()
        headers = {KEY_HEADER: quote(message.key, safe="/:+-_.~")}
        if self._signing_key:
            headers[SIGNATURE_HEADER] = signature_of(body, self._signing_key, int(message.sent_at.timestamp()))
        await self._poster.post(body, headers)

    async def remind(self, messages: Sequence[Message]) -> None:
        """A webhook keeps what it was told."""


def signature_of(body: bytes, key: bytes, at_s: int) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 of the seconds, a full stop and the body. By the time an old one is known."""
    return f"t={at_s},v1={hmac.new(key, b'%d.' % at_s + body, sha256).hexdigest()}"
