"""Reads one answer from the bytes of a connection: llhttp does the parsing, this keeps the bounds and knows the end.

Refuses to raise for what a target sends: `problem` says in words what is wrong with it. Interim answers (1xx) are
skipped. Called by `probes.http_exchange`.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from probes.http_message import Headers

__all__ = ["AnswerReader"]

_MAX_HEAD_BYTES = 65_536
_SHOWN_BYTES = 60
_INTERIM_BELOW = 200
_SWITCHING = 101


class AnswerReader:
    """Feed it bytes until `complete` or `problem`.

    `too_large` is set when the body passed `max_body_bytes`; what fits is kept. `refusal` is True from a final
    head with status 300 or more on: there is no point in sending the rest of a request. `between` is True after an
    interim answer while the next one has not begun.
    """

    __slots__ = (
        "_bodyless",
        "_fields",
        "_first",
        "_framed",
        "_head_bytes",
        "_max_body_bytes",
        "_parser",
        "between",
        "body",
        "complete",
        "head_done",
        "keep_alive",
        "problem",
        "received_bytes",
        "status",
        "too_large",
    )

    def __init__(self, method: str, max_body_bytes: int) -> None:
        self._bodyless = method == "HEAD"
        self._max_body_bytes = max_body_bytes
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._fields: list[tuple[str, str]] = []
        self._framed = False
        self._head_bytes = 0
        self._first = b""
        self.between = False
        self.body = bytearray()
        self.complete = False
        self.head_done = False
        self.keep_alive = False
        self.problem = ""
        self.received_bytes = 0
        self.status = 0
        self.too_large = False

    @property
    def headers(self) -> Headers:
        """The fields of the final head."""
        return Headers(tuple(self._fields)) if self.head_done else Headers()

    @property
    def refusal(self) -> bool:
        """A final answer came that makes the rest of the request pointless."""
        return self.head_done and self.status >= 300

    def feed(self, data: bytes) -> None:
        """Takes what arrived; look at `complete`, `problem` and `too_large` afterwards."""
        self.received_bytes += len(data)
        if not self.head_done:
            self._head_bytes += len(data)
            if len(self._first) < _SHOWN_BYTES:
                self._first += data[:_SHOWN_BYTES]
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.problem = (
                self.problem or f"the target switched protocols (status {self.status}), which was not asked for"
            )
        except HttpParserError as error:
            if not self.complete:
                self.problem = self.problem or self._describe(error)
        if not self.head_done and self._head_bytes > _MAX_HEAD_BYTES:
            self.problem = self.problem or f"the head of the answer is larger than {_MAX_HEAD_BYTES} bytes"

    def end(self) -> bool:
        """The connection ended: True when that is the proper end of this answer."""
        if self.head_done and not self._framed and not self.problem:
            self.complete = True
            self.keep_alive = False
        return self.complete

    def release(self) -> None:
        """Lets the parser go. It refers back to this reader, and a cycle would keep the body until a collector comes by."""
        self._parser = None

    def _describe(self, error: Exception) -> str:
        if self.head_done:
            return f"the body of the answer is malformed: {error}"
        return f"the answer is not HTTP: {error}; it starts with {self._first[:_SHOWN_BYTES]!r}"

    # What llhttp calls, in the order of a message.

    def on_message_begin(self) -> None:
        """The first byte of a message."""
        self.between = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field; trailers after the body are dropped."""
        if not self.head_done:
            self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """A head is whole: an interim one is forgotten, a final one decides how the body ends."""
        if self.complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < _INTERIM_BELOW and status != _SWITCHING:
            self._fields.clear()
            return
        self.status = status
        self.head_done = True
        self.keep_alive = self._parser.should_keep_alive()
        names = {name.lower(): value for name, value in self._fields}
        self._framed = "content-length" in names or "chunked" in names.get("transfer-encoding", "").lower()
        if self._bodyless:
            self.complete = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete or self.too_large:
            return
        room = self._max_body_bytes - len(self.body)
        if len(data) > room:
            self.too_large = True
            data = data[:room]
        self.body += data

    def on_message_complete(self) -> None:
        """A message is whole; an interim one is not the answer."""
        self.between = not self.head_done
        if self.head_done and not self.too_large:
            self.complete = True
