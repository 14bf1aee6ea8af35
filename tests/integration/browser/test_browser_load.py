"""Loading a page with a real Chromium: ready means that the widget's controls answer, and the page's own clock says when."""

from __future__ import annotations

import asyncio

import pytest

from probes.browser import BrowserEngine, ReadyCheck
from probes.errors import OperatorError
from probes.evidence import EvidenceStore
from probes.records import FailureKind
from tests.integration.browser.browser_site import Answer, Seen, html
from tests.integration.browser.page_loads import (
    CHECK,
    CONTROLS,
    DEADLINE_S,
    TRIES,
    Sites,
    collected,
    failure_of,
    load,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("patient_with_chromium")]


async def test_ready_is_when_the_controls_of_a_cross_origin_frame_appear(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """The mark is the page's own: it lies within 15 ms of the instant at which the widget's script made its controls."""
    script = (
        f"<script>setTimeout(() => {{ document.body.innerHTML = `{CONTROLS}`;"
        "  window.made = performance.timeOrigin + performance.now(); }, 400)</script>"
    )
    url = sites.embed(script)
    late_ms: list[float] = []
    for _ in range(TRIES):
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            loaded = await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
            frame = await session.frame("#widget", deadline_s=DEADLINE_S)
            made_ms = await frame.evaluate("made") - await session.page.evaluate("performance.timeOrigin")
        assert loaded.ready_ns is not None
        assert loaded.ready_ns > 400_000_000
        assert loaded.drive_ns > 0
        late_ms.append(loaded.ready_ns / 1e6 - made_ms)
        assert late_ms[-1] > -15, late_ms
        if late_ms[-1] < 15:
            break
    assert min(late_ms) < 15, late_ms


async def test_a_load_reports_what_the_page_measured(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """Time to first byte, paints and layout shift come with the load; a late shift comes with `collect`."""

    async def slow(_: Seen) -> Answer:
        await asyncio.sleep(0.2)  # the target's own delay, not a wait of the test
        return Answer(f'<body><iframe id=widget src="{sites.widget.url}/widget"></iframe><p id=p>text')

    sites.embed()
    sites.host.routes["/"] = slow
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        loaded = await session.load(f"{sites.host.url}/", ready=CHECK, deadline_s=DEADLINE_S)
        await session.page.evaluate(
            "new Promise(done => { const box = document.createElement('div'); box.style.height = '300px';"
            " document.body.prepend(box); requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))) })"
        )
        later = await collected(session, lambda now: None not in (now.fcp_ns, now.lcp_ns) and (now.cls or 0) > 0)
    assert loaded.ttfb_ns is not None
    assert 200_000_000 <= loaded.ttfb_ns < (loaded.ready_ns or 0)
    assert later.fcp_ns is not None
    assert later.lcp_ns is not None
    assert later.cls is not None
    assert later.cls > 0.01
    assert later.requests == 2
    assert later.ready_ns == loaded.ready_ns


async def test_controls_that_do_not_answer_yet_are_not_ready(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """With `answer`, ready is when the control does something, not when it can be seen."""
    url = sites.embed(
        f"{CONTROLS}<script>setTimeout(() => {{ document.querySelector('button').onclick = () => {{ window.hit = true }} }}, 500)"
        "</script>"
    )
    answer = "() => { window.hit = false; document.querySelector('button').click(); return window.hit; }"
    loaded = await load(engine, store, url, check=ReadyCheck("#widget", CHECK.controls, answer))
    assert loaded.ready_ns is not None
    assert loaded.ready_ns >= 500_000_000


async def test_a_page_without_a_frame_is_ready_by_its_own_controls(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """Without a frame selector the page's own document is checked, also under a policy that forbids eval."""
    sites.host.routes["/"] = html(CONTROLS, Content_Security_Policy="default-src 'self'")
    loaded = await load(engine, store, f"{sites.host.url}/", check=ReadyCheck("", ("button",), "1 + 1 === 2"))
    assert loaded.ready_ns is not None


async def test_another_frame_with_the_same_controls_does_not_count(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """Only the frame that the selector names can make the page ready."""
    sites.widget.routes["/other"] = html(CONTROLS)
    sites.widget.routes["/widget"] = html("<p>nothing to press</p>")
    sites.host.routes["/"] = html(
        f'<iframe id=other src="{sites.widget.url}/other"></iframe><iframe id=widget src="{sites.widget.url}/widget"></iframe>'
    )
    failed = await failure_of(engine, store, f"{sites.host.url}/")
    assert failed.failure.kind is FailureKind.TIMEOUT
    assert "input[type=file], button" in failed.failure.message


async def test_a_disabled_or_invisible_control_is_not_ready(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """A control must be enabled and visible; only a file input may hide behind a button."""
    url = sites.embed("<p>form</p><input type=file style='display:none'><button disabled>Upload</button>")
    failed = await failure_of(engine, store, url)
    assert "missing or not usable: button" in failed.failure.message


async def test_an_uncaught_error_beside_a_working_widget_is_recorded(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """Errors and failed requests of a load that succeeds are in its record; what the page logs itself is not."""
    url = sites.embed(
        "<script>console.error('only logged')</script><script>nowhere()</script><img src=/missing.png>" + CONTROLS
    )
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
        said = session.log.console_text
        loaded = await collected(
            session, lambda now: now.failed_requests and now.uncaught_errors and b"only logged" in said()
        )
    assert len(loaded.uncaught_errors) == 1
    assert "nowhere is not defined" in loaded.uncaught_errors[0]
    assert loaded.failed_requests == (f"GET {sites.widget.url}/missing.png: 404",)


async def test_a_mark_that_no_look_could_place_is_looked_at_again_soon(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """The host page is too busy to say which frame is the widget's while that gets ready; it does not cost the whole deadline."""
    url = sites.embed(
        f"<script>parent.postMessage('busy', '*'); setTimeout(() => {{ document.body.innerHTML = `{CONTROLS}` }}, 300)</script>"
    )
    busy = "<script>onmessage = () => { const end = Date.now() + 2000; while (Date.now() < end); }</script>"
    sites.host.routes["/"] = html(f'{busy}<iframe id=widget src="{sites.widget.url}/widget"></iframe>')
    page = await load(engine, store, url, deadline_s=DEADLINE_S)
    assert page.ready_ns is not None
    assert page.drive_ns < DEADLINE_S / 2 * 1e9


async def test_a_selector_that_is_none_is_an_operator_error(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """A mistake in the target description is not charged to the target."""
    url = sites.embed()
    with pytest.raises(OperatorError, match="no CSS selector"):
        await load(engine, store, url, check=ReadyCheck("#widget", ("button >>> [",)))


async def test_every_load_is_cold(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """What a server allows to be cached for a year, and a cookie it set, are new again to the next session."""
    sites.widget.routes["/app.js"] = lambda _: Answer(
        "1",
        media_type="text/javascript",
        headers={"Cache-Control": "public, max-age=31536000, immutable", "Set-Cookie": "a=b"},
    )
    url = sites.embed("<script src=/app.js></script>" + CONTROLS)
    await load(engine, store, url)
    await load(engine, store, url)
    assert sites.widget.paths().count("/app.js") == 2
    assert not any("cookie" in seen.headers for seen in sites.widget.seen)
