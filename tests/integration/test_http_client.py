"""The client against a real server: answers, failures, redirects, reuse, deadlines."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from probes.errors import BugError, OperatorError
from probes.http import BytesBody, HttpClient, HttpEngine, HttpResponse
from probes.http_resolver import Address
from probes.records import Exchange, Failure, FailureKind
from tests.http_kit import Talk, answer, open_client, resolving_client, serve

PATIENCE_S = 60.0
"""Longer than anything here takes that is not about a deadline, on however busy a host."""


def only(response: HttpResponse) -> Exchange:
    """The one exchange, its phases checked."""
    (exchange,) = response.exchanges
    return exchange


def failed(response: HttpResponse) -> Failure:
    """The failure, the same in the response and its last exchange."""
    assert response.failure is not None
    assert response.exchanges[-1].failure == response.failure
    return response.failure


async def hello(talk: Talk) -> None:
    """Answers every request on a connection with a bit of JSON."""
    while True:
        await talk.request()
        await talk.say(answer(200, b'{"a": 1}', "X-Name: v"))


async def test_an_answer_comes_with_everything_that_a_record_needs() -> None:
    """Status, headers, body, URL, address, bytes, phases."""
    async with serve(hello) as server, open_client() as client:
        response = await client.request("get", server.url("/x?y=1"), deadline_s=PATIENCE_S, headers={"X-Mine": "2"})
    exchange = only(response)
    assert (response.status, response.json(), response.headers.get("x-name")) == (200, {"a": 1}, "v")
    assert response.failure is None
    assert (exchange.server_address, exchange.server_port, exchange.method) == ("127.0.0.1", server.port, "GET")
    head, _body = server.requests[0]
    assert head.startswith("GET /x?y=1 HTTP/1.1\r\n")
    assert "X-Mine: 2\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert "Connection: close\r\n" in head
    assert exchange.request_bytes == len(head)
    assert exchange.response_bytes == len(answer(200, b'{"a": 1}', "X-Name: v"))
    assert exchange.phases.connect_ns > 0
    assert exchange.phases.send_ns > 0
    assert exchange.phases.wait_ns > 0
    assert exchange.phases.dns_ns == exchange.phases.tls_ns == 0


async def test_the_total_is_the_time_that_passed_and_the_start_counts_from_the_origin() -> None:
    """The phases cover the whole call and nothing else."""
    async with serve(hello) as server, HttpEngine() as engine:
        origin_ns = time.monotonic_ns()
        async with engine.client(origin_ns=origin_ns) as client:
            before_ns = time.monotonic_ns()
            exchange = only(await client.request("GET", server.url(), deadline_s=PATIENCE_S))
            after_ns = time.monotonic_ns()
    assert before_ns - origin_ns <= exchange.started_ns
    assert origin_ns + exchange.started_ns + exchange.phases.total_ns <= after_ns


async def test_a_body_that_is_not_json_is_shown() -> None:
    """The message has what came."""

    async def html(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer(502, b"<html>Bad gateway"))

    async with serve(html) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    with pytest.raises(ValueError, match=r"status 502.*not JSON.*<html>Bad"):
        response.json()


async def test_a_refused_connection_is_a_connect_failure(free_port: int) -> None:
    """Nobody listens."""
    async with open_client() as client:
        response = await client.request("GET", f"http://127.0.0.1:{free_port}/", deadline_s=PATIENCE_S)
    assert failed(response).kind is FailureKind.CONNECT
    assert f"cannot connect to 127.0.0.1:{free_port}: the connection was refused" in failed(response).message
    assert failed(response).error_type == "ECONNREFUSED"
    assert response.status == 0


async def test_an_unknown_name_is_a_dns_failure() -> None:
    """The resolver says no."""

    def lookup(host: str, _port: int) -> tuple[Address, ...]:
        raise socket.gaierror(socket.EAI_NONAME, f"no {host}")

    async with resolving_client(lookup) as client:
        response = await client.request("GET", "http://nowhere.test/", deadline_s=PATIENCE_S)
    assert failed(response).kind is FailureKind.DNS
    assert "nowhere.test" in failed(response).message


async def test_a_resolver_that_fails_itself_is_our_fault() -> None:
    """EAI_AGAIN says nothing about the target."""

    def lookup(_host: str, _port: int) -> tuple[Address, ...]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    async with resolving_client(lookup) as client:
        response = await client.request("GET", "http://somewhere.test/", deadline_s=PATIENCE_S)
    assert failed(response).kind is FailureKind.INTERNAL


async def test_every_address_is_tried_in_order_and_all_of_it_is_connect(free_port: int) -> None:
    """A first address that refuses does not end the request."""

    def lookup(_host: str, port: int) -> tuple[Address, ...]:
        first = Address(socket.AF_INET, ("127.0.0.2", free_port))
        return (first, Address(socket.AF_INET, ("127.0.0.1", port)))

    async with serve(hello) as server, resolving_client(lookup) as client:
        response = await client.request("GET", f"http://two.test:{server.port}/", deadline_s=PATIENCE_S)
    assert response.status == 200
    assert only(response).server_address == "127.0.0.1"
    assert only(response).phases.dns_ns > 0
    assert list(client.in_vain) == [f"cannot connect to two.test:{server.port} (127.0.0.2): the connection was refused"]


async def test_when_no_address_works_each_is_named(free_port: int) -> None:
    """A person sees all that was tried."""

    def lookup(_host: str, port: int) -> tuple[Address, ...]:
        return tuple(Address(socket.AF_INET, (host, port)) for host in ("127.0.0.2", "127.0.0.3"))

    async with resolving_client(lookup) as client:
        response = await client.request("GET", f"http://two.test:{free_port}/", deadline_s=PATIENCE_S)
    assert "(127.0.0.2)" in failed(response).message
    assert "(127.0.0.3)" in failed(response).message


async def test_an_ipv6_literal_is_connected_without_a_lookup() -> None:
    """Brackets and all."""
    listening = await asyncio.start_server(lambda _r, w: w.close(), "::1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, open_client() as client:
        response = await client.request("GET", f"http://[::1]:{port}/", deadline_s=PATIENCE_S)
    assert only(response).server_address == "::1"
    assert only(response).phases.dns_ns == 0


async def close_at_once(talk: Talk) -> None:
    """Takes the request and leaves."""
    await talk.head()


async def reset_at_once(talk: Talk) -> None:
    """Takes the request and breaks the connection."""
    await talk.head()
    talk.reset()


async def half_an_answer(talk: Talk) -> None:
    """Promises more than it says."""
    await talk.head()
    await talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def half_a_head(talk: Talk) -> None:
    """Leaves in the middle of the head."""
    await talk.head()
    await talk.say(b"HTTP/1.1 200 OK\r\nContent-")


async def babble(talk: Talk) -> None:
    """Speaks another protocol."""
    await talk.head()
    await talk.say(b"220 mail.test ESMTP\r\n")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (close_at_once, "the target closed the connection before it answered"),
        (reset_at_once, "the connection was reset before it answered"),
        (half_an_answer, "in the middle of its answer (status 200, 4 bytes of the body came)"),
        (half_a_head, "in the middle of the head of its answer"),
        (babble, "the answer is not HTTP"),
    ],
)
async def test_a_target_that_breaks_off_is_a_connect_failure_that_says_where(
    script: Callable[[Talk], Awaitable[None]], said: str
) -> None:
    """Closed early, reset, cut short, not HTTP: each has its words."""
    async with serve(script) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert failed(response).kind is FailureKind.CONNECT
    assert said in failed(response).message


async def test_an_answer_larger_than_accepted_is_a_failure() -> None:
    """What was not wanted is not read to its end."""

    async def flood(talk: Talk) -> None:
        await talk.head()
        await talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await talk.say(b"x" * 65_536)

    async with serve(flood) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S, max_body_bytes=100_000)
    assert failed(response).kind is FailureKind.ASSERTION
    assert "larger than the 100000 bytes" in failed(response).message
    assert len(response.body) == 100_000


async def silent(talk: Talk) -> None:
    """Takes the request and says nothing."""
    await talk.request()
    await talk.closed()


async def pauses_in_its_body(talk: Talk) -> None:
    """Begins and never ends."""
    await half_an_answer(talk)
    await talk.closed()


@pytest.mark.parametrize(("script", "phase"), [(silent, "wait"), (pauses_in_its_body, "receive")])
async def test_a_deadline_names_the_phase_it_passed_in(script: Callable[[Talk], Awaitable[None]], phase: str) -> None:
    """The time is booked on the phase that did not end."""
    async with serve(script) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=2)
        await asyncio.wait_for(server.gone.wait(), PATIENCE_S)
    assert failed(response).kind is FailureKind.TIMEOUT
    assert f"the deadline passed in the phase `{phase}`" in failed(response).message
    phases = only(response).phases
    # A busy host may take its part; most of the time must be where the target kept us waiting.
    assert 1_000_000_000 < getattr(phases, f"{phase}_ns") <= phases.total_ns


async def test_a_deadline_while_all_places_are_taken_is_our_fault() -> None:
    """A probe that is too busy never charges the target."""
    async with serve(silent) as server, open_client(max_in_flight=1) as client:
        first = asyncio.ensure_future(client.request("GET", server.url(), deadline_s=PATIENCE_S))
        await asyncio.wait_for(server.asked.wait(), PATIENCE_S)
        second = await client.request("GET", server.url(), deadline_s=0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert failed(second).kind is FailureKind.INTERNAL
    assert only(second).phases.queue_ns == only(second).phases.total_ns
    assert server.connections == 1


async def test_waiting_for_a_place_is_queue_and_goes_first_come_first_served() -> None:
    """The bound holds, and the wait is booked on us."""
    running = most = 0

    async def counted(talk: Talk) -> None:
        nonlocal running, most
        await talk.request()
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        await talk.say(answer(200))

    async with serve(counted) as server, open_client(max_in_flight=2) as client:
        responses = await asyncio.gather(
            *(client.request("GET", server.url(), deadline_s=PATIENCE_S) for _ in range(6))
        )
    assert most == 2
    assert all(r.status == 200 for r in responses)
    assert max(only(r).phases.queue_ns for r in responses) > 30_000_000


async def test_a_redirect_is_followed_and_each_hop_is_an_exchange() -> None:
    """A fresh connection and phases of its own per hop."""

    async def around(talk: Talk) -> None:
        head, _body = await talk.request()
        if "/done" in head:
            await talk.say(answer(200, b"here"))
        else:
            await talk.say(answer(302, b"", "Location: /done"))

    async with serve(around) as server, open_client() as client:
        response = await client.request(
            "POST", server.url(), body=BytesBody(b"x"), deadline_s=PATIENCE_S, follow_redirects=3
        )
    assert [e.status for e in response.exchanges] == [302, 200]
    assert [e.method for e in response.exchanges] == ["POST", "GET"]
    assert response.url == server.url("/done")
    assert response.exchanges[1].started_ns >= response.exchanges[0].started_ns + response.exchanges[0].phases.total_ns
    assert server.connections == 2


async def test_a_redirect_is_left_alone_unless_asked_for() -> None:
    """The caller sees the 302."""

    async def around(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer(302, b"", "Location: /done"))

    async with serve(around) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert (response.status, response.failure, len(response.exchanges)) == (302, None, 1)


async def test_redirects_without_end_are_a_failure() -> None:
    """The bound is kept, each hop recorded."""

    async def around(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer(302, b"", "Location: /again"))

    async with serve(around) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S, follow_redirects=3)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.STATUS
    assert len(response.exchanges) == 4


async def test_connections_are_fresh_unless_reuse_is_asked_for() -> None:
    """Two requests, two connections; with reuse, one, and its second exchange says so."""
    async with serve(hello) as server, open_client() as client:
        for _ in range(2):
            assert not only(await client.request("GET", server.url(), deadline_s=PATIENCE_S)).reused
        assert server.connections == 2
    async with serve(hello) as server, open_client(reuse=True) as client:
        exchanges = [only(await client.request("GET", server.url(), deadline_s=PATIENCE_S)) for _ in range(3)]
        assert server.connections == 1
    assert [e.reused for e in exchanges] == [False, True, True]
    assert exchanges[2].phases.connect_ns == exchanges[2].phases.dns_ns == 0


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    """The end of a kept connection is nobody's failure."""

    async def once(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer(200))

    async with serve(once) as server, open_client(reuse=True) as client:
        await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        await asyncio.wait_for(server.gone.wait(), PATIENCE_S)
        exchange = only(await client.request("POST", server.url(), body=BytesBody(b"x"), deadline_s=PATIENCE_S))
    assert (exchange.status, exchange.reused, server.connections) == (200, False, 2)


