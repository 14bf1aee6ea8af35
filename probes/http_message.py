"""What is written on the wire and what is read from it: URLs, request heads, answers. Pure but for the parser's own state.

HTTP/1.1 only, answers parsed by llhttp through `httptools`, every size bounded. Refuses to send a header that would break the
message (OperatorError) and to guess at an answer that is not HTTP (`AnswerReader.problem`). Called by `probes.http*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

from probes.errors import OperatorError

__all__ = ["Headers", "Url", "fits_header", "is_url", "merge_headers", "parse_url", "render_head"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_URL = re.compile(r"[\x00-\x1f\x7f]")
_OURS = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_QUERY_SAFE = _PATH_SAFE + "?[]"
_URLS_REMEMBERED = 1024


class Headers:
    """Header fields in their order, looked up without regard to case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: tuple[tuple[str, str], ...] = ()) -> None:
        self._fields = fields

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`, or `default`."""
        wanted = name.lower()
        for found, value in self._fields:
            if found.lower() == wanted:
                return value
        return default

    def get_all(self, name: str) -> tuple[str, ...]:
        """All values of `name`, in order."""
        wanted = name.lower()
        return tuple(value for found, value in self._fields if found.lower() == wanted)

    def items(self) -> tuple[tuple[str, str], ...]:
        """All fields as they came."""
        return self._fields

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(found.lower() == name.lower() for found, _ in self._fields)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL, taken apart.

    `host` is ASCII and without brackets; `target` is what the request line says.
    """

    scheme: str
    host: str
    port: int
    target: str
    text: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials belong to. Source: RFC 6454."""
        return (self.scheme, self.host, self.port)

    @property
    def host_header(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(_URLS_REMEMBERED)
def parse_url(url: str) -> Url:
    """Takes an absolute URL apart; raises OperatorError with the reason when it cannot be requested."""
    if _BAD_URL.search(url):
        raise _bad_url(url, "it has a control character or a line break")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
    except ValueError as error:
        raise _bad_url(url, str(error)) from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad_url(url, "only http:// and https:// can be requested")
    if not host or " " in host:
        raise _bad_url(url, "it names no host")
    if parts.username is not None or parts.password is not None:
        raise _bad_url(f"{parts.scheme}://...@{host}", "it carries a user name or password")
    target = quote(parts.path, safe=_PATH_SAFE) or "/"
    if parts.query:
        target += "?" + quote(parts.query, safe=_QUERY_SAFE)
    return Url(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], target, url)


def is_url(text: str) -> bool:
    """Whether it can be requested."""
    try:
        parse_url(text)
    except OperatorError:
        return False
    return True


def fits_header(value: str) -> bool:
    """Whether a header can carry the value: one line, in characters that HTTP has."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return not _BAD_VALUE.search(value)


def _bad_url(url: str, reason: str) -> OperatorError:
    return OperatorError(
        f"the URL {url!r} cannot be requested: {reason}", remedy="Correct it in the target description"
    )


def merge_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Layers of headers joined without regard to case, later ones win; keys come out in lower case."""
    merged: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            merged[name.lower()] = value
    return merged


def render_head(method: str, url: Url, headers: Mapping[str, str], *, body_bytes: int | None, keep: bool) -> bytes:
    """The request line and the header fields; raises OperatorError for what would break the message.

    `headers` have lower-case keys. The fields that frame a message are ours and cannot be given.
    """
    if not _TOKEN.fullmatch(method):
        raise OperatorError(f"{method!r} is not an HTTP method", where="method", remedy="Use GET, POST, PUT, ...")
    lines = [f"{method} {url.target} HTTP/1.1", f"Host: {headers.get('host') or url.host_header}"]
    for name, value in headers.items():
        if name == "host":
            continue
        _check_field(name, value)
        lines.append(f"{name.title()}: {value}")
    if body_bytes is not None:
        lines.append(f"Content-Length: {body_bytes}")
    lines.append("Connection: keep-alive\r\n\r\n" if keep else "Connection: close\r\n\r\n")
    try:
        head = "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        msg = f"a request header has a character that HTTP cannot carry: {error.object[error.start : error.end]!r}"
        raise OperatorError(msg, where="headers", remedy="Encode the value") from error
    return head


def _check_field(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise OperatorError(f"{name!r} is not a header name", where="headers", remedy="Use letters, digits and dashes")
    if name in _OURS:
        raise OperatorError(f"the header {name!r} is set by the client itself", where="headers", remedy="Leave it out")
    if _BAD_VALUE.search(value):
        msg = f"the value of the header {name!r} has a control character or a line break"
        raise OperatorError(msg, where="headers", remedy="Remove it")
