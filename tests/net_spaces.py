"""Network namespaces of our own: named, wired with TUN devices, gone at the end. Nothing of it is in the host's own network.

Needs root, iproute2 and /dev/net/tun; a test that asks for them is skipped where they are missing. Refuses to carry packets
(`tests.packet_link`). Used by tests named regions.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import pytest

__all__ = ["configure", "in_space", "listen_in", "need_spaces", "open_tun", "space"]

TUN: Final = Path("/dev/net/tun")
CLONE_NEWNET: Final = 0x40000000  # Source: setns(2)
TUNSETIFF: Final = 0x400454CA  # Source: linux/if_tun.h
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
Answer = TypeVar("Answer")


def need_spaces() -> None:
    """Skip the test where there can be no namespaces."""
    missing = [
        what
        for what, there in (
            ("root", os.geteuid() == 0),
            ("the program ip", shutil.which("ip") is not None),
            (str(TUN), os.access(TUN, os.R_OK | os.W_OK)),
        )
        if not there
    ]
    if missing:
        pytest.skip(f"regions of their own need {', '.join(missing)}")


@contextmanager
def space(name: str) -> Iterator[str]:
    """A namespace of that name with a loopback that is up; gone afterwards."""
    configure("netns", "add", name)
    try:
        configure("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        configure("netns", "delete", name)


def configure(*words: str) -> None:
    """Run `ip` with these words; its complaint is the failure."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def in_space(name: str, work: Callable[[], Answer]) -> Answer:
    """Do the work in a thread that lives in the namespace; what it opens stays there."""

    def enter_and_work() -> Answer:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/var/run/netns/{name}").open("rb") as door:
            if libc.setns(door.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")
        return work()

    with ThreadPoolExecutor(1) as thread:  # it ends with its thread, so that nobody else is ever in the namespace
        return thread.submit(enter_and_work).result()


def open_tun(name: str, device: str) -> int:
    """A TUN device of the namespace: what is routed into it can be read from the descriptor, and the other way round."""

    def opened() -> int:
        descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        return descriptor

    return in_space(name, opened)


def listen_in(name: str, address: str, port: int) -> socket.socket:
    """A listening socket of the namespace, for a server of this process."""
    return in_space(name, lambda: socket.create_server((address, port), backlog=128))
