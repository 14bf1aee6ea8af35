"""A target that waits known times and reports what it really did, to the microsecond. A process of its own.

    python -m bench.target [--cert FILE --key FILE] [--min-ms 10] [--max-ms 40] [--seed 1]

Prints one JSON line with its ports when it is ready, and ends when its standard input is closed. Each connection waits
random times: before it is accepted (`late`), before the TLS handshake is answered (`tls`), before the body of a request is
read (`body`), before the first byte of the answer and before the rest of it. `swift` and `swift_tls` wait for nothing.

`GET /reports` on the port `swift` gives, for every request path seen, what the client must have seen in nanoseconds: `tls`
from the arrival of the client's first flight to the answer to it, `send` from the arrival of the first to that of the last
byte of the request, `wait` from there to the first byte of the answer, `receive` from there to its last byte. Arrivals are
the kernel's stamps, departures the moment right before the system call; nothing is shared with the code under test.
`unsure` is how long the longest of those calls took: when a loaded host takes the CPU away in one, the target cannot tell.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["main"]

_SO_TIMESTAMPNS = 35
_READ_BYTES = 262_144
_HALF = b"x" * 1000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
_SWIFT_BODY = b'{"status":"healthy","timestamp":"2026-01-01T00:00:00.000Z","service":"cnc-quote-api"}'
_SMALL_BUFFER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Waits:
    """What one port waits for."""

    late: bool = False
    tls: bool = False
    body: bool = False
    answer: bool = True


class Target:
    """All ports, the seeded dice, and the reports."""

    def __init__(self, minimum_s: float, maximum_s: float, seed: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.reports: dict[str, dict[str, int]] = {}
        self._dice = random.Random(seed)  # noqa: S311 - waits, not secrets
        self._range = (minimum_s, maximum_s)

    def wait_s(self) -> float:
        """The next random wait."""
        return self._dice.uniform(*self._range)

    def listen(self, waits: Waits, context: ssl.SSLContext | None = None) -> int:
        """Opens a port; returns its number."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if waits.body:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self.loop.add_reader(listener, self._arrived, listener, waits, context)
        port: int = listener.getsockname()[1]
        return port

    def _arrived(self, listener: socket.socket, waits: Waits, context: ssl.SSLContext | None) -> None:
        try:
            sock, _address = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        served = Served(self, sock, waits, context)
        if waits.late:
            # What a program sees that comes late to its accept: the kernel has long since taken the connection.
            self.loop.call_later(self.wait_s(), served.watch)
        else:
            served.watch()


