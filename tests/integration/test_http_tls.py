"""TLS against a real server: what is recorded of it, and every certificate that must not be accepted."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from pathlib import Path

import pytest

from probes.errors import OperatorError
from probes.http import TlsSettings
from probes.http_resolver import Address
from probes.records import FailureKind
from tests.http_kit import Talk, TlsFiles, answer, make_tls, open_client, resolving_client, serve

PATIENCE_S = 60.0
"""Longer than anything here takes that is not about a deadline, on however busy a host."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """One authority for all tests of this file."""
    return make_tls(tmp_path_factory.mktemp("tls"))


async def hello(talk: Talk) -> None:
    """Answers every request on a connection."""
    while True:
        await talk.request()
        await talk.say(answer(200, b"x" * 100_000))


async def test_a_secure_exchange_records_version_and_expiry(tls: TlsFiles) -> None:
    """The phase, the protocol, the date on the certificate."""
    expires_at = dt.datetime(2031, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    leaf = tls.authority.issue_cert("127.0.0.1", not_after=expires_at)
    async with serve(hello, context=tls.context(leaf)) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        again = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    for found in (response, again):
        (exchange,) = found.exchanges
        assert found.failure is None
        assert len(found.body) == 100_000
        assert exchange.tls_version == "TLSv1.3"
        assert exchange.certificate_expires_at == expires_at
        assert exchange.phases.tls_ns > 0
    assert server.connections == 2


async def test_tls_1_2_is_spoken_and_anything_older_is_not(tls: TlsFiles) -> None:
    """RFC 8996."""
    context = tls.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve(hello, context=context) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert response.exchanges[0].tls_version == "TLSv1.2"
    assert response.status == 200


async def test_a_fresh_connection_never_resumes_a_session(tls: TlsFiles) -> None:
    """Each handshake is a whole one, as for a new customer."""
    resumed: list[bool | None] = []

    async def look(talk: Talk) -> None:
        await talk.request()
        resumed.append(talk.writer.get_extra_info("ssl_object").session_reused)
        await talk.say(answer(200))

    async with serve(look, context=tls.context()) as server, open_client(tls=tls.settings) as client:
        for _ in range(3):
            await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert resumed == [False, False, False]


async def test_a_secure_connection_is_reused_when_asked_for(tls: TlsFiles) -> None:
    """The second exchange has no TLS phase, but still its version."""
    async with serve(hello, context=tls.context()) as server, open_client(tls=tls.settings, reuse=True) as client:
        await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    (exchange,) = response.exchanges
    assert exchange.reused
    assert exchange.phases.tls_ns == 0
    assert exchange.tls_version == "TLSv1.3"


async def test_an_expired_certificate_is_a_tls_failure(tls: TlsFiles) -> None:
    """And is called expired."""
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    leaf = tls.authority.issue_cert("127.0.0.1", not_before=dt.datetime(2019, 1, 1, tzinfo=dt.UTC), not_after=past)
    async with serve(hello, context=tls.context(leaf)) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.TLS
    assert response.failure.message == "the certificate of 127.0.0.1 has expired"


async def test_a_certificate_for_another_host_is_a_tls_failure(tls: TlsFiles) -> None:
    """Both for an address and for a name."""

    def lookup(_host: str, port: int) -> tuple[Address, ...]:
        return (Address(socket.AF_INET, ("127.0.0.1", port)),)

    leaf = tls.authority.issue_cert("other.test")
    context = tls.context(leaf)
    async with serve(hello, context=context) as server, resolving_client(lookup, tls.settings) as client:
        for host in ("127.0.0.1", "mine.test"):
            response = await client.request("GET", f"https://{host}:{server.port}/", deadline_s=PATIENCE_S)
            assert response.failure is not None
            assert response.failure.kind is FailureKind.TLS
            assert "is for another host" in response.failure.message
            assert host in response.failure.message
        response = await client.request("GET", f"https://other.test:{server.port}/", deadline_s=PATIENCE_S)
        assert response.status == 200


async def test_an_unknown_authority_is_a_tls_failure(tls: TlsFiles) -> None:
    """The system's trust store does not know it."""
    async with serve(hello, context=tls.context()) as server, open_client() as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.TLS
    assert "not trusted here" in response.failure.message


async def test_the_host_name_may_go_unchecked_but_never_the_authority(tls: TlsFiles, tmp_path: Path) -> None:
    """`verify_hostname=False` is no way around trust."""
    leaf = tls.authority.issue_cert("other.test")
    stranger = make_tls(tmp_path)
    settings = TlsSettings(ca_file=tls.ca_file, verify_hostname=False)
    async with serve(hello, context=tls.context(leaf)) as server, open_client(tls=settings) as client:
        assert (await client.request("GET", server.url(), deadline_s=PATIENCE_S)).status == 200
    async with serve(hello, context=stranger.context()) as server, open_client(tls=settings) as client:
        response = await client.request("GET", server.url(), deadline_s=PATIENCE_S)
        assert response.failure is not None
        assert response.failure.kind is FailureKind.TLS


async def test_a_server_without_tls_is_a_tls_failure(tls: TlsFiles) -> None:
    """Plain HTTP on a port that should be secure."""

    async def plain(talk: Talk) -> None:
        await talk.reader.read(10)
        await talk.say(answer(400))

    async with serve(plain) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", f"https://127.0.0.1:{server.port}/", deadline_s=PATIENCE_S)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.TLS
    assert "does not speak TLS" in response.failure.message


async def test_a_close_during_the_handshake_is_a_connect_failure(tls: TlsFiles) -> None:
    """And says that it was during the handshake."""

    async def leave(talk: Talk) -> None:
        await talk.reader.read(10)

    async with serve(leave) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", f"https://127.0.0.1:{server.port}/", deadline_s=PATIENCE_S)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.CONNECT
    assert "during the TLS handshake" in response.failure.message


async def test_a_handshake_without_end_is_a_timeout_in_tls(tls: TlsFiles) -> None:
    """The deadline names the phase."""

    async def silent(talk: Talk) -> None:
        await talk.closed()

    async with serve(silent) as server, open_client(tls=tls.settings) as client:
        response = await client.request("GET", f"https://127.0.0.1:{server.port}/", deadline_s=2)
    assert response.failure is not None
    assert response.failure.kind is FailureKind.TIMEOUT
    assert "in the phase `tls`" in response.failure.message
    # A busy host may take its part; most of the time must be where the target kept us waiting.
    assert response.exchanges[0].phases.tls_ns > 1_000_000_000


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_a_ca_file_that_cannot_be_used_is_for_the_operator(tmp_path: Path, content: str | None) -> None:
    """Missing or malformed: the file is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    async with open_client(tls=TlsSettings(ca_file=path)) as client:
        with pytest.raises(OperatorError, match=r"ca\.pem"):
            await client.request("GET", "https://127.0.0.1:1/", deadline_s=PATIENCE_S)
