"""Takes uploads as fast as it can and says how long the bytes took to come. A process of its own.

    python -m bench.sink

Prints one JSON line with its port when it is ready, and ends when its standard input is closed. Each answer says the
seconds from the first byte of the request to the last.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time

__all__ = ["main"]

_BUFFER_BYTES = 1_048_576


def serve(sock: socket.socket, buffer: bytearray) -> None:
    """One request."""
    with sock:
        head = b""
        started_ns = 0
        while b"\r\n\r\n" not in head:
            piece = sock.recv(65_536)
            if not piece:
                return
            started_ns = started_ns or time.monotonic_ns()
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        left = int(length[1] if length else 0) - len(rest)
        while left > 0:
            taken = sock.recv_into(buffer)
            if not taken:
                return
            left -= taken
        body = json.dumps({"seconds": (time.monotonic_ns() - started_ns) / 1e9}).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


def accept(listener: socket.socket) -> None:
    """One connection after the other; uploads are measured alone."""
    buffer = bytearray(_BUFFER_BYTES)
    while True:
        sock, _address = listener.accept()
        serve(sock, buffer)


def main() -> None:
    """Serves until standard input is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
