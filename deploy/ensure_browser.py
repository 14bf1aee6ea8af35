"""Find a browser that Playwright can drive, or install one.

    .venv/bin/python -m deploy.ensure_browser

In this order: what is there (`probes.browser_find`), Playwright's own download, on Debian as root the distribution's
Chromium. A browser counts when it has drawn a page. Prints its path; exit code 3, and what to
type, when there is none and none could be installed. Called by `deploy.setup` with the environment's Python.
"""

from __future__ import annotations

import os
import subprocess
import sys

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

from deploy import debian
from probes.browser_find import BrowserChoice, find_browser
from probes.errors import DependencyError, OperatorError
from probes.settings import load_settings

__all__ = ["main"]

_DOWNLOAD_DEADLINE_S = 900
_ANSWER_DEADLINE_S = 60
# Playwright's driver is a program for which a slim Debian lacks one library.
_DRIVER_PACKAGES = ("libatomic1",)
_BROWSER_PACKAGES = ("chromium", "fonts-liberation")


def main() -> int:
    """Print where the browser is; 0, or 3 when there is none."""
    try:
        setting = load_settings(environ=os.environ).browser_path
        _ensure_driver()
        choice = _find(setting) or (_download() and _find("")) or (debian.install(*_BROWSER_PACKAGES) and _find(""))
        if not choice:
            choice = find_browser()
        _draw_a_page(choice)
    except OperatorError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    except DependencyError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 3
    print(choice.path)
    return 0


def _find(setting: str) -> BrowserChoice | None:
    try:
        return find_browser(setting)
    except DependencyError:
        return None


def _ensure_driver() -> None:
    """Playwright drives the browser through a program of its own, which must start."""
    command = [sys.executable, "-m", "playwright", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_DEADLINE_S)
    if done.returncode == 0:
        return
    if debian.install(*_DRIVER_PACKAGES):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_DEADLINE_S)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[0]
        what = f"Playwright's driver does not start: {said}"
        raise DependencyError(
            what, remedy=f"On Debian or Ubuntu type: sudo apt-get install {' '.join(_DRIVER_PACKAGES)}"
        )


def _download() -> bool:
    """Playwright's own download, with the libraries it needs where we may install them."""
    print("set-up: no browser found; downloading Playwright's Chromium", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    if debian.can_install():
        command.insert(-1, "--with-deps")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_DOWNLOAD_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        print(f"set-up: the download did not end within {_DOWNLOAD_DEADLINE_S} s", file=sys.stderr, flush=True)
        return False
    if done.returncode != 0:
        said = [line.strip() for line in done.stdout.splitlines() if "rror:" in line] or ["no reason given"]
        print(f"set-up: the download failed: {said[0]}", file=sys.stderr, flush=True)
    return done.returncode == 0


def _draw_a_page(choice: BrowserChoice) -> None:
    """A browser that answers `--version` may still lack what it needs to draw."""
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=choice.path)
            page = browser.new_page()
            page.set_content("<p>ready</p>")
            text = page.inner_text("p")
            browser.close()
    except PlaywrightError as error:
        what = f"{choice.path} does not run: {error.message.splitlines()[0]}"
        remedy = (
            f"Type `{sys.executable} -m playwright install --with-deps chromium`, or install a Chromium of this system"
        )
        raise DependencyError(what, remedy=remedy) from error
    if text != "ready":
        what = f"{choice.path} draws no page"
        raise DependencyError(what)


if __name__ == "__main__":
    sys.exit(main())
