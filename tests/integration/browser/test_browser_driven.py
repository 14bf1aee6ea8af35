"""Driving a page that is ready in a real Chromium: timed by the page, and refused where nothing would be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.browser import BrowserEngine, Condition, PageFailed
from probes.errors import OperatorError
from probes.evidence import EvidenceStore
from probes.records import FailureKind
from tests.integration.browser.browser_site import Answer
from tests.integration.browser.page_loads import (
    CHECK,
    CONTROLS,
    DEADLINE_S,
    SHORT_S,
    TRIES,
    Sites,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("patient_with_chromium")]


async def test_a_driven_step_is_timed_by_the_page(engine: BrowserEngine, store: EvidenceStore, sites: Sites) -> None:
    """From the event that the action caused to the change it led to, without the cost of driving."""
    url = sites.embed(
        f"{CONTROLS}<p id=state></p><script>document.querySelector('button').onclick = () => {{"
        "  const began = performance.now();"
        "  setTimeout(() => { state.textContent = 'done'; window.took = performance.now() - began }, 300) }</script>"
    )
    more_ms: list[float] = []
    for _ in range(TRIES):
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
            frame = await session.frame("#widget", deadline_s=DEADLINE_S)
            moment = await session.perform(
                lambda frame=frame: frame.click("button"),  # type: ignore[misc]
                frame=frame,
                until=Condition.text("done"),
                deadline_s=DEADLINE_S,
            )
            more_ms.append(moment.duration_ns / 1e6 - await frame.evaluate("took"))
        assert moment.drive_ns > 0
        assert moment.met_ns - moment.started_ns == pytest.approx(moment.duration_ns, abs=2)
        assert more_ms[-1] >= 0, more_ms
        if more_ms[-1] < 25:
            break
    assert min(more_ms) < 25, more_ms


async def test_a_file_is_uploaded_and_the_change_is_handed_back(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, tmp_path: Path
) -> None:
    """The file's bytes reach the server, and `Condition.changed` hands the new text back."""
    part = tmp_path / "part.stl"
    part.write_bytes(b"solid x" * 1000)
    sites.widget.routes["/upload"] = lambda seen: Answer(str(len(seen.body)))
    url = sites.embed(
        f"{CONTROLS}<p id=state>none</p><script>document.querySelector('input').onchange = (event) =>"
        "  fetch('/upload', {method: 'POST', body: event.target.files[0]}).then((a) => a.text())"
        "    .then((text) => { state.textContent = text })</script>"
    )
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
        frame = await session.frame("#widget", deadline_s=DEADLINE_S)
        moment = await session.perform(
            lambda: frame.set_input_files("input", part),
            frame=frame,
            until=Condition.changed("#state"),
            deadline_s=DEADLINE_S,
        )
    assert moment.value == "7000"


async def test_a_condition_that_is_never_met_says_what_went_wrong(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """A failed request that the action made decides the kind, and the message names it."""
    url = sites.embed(f"{CONTROLS}<script>document.querySelector('button').onclick = () => fetch('/gone')</script>")
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
        frame = await session.frame("#widget", deadline_s=DEADLINE_S)
        with pytest.raises(PageFailed) as caught:
            await session.perform(
                lambda: frame.click("button"), frame=frame, until=Condition.text("Price"), deadline_s=SHORT_S
            )
    assert caught.value.failure.kind is FailureKind.STATUS
    assert "/gone: 404" in caught.value.failure.message
    assert "the text 'Price'" in caught.value.failure.message


@pytest.mark.parametrize("busy_ms", [0, 500])
async def test_an_action_that_the_page_does_not_take_is_a_failure(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites, busy_ms: int
) -> None:
    """A control that is covered for ever cannot be clicked: the failure says so, also when arming has taken its time."""
    url = sites.embed(CONTROLS + "<div style='position:fixed;inset:0'></div>")
    keep_busy = "ms => setTimeout(() => { const end = Date.now() + ms; while (Date.now() < end); })"
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
        frame = await session.frame("#widget", deadline_s=DEADLINE_S)
        await frame.evaluate(keep_busy, busy_ms)
        with pytest.raises(PageFailed, match="did not take the action") as caught:
            await session.perform(lambda: frame.click("button"), frame=frame, until=Condition.text("x"), deadline_s=1.5)
    assert caught.value.failure.kind is FailureKind.TIMEOUT


async def test_a_condition_that_measures_nothing_is_refused(
    engine: BrowserEngine, store: EvidenceStore, sites: Sites
) -> None:
    """One that was already met before the action, and one that is no JavaScript, are mistakes of the script."""
    url = sites.embed(CONTROLS)
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=DEADLINE_S)
        frame = await session.frame("#widget", deadline_s=DEADLINE_S)
        with pytest.raises(OperatorError, match="before the action"):
            await session.perform(
                lambda: frame.click("button"), frame=frame, until=Condition.text("Upload"), deadline_s=DEADLINE_S
            )
        with pytest.raises(OperatorError, match="no JavaScript"):
            await session.until(frame, Condition.script("1 +", "nonsense"), DEADLINE_S)
        already = [await session.until(frame, Condition.usable("button"), DEADLINE_S) for _ in range(TRIES)]
    assert min(moment.duration_ns for moment in already) < 50_000_000
