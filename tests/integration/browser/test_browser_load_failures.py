"""A page or a frame that does not load, in a real Chromium: every failure says what was seen."""

from __future__ import annotations

import asyncio
import socket

import pytest

from probes import browser_load
from probes.browser import BrowserEngine, PageFailed
from probes.errors import DependencyError
from probes.evidence import EvidenceStore
from probes.http_resolver import Address
from probes.records import FailureKind
from tests.integration.browser.browser_site import Answer, Seen, html
from tests.integration.browser.page_loads import (
    CONTROLS,
    DEADLINE_S,
    Sites,
    failure_of,
    load,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("patient_with_chromium")]


async def test_a_blank_frame_is_a_browser_failure(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """The frame's document came, its onload fired, and nothing is in it."""
    failed = await failure_of(engine, store, sites.embed(""))
    assert failed.failure.kind is FailureKind.BROWSER
    assert "blank" in failed.failure.message
    assert failed.page is not None
    assert failed.page.load_ns is not None


@pytest.mark.parametrize(
    ("headers", "error_type", "said"),
    [
        ({"X_Frame_Options": "DENY"}, "x-frame-options", "X-Frame-Options"),
        ({"Content_Security_Policy": "frame-ancestors 'none'"}, "csp-frame-ancestors", "frame-ancestors 'none'"),
    ],
)
async def test_a_refused_frame_is_told_by_what_refused_it(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, headers: dict[str, str], error_type: str, said: str
) -> None:
    """A refused frame fails before the deadline, with what Chromium said about it; its onload counts for nothing."""
    failed = await failure_of(engine, store, sites.embed(CONTROLS, **headers), deadline_s=DEADLINE_S)
    assert (failed.failure.kind, failed.failure.error_type) == (FailureKind.BROWSER, error_type)
    assert said in failed.failure.message


async def test_an_uncaught_error_is_named(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """A widget whose script throws is a browser failure that quotes the error and its place."""
    failed = await failure_of(engine, store, sites.embed("<p>x</p><script>throw new Error('boom in widget')</script>"))
    assert failed.failure.kind is FailureKind.BROWSER
    assert "boom in widget (at http://localhost" in failed.failure.message
    assert failed.page is not None
    assert len(failed.page.uncaught_errors) == 1


async def test_a_frame_that_never_appears_is_a_browser_failure(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """The message says which selector matched nothing."""
    sites.host.routes["/"] = html("<p>no frame here</p>")
    failed = await failure_of(engine, store, f"{sites.host.url}/")
    assert failed.failure.kind is FailureKind.BROWSER
    assert "nothing in the page matches #widget" in failed.failure.message


@pytest.mark.parametrize(("status", "kind"), [(503, FailureKind.STATUS), (429, FailureKind.RATE_LIMITED)])
async def test_the_status_of_the_frames_document_counts(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, status: int, kind: FailureKind
) -> None:
    """An error page in the frame is not a widget, even when it has the controls."""
    sites.widget.routes["/widget"] = lambda _: Answer("<p>error page</p>", status)
    failed = await failure_of(engine, store, sites.frame(f"{sites.widget.url}/widget"), deadline_s=DEADLINE_S)
    assert failed.failure.kind is kind
    assert str(status) in failed.failure.message


@pytest.mark.parametrize(("status", "kind"), [(500, FailureKind.STATUS), (429, FailureKind.RATE_LIMITED)])
async def test_the_status_of_the_page_counts(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, status: int, kind: FailureKind
) -> None:
    """A page that answers with an error is not waited for."""
    sites.host.routes["/"] = lambda _: Answer(CONTROLS, status)
    failed = await failure_of(engine, store, f"{sites.host.url}/", deadline_s=DEADLINE_S)
    assert failed.failure.kind is kind


async def test_a_refused_connection_is_a_connect_failure(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, free_port: int
) -> None:
    """Of the page as of its frame."""
    page = await failure_of(engine, store, f"http://127.0.0.1:{free_port}/", deadline_s=DEADLINE_S)
    frame = await failure_of(engine, store, sites.frame(f"http://localhost:{free_port}/"), deadline_s=DEADLINE_S)
    assert page.failure.kind is FailureKind.CONNECT
    assert frame.failure.kind is FailureKind.CONNECT
    assert "the frame #widget" in frame.failure.message


async def test_an_unknown_name_is_a_dns_failure(engine: BrowserEngine, store: EvidenceStore) -> None:
    """Names under .invalid exist nowhere; a resolver that is down would be ours (RFC 6761)."""
    failed = await failure_of(engine, store, "http://nowhere.localhost.invalid/", deadline_s=DEADLINE_S)
    assert failed.failure.kind is FailureKind.DNS


@pytest.mark.parametrize("is_frame", [False, True])
async def test_a_name_that_the_resolver_of_this_host_does_not_answer_for_is_not_charged(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, monkeypatch: pytest.MonkeyPatch, *, is_frame: bool
) -> None:
    """Of the page as of its frame: Chromium has one word for it and for a name that exists nowhere."""

    def silent(_host: str, _port: int) -> tuple[Address, ...]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    nowhere = "http://nowhere.localhost.invalid/"
    url = sites.frame(nowhere) if is_frame else nowhere
    failed = await failure_of(engine, store, url, deadline_s=DEADLINE_S)
    assert failed.failure.kind is FailureKind.DNS
    monkeypatch.setattr(browser_load, "system_lookup", silent)
    with pytest.raises(DependencyError, match="name resolver does not answer"):
        await load(engine, store, url, deadline_s=DEADLINE_S)


async def test_a_server_that_never_answers_is_a_timeout_within_the_deadline(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """The deadline holds although the navigation never ends."""
    released = asyncio.Event()

    async def never(_: Seen) -> Answer:
        await released.wait()
        return Answer()

    sites.host.routes["/"] = never
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(PageFailed) as caught:
        await load(engine, store, f"{sites.host.url}/", deadline_s=1.0)
    released.set()
    assert caught.value.failure.kind is FailureKind.TIMEOUT
    assert asyncio.get_running_loop().time() - began_s < DEADLINE_S / 2


async def test_a_hung_frame_is_a_timeout_and_its_context_is_gone(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """A script that loops for ever cannot hold up the probe: the deadline holds, and the next load works."""
    url = sites.embed("<p>x</p><script>for (;;) {}</script>")
    failed = await failure_of(engine, store, url)
    assert failed.failure.kind is FailureKind.TIMEOUT
    assert "busy" in failed.failure.message
    assert all(browser.contexts == 0 for browser in engine._running.values())
    assert (await load(engine, store, sites.embed(CONTROLS))).ready_ns is not None


async def test_a_timeout_says_what_was_still_missing(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """The controls that were not there, and the request that had no answer."""
    released = asyncio.Event()

    async def never(_: Seen) -> Answer:
        await released.wait()
        return Answer()

    sites.widget.routes["/parts"] = never
    failed = await failure_of(
        engine, store, sites.embed("<p>x</p><script>fetch('/parts')</script><button>Upload</button>")
    )
    released.set()
    assert failed.failure.kind is FailureKind.TIMEOUT
    assert "missing or not usable: input[type=file];" in failed.failure.message
    assert f"still waiting for {sites.widget.url}/parts" in failed.failure.message
