r"""A dump's text made safe for psql: nothing in it may start a program, write a file or connect elsewhere. Pure.

psql obeys backslash commands in what it is fed, and a dump comes from outside. `\restrict KEY` makes it refuse all of them until
`\unrestrict KEY`. pg_dump writes such a pair with a key that stands in the dump; that pair is taken out and ours, with a key
that nobody knows, goes around everything. Called by `scenarios.scratch_database`.

Source: https://www.postgresql.org/docs/current/app-psql.html, `\restrict`
"""

from __future__ import annotations

import re

__all__ = ["RestrictedSql"]

FIRST_BYTES = 8192
PAIR = re.compile(rb"^\\restrict ([A-Za-z0-9]+)\n", re.MULTILINE)


class RestrictedSql:
    """Fed the text in pieces, of which the first holds the dump's head; gives it on without the dump's own pair."""

    def __init__(self, key: str) -> None:
        self._opening = f"\\restrict {key}\n".encode()
        self._closing = b""
        self._held = b""

    def feed(self, text: bytes) -> bytes:
        """The next piece as it may be executed; a little of it may be held back until the next."""
        if self._opening:
            if pair := PAIR.search(text[:FIRST_BYTES]):
                self._closing = b"\\unrestrict " + pair[1] + b"\n"
                text = text[: pair.start()] + text[pair.end() :]
            text, self._opening = self._opening + text, b""
        if not self._closing:
            return text
        text = (self._held + text).replace(self._closing, b"")
        keep = len(self._closing) - 1
        self._held = text[-keep:]
        return text[:-keep]

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held
