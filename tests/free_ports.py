"""Ports for programs that cannot be asked to take port 0, and for addresses at which nobody must answer.

They lie below those that the kernel gives to whoever connects or asks for any port, so that nothing on this machine gets one
by chance between the choice and the use of it; each process of a test run begins at another place. Used by tests and their kits.
"""

from __future__ import annotations

import os
import socket
from itertools import count
from typing import Final

__all__ = ["free_port"]

FIRST, COUNT = 20_000, 12_000
"""All below 32,768. Source: Linux, ip-sysctl, ip_local_port_range."""
APART: Final = 397
"""So far from each other begin processes whose numbers follow each other."""
_TURNS: Final = count()


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens; another one with every call."""
    begin = os.getpid() * APART
    for _ in range(COUNT):
        port = FIRST + (begin + next(_TURNS)) % COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"no port from {FIRST} to {FIRST + COUNT} is free")