async def test_a_kept_connection_that_dies_under_a_request_is_retried_on_our_time() -> None:
    """Only where repeating is safe; what was lost is queue."""

    async def dies_on_second(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer(200))
        await talk.head()
        if talk.server.connections == 1:
            talk.reset()

    async with serve(dies_on_second) as server, open_client(reuse=True) as client:
        await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        exchange = only(await client.request("GET", server.url(), deadline_s=PATIENCE_S))
        assert (exchange.status, exchange.reused, server.connections) == (200, False, 2)
    async with serve(dies_on_second) as server, open_client(reuse=True) as client:
        await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        response = await client.request("POST", server.url(), body=BytesBody(b"x"), deadline_s=PATIENCE_S)
        assert failed(response).kind is FailureKind.CONNECT


@pytest.mark.parametrize("headers", [{"X": "a\r\nEvil: 1"}, {"Content-Length": "1"}])
async def test_a_request_that_cannot_be_written_is_refused_before_anything_is_sent(headers: dict[str, str]) -> None:
    """The caller's mistake, not the target's."""
    async with serve(hello) as server, open_client() as client:
        with pytest.raises(OperatorError):
            await client.request("GET", server.url(), headers=headers, deadline_s=PATIENCE_S)
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert response.status == 200
    assert server.connections == 1


