"""Telling a collector of releases over its API: one request, tried a few times, each under a deadline.

What the collector refuses is an error of whoever asked; what it could not be told may be told later. Refuses to keep anything
(`console.release_files` does) and to try for ever. Called by `console.gate_release` and `console.releases_command`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from pydantic import SecretStr

from collector.texts.figures import printable
from console.desk import Desk
from probes.clock import Clock
from probes.errors import DependencyError, OperatorError
from probes.http import BytesBody, HttpEngine, HttpResponse
from probes.masking import Mask
from probes.release_marker import ReleaseMarker, parse_release, render_release
from probes.retry_after import retry_after_s

__all__ = ["MOST_PAUSE_S", "MOST_TRIES", "CollectorApi", "NotReachedError", "collector_of"]

MOST_TRIES: Final = 3
DEADLINE_S: Final = 10.0
"""For one try."""
PAUSES_S: Final = (1.0, 3.0)
MOST_PAUSE_S: Final = 10.0
"""Longer is not waited, whatever the collector asks for: somebody waits for the exit code."""
MOST_ANSWER_BYTES: Final = 4 * 1024 * 1024
_PATH: Final = "/api/v1/releases"
_OK: Final = 200
_TRY_AGAIN: Final = frozenset({408, 429})
_LEAST_OWN_FAULT: Final = 500
_SHOWN: Final = 300


class NotReachedError(DependencyError):
    """The collector could not be told, or asked, at the moment; it may be tried again later."""


@dataclass(frozen=True, slots=True)
class CollectorApi:
    """The part of a collector's API that is about releases. `tries` bounds how often a request is sent."""

    url: str
    token: SecretStr = field(repr=False)
    clock: Clock
    tries: int = MOST_TRIES

    async def tell(self, marker: ReleaseMarker) -> bool:
        """Tell of a release; False when it was known already. Raises NotReachedError, and OperatorError when it is refused."""
        answer = await self._ask("POST", _PATH, render_release(marker))
        found = _document(answer, self.url)
        return found.get("is_new") is not False

    async def listed(self, last: timedelta, target: str) -> list[ReleaseMarker]:
        """The releases of the last days, the newest first. Raises the same."""
        days = max(1, -(-last // timedelta(days=1)))
        parameters = urlencode({"days": days, **({"target": target} if target else {})})
        found = _document(await self._ask("GET", f"{_PATH}?{parameters}", b""), self.url).get("releases")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise _no_collector(self.url)
        return [parse_release(json.dumps({"schema_version": 1, **one}).encode(), where=self.url) for one in found]

    async def _ask(self, method: str, path: str, body: bytes) -> HttpResponse:
        trouble = ""
        for number in range(self.tries):
            answer = await self._send(method, path, body)
            pause_s = PAUSES_S[min(number, len(PAUSES_S) - 1)]
            if answer.failure is not None:
                trouble = answer.failure.message
            elif answer.status in _TRY_AGAIN or answer.status >= _LEAST_OWN_FAULT:
                trouble = f"it answers {answer.status}: {_said(answer)}"
                pause_s = min(max(pause_s, retry_after_s(answer.headers)), MOST_PAUSE_S)
            elif answer.status == _OK:
                return answer
            else:
                raise _refused(answer, self.url)
            if number + 1 < self.tries:
                await self.clock.sleep(pause_s)
        raise NotReachedError(f"the collector could not be reached: {trouble}", where=self.url)

    async def _send(self, method: str, path: str, body: bytes) -> HttpResponse:
        """One try. The token goes into a header and nowhere else."""
        mask, token = Mask(), self.token.get_secret_value()
        mask.hide(token)
        headers = {"authorization": f"Bearer {token}"}
        async with (
            HttpEngine() as engine,
            engine.client(origin_ns=time.monotonic_ns(), headers=headers, mask=mask) as client,
        ):
            return await client.request(
                method,
                f"{self.url}{path}",
                headers={"content-type": "application/json"} if body else {},
                body=BytesBody(body) if body else None,
                deadline_s=DEADLINE_S,
                max_body_bytes=MOST_ANSWER_BYTES,
            )


def collector_of(desk: Desk, *, tries: int = MOST_TRIES) -> CollectorApi | None:
    """The collector of --announce, else of the settings; None where neither names one. OperatorError without a token."""
    options, settings = desk.arguments.release, desk.settings
    url = (options.url if options else "") or settings.releases.url
    if not url:
        return None
    token = settings.secret(settings.releases.token)
    if not token.get_secret_value().isprintable() or not token.get_secret_value().isascii():
        raise OperatorError("it is no token: it has other characters than a header can", where=settings.releases.token)
    return CollectorApi(url, token, desk.clock, tries)


def _document(answer: HttpResponse, url: str) -> dict[str, object]:
    try:
        found = answer.json()
    except ValueError as error:
        raise _no_collector(url) from error
    if not isinstance(found, dict):
        raise _no_collector(url)
    return found


def _no_collector(url: str) -> OperatorError:
    remedy = "Name the address of its pages (pages.listen, or pages.public_url)"
    return OperatorError("what answers there is no collector of this version", where=url, remedy=remedy)


def _refused(answer: HttpResponse, url: str) -> OperatorError:
    remedies = {
        401: "The secret that releases.token names must be one of the collector's pages.operate_tokens",
        403: "The secret that releases.token names must be one of the collector's pages.operate_tokens",
        404: "Name the address of its pages; a collector of an earlier version knows nothing of releases",
    }
    message = f"the collector refuses it ({answer.status}): {_said(answer)}"
    return OperatorError(message, where=url, remedy=remedies.get(answer.status, ""))


def _said(answer: HttpResponse) -> str:
    """Its own words, cut short."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    words = found.get("detail") or found.get("error") if isinstance(found, dict) else None
    text = str(words) if words else answer.body[:_SHOWN].decode("utf-8", "replace")
    return printable(text[:_SHOWN]) or "without a word"
