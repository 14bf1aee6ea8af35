"""What a way to send is, how it says that it could not, and posting over HTTP for those that do that.

Refuses to try again and to know the queue (`collector.alerting.dispatcher` does both). An error never names a password: each
sender masks the secrets of its own address. Called by the senders.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from collector.alerting.message import Message
from collector.texts.figures import printable
from probes.errors import DependencyError, OperatorError
from probes.http import BytesBody, HttpEngine, HttpResponse
from probes.http_message import parse_url
from probes.masking import Mask
from probes.retry_after import retry_after_s

__all__ = ["DEADLINE_S", "Poster", "SendError", "Sender", "mask_of"]

DEADLINE_S: Final = 30.0
"""For one attempt, whatever the receiver does."""
MAX_ANSWER_BYTES: Final = 65_536
_SHOWN: Final = 200
_MIN_SECRET_PART: Final = 8


class SendError(DependencyError):
    """The receiver did not take it; `retry_after_s` is when it wants to be asked again, 0 where it does not say."""

    def __init__(self, what: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """A way to send. `resends_every_s`: how often a receiver must be reminded of what is still on; 0 for never."""

    resends_every_s: float

    async def send(self, message: Message) -> None:
        """Deliver it within DEADLINE_S; raises SendError when the receiver has not taken it."""
        ...

    async def remind(self, messages: Sequence[Message]) -> None:
        """Say again what is on; raises SendError."""
        ...


def mask_of(url: str, *secrets: str) -> Mask:
    """Hides an address that may hold a secret anywhere: as a whole, its user and password, and all longer parts of it.

    Raises ValueError for what cannot be taken apart.
    """
    mask = Mask()
    parts = urlsplit(url)
    mask.hide(url)
    for word in (parts.username, parts.password, *secrets):
        mask.hide(unquote(word or ""))
        mask.hide(word or "")
    host = parts.hostname or ""
    pieces = [*parts.path.split("/"), *(pair.partition("=")[2] for pair in parts.query.split("&"))]
    if "." not in host and host != "localhost":
        pieces.append(parts.netloc)  # of slack://TOKEN-A/... the host is a secret too
    for piece in pieces:
        if len(piece) >= _MIN_SECRET_PART:
            mask.hide(piece)
            mask.hide(unquote(piece))
    return mask


class Poster:
    """Posts to one HTTP address; a user and password in it become a header."""

    def __init__(self, url: str, *, where: str, secrets: Sequence[str] = ()) -> None:
        """Raises OperatorError for what is no http:// or https:// address; its text is not repeated."""
        try:
            parts = urlsplit(url)
            self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            parse_url(self.url)
        except (OperatorError, ValueError):
            remedy = "It begins with http:// or https:// and a host"
            # Not its cause, which repeats the address.
            raise OperatorError("it is no address of the web", where=where, remedy=remedy) from None
        self._mask = mask_of(url, *secrets)
        self._headers = _authorization(parts.username, parts.password)

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None, *, method: str = "POST") -> None:
        """Send it and read a bounded answer; raises SendError for anything but 2xx. Redirects are not followed."""
        content = {"content-type": "application/json"} if body else {}
        async with (
            HttpEngine() as engine,
            engine.client(origin_ns=time.monotonic_ns(), headers=self._headers, mask=self._mask) as client,
        ):
            answer = await client.request(
                method,
                self.url,
                headers={**content, **(headers or {})},
                body=BytesBody(body) if body else None,
                deadline_s=DEADLINE_S,
                max_body_bytes=MAX_ANSWER_BYTES,
            )
        self._judge(answer)

    def _judge(self, answer: HttpResponse) -> None:
        # Who says 2xx has taken it, whatever nonsense follows; only without a status it is unknown.
        if 200 <= answer.status < 300:
            return
        if answer.failure is not None:
            raise SendError(self._mask(answer.failure.message))
        said = " ".join(printable(answer.body[:_SHOWN].decode("utf-8", "replace")).split())
        reason = f"the receiver answers {answer.status}" + (f": {said}" if said else "")
        raise SendError(self._mask(reason), retry_after_s=retry_after_s(answer.headers))


def _authorization(user: str | None, password: str | None) -> Mapping[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"authorization": f"Basic {b64encode(pair).decode()}"}
