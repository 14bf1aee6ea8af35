"""The operating system's side of a browser: its process group, its memory, ending it for certain, leaving no zombies.

A browser that does not close is killed by its own process group, never by name: other browsers of this host are none of our
business. Refuses to know Playwright. Source: proc(5). Called by `probes.browser_chromium`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessGroup", "reap_orphans", "watch_end"]

PROC = Path("/proc")
POLL_S = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Programs of a browser that may outlive it for a moment; names are cut by the kernel to 15 characters.
BROWSER_NAMES = ("chrom", "headless_shell", "chrome", "msedge", "brave")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One line of `/proc/<pid>/stat`, as far as it matters here."""

    pid: int
    name: str
    state: str
    parent_pid: int
    group: int
    started_ticks: int


class ProcessGroup:
    """A browser's process and everything it started, told apart from a later process that got the same number.

    `driver_pid` is the process that started it, 0 when the browser had ended before it was looked at.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        leader = read_state(pid)
        self._started_ticks = leader.started_ticks if leader else -1
        self.driver_pid = leader.parent_pid if leader else 0
        # Playwright makes the browser a group leader; if one day it does not, only the browser itself is ours to signal.
        self._is_leader = leader is not None and leader.group == pid

    def is_alive(self) -> bool:
        """True while the browser's own process runs."""
        return self._running() is not None

    def is_driven(self) -> bool:
        """True while it runs and still belongs to the process that started it: a browser whose driver ended obeys nobody."""
        state = self._running()
        return state is not None and state.parent_pid == self.driver_pid

    def members(self) -> tuple[ProcessState, ...]:
        """Everything in the group that has not ended; zombies left out."""
        if not self._is_leader:
            return tuple(state for state in (read_state(self.pid),) if state is not None and self.is_alive())
        return tuple(state for state in all_states() if state.group == self.pid and state.state not in "ZX")

    def path_argument(self, prefix: str) -> Path | None:
        """The absolute path that the browser was started with after `prefix`, None when there is none."""
        try:
            arguments = (PROC / str(self.pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        found = [os.fsdecode(item).removeprefix(prefix) for item in arguments if os.fsdecode(item).startswith(prefix)]
        return Path(found[-1]) if found and Path(found[-1]).is_absolute() else None

    def memory_bytes(self) -> int:
        """What the group holds in memory of its own: resident pages less those shared with files or other processes."""
        total = 0
        for member in self.members():
            try:
                _, resident, shared, *_ = (PROC / str(member.pid) / "statm").read_text("ascii").split()
            except (OSError, ValueError):
                continue  # ended in the meantime
            total += (int(resident) - int(shared)) * PAGE_BYTES
        return total

    def kill(self) -> None:
        """SIGKILL to the whole group, at once; nothing happens when it is gone."""
        if not self.is_alive() and not self.members():
            return
        try:
            if self._is_leader:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _running(self) -> ProcessState | None:
        state = read_state(self.pid)
        is_ours = state is not None and state.started_ticks == self._started_ticks and state.state not in "ZX"
        return state if is_ours else None

    async def wait_gone(self, deadline_s: float) -> bool:
        """True when no member is left within the deadline; orphans that fell to us are reaped."""
        until = asyncio.get_running_loop().time() + deadline_s
        while self.members():
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(POLL_S)
        reap_orphans()
        return True


def watch_end(pids: tuple[int, ...], ended: Callable[[], None]) -> Callable[[], None]:
    """Call `ended` in the running loop as soon as one of the processes ends; returns what stops the watch.

    Where the kernel offers no such watch (before Linux 5.3, or out of files) nothing is called, and whoever waits has to ask.
    Source: pidfd_open(2).
    """
    loop = asyncio.get_running_loop()
    watched: list[int] = []

    def stop() -> None:
        while watched:
            descriptor = watched.pop()
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def tell() -> None:
        stop()
        ended()

    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(tell)
        except OSError:
            break
        else:
            watched.append(descriptor)
            loop.add_reader(descriptor, tell)
    return stop


def reap_orphans() -> int:
    """Collect ended browser processes that became our children; how many.

    A browser's helpers outlive it by a moment and fall to process 1, which in a container without an init is this very
    program; nobody else would collect them. Our own children have other names, and are left to whoever started them.
    """
    own = os.getpid()
    reaped = 0
    for state in all_states():
        if state.parent_pid == own and state.state == "Z" and state.name.startswith(BROWSER_NAMES):
            try:
                os.waitpid(state.pid, os.WNOHANG)
                reaped += 1
            except ChildProcessError:
                continue  # collected by somebody else between the two calls
    return reaped


def all_states() -> Iterator[ProcessState]:
    """Every process of this host; nothing where there is no /proc."""
    if not PROC.is_dir():
        return
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            state = read_state(int(entry.name))
            if state is not None:
                yield state


def read_state(pid: int) -> ProcessState | None:
    """The process as it is now, or None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The name is in brackets and may itself contain brackets and spaces.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return ProcessState(
        pid=pid,
        name=head.partition("(")[2],
        state=fields[0],
        parent_pid=int(fields[1]),
        group=int(fields[2]),
        started_ticks=int(fields[19]),
    )
