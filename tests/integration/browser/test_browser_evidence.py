"""Evidence of a real browser session: taken when a run failed, masked, and never a reason to fail."""

from __future__ import annotations

import asyncio
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from probes import browser_evidence, browser_har
from probes.browser import BrowserEngine, PageFailed, ReadyCheck, find_browser
from probes.evidence import EvidenceMode, EvidenceStore
from probes.masking import Mask
from tests.integration.browser.browser_site import Answer, Site, html, open_site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("patient_with_chromium")]

READY = ReadyCheck("", ("button",))
NEVER_READY = ReadyCheck("", ("#nothing",))
SECRET = "correct-horse-battery"
DEADLINE_S = 60.0
SHORT_S = 4.0
"""For a load that fails because its time is over: what is kept of it must have happened until then, on a busy host too."""


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is kept: on a busy host each piece may take longer than a probe would wait for it."""
    for name in ("SCREENSHOT", "TRACE", "HAR", "DOCUMENTS"):
        monkeypatch.setattr(browser_evidence, f"{name}_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(browser_har, "BODIES_TIMEOUT_S", DEADLINE_S)


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    """A page that signs in with a secret and shows it."""
    async with open_site() as opened:
        opened.routes["/"] = html(
            f"<button>Go</button><p>{SECRET}</p><script>console.log('signed in with {SECRET}');"
            f"fetch('/sign-in?token={SECRET}', {{method: 'POST', body: JSON.stringify({{password: '{SECRET}'}})}})</script>"
        )
        opened.routes["/sign-in"] = lambda _: Answer(
            json.dumps({"access_token": "only-known-to-the-server"}),
            media_type="application/json",
            headers={"Set-Cookie": "session=only-known-to-the-server"},
        )
        yield opened


async def test_a_failed_load_leaves_evidence_without_secrets(
    engine: BrowserEngine, site: Site, tmp_path: Path, unhurried: None
) -> None:
    """Screenshot, HAR, document, trace and console; in none of them a secret, known or called like one."""
    mask = Mask()
    mask.hide(SECRET)
    sink = EvidenceStore(tmp_path).sink("r", mask=mask)
    with pytest.raises(PageFailed):
        async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
            await session.load(site.url, ready=NEVER_READY, deadline_s=SHORT_S)
    assert sink.problems == ()
    assert {item.kind for item in sink.items} == {"screenshot", "har", "body", "trace", "console"}
    for item in sink.items:
        data = (tmp_path / item.path).read_bytes()
        if item.kind == "trace":
            with zipfile.ZipFile(tmp_path / item.path) as archive:
                data = b"".join(archive.read(name) for name in archive.namelist())
            assert b"/sign-in" in data
        assert SECRET.encode() not in data, item.name
        if item.kind in ("har", "trace"):
            assert b"only-known-to-the-server" not in data, item.name
    picture = next(item for item in sink.items if item.kind == "screenshot")
    assert (tmp_path / picture.path).read_bytes().startswith(b"\x89PNG")


async def test_the_har_of_a_browser_has_every_request_and_says_what_it_does_not_know(
    engine: BrowserEngine, site: Site, tmp_path: Path, unhurried: None
) -> None:
    """Status, timing and the bodies that the page worked with; sending is not told by Chromium, and that is said."""
    sink = EvidenceStore(tmp_path, mode=EvidenceMode.ALWAYS).sink("r")
    async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
        await session.load(site.url, ready=READY, deadline_s=DEADLINE_S)
        await session.page.wait_for_load_state("networkidle")
    har = next(item for item in sink.items if item.kind == "har")
    entries = json.loads((tmp_path / har.path).read_bytes())["log"]["entries"]
    assert [(entry["request"]["method"], entry["response"]["status"]) for entry in entries] == [
        ("GET", 200),
        ("POST", 200),
    ]
    assert "<button>" in entries[0]["response"]["content"]["text"]
    assert "access_token" in entries[1]["response"]["content"]["text"]
    assert "does not tell sending" in entries[0]["timings"]["comment"]
    assert entries[0]["time"] > 0


async def test_a_passed_run_leaves_nothing(engine: BrowserEngine, site: Site, tmp_path: Path) -> None:
    """In the default mode."""
    sink = EvidenceStore(tmp_path / "kept").sink("r")
    async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
        await session.load(site.url, ready=READY, deadline_s=DEADLINE_S)
    assert (sink.items, (tmp_path / "kept").exists()) == ((), False)


async def test_no_trace_is_left_in_the_folder_for_temporary_files(
    engine: BrowserEngine, site: Site, store_and_temporary: tuple[EvidenceStore, Path]
) -> None:
    """Neither by a run that passed nor by a browser that was killed."""
    store, temporary = store_and_temporary
    async with BrowserEngine(find_browser()) as own:
        for kill in (False, True):
            async with own.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
                await session.load(site.url, ready=READY, deadline_s=DEADLINE_S)
                if kill:
                    next(iter(own._running.values())).group.kill()
    assert [path.name for path in temporary.iterdir()] == []


@pytest.fixture
def store_and_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EvidenceStore, Path]]:
    """A store, and a folder for the temporary files of this process and those it starts."""
    # A short name: Chromium puts a socket in there, whose path may have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield EvidenceStore(tmp_path / "kept"), Path(temporary)


async def test_evidence_of_a_hung_page_is_what_can_be_had(engine: BrowserEngine, site: Site, tmp_path: Path) -> None:
    """A page that loops for ever gives no screenshot; what is missing is noted, and the rest is kept in bounded time."""
    site.routes["/"] = html("<p>x</p><script>for (;;) {}</script>")
    sink = EvidenceStore(tmp_path).sink("r")
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(PageFailed):
        async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
            await session.load(site.url, ready=READY, deadline_s=SHORT_S)
    assert asyncio.get_running_loop().time() - began_s < DEADLINE_S
    assert "har" in {item.kind for item in sink.items}
    assert any("no screenshot" in problem for problem in sink.problems)


async def test_a_disk_that_takes_nothing_does_not_change_the_outcome(
    engine: BrowserEngine, site: Site, unhurried: None
) -> None:
    """The page's failure is what is raised, and the problem is noted."""
    sink = EvidenceStore(Path("/proc/evidence")).sink("r")
    with pytest.raises(PageFailed):
        async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
            await session.load(site.url, ready=NEVER_READY, deadline_s=SHORT_S)
    assert sink.items == ()
    assert any("screenshot.png was not kept" in problem for problem in sink.problems)
