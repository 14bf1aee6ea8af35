"""Which browser this host measures with: the setting, Playwright's own download, a system Chrome or Chromium; in that order.

Refuses to install anything and to guess: a setting that names no browser is an error, never a reason to take another one.
Called by `probes.browser` on first use, by the installer and by the command line when it says what it would use.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import playwright

from probes.errors import DependencyError, OperatorError

__all__ = ["BrowserChoice", "find_browser"]

VERSION_TIMEOUT_S = 20.0
# What a browser of Chromium's family prints for --version; other programs print something else or nothing.
BROWSER_VERSION = re.compile(r"(?:Chromium|Chrome|HeadlessChrome|Headless Shell|Edge|Brave)\D*(\d+(?:\.\d+)+)")
SYSTEM_NAMES = (
    "google-chrome-stable",
    "google-chrome",
    "chromium",
    "chromium-browser",
    "chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
)
SYSTEM_PATHS = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# Under Playwright's folder, by its name for the download. Source: `playwright install --dry-run chromium`.
DOWNLOADS = (
    ("chromium-headless-shell", ("*/chrome-headless-shell", "*/headless_shell")),
    ("chromium", ("*/chrome", "*/Chromium.app/Contents/MacOS/Chromium", "*/*.app/Contents/MacOS/*")),
)


@dataclass(frozen=True, slots=True)
class BrowserChoice:
    """The browser that was found: `source` is `setting`, `playwright` or `system`, `version` what it says of itself."""

    path: Path
    source: str
    version: str


def find_browser(setting: str = "") -> BrowserChoice:
    """The first browser that exists and answers `--version`.

    `setting` is a path or a program's name; empty: look for one. Raises OperatorError when the setting names no browser,
    DependencyError (with what to type) when there is none.
    """
    if setting:
        return _from_setting(setting)
    refused: list[str] = []
    for source, path in _candidates():
        version, why = _read_version(path)
        if version:
            return BrowserChoice(path=path, source=source, version=version)
        refused.append(f"{path} {why}")
    seen = f" ({'; '.join(refused)})" if refused else ""
    raise DependencyError(
        f"no browser was found: neither Playwright's own nor a Chrome or Chromium of this system{seen}",
        remedy=f"Type `make setup`, or `{sys.executable} -m playwright install chromium`, or on Debian as root "
        "`apt-get install chromium`, or set `browser.path` to the path of a Chrome or Chromium",
    )


def _from_setting(setting: str) -> BrowserChoice:
    path = Path(setting).expanduser()
    named = shutil.which(setting) if path.name == setting else None
    if named:
        path = Path(named)
    if not path.is_file():
        why = "is a folder" if path.is_dir() else "does not exist"
        raise OperatorError(f"{setting} {why}, so it is no browser", where="setting `browser`", remedy=_SETTING_REMEDY)
    version, why = _read_version(path)
    if not version:
        raise OperatorError(f"{setting} is no browser: it {why}", where="setting `browser`", remedy=_SETTING_REMEDY)
    return BrowserChoice(path=path, source="setting", version=version)


_SETTING_REMEDY = "Give the path of a Chrome or Chromium, or leave the setting empty to have one found"


def _candidates() -> Iterator[tuple[str, Path]]:
    for path in _downloads():
        yield "playwright", path
    seen: set[Path] = set()
    for found in (*map(shutil.which, SYSTEM_NAMES), *SYSTEM_PATHS):
        path = Path(found or "")
        if found and path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield "system", path


def _downloads() -> Iterator[Path]:
    """Where this very version of Playwright puts its browsers; those of other versions are not driven with it."""
    package = Path(playwright.__file__).parent / "driver" / "package"
    listed = json.loads((package / "browsers.json").read_text("utf-8"))["browsers"]
    revisions = {entry["name"]: entry["revision"] for entry in listed}
    for name, patterns in DOWNLOADS:
        folder = _download_folder(package) / f"{name.replace('-', '_')}-{revisions.get(name, '')}"
        for pattern in patterns:
            yield from sorted(path for path in folder.glob(pattern) if os.access(path, os.X_OK) and path.is_file())


def _download_folder(package: Path) -> Path:
    """Source: Playwright's documentation, "Managing browser binaries"."""
    setting = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    if setting == "0":
        return package / ".local-browsers"
    if setting:
        return Path(setting)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms-playwright"


def _read_version(path: Path) -> tuple[str, str]:
    """The version, or an empty text and what the program did instead."""
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return "", f"did not answer --version within {VERSION_TIMEOUT_S:.0f} s"
    except OSError as error:
        return "", f"cannot be run ({error.strerror})"
    match = BROWSER_VERSION.search(done.stdout)
    if done.returncode == 0 and match:
        return match[1], ""
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return "", f"answered --version with code {done.returncode}" + (f" and `{said[-1][:120]}`" if said else "")
