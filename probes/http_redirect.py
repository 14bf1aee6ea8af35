"""Where an answer sends us next, and what may go along. Pure. Source: RFC 9110, 15.4. Called by `probes.http`.

To another origin go only headers that are known to carry no credentials, and no body from memory (it may be a password);
a redirect that would need that is not followed: the caller sees the 3xx and judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

from probes.errors import OperatorError
from probes.http_body import Body, BytesBody, MultipartBody
from probes.http_message import Headers, Url, parse_url
from probes.records import Failure, FailureKind

__all__ = ["Hop", "next_hop"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER = 303
_MAY_TURN_INTO_GET = frozenset({301, 302})
_SAFE_ELSEWHERE = frozenset({
    "accept", "accept-encoding", "accept-language", "content-type", "traceparent", "tracestate", "user-agent",
    "x-request-id", "x-trace-id",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a chain. `headers` have lower-case keys."""

    method: str
    url: Url
    headers: Mapping[str, str]
    body: Body | None


def next_hop(hop: Hop, status: int, headers: Headers, hops_left: int) -> tuple[Hop | None, Failure | None]:
    """The next request, or none and why: not a redirect (no failure), no end in sight, a place that cannot be requested."""
    location = headers.get("location")
    if status not in _REDIRECTS or not location:
        return None, None
    if hops_left < 0:
        return None, Failure(
            FailureKind.STATUS, f"still redirected after the last hop allowed, to {location}", "redirects"
        )
    try:
        url = parse_url(urldefrag(urljoin(hop.url.text, location)).url)
    except (OperatorError, ValueError) as error:
        return None, Failure(
            FailureKind.STATUS, f"redirected to a place that cannot be requested: {error}", "redirects"
        )
    method, body = hop.method, hop.body
    if (status == _SEE_OTHER and method != "HEAD") or (status in _MAY_TURN_INTO_GET and method == "POST"):
        method, body = "GET", None
    kept = hop.headers if body is not None else {n: v for n, v in hop.headers.items() if n != "content-type"}
    if url.origin != hop.url.origin:
        if isinstance(body, BytesBody | MultipartBody):
            return None, None
        kept = {name: value for name, value in kept.items() if name in _SAFE_ELSEWHERE}
    return Hop(method, url, {n: v for n, v in kept.items() if n != "host"}, body), None
