"""Percentiles that are observations, and how many runs it takes to say one.

"p95 < 500 ms" means that at least 95 % of the valid events took less than 500 ms, which is a statement about the
nearest-rank percentile: an event that happened, never a value interpolated between two. A failed event has no time and
counts as slower than any other. Refuses: interpolation, and a percentile of nothing. Called by `slo.judgement` and the reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["CONFIDENCE", "clean_events_needed", "nearest_rank"]

CONFIDENCE = Fraction(95, 100)


def nearest_rank(times_ns: Sequence[int | None], share: Fraction) -> int | None:
    """The smallest time that at least `share` of the events do not exceed; None: it falls on a failed event.

    `times_ns` holds None for a failed event. `share` lies in (0, 1]. Raises ValueError when there are no events.

    Source: Hyndman and Fan (1996), definition 1.
    """
    if not times_ns:
        message = "a percentile of no events does not exist"
        raise ValueError(message)
    if not 0 < share <= 1:
        message = f"a percentile's share must lie in (0, 1], not {share}"
        raise ValueError(message)
    rank = math.ceil(share * len(times_ns))
    answered = sorted(time_ns for time_ns in times_ns if time_ns is not None)
    return answered[rank - 1] if rank <= len(answered) else None


def clean_events_needed(allowed_bad: Fraction) -> int:
    """How many events, all of them good, it takes to claim at 95 % that fewer than `allowed_bad` of all events are bad.

    The smallest n with (1 - b)^n <= 0.05: 5 for a median, 29, 59 and 299 for p90, p95 and p99, 2995 for 99.9 %.
    Raises ValueError outside (0, 1).
    """
    if not 0 < allowed_bad < 1:
        message = f"an allowed share of bad events must lie in (0, 1), not {allowed_bad}"
        raise ValueError(message)
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-allowed_bad))
