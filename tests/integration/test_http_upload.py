"""Uploads: streamed, timed to the last byte, and heard when the target refuses early."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pytest

from probes.http import Body, BytesBody, FileBody, FormField, FormFile, HttpResponse, MultipartBody
from probes.records import FailureKind, UploadFlow
from tests.http_kit import Talk, TlsFiles, answer, make_tls, open_client, serve

LARGE_BYTES = 20_000_000
PATIENCE_S = 60.0
"""Longer than anything here takes that is not about a deadline, on however busy a host."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that no send buffer can hold."""
    path = tmp_path_factory.mktemp("upload") / "large.step"
    path.write_bytes(bytes(range(256)) * (LARGE_BYTES // 256))
    return path


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """One authority for all tests of this file."""
    return make_tls(tmp_path_factory.mktemp("tls"))


def flow_of(response: HttpResponse) -> UploadFlow:
    """The flow of the only exchange."""
    (exchange,) = response.exchanges
    assert exchange.upload is not None
    return exchange.upload


async def take(talk: Talk) -> None:
    """Reads the whole request, answers with the hash of the body."""
    _head, body = await talk.request()
    await talk.say(answer(201, hashlib.sha256(body).hexdigest().encode()))


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 300_000, LARGE_BYTES])
async def test_a_file_arrives_byte_for_byte(tmp_path: Path, tls: TlsFiles, size: int, secure: bool) -> None:
    """Of any size, plain and through TLS, with progress up to the last byte."""
    path = tmp_path / "part.bin"
    path.write_bytes((b"0123456789abcdef!" * (size // 17 + 1))[:size])
    told: list[tuple[int, int]] = []
    context = tls.context() if secure else None
    async with serve(take, context=context) as server, open_client(tls=tls.settings) as client:
        response = await client.request(
            "PUT", server.url(), body=FileBody(path), deadline_s=PATIENCE_S, on_sent=lambda *now: told.append(now)
        )
    assert response.failure is None
    assert response.body.decode() == hashlib.sha256(path.read_bytes()).hexdigest()
    head, _body = server.requests[0]
    assert f"Content-Length: {size}\r\n" in head
    assert response.exchanges[0].request_bytes == len(head) + size
    if size:
        assert flow_of(response).body_bytes == size
        assert told[-1] == (size, size)
        assert told == sorted(told)


async def test_a_form_is_what_its_parts_say(tmp_path: Path) -> None:
    """Fields and files, names with quotes and line breaks included, understood by somebody else's parser."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 50_000)
    second.write_bytes(b"")
    body = MultipartBody((
        FormField("unit", "m\u00fc"),
        FormFile("file", first, 'we"ird\r\n.step', "model/step"),
        FormFile("file2", second, "empty.stl", ""),
        FormField("last", "1"),
    ))  # fmt: skip
    async with serve(take) as server, open_client() as client:
        response = await client.request("POST", server.url(), body=body, deadline_s=PATIENCE_S)
    assert response.status == 201
    head, sent = server.requests[0]
    found = re.search(r"(?i)content-type: (.*)\r\n", head)
    assert found is not None
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {found[1]}\r\n\r\n".encode() + sent)
    parts = [
        (p.get_param("name", header="content-disposition"), p.get_payload(decode=True)) for p in message.iter_parts()
    ]
    assert parts == [("unit", "m\u00fc".encode()), ("file", b"x" * 50_000), ("file2", b""), ("last", b"1")]
    assert b'filename="we%22ird%0D%0A.step"' in sent
    assert b"Content-Type: model/step\r\n" in sent


async def refuse_by_length(talk: Talk) -> None:
    """Says 413 on seeing the head, closes without reading the body: the kernel then resets."""
    await talk.head()
    await talk.say(answer(413, b'{"error":"too large"}', "Connection: close"))


async def refuse_and_reset(talk: Talk) -> None:
    """The same with an explicit reset, once the answer is under way."""
    await talk.head()
    await talk.reader.readexactly(1_000_000)
    await talk.say(answer(413, b'{"error":"too large"}', "Connection: close"))
    await asyncio.sleep(0.05)
    talk.reset()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("script", [refuse_by_length, refuse_and_reset])
async def test_an_early_refusal_is_an_answer_and_not_a_reset(
    large: Path, tls: TlsFiles, script: Callable[[Talk], Awaitable[None]], secure: bool
) -> None:
    """What the target said before it closed is heard, ten times out of ten."""
    context = tls.context() if secure else None
    form = MultipartBody((FormFile("file", large, "large.step"),))
    async with serve(script, context=context) as server, open_client(tls=tls.settings) as client:
        for _ in range(10):
            response = await client.request("POST", server.url(), body=form, deadline_s=PATIENCE_S)
            assert response.failure is None
            assert (response.status, response.body) == (413, b'{"error":"too large"}')
            assert flow_of(response).body_bytes < LARGE_BYTES


@pytest.mark.parametrize("secure", [False, True])
async def test_a_reset_in_the_middle_is_a_connect_failure_that_says_how_far_it_came(
    large: Path, tls: TlsFiles, secure: bool
) -> None:
    """And the time until then is `send`."""

    async def break_off(talk: Talk) -> None:
        await talk.head()
        await talk.reader.readexactly(1_000_000)
        talk.reset()

    context = tls.context() if secure else None
    async with serve(break_off, context=context) as server, open_client(tls=tls.settings) as client:
        response = await client.request("PUT", server.url(), body=FileBody(large), deadline_s=PATIENCE_S)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.CONNECT
    assert re.search(r"while the request was being sent, after \d+ of 20000000 bytes", response.failure.message)
    assert response.exchanges[0].phases.send_ns > 0
    assert response.exchanges[0].phases.wait_ns == 0


async def test_bytes_that_stop_flowing_are_a_stall_and_then_a_timeout_in_send(large: Path) -> None:
    """A target that stops reading is caught while sending, not while waiting."""

    async def stop(talk: Talk) -> None:
        await talk.head()
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of the read side
        await asyncio.sleep(30)

    async with serve(stop) as server, open_client() as client:
        response = await client.request("PUT", server.url(), body=FileBody(large), deadline_s=3.0)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.TIMEOUT
    assert "in the phase `send`" in response.failure.message
    flow = flow_of(response)
    assert flow.stalls == 1
    assert flow.longest_stall_ns >= 1_500_000_000
    assert flow.body_bytes < LARGE_BYTES


async def test_an_unreadable_body_is_our_fault_and_nothing_is_sent(tmp_path: Path) -> None:
    """The file is named; the target is not charged."""
    async with serve(take) as server, open_client() as client:
        response = await client.request(
            "PUT", server.url(), body=FileBody(tmp_path / "gone.step"), deadline_s=PATIENCE_S
        )
    assert response.failure is not None
    assert response.failure.kind is FailureKind.INTERNAL
    assert "gone.step" in response.failure.message
    assert server.connections == 0


async def test_a_file_that_shrinks_while_it_is_sent_is_our_fault(tmp_path: Path) -> None:
    """What was promised cannot be sent: the exchange ends at once."""
    path = tmp_path / "shrinks.bin"
    path.write_bytes(bytes(LARGE_BYTES))

    def shrink(_sent: int, _total: int) -> None:
        with path.open("r+b") as file:
            file.truncate(10)

    async with serve(take) as server, open_client() as client:
        response = await client.request("PUT", server.url(), body=FileBody(path), deadline_s=PATIENCE_S, on_sent=shrink)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.INTERNAL
    assert "shorter" in response.failure.message


async def test_an_error_of_the_progress_callback_reaches_its_owner(large: Path) -> None:
    """It is a bug of the caller and must not vanish in the loop."""

    def broken(_sent: int, _total: int) -> None:
        raise ZeroDivisionError

    async with serve(take) as server, open_client() as client:
        with pytest.raises(ZeroDivisionError):
            await client.request("PUT", server.url(), body=FileBody(large), deadline_s=PATIENCE_S, on_sent=broken)


async def test_an_interim_answer_does_not_end_the_sending(large: Path) -> None:
    """100 Continue in the middle of a body is skipped."""

    async def interim(talk: Talk) -> None:
        await talk.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await take(talk)

    async with serve(interim) as server, open_client() as client:
        response = await client.request("PUT", server.url(), body=FileBody(large), deadline_s=PATIENCE_S)
    assert response.status == 201
    assert flow_of(response).body_bytes == LARGE_BYTES


@pytest.mark.parametrize("body", [BytesBody(b"{}", "application/json"), BytesBody(b"")])
async def test_a_body_from_memory_is_sent_with_its_type(body: Body) -> None:
    """Even an empty one has its length."""
    async with serve(take) as server, open_client() as client:
        await client.request("POST", server.url(), body=body, deadline_s=PATIENCE_S)
    head, sent = server.requests[0]
    assert isinstance(body, BytesBody)
    assert sent == body.data
    assert f"Content-Length: {len(sent)}\r\n" in head
    assert ("Content-Type: application/json" in head) == bool(body.content_type)
