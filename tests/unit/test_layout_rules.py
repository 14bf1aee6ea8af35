"""Rules of the house that no linter here knows: sizes, names, locks, versions."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from probes.version import VERSION

ROOT = Path(__file__).parents[2]
PACKAGES = ("collector", "console", "fixtures", "probes", "scenarios", "slo")
FILES = sorted(file for folder in (*PACKAGES, "bench", "deploy", "tests") for file in (ROOT / folder).rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MOST_LINES = 420
MOST_LINES_OF_A_TEST_FILE = 600
MOST_LINES_OF_A_FUNCTION = 55


def test_no_file_is_so_long_that_it_is_two() -> None:
    """A reader can hold a file in mind: about 400 lines at most; a list of promises may be longer."""
    long = {}
    for file in FILES:
        most = MOST_LINES_OF_A_TEST_FILE if file.is_relative_to(ROOT / "tests") else MOST_LINES
        if (lines := len(file.read_text("utf-8").splitlines())) > most:
            long[str(file.relative_to(ROOT))] = lines
    assert long == {}


def test_no_function_is_so_long_that_it_is_two() -> None:
    """The same for a function: about 50 lines at most."""
    long = {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    assert long == set()


def test_no_module_is_named_after_nothing() -> None:
    """A name says what is inside; these say that nobody knew."""
    empty = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
    assert {str(file.relative_to(ROOT)) for file in FILES if empty & set(re.split(r"[_\W]", file.stem))} == set()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_hashes_and_no_place(lock: Path) -> None:
    """Every package is pinned with hashes, wherever it comes from: no address, no folder of one machine."""
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(-index|-extra|-find|i |f )", text, re.MULTILINE)
    pins = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins)


@pytest.mark.parametrize(("lock", "extras"), [("run", ("postgres",)), ("dev", ("stand-in", "dev")), ("cad", ("cad",))])
def test_a_lock_holds_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    """A dependency that is added to pyproject.toml and not locked (`make lock`) is noticed here, not at a customer."""
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    pinned = [Requirement(line.rstrip("\\ ")) for line in _pins(lock)]
    versions = {canonicalize_name(pin.name): [one.version for one in pin.specifier] for pin in pinned}
    missing = [
        line
        for line in wanted
        if not (found := versions.get(canonicalize_name(Requirement(line).name)))
        or not all(Requirement(line).specifier.contains(version, prereleases=True) for version in found)
    ]
    assert missing == []


def _pins(lock: str) -> list[str]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]


def test_the_probe_and_the_checks_use_the_same_versions() -> None:
    """What is tested is what the image installs."""
    assert set(_pins("run")) <= set(_pins("dev"))


def test_the_version_is_the_same_everywhere() -> None:
    """The code tells targets its version; the package and the changelog have the same one."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert PROJECT["version"] == VERSION
    assert re.search(rf"^## \[({re.escape(VERSION)}|Unreleased)\]", changelog, re.MULTILINE)
