"""The names of the steps a scenario can have, read from its source without running it.

Looks for `....step("name", ...)` in the scenario's own file and in whatever that file imports from beside it. Refuses to guess:
a step whose name is computed makes the answer None. Called by `console.slo_command`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from probes.registry import ScenarioSpec

__all__ = ["steps_of"]


def steps_of(spec: ScenarioSpec) -> frozenset[str] | None:
    """Every step that the files of the scenario name; None when one is named only when it runs, or a file cannot be read."""
    names: set[str] = set()
    for path in _files(spec.path):
        found = _names_in(path)
        if found is None:
            return None
        names |= found
    return frozenset(names)


def _files(start: Path) -> Iterator[Path]:
    """The file and those beside it that it imports, directly or not."""
    waiting, seen = [start], {start}
    while waiting:
        path = waiting.pop()
        yield path
        for name in _imports(path):
            beside = path.parent / f"{name.rpartition('.')[2]}.py"
            if beside.is_file() and beside not in seen:
                seen.add(beside)
                waiting.append(beside)


@cache
def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _names_in(path: Path) -> set[str] | None:
    tree = _tree(path)
    if tree is None:
        return None
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "step":
            continue
        name = node.args[0] if node.args else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            return None
        names.add(name.value)
    return names
