"""Does a browser at work on the same host blur the HTTP timings of this process? Called by `bench.__main__`.

The errors of `bench.truth` at a moderate load, without and with a real Chromium that loads pages one after the other in
processes of its own. Exchanges that carry a mark are counted and left out: being marked is the promise for those.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.programs import TlsFiles, make_tls, start_target
from bench.report import Findings, Goal, median, percentile
from bench.truth import Measured, measure
from probes.http import HttpEngine, TlsSettings

__all__ = ["run"]

_CHANGE_LIMIT_MS = 3.0
_IN_FLIGHT = 10
_REQUESTS = 300
_WAITS_MS = (20.0, 100.0)
_PORTS = ("plain", "tls")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Builds and lays out a table again and again: what a heavy page does to its host.
_PAGE = """<!doctype html><title>busy</title><body><script>
function work() {
  document.body.replaceChildren();
  for (let i = 0; i < 400; i++) {
    const row = document.createElement('div');
    row.textContent = 'row ' + i + ' ' + Math.sin(i);
    row.style.width = (i % 97) + '%';
    document.body.append(row);
    row.offsetHeight;
  }
  setTimeout(() => location.reload(), 20);
}
onload = work;
</script>"""


def run() -> list[Findings]:
    """Without, then with the browser."""
    findings = Findings(
        "HTTP timing beside a working browser: error, ms", ("browser", "port", "median", "p99", "marked")
    )
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        note = "no Chromium found: apt-get install chromium"
        findings.goals.append(Goal("change of the p99 error, ms", _CHANGE_LIMIT_MS, None, note=note))
        return [findings]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        tls = make_tls(folder)
        quiet = asyncio.run(_measure(tls, folder))
        with _busy_browser(browser, folder):
            busy = asyncio.run(_measure(tls, folder))
    for port in _PORTS:
        tails = []
        for label, measured in (("idle", quiet[port]), ("working", busy[port])):
            errors = [error for values in measured.unmarked_ms.values() for error in values]
            tails.append(percentile(errors, 0.99))
            findings.rows.append((label, port, f"{median(errors):.3f}", f"{tails[-1]:.3f}", str(measured.marked)))
        findings.goals.append(
            Goal(f"change of the p99 error on {port}, ms", _CHANGE_LIMIT_MS, abs(tails[1] - tails[0]))
        )
    return [findings]


async def _measure(tls: TlsFiles, folder: Path) -> dict[str, Measured]:
    with start_target(tls, min_ms=_WAITS_MS[0], max_ms=_WAITS_MS[1]) as target:
        async with HttpEngine() as engine:
            settings = TlsSettings(tls.ca)
            load = (_IN_FLIGHT, _REQUESTS)
            return {port: await measure(engine, target, settings, port, load, folder / "body") for port in _PORTS}


@contextmanager
def _busy_browser(browser: str, folder: Path) -> Iterator[None]:
    """A headless browser on a page that never rests."""
    page = folder / "busy.html"
    page.write_text(_PAGE, encoding="utf-8")
    flags = ["--headless=new", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    flags += ["--remote-debugging-pipe"]  # keeps a headless browser open on its page
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    reading, for_browser = os.pipe()
    from_browser, writing = os.pipe()

    command = ["sh", "-c", f'exec "$0" "$@" 3<&{reading} 4>&{writing}', browser, *flags, page.as_uri()]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(reading, writing),
        start_new_session=True,
    ) as process:
        os.close(reading)
        os.close(writing)
        try:
            _wait_until_busy(process)
            yield
        finally:
            os.close(for_browser)
            os.close(from_browser)
            process.terminate()


def _wait_until_busy(process: subprocess.Popen[bytes]) -> None:
    """Gives the browser the time to start; one that cannot start has ended by then."""
    try:
        process.wait(timeout=4)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError("the browser ended by itself")
