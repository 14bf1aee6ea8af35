"""When a server wants to be asked again: the header `Retry-After`, in seconds or as a date. Pure.

Refuses to wait. Called by whoever posts to somebody else's server: messages about alerts, releases.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from probes.http_message import Headers

__all__ = ["MAX_RETRY_AFTER_S", "retry_after_s"]

MAX_RETRY_AFTER_S: Final = 3_600.0


def retry_after_s(headers: Headers) -> float:
    """What `Retry-After` asks for, seconds or a date by the receiver's own clock; at most an hour. Source: RFC 9110, 10.2.3."""
    word = headers.get("retry-after").strip()
    if word.isascii() and word.isdecimal() and len(word) < 10:
        return min(float(word), MAX_RETRY_AFTER_S)
    try:
        wait_s = (parsedate_to_datetime(word) - parsedate_to_datetime(headers.get("date"))).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
