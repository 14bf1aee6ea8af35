"""Where scenarios come from: the decorator that marks a function, and the loader that finds marked functions in files.

A scenario is an `async def` with a docstring that takes a `Journey`. The built-in ones are the modules of the package
`scenarios`; a person adds a folder of their own. Every file is loaded by itself: one that cannot be read, parsed or
imported becomes a `ScenarioProblem` and the others still run. Two scenarios of one name are refused, because nobody could
say which one a result belongs to.

Refuses to run anything (that is `probes.execute`) and to judge whether a target allows a scenario (`probes.admission`).
Called by the wiring, and by every scenario file for its decorator.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from probes.errors import FleetError, OperatorError

__all__ = ["Registry", "ScenarioProblem", "ScenarioSpec", "load_registry", "parse_duration_s", "scenario", "spec_of"]

ScenarioFunction = Callable[[Any], Awaitable[None]]
MarkedFunction = TypeVar("MarkedFunction", bound=Callable[..., Awaitable[None]])

SPEC_ATTRIBUTE = "__scenario_spec__"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME_LENGTH = 60
DURATION_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
VERSION_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ScenarioSpec:
    """All that is known of a scenario before it runs; `version` is a hash of its file, so that results can be told apart."""

    name: str
    function: ScenarioFunction
    description: str
    every_s: float
    timeout_s: float
    writes: bool
    payment: bool
    browser: bool
    reuse: bool
    needs: tuple[str, ...]
    tags: tuple[str, ...]
    path: Path
    line: int
    version: str = ""

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]

    @property
    def where(self) -> str:
        """File and line of the function, as an editor opens it."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class ScenarioProblem:
    """A file whose scenarios cannot run, and why; `line` is 0 when no line is to blame."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


def scenario(  # noqa: PLR0913 - one word each of the scenario's heading; all but the name are optional
    name: str,
    *,
    every: str = "15m",
    timeout: str = "60s",
    writes: bool = False,
    payment: bool = False,
    browser: bool = False,
    reuse: bool = False,
    needs: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> Callable[[MarkedFunction], MarkedFunction]:
    """Mark an `async def` as the scenario `name`; the function itself stays as it is.

    `every` and `timeout` read like "90s", "15m", "1h"; `timeout` covers the whole run. `writes`: it leaves something on the
    platform, if only for a moment. `payment`: it pays (test mode only). `browser`: it opens one. `reuse`: its requests share
    connections (else each is a new customer's). `needs`: what the target must describe. Raises OperatorError when the
    heading makes no sense, with the file and line.
    """

    def mark(function: MarkedFunction) -> MarkedFunction:
        path, line = place_of(function)
        where = f"{path}:{line}"
        vars(function)[SPEC_ATTRIBUTE] = ScenarioSpec(
            name=checked_name(name, where=where),
            function=function,
            description=checked_description(function, where=where),
            every_s=parse_duration_s(every, where=f"{where}: every"),
            timeout_s=parse_duration_s(timeout, where=f"{where}: timeout"),
            writes=writes,
            payment=payment,
            browser=browser,
            reuse=reuse,
            needs=checked_words(needs, where=f"{where}: needs"),
            tags=checked_words(tags, where=f"{where}: tags"),
            path=path,
            line=line,
        )
        return function

    return mark


def spec_of(function: Callable[..., object]) -> ScenarioSpec:
    """What the decorator attached; raises OperatorError for a function without it."""
    spec = vars(function).get(SPEC_ATTRIBUTE)
    if not isinstance(spec, ScenarioSpec):
        raise OperatorError(f"{function!r} is no scenario", remedy="Put @scenario(...) directly above it")
    return spec


def parse_duration_s(text: object, *, where: str = "") -> float:
    """Seconds of a text like "90s", "1.5m", "1h" or "250ms"; raises OperatorError for anything else, and for zero."""
    match = DURATION_PATTERN.fullmatch(text.strip()) if isinstance(text, str) else None
    seconds = float(match[1]) * SECONDS_PER_UNIT[match[2]] if match else 0.0
    if seconds <= 0:
        raise OperatorError(
            f"{text!r} is not a duration",
            where=where,
            remedy='Write a number above zero and a unit: "90s", "15m", "1h"',
        )
    return seconds


def place_of(function: Callable[..., object]) -> tuple[Path, int]:
    """The file and the line of the function's `def`, or of its first decorator."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):
        message = f"{function!r} is not a function"
        raise OperatorError(message, remedy="Put @scenario(...) directly above an async def")
    return Path(code.co_filename), code.co_firstlineno


def checked_name(name: object, *, where: str) -> str:
    """The name, if it reads like `cad-large`: it is typed by people and becomes part of topics and file names."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise OperatorError(
            f"{name!r} is not a scenario name",
            where=where,
            remedy=f'Use lower-case words joined by hyphens, at most {MAX_NAME_LENGTH} characters: "cad-large"',
        )
    return name


def checked_description(function: Callable[..., object], *, where: str) -> str:
    """The docstring of an `async def`."""
    if not inspect.iscoroutinefunction(function):
        message = "a scenario must be an async function"
        raise OperatorError(message, where=where, remedy="Write async def in place of def")
    description = inspect.getdoc(function)
    if not description:
        message = "the scenario has no docstring"
        raise OperatorError(
            message, where=where, remedy="Say in its first line what the customer does: it is shown in lists"
        )
    return description


def checked_words(words: Iterable[str], *, where: str) -> tuple[str, ...]:
    """The words as a tuple; a bare string is the classic slip of a missing comma and is refused."""
    if isinstance(words, str):
        message = f"{words!r} is a text where a list of words is wanted"
        raise OperatorError(message, where=where, remedy=f"Write ({words!r},)")
    return tuple(words)


class Registry:
    """The scenarios that were found, by name, and the files that would not load."""

    def __init__(self, specs: Iterable[ScenarioSpec] = (), problems: Iterable[ScenarioProblem] = ()) -> None:
        self._specs: dict[str, ScenarioSpec] = {}
        self.problems: tuple[ScenarioProblem, ...] = tuple(problems)
        for spec in specs:
            self._add(spec)

    def _add(self, spec: ScenarioSpec) -> None:
        present = self._specs.get(spec.name)
        if present is not None:
            raise OperatorError(
                f"two scenarios are called {spec.name!r}: {present.where} and {spec.where}",
                where=spec.where,
                remedy="Rename one of them",
            )
        self._specs[spec.name] = spec

    def __len__(self) -> int:
        return len(self._specs)

    def __iter__(self) -> Iterator[ScenarioSpec]:
        return (self._specs[name] for name in self.names())

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._specs))

    def get(self, name: str) -> ScenarioSpec:
        """The scenario of that name; raises OperatorError that suggests the nearest name and shows files that failed."""
        spec = self._specs.get(name)
        if spec is None:
            raise OperatorError(f"there is no scenario {name!r}", remedy=self._advice(name))
        return spec

    def select(self, globs: Iterable[str]) -> tuple[ScenarioSpec, ...]:
        """The scenarios that match any of the names or globs (`cad-*`), each once, in the order asked for.

        Raises OperatorError for a name that does not exist and for a glob that matches nothing.
        """
        chosen: dict[str, ScenarioSpec] = {}
        for glob in globs:
            if not is_glob(glob):
                chosen.setdefault(glob, self.get(glob))
                continue
            matches = [name for name in self.names() if fnmatchcase(name, glob)]
            if not matches:
                raise OperatorError(f"no scenario matches {glob!r}", remedy=self._advice(glob))
            for name in matches:
                chosen.setdefault(name, self._specs[name])
        return tuple(chosen.values())

    def _advice(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names(), n=1, cutoff=0.5)
        known = ", ".join(self.names()) or "none"
        parts = [f"Did you mean {near[0]!r}?" if near else f"There are: {known}"]
        parts += [f"A file would not load: {problem}" for problem in self.problems]
        return " ".join(parts)


def is_glob(text: str) -> bool:
    """True when the text has a wildcard, so that it chooses rather than names."""
    return any(mark in text for mark in "*?[")


def load_registry(*sources: str | Path) -> Registry:
    """Everything found in the sources, in order: a text is an importable package, a path is a folder or one file.

    A folder's files whose names begin with an underscore are left out: they are for its scenarios to share, by
    `from ._shared import ...`. Nothing is added to `sys.path`. Raises OperatorError for a source that does not exist and for
    two scenarios of one name.
    """
    specs: list[ScenarioSpec] = []
    problems: list[ScenarioProblem] = []
    for source in sources:
        for path, module_name in files_of(source):
            try:
                specs.extend(load_file(path, module_name, fresh=isinstance(source, Path)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; whatever it raises is its own problem
                problems.append(problem_of(path, error))
    return Registry(specs, problems)


def files_of(source: str | Path) -> list[tuple[Path, str]]:
    """The scenario files of a source, each with the module name that it gets."""
    if isinstance(source, Path):
        return files_of_path(source.resolve())
    found = importlib.util.find_spec(source)
    if found is None or found.submodule_search_locations is None:
        raise OperatorError(f"there is no package {source!r} with scenarios")
    folders = [Path(location) for location in found.submodule_search_locations]
    return [(path, f"{source}.{path.stem}") for folder in folders for path in scenario_files(folder)]


def files_of_path(path: Path) -> list[tuple[Path, str]]:
    """The scenario files of a folder, or the one file; their modules live under a private package named after the folder."""
    if not path.exists():
        raise OperatorError(
            "there is no such file or folder", where=str(path), remedy="Give a folder with scenario files"
        )
    folder = path if path.is_dir() else path.parent
    package = private_package(folder)
    files = scenario_files(path) if path.is_dir() else [path]
    return [(file, f"{package}.{file.stem}") for file in files]


def scenario_files(folder: Path) -> list[Path]:
    """The Python files of the folder itself, sorted, without those that begin with an underscore."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def private_package(folder: Path) -> str:
    """A package that stands for the folder, so that files in it can import each other without touching `sys.path`."""
    name = f"_scenarios_{hashlib.sha256(str(folder).encode()).hexdigest()[:VERSION_LENGTH]}"
    spec = ModuleSpec(name, loader=None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


class FreshLoader(SourceFileLoader):
    """Compiles the file as it is now: no byte code is read from or left in a person's folder."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file, straight from its source."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def load_file(path: Path, module_name: str, *, fresh: bool) -> list[ScenarioSpec]:
    """The scenarios that the file itself defines, in the order of its lines."""
    source = path.read_bytes()
    module = execute_file(path, module_name) if fresh else importlib.import_module(module_name)
    version = hashlib.sha256(source).hexdigest()[:VERSION_LENGTH]
    specs = [
        replace(spec, version=version, path=path)
        for function in vars(module).values()
        if inspect.isfunction(function) and function.__module__ == module_name
        if isinstance(spec := vars(function).get(SPEC_ATTRIBUTE), ScenarioSpec)
    ]
    unique = {spec.line: spec for spec in specs}
    return [unique[line] for line in sorted(unique)]


def execute_file(path: Path, module_name: str) -> ModuleType:
    """The file as a module of its private name, executed now."""
    spec = importlib.util.spec_from_file_location(module_name, path, loader=FreshLoader(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise OperatorError("the file cannot be loaded as Python", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def problem_of(path: Path, error: BaseException) -> ScenarioProblem:
    """What is wrong with the file, at the line that a person must look at."""
    if isinstance(error, SyntaxError):
        blamed = Path(error.filename) if error.filename else path
        return ScenarioProblem(blamed, error.lineno or 0, f"syntax error: {error.msg}")
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno or 0 for frame in reversed(frames) if Path(frame.filename) == path), 0)
    if isinstance(error, FleetError):
        where = error.where.removeprefix(f"{path}:").lstrip("0123456789").removeprefix(": ")
        message = FleetError(error.what, where=where, remedy=error.remedy)
        return ScenarioProblem(path, line, str(message))
    return ScenarioProblem(path, line, f"{type(error).__name__}: {error}")
