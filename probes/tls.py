"""TLS as data, the contexts built from it, and what went wrong with a handshake in words.

A context takes milliseconds to make (it reads the trust store), so one is kept per settings. No session is ever resumed:
each fresh connection does the whole handshake, as for a new customer. Refuses anything below TLS 1.2 (RFC 8996).
Called by `probes.http*`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from probes.errors import DependencyError, OperatorError
from probes.records import Failure, FailureKind

__all__ = ["TlsContexts", "TlsSettings", "certificate_expires_at", "tls_failure"]

_REMEMBERED_CERTIFICATES = 256
_OPENSSL_EXPIRED = 10
_OPENSSL_NOT_YET_VALID = 9
_OPENSSL_HOST_MISMATCH = 62
_OPENSSL_IP_MISMATCH = 64
_OPENSSL_UNTRUSTED = frozenset({18, 19, 20, 21})


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How to trust a target. `ca_file` empty: the system's trust store; with it, that file alone is trusted."""

    ca_file: Path | None = None
    verify_hostname: bool = True
    client_certificate: Path | None = None
    client_key: Path | None = None


class TlsContexts:
    """One context per settings, made on first use; and the expiry dates of certificates that were met."""

    def __init__(self) -> None:
        self._contexts: dict[TlsSettings, ssl.SSLContext] = {}
        self._expiries: dict[bytes, datetime] = {}

    def get(self, settings: TlsSettings) -> ssl.SSLContext:
        """The context; raises OperatorError for a file that is missing or malformed, DependencyError without a trust store."""
        context = self._contexts.get(settings)
        if context is None:
            context = self._contexts[settings] = _build_context(settings)
        return context

    def expires_at(self, tls: ssl.SSLObject) -> datetime | None:
        """When the certificate of the other side expires; parsed once per certificate, parsing costs as much as a request."""
        der = tls.getpeercert(binary_form=True) or b""
        known = self._expiries.get(der)
        if known is None:
            known = certificate_expires_at(tls)
            if known is not None:
                if len(self._expiries) >= _REMEMBERED_CERTIFICATES:
                    self._expiries.clear()
                self._expiries[der] = known
        return known


def _build_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.verify_hostname
    context.set_alpn_protocols(["http/1.1"])
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            msg = f"the CA file cannot be used: {error.strerror or error}"
            raise OperatorError(msg, where=str(settings.ca_file), remedy="Name a readable PEM file") from error
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        _require_trust_store(context)
    if settings.client_certificate is not None:
        try:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
        except (OSError, ssl.SSLError) as error:
            msg = f"the client certificate cannot be used: {error.strerror or error}"
            remedy = "Name a readable PEM certificate and its key"
            raise OperatorError(msg, where=str(settings.client_certificate), remedy=remedy) from error
    return context


def _require_trust_store(context: ssl.SSLContext) -> None:
    # A folder of hashed certificates is read on demand and counts as none before the first handshake; it may be there and empty.
    if not context.cert_store_stats()["x509_ca"] and not any(_hashed_certificates()):
        msg = "this host has no trusted certificates"
        raise DependencyError(msg, remedy="Install the package ca-certificates, or set ca_file in the target's [tls]")


def _hashed_certificates() -> Iterator[Path]:
    """The files that OpenSSL would look into. Source: openssl-rehash(1), SSL_CTX_load_verify_dir(3)."""
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env) or paths.openssl_capath
    for folder in filter(None, folders.split(os.pathsep)):
        yield from Path(folder).glob("*.[0-9]")


def certificate_expires_at(tls: ssl.SSLObject) -> datetime | None:
    """The end of validity of the other side's certificate."""
    certificate = tls.getpeercert() or {}
    not_after = certificate.get("notAfter")
    if not isinstance(not_after, str):
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)


def tls_failure(error: ssl.SSLError, host: str, address: str) -> Failure:
    """The failure that a handshake ended with, in words a person can act on."""
    where = host if host == address else f"{host} ({address})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(FailureKind.TLS, f"{_certificate_problem(error, where)}", "certificate_verify_failed")
    reason = (error.reason or "").lower().replace("_", " ")
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return Failure(FailureKind.TLS, f"{where} does not speak TLS on this port ({reason})", "not_tls")
    return Failure(FailureKind.TLS, f"TLS handshake with {where} failed: {reason or error}", "tls_handshake_failed")


def _certificate_problem(error: ssl.SSLCertVerificationError, where: str) -> str:
    said = error.verify_message
    if error.verify_code == _OPENSSL_EXPIRED:
        return f"the certificate of {where} has expired"
    if error.verify_code == _OPENSSL_NOT_YET_VALID:
        return f"the certificate of {where} is not valid yet (or this host's clock is wrong)"
    if error.verify_code in (_OPENSSL_HOST_MISMATCH, _OPENSSL_IP_MISMATCH):
        return f"the certificate presented by {where} is for another host: {said}"
    if error.verify_code in _OPENSSL_UNTRUSTED:
        return f"the certificate of {where} was issued by an authority that is not trusted here: {said}"
    return f"the certificate of {where} was not accepted: {said}"
