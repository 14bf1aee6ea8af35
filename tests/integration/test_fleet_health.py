"""Health pages over a real socket: what they say, and that nobody who misbehaves can hold them up."""

from __future__ import annotations

import asyncio
import json

import pytest

from probes.errors import DependencyError
from probes.health import Health, open_health


async def ask(url: str, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to raw bytes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def test_alive_ready_and_status_are_told_apart() -> None:
    """A service that is not ready is alive, and says how it is."""
    ready = False
    health = Health(lambda: ready, lambda: {"entries": 7})
    async with open_health("127.0.0.1:0", health) as url:
        assert await ask(url, b"GET /healthz HTTP/1.1\r\n\r\n") == (200, b'{"alive": true}\n')
        assert (await ask(url, b"GET /readyz HTTP/1.1\r\n\r\n"))[0] == 503
        ready = True
        assert (await ask(url, b"GET /readyz?x=1 HTTP/1.1\r\n\r\n"))[0] == 200
        code, body = await ask(url, b"GET /status HTTP/1.1\r\n\r\n")
        assert (code, json.loads(body)) == (200, {"entries": 7})
        assert await ask(url, b"HEAD /healthz HTTP/1.1\r\n\r\n") == (200, b"")


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"POST /status HTTP/1.1\r\n\r\n", 405),
        (b"GET /secrets HTTP/1.1\r\n\r\n", 404),
        (b"\xff\xfe\r\n\r\n", 405),
        (b"GET /" + b"a" * 20_000 + b"\r\n\r\n", 0),
    ],
)
async def test_whatever_is_asked_the_pages_stay_up(request_bytes: bytes, code: int) -> None:
    """Wrong methods, unknown pages, noise, and a head without an end."""
    async with open_health("127.0.0.1:0", Health(lambda: True, dict)) as url:
        assert (await ask(url, request_bytes))[0] == code
        assert (await ask(url, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200


async def test_a_port_that_is_taken_is_told_with_a_way_out() -> None:
    """Two services on one machine."""
    async with open_health("127.0.0.1:0", Health(lambda: True, dict)) as url:
        with pytest.raises(DependencyError) as caught:
            async with open_health(url.removeprefix("http://"), Health(lambda: True, dict)):
                pass
    assert "worker.health" in caught.value.remedy


async def test_no_endpoint_is_no_page() -> None:
    """Empty means nowhere."""
    async with open_health("", Health(lambda: True, dict)) as url:
        assert url == ""
