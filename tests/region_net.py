"""A centre and regions around it: a namespace each, a long link from each region to the centre, no other way.

The centre has three addresses, for the broker, the platform and the control target, so that a link can be cut for one of them
alone. Used by tests named regions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

from tests.net_spaces import configure, open_tun, space
from tests.packet_link import LinkPlan, PacketLinks, packet_links

__all__ = ["BROKER", "CENTRE_ADDRESSES", "CONTROL", "PLATFORM", "RegionNet", "open_regions"]

CENTRE_ADDRESSES: Final = ("10.77.0.1", "10.77.0.2", "10.77.0.3")
BROKER, PLATFORM, CONTROL = CENTRE_ADDRESSES
NUMBERS = count()


@dataclass(frozen=True, slots=True)
class RegionNet:
    """The names of the namespaces, and the links in the order of the regions."""

    centre: str
    regions: tuple[str, ...]
    links: PacketLinks


@contextmanager
def open_regions(round_trips_s: Sequence[float], *, loss_ratio: float, seed: int) -> Iterator[RegionNet]:
    """One region for each round trip."""
    prefix = f"pf{os.getpid()}-{next(NUMBERS)}"
    with ExitStack() as opened:
        centre = opened.enter_context(space(f"{prefix}-centre"))
        for address in CENTRE_ADDRESSES:
            configure("-n", centre, "address", "add", f"{address}/32", "dev", "lo")
        regions, plans = [], []
        for number, round_trip_s in enumerate(round_trips_s, 1):
            region = opened.enter_context(space(f"{prefix}-{number}"))
            near_fd = end_of_link(region, "far", f"10.77.{number}.2", f"10.77.{number}.1")
            far_fd = end_of_link(centre, f"region{number}", f"10.77.{number}.1", f"10.77.{number}.2")
            configure("-n", region, "route", "add", "default", "dev", "far")
            regions.append(region)
            plans.append(LinkPlan(near_fd, far_fd, round_trip_s, loss_ratio, f"{seed}/{number}"))
        links = opened.enter_context(packet_links(plans))
        yield RegionNet(centre, tuple(regions), links)


def end_of_link(name: str, device: str, address: str, peer: str) -> int:
    """A device of the namespace that is up, with its addresses; its descriptor."""
    descriptor = open_tun(name, device)
    configure("-n", name, "address", "add", address, "peer", peer, "dev", device)
    configure("-n", name, "link", "set", device, "up")
    return descriptor
