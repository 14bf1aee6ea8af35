"""One worker at a time on an outbox: the lock that the supervisor and all its lanes hold together.

The lock belongs to an open file that the lanes inherit, so it is only free when the last of them is gone: a worker that is
started after a `kill -9` waits for its predecessor's lanes to end, and never runs a slot that one of them is still running.

Refuses to wait for ever. On a network disk flock is that disk's promise, not ours. Source: flock(2). Called by `probes.worker`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from probes.clock import Clock
from probes.errors import DependencyError

__all__ = ["hold_lock"]

LOOK_EVERY_S = 0.05


@asynccontextmanager
async def hold_lock(path: Path, *, clock: Clock, patience_s: float) -> AsyncIterator[int]:
    """The descriptor of the locked file, to be passed on to lanes; raises DependencyError when another worker stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        remedy = "Check the folder of the outbox and its permissions"
        raise DependencyError(f"the lock cannot be opened: {error}", where=str(path), remedy=remedy) from error
    try:
        give_up_at_ns = clock.monotonic_ns() + int(patience_s * 1e9)
        while not try_lock(descriptor):
            if clock.monotonic_ns() >= give_up_at_ns:
                message = "another worker uses this outbox"
                remedy = "Stop it first, or give this one a name and a state folder of its own"
                raise DependencyError(message, where=str(path), remedy=remedy)
            await clock.sleep(LOOK_EVERY_S)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