async def test_a_closed_client_and_a_closed_engine_refuse_to_work() -> None:
    """A rule of our own code was broken: that is said."""
    engine = HttpEngine()
    client = engine.client(origin_ns=0)
    with pytest.raises(BugError, match="not open"):
        await client.request("GET", "http://127.0.0.1:1/", deadline_s=1)
    async with engine:
        async with engine.client(origin_ns=0) as client:
            pass
        with pytest.raises(BugError, match="closed"):
            await client.request("GET", "http://127.0.0.1:1/", deadline_s=1)


async def test_secrets_are_masked_in_what_is_recorded() -> None:
    """URL and message go through the mask; the request itself does not."""

    def mask(text: str) -> str:
        return text.replace("hunter2", "***")

    async with serve(close_at_once) as server, HttpEngine() as engine, engine.client(origin_ns=0, mask=mask) as client:
        response = await client.request("GET", server.url("/?token=hunter2"), deadline_s=PATIENCE_S)
    assert only(response).url.endswith("?token=***")


async def test_cancelling_a_request_closes_its_connection() -> None:
    """The server sees the end, the place is free again."""
    async with serve(silent) as server, open_client(max_in_flight=1) as client:
        task = asyncio.ensure_future(client.request("GET", server.url(), deadline_s=PATIENCE_S))
        await asyncio.wait_for(server.asked.wait(), PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), PATIENCE_S)
        again = asyncio.ensure_future(client.request("GET", server.url(), deadline_s=0.05))
        assert failed(await again).kind is FailureKind.TIMEOUT


async def test_a_thousand_requests_leave_no_file_open() -> None:
    """Good, refused, broken and late ones alike."""

    async def moody(talk: Talk) -> None:
        head, _body = await talk.request()
        if "/reset" in head:
            talk.reset()
        elif "/silent" in head:
            await talk.closed()
        else:
            await talk.say(answer(200, b"ok"))

    async def one(client: HttpClient, url: str) -> None:
        await client.request("GET", url, deadline_s=0.05 if "silent" in url else PATIENCE_S)

    async with serve(moody) as server, open_client(max_in_flight=20) as client:
        await one(client, server.url())
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no iterator may hold a file open here
        paths = ("/", "/", "/", "/reset", "/silent")
        for _ in range(20):
            await asyncio.gather(*(one(client, server.url(paths[i % 5])) for i in range(50)))
        deadline = time.monotonic() + PATIENCE_S
        # What the server's side still holds is released by its own callbacks; nothing tells when.
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:  # noqa: ASYNC110, PTH208
            await asyncio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
