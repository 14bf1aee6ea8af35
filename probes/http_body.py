"""Request bodies and how they are cut into segments that can be streamed from disk in constant memory.

A body is opened right before it is sent: its files are opened and measured, so that `Content-Length` is exact, and
closed when the exchange is over. The last bytes of a body are always a segment in memory, because only those can carry the
request for a departure stamp (`probes.http_stamps`). Refuses bodies of unknown length. Called by `probes.http`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from probes.errors import OperatorError

__all__ = [
    "Body",
    "BodyPlan",
    "BodyUnreadableError",
    "BytesBody",
    "FileBody",
    "FileRange",
    "FormField",
    "FormFile",
    "MultipartBody",
    "Segment",
    "open_body",
]

_TAIL_BYTES = 4096
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A body in memory."""

    data: bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body that is streamed from disk."""

    path: Path
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class FormField:
    """A named value of a form."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form; `file_name` is what the target is told."""

    name: str
    path: Path
    file_name: str
    content_type: str = _OCTETS


@dataclass(frozen=True, slots=True)
class MultipartBody:
    """A form as `multipart/form-data`, files streamed from disk. Source: RFC 7578."""

    parts: tuple[FormField | FormFile, ...]


Body = BytesBody | FileBody | MultipartBody


@dataclass(frozen=True, slots=True)
class FileRange:
    """A stretch of an open file."""

    fd: int
    offset: int
    length: int

    def read(self, most_bytes: int) -> bytes:
        """The beginning of the stretch, one byte at least; raises BodyUnreadableError."""
        try:
            data = os.pread(self.fd, min(self.length, most_bytes), self.offset)
        except OSError as error:
            raise _unreadable(error) from error
        if not data:
            raise _shrunk()
        return data

    def read_into(self, buffer: memoryview) -> int:
        """How many bytes of the beginning are now in the buffer, one at least; raises BodyUnreadableError."""
        try:
            read_bytes = os.preadv(self.fd, [buffer[: self.length]], self.offset)
        except OSError as error:
            raise _unreadable(error) from error
        if not read_bytes:
            raise _shrunk()
        return read_bytes


Segment = bytes | FileRange


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """An opened body: its segments in order, their exact sum and the media type (empty: the caller's headers say)."""

    segments: tuple[Segment, ...]
    body_bytes: int
    content_type: str


class BodyUnreadableError(Exception):
    """A file of the body could not be opened or read: ours, never the target's."""


def _unreadable(error: OSError) -> BodyUnreadableError:
    return BodyUnreadableError(f"the request body cannot be read: {error.strerror}")


def _shrunk() -> BodyUnreadableError:
    return BodyUnreadableError("the request body became shorter while it was being sent")


@dataclass(slots=True)
class _Draft:
    """Segments as they are collected, with the files to close at the end."""

    segments: list[Segment] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)

    def add_bytes(self, data: bytes) -> None:
        """Appends bytes, joined to those right before."""
        if self.segments and isinstance(self.segments[-1], bytes):
            self.segments[-1] += data
        elif data:
            self.segments.append(data)

    def add_file(self, path: Path) -> None:
        """Opens a regular file, tells the kernel to read ahead, appends all of it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.fds.append(fd)
            length = os.fstat(fd).st_size
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
            if length:
                self.segments.append(FileRange(fd, 0, length))
        except OSError as error:
            msg = f"the request body cannot be read: {path}: {error.strerror}"
            raise BodyUnreadableError(msg) from error

    def end_in_memory(self) -> None:
        """Turns the tail of a last file range into bytes."""
        last = self.segments[-1] if self.segments else b""
        if isinstance(last, bytes):
            return
        tail_bytes = min(_TAIL_BYTES, last.length)
        start = last.length - tail_bytes
        tail = FileRange(last.fd, start, tail_bytes).read(tail_bytes)
        if len(tail) != tail_bytes:
            raise _shrunk()
        self.segments.pop()
        if start:
            self.segments.append(FileRange(last.fd, last.offset, start))
        self.segments.append(tail)

    def plan(self, content_type: str) -> BodyPlan:
        """The finished plan."""
        self.end_in_memory()
        total = sum(len(s) if isinstance(s, bytes) else s.length for s in self.segments)
        return BodyPlan(tuple(self.segments), total, content_type)


@contextmanager
def open_body(body: Body) -> Iterator[BodyPlan]:
    """The body ready to be sent; raises BodyUnreadableError for a file, OperatorError for a name that would break the form."""
    draft = _Draft()
    try:
        if isinstance(body, BytesBody):
            draft.add_bytes(body.data)
            content_type = body.content_type
        elif isinstance(body, FileBody):
            draft.add_file(body.path)
            content_type = body.content_type or _OCTETS
        else:
            content_type = _add_form(draft, body)
        yield draft.plan(content_type)
    finally:
        for fd in draft.fds:
            os.close(fd)


def _add_form(draft: _Draft, body: MultipartBody) -> str:
    boundary = f"part-{secrets.token_hex(16)}"
    for part in body.parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"'
        if isinstance(part, FormField):
            draft.add_bytes(f"{head}\r\n\r\n{part.value}\r\n".encode())
        else:
            media_type = _plain(part.content_type or _OCTETS)
            file_name = _quoted(part.file_name)
            draft.add_bytes(f'{head}; filename="{file_name}"\r\nContent-Type: {media_type}\r\n\r\n'.encode())
            draft.add_file(part.path)
            draft.add_bytes(b"\r\n")
    draft.add_bytes(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    """A name inside quotes, escaped as browsers do. Source: HTML standard, multipart/form-data encoding algorithm."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _plain(media_type: str) -> str:
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in media_type):
        msg = f"control characters in the media type {media_type!r} of a form file"
        raise OperatorError(msg, where="content_type", remedy="Remove them")
    return media_type
