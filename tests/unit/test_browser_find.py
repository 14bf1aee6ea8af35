"""Which browser is taken: the setting, Playwright's own, the system's; and what is said when there is none."""

from __future__ import annotations

import json
from pathlib import Path

import playwright
import pytest

from probes import browser_find
from probes.browser_find import find_browser
from probes.errors import DependencyError, OperatorError


def browser_at(path: Path, said: str = "Chromium 123.0.4.5 built on something") -> Path:
    """A program that answers --version like a browser, or says something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host without any browser, whose PATH and downloads are folders of the test."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "downloads"))
    monkeypatch.setattr(browser_find, "SYSTEM_PATHS", ())
    return tmp_path


def revision_of(name: str) -> str:
    """The download that this Playwright wants."""
    listed = json.loads((Path(playwright.__file__).parent / "driver/package/browsers.json").read_text("utf-8"))
    return next(str(entry["revision"]) for entry in listed["browsers"] if entry["name"] == name)


def test_the_setting_wins(bare_host: Path) -> None:
    """As a path, and as the name of a program."""
    browser_at(bare_host / "bin/chromium", "Chromium 1.0.0.0")
    mine = browser_at(bare_host / "mine/browser")
    assert find_browser(str(mine)).path == mine
    named = find_browser("chromium")
    assert (named.source, named.version) == ("setting", "1.0.0.0")


def test_playwrights_own_comes_before_the_systems(bare_host: Path) -> None:
    """Only the download of this very version counts."""
    system = browser_at(bare_host / "bin/google-chrome", "Google Chrome 140.0.1.2")
    browser_at(bare_host / "downloads/chromium-1/chrome-linux64/chrome")
    assert find_browser().path == system
    folder = f"downloads/chromium-{revision_of('chromium')}"
    own = browser_at(bare_host / folder / "chrome-linux64/chrome", "Google Chrome for Testing 159.0.1.2")
    found = find_browser()
    assert (found.path, found.source, found.version) == (own, "playwright", "159.0.1.2")


def test_a_browser_that_does_not_work_is_passed_over(bare_host: Path) -> None:
    """A package's stub that only tells what to install is no browser."""
    browser_at(bare_host / "bin/chromium", "Command requires the chromium snap to be installed")
    good = browser_at(bare_host / "bin/chromium-browser")
    assert find_browser().path == good


def test_without_a_browser_it_is_said_what_to_type(bare_host: Path) -> None:
    """And what was found that is none."""
    with pytest.raises(DependencyError) as caught:
        find_browser()
    assert "make setup" in caught.value.remedy
    assert "playwright install chromium" in caught.value.remedy
    browser_at(bare_host / "bin/chromium", "snap needed")
    with pytest.raises(DependencyError, match="snap needed"):
        find_browser()


@pytest.mark.parametrize(
    ("setting", "said"),
    [("/nowhere/chrome", "does not exist"), ("/", "is a folder"), ("no-such-program", "does not exist")],
)
def test_a_setting_that_points_to_nothing_is_the_operators(setting: str, said: str) -> None:
    """No other browser is taken in its place."""
    with pytest.raises(OperatorError, match=said) as caught:
        find_browser(setting)
    assert caught.value.where == "setting `browser`"


def test_a_setting_that_is_no_browser_is_the_operators(tmp_path: Path) -> None:
    """A program of another kind, and a file that cannot be run."""
    with pytest.raises(OperatorError, match="is no browser: it answered --version"):
        find_browser(str(browser_at(tmp_path / "other", "GNU other 1.2.3")))
    text = tmp_path / "text"
    text.write_text("not a program")
    with pytest.raises(OperatorError, match="cannot be run"):
        find_browser(str(text))
