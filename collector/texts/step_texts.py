"""What a step tells besides its times, as lines for a person (uploads, page loads, what it restored), and the path of a request.

Refuses to judge. Called by the tables of the console and by the page of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from collector.texts.figures import bytes_text, duration_text, printable, rate_text
from probes.records import PageLoad, Step

__all__ = ["path_of", "step_notes"]

_WORTH_A_NOTE_BYTES: Final = 1_000_000
_SECONDS_WORTH_A_NOTE: Final = {
    "restore.duration_s": "restored in",
    "restore.canary_age_s": "the data is older by",
    "failover.outage_s": "away for",
    "telemetry.visible_after_s": "visible after",
}


def path_of(url: str) -> str:
    """The part of a URL that tells requests apart."""
    rest = url.partition("://")[2]
    return f"/{rest.partition('/')[2]}" if "/" in rest else rest or url


def step_notes(step: Step) -> Iterator[str]:
    """Whole lines, in the order in which things happened."""
    yield from (_page_note(page) for page in step.pages)
    for exchange in step.exchanges:
        if (flow := exchange.upload) is not None and flow.body_bytes >= _WORTH_A_NOTE_BYTES:
            stalls = f"{flow.stalls} stalls, {duration_text(flow.stalled_ns)} in all" if flow.stalls else "no stall"
            yield f"sent {bytes_text(flow.body_bytes)} at {rate_text(flow.bytes_per_s)}, {stalls}"
    for name, words in _SECONDS_WORTH_A_NOTE.items():
        if isinstance(found_s := step.attributes.get(name), int | float):
            yield f"{words} {duration_text(int(found_s * 1e9))}"


def _page_note(page: PageLoad) -> str:
    times = {
        "ready": page.ready_ns,
        "TTFB": page.ttfb_ns,
        "FCP": page.fcp_ns,
        "LCP": page.lcp_ns,
    }
    parts = [f"{name} {duration_text(time_ns)}" for name, time_ns in times.items() if time_ns is not None]
    if page.cls is not None:
        parts.append(f"CLS {page.cls:.3f}")
    if page.drive_ns:
        parts.append(f"driving cost {duration_text(page.drive_ns)}")
    if page.uncaught_errors:
        parts.append(f"uncaught: {printable(page.uncaught_errors[0])}")
    if page.failed_requests:
        parts.append(f"failed requests: {len(page.failed_requests)}")
    return f"page {', '.join(parts)}" if parts else f"page {page.url}"
