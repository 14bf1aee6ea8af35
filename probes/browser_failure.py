"""What Chromium's own error names mean: the target's failures by kind, and which of them are this host's.

    PageFailed        the page or its server broke a promise: carries a `Failure`, and what was measured until then
    DependencyError   Chromium or this host failed: the run is inconclusive

Refuses to talk to a browser; the one place where Playwright's errors are translated. Called by `probes.browser_session`,
`probes.browser_diagnosis` and `probes.browser_process`.
"""

from __future__ import annotations

import re

from probes.errors import DependencyError
from probes.records import Failure, FailureKind, PageLoad

__all__ = ["PageFailed", "failure_of_net_error", "net_error", "raise_if_ours", "status_failure"]

NET_ERROR = re.compile(r"net::(ERR_[A-Z0-9_]+)")
LOOK_AT_MEMORY = "The next run starts a new one; if it happens again, look at this host's memory and /dev/shm"

# Source: Chromium's net/base/net_error_list.h. The first prefix that matches decides; the order is part of the table.
KINDS: tuple[tuple[str, FailureKind, str], ...] = (
    ("ERR_NAME_NOT_RESOLVED", FailureKind.DNS, "the name is not known"),
    ("ERR_NAME_RESOLUTION_FAILED", FailureKind.DNS, "the name could not be resolved"),
    ("ERR_DNS_", FailureKind.DNS, "the name could not be resolved"),
    ("ERR_CERT_DATE_INVALID", FailureKind.TLS, "the certificate has expired or is not valid yet"),
    ("ERR_CERT_AUTHORITY_INVALID", FailureKind.TLS, "the certificate is signed by nobody this probe trusts"),
    ("ERR_CERT_COMMON_NAME_INVALID", FailureKind.TLS, "the certificate is for another name"),
    ("ERR_CERT_", FailureKind.TLS, "the certificate is not valid"),
    ("ERR_SSL_", FailureKind.TLS, "the TLS handshake failed"),
    ("ERR_BAD_SSL_", FailureKind.TLS, "the TLS handshake failed"),
    ("ERR_TIMED_OUT", FailureKind.TIMEOUT, "the request timed out"),
    ("ERR_CONNECTION_TIMED_OUT", FailureKind.TIMEOUT, "the connection was not accepted in time"),
    ("ERR_CONNECTION_REFUSED", FailureKind.CONNECT, "the connection was refused"),
    ("ERR_CONNECTION_", FailureKind.CONNECT, "the connection broke"),
    ("ERR_EMPTY_RESPONSE", FailureKind.CONNECT, "the server closed the connection without an answer"),
    ("ERR_SOCKET_NOT_CONNECTED", FailureKind.CONNECT, "the connection broke"),
    ("ERR_ADDRESS_UNREACHABLE", FailureKind.CONNECT, "the server's address cannot be reached"),
    ("ERR_INVALID_HTTP_RESPONSE", FailureKind.CONNECT, "the server's answer is not HTTP"),
    ("ERR_INVALID_CHUNKED_ENCODING", FailureKind.CONNECT, "the answer broke off"),
    ("ERR_INCOMPLETE_CHUNKED_ENCODING", FailureKind.CONNECT, "the answer broke off"),
    ("ERR_CONTENT_LENGTH_MISMATCH", FailureKind.CONNECT, "the answer broke off"),
    ("ERR_HTTP2_", FailureKind.CONNECT, "the server broke the HTTP/2 protocol"),
    ("ERR_TOO_MANY_REDIRECTS", FailureKind.STATUS, "the redirects go in a circle"),
    ("ERR_HTTP_RESPONSE_CODE_FAILURE", FailureKind.STATUS, "the server answered with an error and without a page"),
    ("ERR_BLOCKED_BY_RESPONSE", FailureKind.BROWSER, "the answer forbids to be shown here"),
    ("ERR_BLOCKED_BY_CSP", FailureKind.BROWSER, "the page's security policy forbids it"),
    ("ERR_ABORTED", FailureKind.BROWSER, "the navigation came to nothing (an empty answer or a download)"),
)
# These say what this host ran out of or lacks; no server can cause them.
OURS: tuple[tuple[str, str], ...] = (
    ("ERR_INTERNET_DISCONNECTED", "this host has no network"),
    ("ERR_NETWORK_CHANGED", "this host's network changed during the load"),
    ("ERR_NETWORK_IO_SUSPENDED", "this host was suspended"),
    ("ERR_NETWORK_ACCESS_DENIED", "this host forbids the connection"),
    ("ERR_PROXY_", "this host's proxy failed"),
    ("ERR_TUNNEL_CONNECTION_FAILED", "this host's proxy failed"),
    ("ERR_ADDRESS_INVALID", "this host has no address to connect from"),
    ("ERR_NO_BUFFER_SPACE", "this host ran out of network buffers"),
    ("ERR_INSUFFICIENT_RESOURCES", "this host ran out of memory, ports or files"),
    ("ERR_OUT_OF_MEMORY", "this host ran out of memory"),
    ("ERR_FILE_NO_SPACE", "this host's disk is full"),
    ("ERR_UNSAFE_PORT", "Chromium refuses this port"),
)


class PageFailed(Exception):  # noqa: N818 - it reports what the target did, which is a finding and not an error of ours
    """The page broke a promise. `failure` says how; `page` is what was measured until then, None when nothing was."""

    def __init__(self, failure: Failure, page: PageLoad | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.page = page


def net_error(text: str) -> str:
    """The name of the network error in a message of Playwright's (`ERR_CONNECTION_REFUSED`), or an empty text."""
    match = NET_ERROR.search(text)
    return match[1] if match else ""


def failure_of_net_error(name: str, what: str) -> Failure:
    """What a network error says about the target; `what` names the document. Raises DependencyError when it is ours."""
    for prefix, meaning in OURS:
        if name.startswith(prefix):
            raise DependencyError(
                f"{what} could not be loaded: {meaning} ({name})", remedy="Look at this host's network and limits"
            )
    for prefix, kind, meaning in KINDS:
        if name.startswith(prefix):
            return Failure(kind, f"{what} could not be loaded: {meaning} ({name})", f"net::{name}")
    return Failure(FailureKind.BROWSER, f"{what} could not be loaded: {name or 'no reason given'}", f"net::{name}")


def status_failure(what: str, status: int, *, retry_after: str = "") -> Failure:
    """What a document's status of 400 and above says; 429 is counted apart from outage."""
    if status == 429:
        wait = f"; Retry-After: {retry_after}" if retry_after else ""
        return Failure(FailureKind.RATE_LIMITED, f"{what} answered 429 (too many requests{wait})", "429")
    return Failure(FailureKind.STATUS, f"{what} answered {status}", str(status))


def raise_if_ours(error: Exception | None, crashed: str) -> None:
    """Raises DependencyError when Chromium, its driver or a renderer are gone: that is never the target's failure."""
    text = str(error) if error is not None else ""
    if crashed or "crashed" in text:
        raise DependencyError(f"Chromium failed: {crashed or text.splitlines()[0]}", remedy=LOOK_AT_MEMORY) from error
    if "has been closed" in text or "Connection closed" in text:
        raise DependencyError("Chromium ended in the middle of a run", remedy=LOOK_AT_MEMORY) from error
