"""The arrows between our packages that import-linter cannot draw: `runner.py` is no package, and slo may know one module.

The rest of the contract is in pyproject.toml and is kept by `lint-imports`, a part of `make check`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("collector", "console", "fixtures", "probes", "scenarios", "slo")
OURS = ("bench", "deploy", "tests", *SHIPPED)


def imported_by(file: Path) -> set[str]:
    """The first names of all modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.fixture(scope="module")
def arrows() -> grimp.ImportGraph:
    """Who imports whom among our packages."""
    return grimp.build_graph("probes", "slo", "scenarios", "collector", "console", "fixtures", cache_dir=None)


def test_runner_knows_nothing_of_ours_but_the_console() -> None:
    """The one command stays thin: whatever it does is in a package that can be tested and reused."""
    assert imported_by(ROOT / "runner.py") & set(OURS) == {"console"}


def test_service_levels_know_nothing_of_the_probes_but_their_records(arrows: grimp.ImportGraph) -> None:
    """Verdicts can be computed wherever records are, without anything that measures."""
    known = {
        imported
        for module in arrows.find_descendants("slo") | {"slo"}
        for imported in arrows.find_modules_directly_imported_by(module)
        if not imported.startswith("slo")
    }
    assert known <= {"probes.records"}


def test_only_the_console_knows_the_reference_parts(arrows: grimp.ImportGraph) -> None:
    """Everybody else is handed the catalog, so that other parts can be used."""
    inside = arrows.find_descendants("fixtures.cad") | {"fixtures.cad"}
    outside = {user for module in inside for user in arrows.find_modules_that_directly_import(module)} - inside
    assert {user.split(".")[0] for user in outside} <= {"console"}


def test_no_product_code_imports_tests_or_tools() -> None:
    """What ships does not lean on what stays in the checkout."""
    tools = {"bench", "deploy", "tests"}
    shipped = [ROOT / "runner.py", *(file for name in SHIPPED for file in (ROOT / name).rglob("*.py"))]
    leaning = {str(file.relative_to(ROOT)) for file in shipped if imported_by(file) & tools}
    assert leaning == set()