class Served:
    """One connection: handshake, request, answer."""

    def __init__(self, target: Target, sock: socket.socket, waits: Waits, context: ssl.SSLContext | None) -> None:
        self._target = target
        self._loop = target.loop
        self._sock = sock
        self._waits = waits
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if context is not None:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = context is None
        self._hello_ns = 0
        self._first_ns = 0
        self._last_ns = 0
        self._request = b""
        self._body_left = -1
        self._report: dict[str, int] = {}

    def watch(self) -> None:
        """Reads from now on."""
        self._loop.add_reader(self._sock, self._readable)

    def _readable(self) -> None:
        try:
            data, ancillary, _flags, _address = self._sock.recvmsg(_READ_BYTES, 128)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._close()
            return
        arrived_ns = _arrival(ancillary)
        if self._tls is not None:
            self._incoming.write(data)
            if not self._shaken:
                self._hello(arrived_ns)
            if self._shaken:
                data = self._plain()
        if self._shaken and data:
            self._take(data, arrived_ns)

    def _hello(self, arrived_ns: int) -> None:
        if self._hello_ns == 0:
            self._hello_ns = arrived_ns
            self._loop.remove_reader(self._sock)
            pause_s = self._target.wait_s() if self._waits.tls else 0.0
            self._loop.call_later(pause_s, self._answer_hello)
            return
        self._shake()

    def _answer_hello(self) -> None:
        self._shake()
        if self._sock.fileno() >= 0:
            self.watch()

    def _shake(self) -> None:
        assert self._tls is not None  # noqa: S101 - only called with TLS
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._close()
            return
        flight = self._outgoing.read()
        now_ns = time.monotonic_ns()
        if flight:
            self._sock.send(flight)
            self._report["unsure"] = time.monotonic_ns() - now_ns
        if "tls" not in self._report:
            self._report["tls"] = now_ns - self._hello_ns

    def _plain(self) -> bytes:
        assert self._tls is not None  # noqa: S101 - only called with TLS
        pieces = []
        while True:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLError:
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def _take(self, data: bytes, arrived_ns: int) -> None:
        self._first_ns = self._first_ns or arrived_ns
        self._last_ns = arrived_ns
        if self._body_left < 0:
            self._request += data
            head, found, rest = self._request.partition(b"\r\n\r\n")
            if not found:
                return
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            self._body_left = (int(length[1]) if length else 0) - len(rest)
            if self._waits.body and self._body_left > 0:
                self._loop.remove_reader(self._sock)
                self._loop.call_later(self._target.wait_s(), self.watch)
        else:
            self._body_left -= len(data)
        if self._body_left <= 0:
            self._answer()

    def _answer(self) -> None:
        self._loop.remove_reader(self._sock)
        path = self._request.split(b" ", 2)[1].decode()
        if path == "/reports":
            self._say(json.dumps(self._target.reports).encode())
            self._target.reports.clear()
        elif not self._waits.answer:
            self._say(_SWIFT_BODY)
        else:
            self._loop.call_later(self._target.wait_s(), self._say_half, path)

    def _say(self, body: bytes) -> None:
        self._sock.setblocking(True)  # noqa: FBT003 - the socket's own signature
        self._send(_HEAD % len(body) + body)
        self._close()

    def _say_half(self, path: str) -> None:
        said_ns = self._send(_HEAD % (2 * len(_HALF)) + _HALF)
        self._report["send"] = self._last_ns - self._first_ns
        self._report["wait"] = said_ns - self._last_ns
        self._loop.call_later(self._target.wait_s(), self._say_rest, path, said_ns)

    def _say_rest(self, path: str, said_ns: int) -> None:
        rest_ns = self._send(_HALF)
        self._report["receive"] = rest_ns - said_ns
        self._target.reports[path] = self._report
        self._close()

    def _send(self, data: bytes) -> int:
        """Sends and returns the moment right before it did."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        now_ns = time.monotonic_ns()
        try:
            self._sock.sendall(data)
        except OSError:
            self._close()
        took_ns = time.monotonic_ns() - now_ns
        self._report["unsure"] = max(took_ns, self._report.get("unsure", 0))
        return now_ns

    def _close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> int:
    now_ns = time.monotonic_ns()
    for _level, kind, data in ancillary:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data)
            arrived_ns: int = now_ns - (time.time_ns() - (seconds * 1_000_000_000 + nanoseconds))
            return arrived_ns
    return now_ns


async def serve(options: argparse.Namespace, announce: Callable[[str], None]) -> None:
    """Serves until standard input is closed."""
    target = Target(options.min_ms / 1000, options.max_ms / 1000, options.seed)
    ports = {
        "swift": target.listen(Waits(answer=False)),
        "late": target.listen(Waits(late=True)),
        "plain": target.listen(Waits()),
        "body": target.listen(Waits(body=True)),
    }
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
        ports["tls"] = target.listen(Waits(tls=True), context)
        ports["swift_tls"] = target.listen(Waits(answer=False), context)
    announce(json.dumps({"ports": ports}))
    over = asyncio.Event()
    target.loop.add_reader(sys.stdin, over.set)
    await over.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A target that waits known times and reports them.")
    parser.add_argument("--cert", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--min-ms", type=float, default=10.0)
    parser.add_argument("--max-ms", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(serve(parser.parse_args(), lambda line: print(line, flush=True)))


if __name__ == "__main__":
    main()
