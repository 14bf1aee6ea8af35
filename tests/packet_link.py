"""Long and lossy links between namespaces: a process that carries IP packets between TUN devices, late, and loses some.

Each packet waits half a round trip, each way, and is lost with the link's probability, drawn from a seed; order is kept, and room
is not limited. Real TCP sees real distance. A link can be cut, for everything or for one address, and restored. It stands in
for the kernel's netem, which not every kernel has. Used by tests named regions.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Final

__all__ = ["EVERYTHING", "LinkPlan", "PacketLinks", "packet_links"]

ROOT: Final = Path(__file__).resolve().parents[1]
EVERYTHING: Final = "*"
MOST_PACKET_BYTES: Final = 65_536
IPV4: Final = 4
SOURCE, DESTINATION = slice(12, 16), slice(16, 20)  # of an IPv4 header. Source: RFC 791, section 3.1
COMMANDS: Final = 0


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A link between two descriptors of TUN devices. `loss_ratio` is for each packet, each way."""

    near_fd: int
    far_fd: int
    round_trip_s: float
    loss_ratio: float
    seed: str


@dataclass(slots=True)
class Carrier:
    """One link at work; counts are of packets."""

    plan: LinkPlan
    random: Random
    cut: str = ""
    carried: int = 0
    lost: int = 0
    cut_off: int = 0

    def takes(self, packet: bytes) -> bool:
        """Whether the packet arrives."""
        if packet[0] >> 4 != IPV4:
            return False  # the kernel's own chatter of IPv6
        if self.cut == EVERYTHING or (self.cut and self.cut in (dotted(packet[SOURCE]), dotted(packet[DESTINATION]))):
            self.cut_off += 1
            return False
        if self.random.random() < self.plan.loss_ratio:
            self.lost += 1
            return False
        self.carried += 1
        return True


@dataclass(slots=True)
class PacketLinks:
    """The process that carries, from outside."""

    process: subprocess.Popen[str]
    counts: list[dict[str, int]] = field(default_factory=list)

    def cut(self, link: int, address: str = EVERYTHING) -> None:
        """From now on nothing passes, or nothing to and from this address."""
        self._tell({"link": link, "cut": address})

    def restore(self, link: int) -> None:
        """Everything passes again."""
        self._tell({"link": link, "cut": ""})

    def _tell(self, order: dict[str, object]) -> None:
        """Give an order, and wait until it holds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.counts = json.loads(self.process.stdout.readline())

    def count(self) -> list[dict[str, int]]:
        """Packets carried, lost and cut off so far, by link."""
        self._tell({})
        return self.counts


@contextmanager
def packet_links(plans: Sequence[LinkPlan]) -> Iterator[PacketLinks]:
    """Carry for the length of the block. Takes the descriptors: they are closed afterwards."""
    descriptors = [descriptor for plan in plans for descriptor in (plan.near_fd, plan.far_fd)]
    try:
        with subprocess.Popen(
            [sys.executable, "-c", "from tests.packet_link import main; main()", json.dumps([*map(asdict, plans)])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
        ) as process:
            try:
                links = PacketLinks(process)
                links.count()  # once it answers it carries: what a device holds before that is little
                yield links
            finally:
                process.kill()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def main() -> None:
    """The process: plans as JSON on the command line, orders on stdin, counts after each on stdout; ends with its stdin."""
    plans = [LinkPlan(**plan) for plan in json.loads(sys.argv[1])]
    carry([Carrier(plan, Random(plan.seed)) for plan in plans])


def carry(links: Sequence[Carrier]) -> None:
    """Carry packets until there are no more orders."""
    ways = {link.plan.near_fd: (link, link.plan.far_fd) for link in links}
    ways |= {link.plan.far_fd: (link, link.plan.near_fd) for link in links}
    waiting: list[tuple[float, int, int, bytes]] = []  # due, number, descriptor, packet
    number = 0
    while True:
        rest_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([COMMANDS, *ways], [], [], rest_s)
        for descriptor in ready:
            if descriptor == COMMANDS:
                if not (line := sys.stdin.readline()):
                    return
                obey(json.loads(line), links)
                continue
            link, to_fd = ways[descriptor]
            for packet in packets_of(descriptor):
                # Counted from after it was read: it may have come after an instant that was taken before, and be early.
                due_s = time.monotonic() + link.plan.round_trip_s / 2
                if link.takes(packet):
                    number += 1
                    heapq.heappush(waiting, (due_s, number, to_fd, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to_fd, packet = heapq.heappop(waiting)
            with suppress(OSError):  # a full queue, or a device that is down: a lost packet, as anywhere
                os.write(to_fd, packet)


def obey(order: dict[str, object], links: Sequence[Carrier]) -> None:
    """Cut or restore a link, and say what has passed so far."""
    if "link" in order:
        links[int(str(order["link"]))].cut = str(order["cut"])
    counts = [{"carried": link.carried, "lost": link.lost, "cut_off": link.cut_off} for link in links]
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()


def packets_of(descriptor: int) -> Iterator[bytes]:
    """Every packet that is there now."""
    while True:
        try:
            yield os.read(descriptor, MOST_PACKET_BYTES)
        except BlockingIOError:
            return


def dotted(address: bytes) -> str:
    """An address as people write it."""
    return ".".join(str(number) for number in address)
