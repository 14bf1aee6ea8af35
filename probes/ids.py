"""Names for runs and traces: sortable run ids, W3C trace context, and the header values that carry them.

Refuses to keep state: every call draws fresh random bits from the operating system. Called by `probes.execute` once a run
and by `probes.journey` once a request.
"""

from __future__ import annotations

import secrets
from datetime import datetime

__all__ = ["make_run_id", "make_trace_id", "make_traceparent"]

# Crockford's alphabet in lower case: no i, l, o, u, and it sorts as its values do. Source: https://www.crockford.com/base32.html
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS = 80
# Two characters at a time: a run id is made on the way of every check.
PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
PAIR_SHIFTS = tuple(range(120, -1, -10))


def make_run_id(now: datetime) -> str:
    """26 characters: 48 bits of Unix milliseconds, then 80 random bits; sorts by time. Source: the ULID layout."""
    value = (int(now.timestamp() * 1000) << RANDOM_BITS) | secrets.randbits(RANDOM_BITS)
    return "".join([PAIRS[(value >> shift) & 1023] for shift in PAIR_SHIFTS])


def make_trace_id() -> str:
    """32 hex digits, never all zero."""
    return f"{secrets.randbits(128) or 1:032x}"


def make_traceparent(trace_id: str) -> str:
    """The `traceparent` of one request: version 00, a fresh span, sampled. Source: W3C Trace Context, section 3.2."""
    return f"00-{trace_id}-{secrets.randbits(64) or 1:016x}-01"
