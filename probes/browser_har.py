"""The HAR of a browser session, made from its log after the clocks stopped; recording one costs the page nothing.

Times are Chromium's own, to the extent that it tells them: it does not tell sending from waiting, so `send` is 0 and says so.
Called by `probes.browser_evidence`.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import ResourceTiming

from probes.browser_log import BrowserLog, LoggedRequest
from probes.evidence_har import har_headers, har_query, render_document, shown_body

__all__ = ["render_browser_har"]

MAX_BODIES = 20
BODIES_TIMEOUT_S = 2.0
# Answers that a person reads to understand a failure; pictures and scripts are not among them.
WITH_BODY = ("document", "fetch", "xhr")
SEND_COMMENT = "Chromium does not tell sending from waiting: both are in wait"


async def render_browser_har(log: BrowserLog, version: str) -> bytes:
    """All requests of the session; the bodies of the last ones that the page worked with, failed ones first."""
    entries = list(log.requests.values())
    wanted = sorted(
        (entry for entry in entries if entry.response and entry.request.resource_type in WITH_BODY),
        key=lambda entry: not entry.is_failed,
    )[:MAX_BODIES]
    bodies: dict[int, bytes] = {}
    try:
        async with asyncio.timeout(BODIES_TIMEOUT_S):
            for entry in wanted:
                bodies[id(entry)] = await body_of(entry)
    except TimeoutError:
        left_out = "the rest is left out: evidence must not hold up the next run"
    else:
        left_out = ""
    document = [har_entry(entry, bodies.get(id(entry)), left_out) for entry in entries]
    return render_document(document, browser={"name": "Chromium", "version": version})


async def body_of(entry: LoggedRequest) -> bytes:
    """The answer's body, empty where Chromium no longer has it."""
    if entry.response is None or not entry.is_over:
        return b""
    try:
        return await entry.response.body()
    except PlaywrightError:
        return b""


def har_entry(entry: LoggedRequest, body: bytes | None, comment: str) -> dict[str, object]:
    """One request in HAR's words."""
    request, response = entry.request, entry.response
    headers = response.headers if response else {}
    timings, total_ms = har_timings(request.timing)
    mime_type = headers.get("content-type", "")
    content: dict[str, object] = {"size": -1, "mimeType": mime_type, "comment": comment or "not kept"}
    began_at = datetime.now(UTC).timestamp() - (time.monotonic_ns() - entry.started_ns) / 1e9
    return {
        "startedDateTime": datetime.fromtimestamp(began_at, UTC).isoformat(),
        "time": total_ms,
        "request": {
            "method": request.method,
            "url": request.url,
            "httpVersion": "unknown",
            "cookies": [],
            "headers": har_headers(request.headers.items()),
            "queryString": har_query(request.url),
            "headersSize": -1,
            "bodySize": -1,
        },
        "response": {
            "status": entry.status,
            "statusText": response.status_text if response else "",
            "httpVersion": "unknown",
            "cookies": [],
            "headers": har_headers(headers.items()),
            "content": content if body is None else shown_body(body, mime_type),
            "redirectURL": headers.get("location", ""),
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": timings,
        "comment": entry.error,
    }


def har_timings(timing: ResourceTiming) -> tuple[dict[str, object], float]:
    """Chromium's instants (ms since the request's start, -1: did not happen) as HAR's durations, and their sum."""
    begins = [at for at in (timing["domainLookupStart"], timing["connectStart"], timing["requestStart"]) if at >= 0]
    parts = {
        "blocked": round(begins[0], 3) if begins else -1,
        "dns": between(timing["domainLookupStart"], timing["domainLookupEnd"]),
        "connect": between(timing["connectStart"], timing["connectEnd"]),
        "ssl": between(timing["secureConnectionStart"], timing["connectEnd"]),
        "wait": max(0.0, between(timing["requestStart"], timing["responseStart"])),
        "receive": max(0.0, between(timing["responseStart"], timing["responseEnd"])),
    }
    total_ms = round(sum(value for name, value in parts.items() if name != "ssl" and value > 0), 3)
    return {**parts, "send": 0, "comment": SEND_COMMENT}, total_ms


def between(begin_ms: float, end_ms: float) -> float:
    """The time between two instants, -1 when one of them did not happen."""
    return round(end_ms - begin_ms, 3) if begin_ms >= 0 and end_ms >= begin_ms else -1
