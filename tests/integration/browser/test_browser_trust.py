"""Who a real Chromium trusts, and whom it tells of the run: keys and dates of certificates, and where trace context goes."""

from __future__ import annotations

import pytest

from probes import browser_session
from probes.browser import BrowserEngine, ReadyCheck
from probes.errors import DependencyError
from probes.evidence import EvidenceStore
from probes.records import FailureKind
from tests.integration.browser.browser_site import Answer, Certificates, html, make_certificates, open_site
from tests.integration.browser.page_loads import (
    CONTROLS,
    DEADLINE_S,
    HEADERS,
    Sites,
    failure_of,
    load,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("patient_with_chromium")]


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    """Made anew; nothing of this host trusts them."""
    return make_certificates()


async def test_a_trusted_key_is_trusted_and_an_expired_certificate_of_another_key_is_not(
    engine: BrowserEngine, store: EvidenceStore, certificates: Certificates
) -> None:
    """The trust is in one key and no other."""
    check = ReadyCheck("", ("button",))
    spki = (certificates.good_spki,)
    async with open_site(tls=certificates.good) as good, open_site(tls=certificates.expired) as expired:
        good.routes["/"] = expired.routes["/"] = html(CONTROLS)
        assert (await load(engine, store, f"{good.url}/", check=check, trusted_spki=spki)).ready_ns is not None
        at_once = {"check": check, "deadline_s": DEADLINE_S}
        failed = await failure_of(engine, store, f"{expired.url}/", trusted_spki=spki, **at_once)
        untrusted = await failure_of(engine, store, f"{good.url}/", **at_once)
    assert failed.failure.kind is FailureKind.TLS
    assert untrusted.failure.kind is FailureKind.TLS


async def test_an_expired_certificate_of_the_trusted_key_fails_too(
    engine: BrowserEngine, store: EvidenceStore, certificates: Certificates
) -> None:
    """Chromium ignores every error of a trusted key, so the dates are looked at by the probe."""
    async with open_site(tls=certificates.expired) as site:
        site.routes["/"] = html(CONTROLS)
        check, spki = ReadyCheck("", ("button",)), (certificates.expired_spki,)
        failed = await failure_of(engine, store, f"{site.url}/", check=check, trusted_spki=spki, deadline_s=DEADLINE_S)
    assert failed.failure.kind is FailureKind.TLS
    assert "expired at" in failed.failure.message


async def test_dates_of_a_certificate_that_chromium_does_not_tell_are_no_failure_of_the_targets(
    engine: BrowserEngine, store: EvidenceStore, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page was there and ready; what is late is a part of this probe."""
    monkeypatch.setattr(browser_session, "CERTIFICATE_TIMEOUT_S", 0.0)
    check, spki = ReadyCheck("", ("button",)), (certificates.good_spki,)
    async with open_site(tls=certificates.good) as site:
        site.routes["/"] = html(CONTROLS)
        with pytest.raises(DependencyError, match="dates of the certificate"):
            await load(engine, store, f"{site.url}/", check=check, trusted_spki=spki)


async def test_trace_context_goes_where_it_costs_no_preflight(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """A widget's own requests carry traceparent and run id; those to another origin stay as the page made them."""
    allowed = {"Access-Control-Allow-Origin": "*"}
    sites.host.routes["/elsewhere"] = lambda _: Answer("1", headers=allowed)
    sites.widget.routes["/own"] = lambda _: Answer("1")
    sites.widget.routes["/xhr"] = lambda _: Answer("1")
    url = sites.embed(
        f"<script>const xhr = new XMLHttpRequest(); xhr.open('GET', '/xhr'); xhr.send();"
        f"Promise.all([fetch('/own'), fetch('{sites.host.url}/elsewhere')])"
        f".then(() => {{ document.body.innerHTML = '{CONTROLS}' }})</script>"
    )
    await load(engine, store, url)
    seen = {request.path: request for request in (*sites.widget.seen, *sites.host.seen)}
    assert seen["/own"].headers["traceparent"] == HEADERS["traceparent"]
    assert seen["/xhr"].headers["x-request-id"] == "run-7"
    assert "traceparent" not in seen["/elsewhere"].headers
    assert all(request.method == "GET" for request in (*sites.widget.seen, *sites.host.seen))
    assert all(request.headers["user-agent"].endswith("probe-fleet/9 (run run-7)") for request in seen.values())


async def test_trace_context_goes_to_declared_origins(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """An origin that is declared to allow the headers gets them across origins."""
    allowed = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "traceparent, x-request-id"}
    sites.host.routes["/api"] = lambda _: Answer("1", headers=allowed)
    url = sites.embed(
        f"<script>fetch('{sites.host.url}/api').then(() => {{ document.body.innerHTML = '{CONTROLS}' }})</script>"
    )
    await load(engine, store, url, traced_origins=(sites.host.url,))
    api = [request for request in sites.host.seen if request.path == "/api" and request.method == "GET"]
    assert [request.headers.get("traceparent") for request in api] == [HEADERS["traceparent"]]
