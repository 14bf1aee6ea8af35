"""What driving a page and recording evidence cost the page itself, by its own clock: `python -m bench.browser_cost`.

The same page (a host with a widget in a cross-origin frame) is loaded cold again and again, the ways of loading in turn, so that
whatever else the host does falls on all of them alike. `undriven` is the same Chromium without any driver, in which the page
reports its own figures to the server; the others differ by what is added to them. Compare medians; absolute times are those of
a small local page, on which any cost shows at its largest.

Loopback only; every process it starts is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright

from probes.browser import BrowserChoice, BrowserEngine, ReadyCheck, find_browser
from probes.evidence import EvidenceMode, EvidenceStore

__all__ = ["main"]

ROUNDS = 15
BASE = "playwright alone"
DEADLINE_S = 20.0
# The page takes its own mark and tells it: as seen from its own document, and, through its timeOrigin, from the host page's.
WIDGET = """<!doctype html><title>widget</title><body>{scripts}<div id=root></div><script>
fetch("/data").then((answer) => answer.json()).then(() => {{
  document.querySelector("#root").innerHTML = "<button>Upload</button><input type=file>" + "<p>row</p>".repeat(300);
  const at = performance.timeOrigin + performance.now();
  parent.postMessage({{ ready: at }}, "*");
}});
</script>"""
HOST = """<!doctype html><title>host</title><h1>host</h1><script>
addEventListener("message", (event) => {{
  const figures = {{ ready: event.data.ready - performance.timeOrigin,
    ttfb: performance.getEntriesByType("navigation")[0].responseStart }};
  window.figures = figures;
  navigator.sendBeacon("/figures", JSON.stringify(figures));
}});
</script><iframe id=widget src="{widget}/widget"></iframe>"""
# Undriven, the page must not pay for the start of the browser either: it is reached from a page of another site.
START = '<!doctype html><script>setTimeout(() => {{ location.href = "{url}"; }}, 1500)</script>'
SCRIPT = "let sum = 0; for (let i = 0; i < 200000; i++) sum += i % 7;"
CHECK = ReadyCheck("#widget", ("button", "input[type=file]"))


@dataclass(slots=True)
class Site:
    """The page under test: where it is, and what it last reported."""

    url: str = ""
    start_url: str = ""
    reports: asyncio.Queue[dict[str, float]] = field(default_factory=asyncio.Queue)


Answer = Callable[[str, bytes], tuple[str, bytes]]


async def serve(answer: Answer) -> asyncio.Server:
    """A small HTTP server: one answer a connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            media_type, content = answer(lines[0].split(" ")[1], body)
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
                "Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
                + content
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the browser opened a connection and did not need it
        finally:
            writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    """Host page and widget, on two origins."""
    site = Site()

    def widget(path: str, _: bytes) -> tuple[str, bytes]:
        if path == "/data":
            return "application/json", b"[1]"
        if path.endswith(".js"):
            return "text/javascript", SCRIPT.encode()
        scripts = "".join(f'<script src="/{number}.js"></script>' for number in range(8))
        return "text/html", WIDGET.format(scripts=scripts).encode()

    def host(path: str, body: bytes) -> tuple[str, bytes]:
        if path == "/start":
            return "text/html", START.format(url=site.url).encode()
        if path == "/figures":
            site.reports.put_nowait(json.loads(body))
            return "text/plain", b""
        return "text/html", HOST.format(widget=f"http://localhost:{port(widgets)}").encode()

    async with await serve(widget) as widgets, await serve(host) as hosts:
        site.url = f"http://127.0.0.1:{port(hosts)}/"
        site.start_url = f"http://localhost:{port(hosts)}/start"
        yield site


def port(server: asyncio.Server) -> int:
    """The port the server listens on."""
    return int(server.sockets[0].getsockname()[1])


@dataclass(frozen=True, slots=True)
class Figure:
    """One load: the page's own figures, and what the caller's clock saw beyond them where there was one."""

    ready_ms: float
    ttfb_ms: float
    drive_ms: float | None = None


@dataclass(slots=True)
class Way:
    """One way of loading the page."""

    name: str
    load: Callable[[], Awaitable[Figure]]
    figures: list[Figure] = field(default_factory=list)


async def load_undriven(choice: BrowserChoice, site: Site) -> Figure:
    """Chromium started on the page, with nobody attached."""
    with tempfile.TemporaryDirectory(prefix="undriven-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(str(choice.path), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *(
                "--disable-background-networking",
                "--disable-component-update",
                f"--user-data-dir={profile}",
                site.start_url,
            ),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            figures = await asyncio.wait_for(site.reports.get(), DEADLINE_S)
        finally:
            process.terminate()
            await process.wait()
    return Figure(figures["ready"], figures["ttfb"])


Prepare = Callable[[BrowserContext, Page], Awaitable[None]]


