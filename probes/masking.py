"""Keeping secrets out of everything that is written: one mask a run, which learns secrets as the run meets them.

Refuses to guess what is secret: it hides what it was told, in the spellings that a value takes in URLs and in JSON. Called
by `probes.journey`; handed to the HTTP engine and to the evidence store.
"""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

__all__ = ["Mask"]

MASKED = "***"
# Shorter values would blank out ordinary words, and are no secrets.
MIN_SECRET_LENGTH = 4


class Mask:
    """A function from text to the same text without the secrets it has been told."""

    __slots__ = ("_spellings",)

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def hide(self, secret: str) -> None:
        """Hide this value from now on; a value of fewer than four characters is no secret and is left alone."""
        if len(secret) < MIN_SECRET_LENGTH:
            return
        spellings = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
        # The longest first, so that a secret within a secret leaves nothing behind.
        self._spellings = tuple(sorted({*self._spellings, *spellings}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text with every known secret replaced."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASKED)
        return text
