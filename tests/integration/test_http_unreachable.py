"""Hosts that cannot be reached, in networks of our own: whose fault it is depends on who says so."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from probes import http_unreachable
from probes.browser_load import is_network_down
from probes.http import HttpResponse
from probes.http_resolver import Address
from probes.http_unreachable import is_gateway_silent_to
from probes.records import FailureKind
from tests.http_kit import Talk, answer, open_client, resolving_client, serve
from tests.net_spaces import configure, in_space, need_spaces, space

PROBE, ROUTER, FAR_ROUTER = "unreach-probe", "unreach-router", "unreach-far"
GIVEN_UP_NS = 50_000_000
"""A neighbour that does not answer is given up after this, instead of three seconds."""

NEIGHBOUR, BEHIND_GATEWAY, FAR_AWAY = "198.51.100.77", "192.0.2.200", "192.0.2.5"


@pytest.fixture
def probe_behind_routers() -> Iterator[str]:
    """A probe, its gateway, and one more router; both routers know hosts that they cannot reach."""
    need_spaces()
    with space(PROBE) as probe, space(ROUTER) as router, space(FAR_ROUTER) as far:
        wire(probe, "198.51.100.2/24", router, "198.51.100.1/24", "near")
        wire(router, "203.0.113.1/24", far, "203.0.113.2/24", "far")
        for name in (router, far):
            set_kernel(name, "ip_forward", 1)
        set_kernel(probe, "neigh/near0/mcast_solicit", 1)
        set_kernel(probe, "neigh/near0/retrans_time_ms", GIVEN_UP_NS // 1_000_000)
        for name, *route in (
            (probe, "default", "via", "198.51.100.1"),
            (router, f"{FAR_AWAY}/32", "via", "203.0.113.2"),
            (router, "unreachable", f"{BEHIND_GATEWAY}/32"),
            (far, "198.51.100.0/24", "via", "203.0.113.1"),
            (far, "unreachable", f"{FAR_AWAY}/32"),
        ):
            configure("-n", name, "route", "add", *route)
        yield probe


def wire(near: str, near_address: str, far: str, far_address: str, name: str) -> None:
    """A cable between two of them, its ends called `name`0 and `name`1."""
    configure("-n", near, "link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1", "netns", far)
    for at, device, address in ((near, f"{name}0", near_address), (far, f"{name}1", far_address)):
        configure("-n", at, "addr", "add", address, "dev", device)
        configure("-n", at, "link", "set", device, "up")


def set_kernel(name: str, key: str, value: int) -> None:
    """A setting of IPv4 in one of them."""
    in_space(name, lambda: Path(f"/proc/sys/net/ipv4/{key}").write_text(str(value), encoding="ascii"))


def ask_both_from(name: str, first: str, body: bytes) -> HttpResponse:
    """One request from in there to a name with two addresses: this one, and that of a server beside the probe."""

    async def talk(server: Talk) -> None:
        await server.request()
        await server.say(answer(200, body))

    def lookup(_host: str, port: int) -> tuple[Address, ...]:
        return tuple(Address(socket.AF_INET, (host, port)) for host in (first, "127.0.0.1"))

    async def ask() -> HttpResponse:
        async with serve(talk) as server, resolving_client(lookup) as client:
            response = await client.request("GET", f"http://both.test:{server.port}/", deadline_s=10)
            assert len(client.in_vain) == 1
            return response

    return in_space(name, lambda: asyncio.run(ask()))


def ask_from(name: str, host: str) -> HttpResponse:
    """One request from in there."""

    async def ask() -> HttpResponse:
        async with open_client() as client:
            return await client.request("GET", f"http://{host}/", deadline_s=5)

    return in_space(name, lambda: asyncio.run(ask()))


@pytest.mark.parametrize("host", [NEIGHBOUR, BEHIND_GATEWAY, FAR_AWAY])
def test_a_host_that_a_router_cannot_reach_or_that_is_silent_beside_us_is_the_targets_fault(
    probe_behind_routers: str, host: str
) -> None:
    """Our network is well: a neighbour that is gone, and what routers say of hosts behind them, are about the target."""
    response = ask_from(probe_behind_routers, host)
    assert response.failure is not None
    assert (response.failure.kind, response.failure.error_type) == (FailureKind.CONNECT, "EHOSTUNREACH")


def test_a_gateway_that_does_not_answer_is_our_fault(probe_behind_routers: str) -> None:
    """The kernel's error is the same one, but nothing has left our own network."""
    configure("-n", ROUTER, "addr", "flush", "dev", "near1")
    response = ask_from(probe_behind_routers, FAR_AWAY)
    assert response.failure is not None
    assert (response.failure.kind, response.failure.error_type) == (FailureKind.INTERNAL, "ENETDOWN")
    assert "its gateway does not answer" in response.failure.message


