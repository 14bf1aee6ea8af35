"""Is this a whole dump? Reads compressed bytes as they come, keeps both ends of the text, and counts. Pure; nothing is held.

A gzip that ends in the middle, has a wrong checksum, or holds nothing is told apart from one that holds something else than a
dump. Called by `scenarios.backups` and `scenarios.restore_drill`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from probes.target_behind import Backups

__all__ = ["DumpReader", "problem_of_ends"]

GZIP = 16 + zlib.MAX_WBITS
END_BYTES = 4096
PIECE_BYTES = 1_048_576
TRAILER_BYTES = 8
MOST_RATIO = 1032
"""How much deflate can save at most. Source: https://zlib.net/zlib_tech.html, "Maximum Compression Factor"."""


class DumpReader:
    """Fed a gzip file from its beginning. `problem` says in words why it cannot be read; empty as long as it can."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._has_begun = False
        self._has_ended = False
        self.head = b""
        self.tail = b""
        self.text_bytes = 0
        self.problem = ""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The text of the next piece of the file, in pieces of at most a megabyte; must be read to its end."""
        # Files may be several gzip members one after the other; zeros may follow the last.
        is_between = self._has_ended and not self._has_begun
        data, is_full = piece.lstrip(b"\0") if is_between else piece, False
        while (data or is_full) and not self.problem:
            self._has_begun = self._has_begun or bool(data)
            try:
                text = self._member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                self.problem = f"it is broken after {self.text_bytes} bytes of text: {error}"
                return
            # All that was given may be taken in while there is still something to come out.
            data, is_full = self._member.unconsumed_tail, len(text) == PIECE_BYTES
            if self._member.eof:
                data, is_full = self._member.unused_data.lstrip(b"\0"), False
                self._member, self._has_begun, self._has_ended = zlib.decompressobj(GZIP), False, True
            if text:
                self._note(text)
                yield text

    def skim(self, piece: bytes) -> None:
        """Read the piece for its checks only."""
        for _ in self.feed(piece):
            pass

    def end(self, described: Backups) -> str:
        """The file is over: what is wrong with it, or an empty text for a whole dump."""
        if self.problem:
            return self.problem
        if self._has_begun:
            return f"the gzip ends in the middle, after {self.text_bytes} bytes of text"
        if not self.text_bytes:
            return "it is a gzip of nothing"
        if described.begins.encode() not in self.head:
            return f"it does not begin with {described.begins!r}"
        if described.ends.encode() not in self.tail:
            return f"it does not end with {described.ends!r}: the dump was cut off"
        return ""

    def _note(self, text: bytes) -> None:
        if len(self.head) < END_BYTES:
            self.head += text[: END_BYTES - len(self.head)]
        self.tail = (self.tail + text[-END_BYTES:])[-END_BYTES:]
        self.text_bytes += len(text)


def problem_of_ends(first: bytes, last: bytes, size_bytes: int, described: Backups) -> str:
    """What both ends of a long file show to be wrong; empty when they look right.

    The beginning is decompressed and must be that of a dump. Of the end only the length in the trailer can be judged: of a file
    that was cut off it is four bytes of something else, which fit by chance once in a while. The middle is not seen.
    """
    reader = DumpReader()
    reader.skim(first)
    if reader.problem:
        return reader.problem
    if described.begins.encode() not in reader.head:
        return f"it does not begin with {described.begins!r}"
    length = int.from_bytes(last[-4:], "little")
    compressed = size_bytes - TRAILER_BYTES
    # Texts of 4 GiB and more have their length modulo that, which says nothing.
    if compressed * MOST_RATIO < 2**32 and not compressed // 2 <= length <= compressed * MOST_RATIO:
        return f"its end says that the text has {length} bytes, which {size_bytes} bytes of gzip cannot hold"
    return ""
