"""Numbers as people read them: durations, sizes, rates, shares and counts.

Also makes text that came from a target harmless to a terminal. Refuses rounding that turns one verdict into another:
thresholds are compared elsewhere, on whole nanoseconds. Called by whatever prints or draws for people.
"""

from __future__ import annotations

import math

__all__ = ["bytes_text", "count_text", "duration_text", "milliseconds_text", "printable", "rate_text"]

_US = 1_000
_MS = 1_000_000
_S = 1_000_000_000
_MINUTE_S = 60
_KB = 1_000
_MB = 1_000_000
_LARGE = 100
_FLOAT_DUST = 1e-9


def duration_text(duration_ns: int) -> str:
    """A duration in the unit that suits it: `420 µs`, `12.3 ms`, `480 ms`, `1.24 s`, `2 min 05 s`."""
    if duration_ns < _MS:
        return f"{duration_ns / _US:.0f} µs" if duration_ns else "0 ms"
    if duration_ns < _S:
        return f"{_three_digits(duration_ns / _MS)} ms"
    if duration_ns < _MINUTE_S * _S:
        return f"{_three_digits(duration_ns / _S)} s"
    minutes, seconds = divmod(round(duration_ns / _S), _MINUTE_S)
    return f"{minutes} min {seconds:02d} s"


def _three_digits(value: float) -> str:
    """Three digits, never rounded up: 499.99 ms must not read like the limit that it is below."""
    decimals = 2 if value < 10 else 1 if value < _LARGE else 0
    scale = 10**decimals
    return f"{math.floor(value * scale + _FLOAT_DUST) / scale:.{decimals}f}"


def milliseconds_text(duration_ns: int) -> str:
    """Milliseconds without their unit, for a column that says it once; exactly zero is a dot."""
    if duration_ns == 0:
        return "·"
    tenths = duration_ns * 10 // _MS
    return f"{tenths / 10:.1f}" if tenths < 10 * _LARGE else f"{tenths // 10}"


def bytes_text(size_bytes: int) -> str:
    """A size in decimal units, never rounded up: `812 B`, `14.2 kB`, `49.9 MB` for 49,999,999."""
    if size_bytes < _KB:
        return f"{size_bytes} B"
    unit_bytes, unit = (_KB, "kB") if size_bytes < _MB else (_MB, "MB")
    return f"{size_bytes * 10 // unit_bytes / 10:.1f} {unit}"


def rate_text(bytes_per_s: float) -> str:
    """A rate: `612 MB/s`, `38.1 MB/s`, `14.2 kB/s`."""
    if bytes_per_s < _MB:
        return f"{bytes_per_s / _KB:.1f} kB/s"
    value = bytes_per_s / _MB
    return f"{value:.1f} MB/s" if value < _LARGE else f"{value:.0f} MB/s"


def count_text(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 run`, `3 runs`, `no runs`."""
    word = noun if count == 1 else plural or f"{noun}s"
    return f"{count or 'no'} {word}"


def printable(text: str) -> str:
    """`text` on one line and without control characters: what a target answered must not steer a person's terminal."""
    flat = " ".join(text.split())
    return "".join(character if character.isprintable() else "\ufffd" for character in flat)