@pytest.mark.parametrize("host", [NEIGHBOUR, BEHIND_GATEWAY, FAR_AWAY])
def test_a_page_whose_host_cannot_be_reached_is_judged_alike(probe_behind_routers: str, host: str) -> None:
    """Chromium says no more than that the address is unreachable, so the kernel is asked once more."""
    ask = partial(asyncio.run, is_network_down(f"https://{host}/"))
    assert in_space(probe_behind_routers, ask) is False


def test_a_page_behind_a_gateway_that_does_not_answer_is_our_fault(probe_behind_routers: str) -> None:
    """As for a request."""
    configure("-n", ROUTER, "addr", "flush", "dev", "near1")
    assert in_space(probe_behind_routers, partial(asyncio.run, is_network_down(f"https://{FAR_AWAY}/"))) is True


def test_the_time_that_an_address_cost_us_without_a_gateway_is_ours(probe_behind_routers: str) -> None:
    """Another address of the name answers at once: what was waited for before is no time of the target's."""
    configure("-n", ROUTER, "addr", "flush", "dev", "near1")
    response = ask_both_from(probe_behind_routers, FAR_AWAY, b"here")
    assert response.body == b"here"
    phases = response.exchanges[0].phases
    assert phases.queue_ns > GIVEN_UP_NS / 2 > phases.connect_ns


def test_the_time_that_a_neighbour_cost_who_is_gone_is_the_targets(probe_behind_routers: str) -> None:
    """Its own address leads nowhere."""
    response = ask_both_from(probe_behind_routers, NEIGHBOUR, b"here")
    assert response.body == b"here"
    assert response.exchanges[0].phases.connect_ns > GIVEN_UP_NS / 2


class Hasty(socket.socket):
    """A socket that a report wakes twice before the kernel has decided, and then once more: what a busy host does now and then.

    The window is a few instructions wide. What it looks like from here is real: such a socket is writable, has no error, and
    is not connected.
    """

    outcomes: ClassVar[list[int]] = []

    def connect_ex(self, _address: object, /) -> int:
        """What comes next."""
        return self.outcomes.pop(0)


@pytest.mark.parametrize("woken", [1, 3])
async def test_a_connection_that_is_only_reported_about_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, woken: int
) -> None:
    """What the kernel decides afterwards is what counts, for a request and for the question about a page's gateway."""
    under_way = [errno.EINPROGRESS, *[errno.EALREADY] * (1 + woken)]
    monkeypatch.setattr(socket, "socket", Hasty)
    Hasty.outcomes = [*under_way, errno.EHOSTUNREACH]
    async with open_client() as client:
        response = await client.request("GET", "http://198.51.100.77/", deadline_s=5)
    assert response.failure is not None
    assert (response.failure.kind, response.failure.error_type) == (FailureKind.CONNECT, "EHOSTUNREACH")
    assert Hasty.outcomes == []

    monkeypatch.setattr(http_unreachable, "is_gateway_silent", lambda *_: True)
    Hasty.outcomes = [*under_way, errno.EHOSTUNREACH]
    assert is_gateway_silent_to(socket.AF_INET, ("198.51.100.77", 443), within_s=5) is True
    Hasty.outcomes = [*under_way, errno.EISCONN]
    assert is_gateway_silent_to(socket.AF_INET, ("198.51.100.77", 443), within_s=5) is False