async def load_plain(browser: Browser, site: Site, prepare: Prepare | None = None, **options: str) -> Figure:
    """Playwright alone: no script of ours in the page, which reports by itself."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]  # names and texts of its own options
    try:
        page = await context.new_page()
        if prepare is not None:
            await prepare(context, page)
        await page.goto(site.url, wait_until="commit")
        figures = await asyncio.wait_for(site.reports.get(), DEADLINE_S)
        return Figure(figures["ready"], figures["ttfb"])
    finally:
        await context.close()


async def load_session(engine: BrowserEngine, site: Site, store: EvidenceStore, mode: EvidenceMode) -> Figure:
    """The probe's own way."""
    sink = store.sink("bench", mode=mode)
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-request-id": "bench"}
    async with engine.session(origin_ns=time.monotonic_ns(), headers=headers, evidence=sink) as session:
        loaded = await session.load(site.url, ready=CHECK, deadline_s=DEADLINE_S)
    await asyncio.wait_for(site.reports.get(), DEADLINE_S)
    return Figure((loaded.ready_ns or 0) / 1e6, (loaded.ttfb_ns or 0) / 1e6, loaded.drive_ns / 1e6)


async def pass_on(route: Route) -> None:
    """A request held up to add a header to it."""
    await route.continue_(headers={**route.request.headers, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})


async def hold_all(context: BrowserContext, _: Page) -> None:
    """Hold up every request."""
    await context.route("**/*", pass_on)


async def hold_documents(context: BrowserContext, page: Page) -> None:
    """Hold up the documents only, one level below Playwright's own interception."""
    session = await context.new_cdp_session(page)

    async def release(event: dict[str, object]) -> None:
        await session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    session.on("Fetch.requestPaused", release)
    await session.send("Fetch.enable", {"patterns": [{"urlPattern": "*", "resourceType": "Document"}]})


def trace(*, screenshots: bool, snapshots: bool) -> Prepare:
    """Playwright's trace with these parts."""

    async def start(context: BrowserContext, _: Page) -> None:
        await context.tracing.start(screenshots=screenshots, snapshots=snapshots)

    return start


async def compare(rounds: int, only: str = "") -> list[Way]:
    """Every way whose name has `only` in it, and the base, in turn, `rounds` times; a first round warms up."""
    choice = find_browser()
    async with open_site() as site, BrowserEngine(choice) as engine, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=choice.path, args=["--disable-gpu"])
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            store = EvidenceStore(Path(folder))
            ways = [
                Way("undriven", lambda: load_undriven(choice, site)),
                Way(BASE, lambda: load_plain(browser, site)),
                Way("probe, no evidence", lambda: load_session(engine, site, store, EvidenceMode.NEVER)),
                Way("probe, evidence of failures", lambda: load_session(engine, site, store, EvidenceMode.FAILURES)),
                Way("+ trace of actions", lambda: load_plain(browser, site, trace(screenshots=False, snapshots=False))),
                Way(
                    "+ trace with snapshots",
                    lambda: load_plain(browser, site, trace(screenshots=False, snapshots=True)),
                ),
                Way(
                    "+ trace with screencast",
                    lambda: load_plain(browser, site, trace(screenshots=True, snapshots=True)),
                ),
                Way("+ HAR by Playwright", lambda: load_plain(browser, site, record_har_path=f"{folder}/a.har")),
                Way("+ documents held up", lambda: load_plain(browser, site, hold_documents)),
                Way("+ every request held up", lambda: load_plain(browser, site, hold_all)),
            ]
            ways = [way for way in ways if only in way.name or way.name == BASE]
            for number in range(rounds + 1):
                for way in ways:
                    figure = await way.load()
                    if number:
                        way.figures.append(figure)
        await browser.close()
    return ways


def show(ways: Sequence[Way]) -> None:
    """One line a way: quartile and median, and the difference to Playwright alone."""
    base = next(way for way in ways if way.name == BASE)
    base_ms = statistics.median(figure.ready_ms for figure in base.figures)
    base_ttfb_ms = statistics.median(figure.ttfb_ms for figure in base.figures)
    print(
        f"{'milliseconds':30}{'ready p25':>10}{'ready p50':>10}{'p50 - base':>11}{'ttfb p50':>10}{'- base':>8}{'drive p50':>10}"
    )
    for way in ways:
        ready = [figure.ready_ms for figure in way.figures]
        ttfb_ms = statistics.median(figure.ttfb_ms for figure in way.figures)
        drives = [figure.drive_ms for figure in way.figures if figure.drive_ms is not None]
        median_ms = statistics.median(ready)
        print(
            f"{way.name:30}{statistics.quantiles(ready, n=4)[0]:10.1f}{median_ms:10.1f}{median_ms - base_ms:+11.1f}"
            f"{ttfb_ms:10.1f}{ttfb_ms - base_ttfb_ms:+8.1f}"
            + (f"{statistics.median(drives):10.1f}" if drives else f"{'-':>10}")
        )
    print("base: playwright alone; drive: the caller's clock less the page's own, inside the timed window")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.browser_cost", description="What driving a page costs it.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"loads of each kind (default {ROUNDS})")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only the ways with this in their name, and the base"
    )
    chosen = parser.parse_args([] if arguments is None else arguments)
    show(asyncio.run(compare(max(2, chosen.rounds), chosen.only)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
