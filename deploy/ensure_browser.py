"""Find a browser, or install one: Playwright's own first, on Debian as root the distribution's Chromium second.

    .venv/bin/python -m deploy.ensure_browser

Prints the path of the browser as the last line of stdout. Exit code 3, and what to type, when there is none and none
could be installed. Called by `deploy.setup` with the environment's Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from deploy import debian

__all__ = ["main"]

_DOWNLOAD_DEADLINE_S = 900


def main() -> int:
    """Print where the browser is; 0, or 3 when there is none."""
    path = _find() or (_download() and _find()) or (debian.install("chromium") and _find())
    if path:
        print(path)
        return 0
    print(
        "set-up: there is no browser and none could be installed. Type one of these, then the same again:\n"
        f"  {sys.executable} -m playwright install --with-deps chromium\n"
        "  sudo apt-get install chromium",
        file=sys.stderr,
    )
    return 3


def _find() -> str:
    return shutil.which("chromium") or shutil.which("google-chrome") or ""


def _download() -> bool:
    """Playwright's own download, with the libraries it needs where we may install them."""
    print("set-up: no browser found; downloading Playwright's Chromium", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    if debian.can_install():
        command.insert(-1, "--with-deps")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False, timeout=_DOWNLOAD_DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
