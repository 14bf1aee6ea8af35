"""Links by which a person acknowledges an incident straight from a message: what stands in them, and whether one is ours.

A token names one incident and the channel it was sent through, ends at an instant, and allows this one thing. It is signed and
not encrypted: it holds nothing that the message does not say. Refuses to acknowledge: whoever serves the link shows a page whose
button posts, so that a mail scanner that opens every link acknowledges nothing. Pure. Called by `collector.alerting.messages`
and by the pages.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from probes.errors import OperatorError

__all__ = ["ACK_PATH", "MAX_TOKEN_LENGTH", "AckClaim", "AckRefusedError", "sign_ack_token", "verify_ack_token"]

ACK_PATH: Final = "/ack/"
"""Under the pages' address; the token follows."""
MAX_TOKEN_LENGTH: Final = 512
_PURPOSE: Final = b"probe-fleet/ack/1\n"
_DIGEST_BYTES: Final = sha256().digest_size
_REMEDY: Final = "Open the incident on the pages and acknowledge it there, or type `runner.py alerts ack ID`"


class AckRefusedError(OperatorError):
    """The link is not ours, was changed, or is too old; what is wrong with it may be shown to whoever came with it."""


@dataclass(frozen=True, slots=True)
class AckClaim:
    """What a token allows: to acknowledge this incident until `expires_at`, as somebody who reads this channel."""

    incident_id: int
    channel: str
    expires_at: datetime


def sign_ack_token(claim: AckClaim, key: bytes) -> str:
    """The token of a claim, of letters that stand in a URL as they are; whole seconds of `expires_at` count.

    Source: HMAC of RFC 2104 with SHA-256, base64url of RFC 4648 section 5 without padding.
    """
    said = f"{claim.incident_id}:{int(claim.expires_at.timestamp())}:{claim.channel}".encode()
    return _text_of(_digest(said, key) + said)


def verify_ack_token(token: str, key: bytes, now: datetime) -> AckClaim:
    """What the token allows at `now`. Raises AckRefusedError for one that is not ours, was changed, or has ended."""
    raw = _bytes_of(token)
    digest, said = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _digest(said, key)):
        raise AckRefusedError("this link is not one of ours, or it was changed on its way", remedy=_REMEDY)
    number, expires_s, channel = said.decode().split(":", 2)
    claim = AckClaim(int(number), channel, datetime.fromtimestamp(int(expires_s), UTC))
    if now >= claim.expires_at:
        raise AckRefusedError(f"this link ended at {claim.expires_at:%Y-%m-%d %H:%M} UTC", remedy=_REMEDY)
    return claim


def _digest(said: bytes, key: bytes) -> bytes:
    return hmac.new(key, _PURPOSE + said, sha256).digest()


def _text_of(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes_of(token: str) -> bytes:
    """The bytes of a token in the one way of writing it that is ours: a second spelling of the same is refused."""
    whole = token + "=" * (-len(token) % 4)
    try:
        raw = urlsafe_b64decode(whole.encode("ascii")) if len(token) <= MAX_TOKEN_LENGTH else b""
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) <= _DIGEST_BYTES or _text_of(raw) != token:
        raise AckRefusedError("this link is incomplete", remedy=_REMEDY)
    return raw
