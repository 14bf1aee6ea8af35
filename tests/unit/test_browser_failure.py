"""What Chromium's error names mean, and whose fault they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes.browser_failure import failure_of_net_error, net_error, raise_if_ours, status_failure
from probes.browser_load import has_route
from probes.errors import DependencyError
from probes.records import FailureKind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ERR_NAME_NOT_RESOLVED", FailureKind.DNS),
        ("ERR_CERT_DATE_INVALID", FailureKind.TLS),
        ("ERR_CERT_SOMETHING_NEW", FailureKind.TLS),
        ("ERR_SSL_PROTOCOL_ERROR", FailureKind.TLS),
        ("ERR_CONNECTION_REFUSED", FailureKind.CONNECT),
        ("ERR_CONNECTION_RESET", FailureKind.CONNECT),
        ("ERR_EMPTY_RESPONSE", FailureKind.CONNECT),
        ("ERR_HTTP2_PROTOCOL_ERROR", FailureKind.CONNECT),
        ("ERR_CONNECTION_TIMED_OUT", FailureKind.TIMEOUT),
        ("ERR_TOO_MANY_REDIRECTS", FailureKind.STATUS),
        ("ERR_ABORTED", FailureKind.BROWSER),
        ("ERR_NEVER_HEARD_OF", FailureKind.BROWSER),
    ],
)
def test_a_network_error_has_a_kind_and_names_itself(name: str, kind: FailureKind) -> None:
    """Each by the table; what is not in it is a failure of the browser, never of ours in disguise."""
    failure = failure_of_net_error(name, "http://x.test/")
    assert (failure.kind, failure.error_type) == (kind, f"net::{name}")
    assert name in failure.message
    assert "http://x.test/" in failure.message


@pytest.mark.parametrize(
    "name",
    ["ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_CHANGED", "ERR_INSUFFICIENT_RESOURCES", "ERR_PROXY_CONNECTION_FAILED"],
)
def test_what_this_host_lacks_is_ours(name: str) -> None:
    """No server can cause these."""
    with pytest.raises(DependencyError, match=name):
        failure_of_net_error(name, "http://x.test/")


def test_the_name_of_an_error_is_found_in_playwrights_message() -> None:
    """And a message without one has none."""
    assert net_error("Page.goto: net::ERR_CONNECTION_REFUSED at http://x/\nCall log:") == "ERR_CONNECTION_REFUSED"
    assert net_error("Page.goto: something else") == ""


@pytest.mark.parametrize(
    "text", ["Target page, context or browser has been closed", "Page crashed", "Connection closed while reading"]
)
def test_a_browser_that_is_gone_is_ours(text: str) -> None:
    """Whatever it was doing."""
    with pytest.raises(DependencyError):
        raise_if_ours(RuntimeError(text), "")


def test_an_error_of_the_page_is_not_ours() -> None:
    """Nothing is raised for it."""
    raise_if_ours(RuntimeError("Timeout 30000ms exceeded"), "")


def test_too_many_requests_are_counted_apart() -> None:
    """With what the server said about waiting."""
    failure = status_failure("x", 429, retry_after="30")
    assert failure.kind is FailureKind.RATE_LIMITED
    assert "Retry-After: 30" in failure.message
    assert status_failure("x", 503).kind is FailureKind.STATUS


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are a matter of Linux")
def test_a_host_without_a_route_is_told_from_a_target_that_is_silent() -> None:
    """In a network namespace of its own with nothing in it, nothing can be reached; here, the loopback can."""
    assert has_route("http://127.0.0.1:1/")
    asked = "from probes.browser_load import has_route; print(has_route('http://192.0.2.1/'))"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--net", sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "False", done.stderr
