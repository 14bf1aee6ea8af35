"""HAR 1.2 of plain HTTP journeys, made from exchanges: the one kind of HAR in which the time of sending is real.

A browser's HAR is made from its own log (`probes.browser_har`). Refuses to keep what it cannot show: bodies are cut, and what
is not text is left out with its size. Source: http://www.softwareishard.com/blog/har-12-spec/. Called by `probes.execute`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from probes.evidence_mask import MASKED, SECRET_HEADERS
from probes.records import Exchange, Phases
from probes.version import VERSION

__all__ = ["HarExchange", "har_headers", "har_query", "render_document", "render_har", "shown_body"]

MAX_BODY_BYTES = 256 * 1024
Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HarExchange:
    """One exchange and what was kept of it; only the last hop of a redirect has headers and a body."""

    exchange: Exchange
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    request_headers: tuple[tuple[str, str], ...] = ()


def render_har(kept: Sequence[HarExchange], *, started_at: datetime) -> bytes:
    """The whole HAR. `started_at` is when the run began, from which the exchanges' offsets count."""
    return render_document([har_entry(item, started_at) for item in kept])


def render_document(entries: Sequence[Mapping[str, object]], *, browser: Mapping[str, str] | None = None) -> bytes:
    """A HAR with these entries; `browser` is its name and version, where there was one."""
    log: dict[str, object] = {"version": "1.2", "creator": {"name": "probe-fleet", "version": VERSION}}
    if browser is not None:
        log["browser"] = dict(browser)
    log["entries"] = list(entries)
    return json.dumps({"log": log}, indent=1).encode()


def har_entry(kept: HarExchange, started_at: datetime) -> dict[str, object]:
    """One exchange in HAR's words."""
    exchange = kept.exchange
    began_at = started_at + timedelta(microseconds=exchange.started_ns / 1000)
    entry: dict[str, object] = {
        "startedDateTime": began_at.isoformat(),
        "time": ms(exchange.phases.total_ns),
        "request": {
            "method": exchange.method,
            "url": exchange.url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": har_headers(kept.request_headers),
            "queryString": har_query(exchange.url),
            "headersSize": -1,
            "bodySize": exchange.request_bytes,
        },
        "response": {
            "status": exchange.status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": har_headers(kept.response_headers),
            "content": shown_body(kept.response_body, header(kept.response_headers, "content-type")),
            "redirectURL": header(kept.response_headers, "location"),
            "headersSize": -1,
            "bodySize": exchange.response_bytes,
        },
        "cache": {},
        "timings": har_timings(exchange.phases, reused=exchange.reused),
    }
    if exchange.server_address:
        entry["serverIPAddress"] = exchange.server_address
    if exchange.failure is not None:
        entry["comment"] = f"{exchange.failure.kind.value}: {exchange.failure.message}"
    return entry


def har_timings(phases: Phases, *, reused: bool) -> dict[str, float]:
    """The seven phases; in HAR `connect` contains `ssl`, and -1 stands for what did not happen."""
    return {
        "blocked": ms(phases.queue_ns),
        "dns": -1 if reused else ms(phases.dns_ns),
        "connect": -1 if reused else ms(phases.connect_ns + phases.tls_ns),
        "ssl": ms(phases.tls_ns) if phases.tls_ns else -1,
        "send": ms(phases.send_ns),
        "wait": ms(phases.wait_ns),
        "receive": ms(phases.receive_ns),
    }


def har_headers(headers: Pairs) -> list[dict[str, str]]:
    """Headers, with the value of those that carry credentials hidden."""
    return [{"name": name, "value": MASKED if name.lower() in SECRET_HEADERS else value} for name, value in headers]


def har_query(url: str) -> list[dict[str, str]]:
    """The parameters of an address."""
    return [{"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)]


def shown_body(body: bytes, mime_type: str) -> dict[str, object]:
    """The beginning of a text; of anything else only its size."""
    content: dict[str, object] = {"size": len(body), "mimeType": mime_type or "application/octet-stream"}
    try:
        text = body[:MAX_BODY_BYTES].decode("utf-8", "strict" if len(body) <= MAX_BODY_BYTES else "ignore")
    except UnicodeDecodeError:
        content["comment"] = "not text, left out"
        return content
    content["text"] = text
    if len(body) > MAX_BODY_BYTES:
        content["comment"] = f"cut after {MAX_BODY_BYTES} bytes"
    return content


def header(headers: Pairs, name: str) -> str:
    """The first value of a header, empty when there is none."""
    return next((value for key, value in headers if key.lower() == name), "")


def ms(duration_ns: int) -> float:
    """Milliseconds, as HAR counts."""
    return round(duration_ns / 1e6, 3)
