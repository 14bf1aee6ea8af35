"""One strict way from a TOML file to a pydantic model: every complaint names the file, the line and the key.

Malformed TOML, unknown keys (with the nearest known one), wrong types and rules that a model adds are all raised as one
`OperatorError`. It refuses to guess: nothing is converted silently and no key is ignored. Called by `probes.settings` and
`probes.targets`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from probes.errors import OperatorError
from probes.toml_positions import KeyPath, key_lines

__all__ = ["TomlFile", "TomlProblem", "dotted", "nearest", "parse_toml", "problems_of", "read_toml"]

ModelT = TypeVar("ModelT", bound=BaseModel)

_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_MOST_PROBLEMS = 8
"""How many problems one message lists: enough to mend a file in one go, few enough to read."""

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""pydantic's error types in the words of TOML."""


@dataclass(frozen=True, slots=True)
class TomlProblem:
    """One complaint about one key; `path` leads to it through tables and array items."""

    path: KeyPath
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed file with the lines of its keys. `name` is how messages call it."""

    name: str
    data: Mapping[str, object]
    lines: Mapping[KeyPath, int]

    def where(self, path: KeyPath) -> str:
        """`file:line` of the key, or of the nearest table around it when the key itself is missing."""
        for depth in range(len(path), 0, -1):
            if (line := self.lines.get(path[:depth])) is not None:
                return f"{self.name}:{line}"
        return self.name

    def validate(self, model: type[ModelT]) -> ModelT:
        """The file's data as `model`; `OperatorError` lists what is wrong and where."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            raise self.refusal(problems_of(error, self.data, model)) from error

    def refusal(self, problems: Iterable[TomlProblem]) -> OperatorError:
        """One error that a person can act on out of one or more problems, in the order of the file."""
        ordered = sorted(problems, key=lambda problem: self._order(problem.path))
        first, rest = ordered[0], ordered[1:]
        more = "".join(
            f"\n  also {self.where(problem.path)}: {dotted(problem.path)}: {problem.message}"
            for problem in rest[: _MOST_PROBLEMS - 1]
        )
        hidden = len(rest) - (_MOST_PROBLEMS - 1)
        more += f"\n  and {hidden} more" if hidden > 0 else ""
        head = f"{dotted(first.path)}: {first.message}" if first.path else first.message
        return OperatorError(head, where=self.where(first.path), remedy=(first.remedy + more).strip())

    def _order(self, path: KeyPath) -> int:
        for depth in range(len(path), 0, -1):
            if (line := self.lines.get(path[:depth])) is not None:
                return line
        return 0


def read_toml(path: Path) -> TomlFile:
    """Read and parse one file; `OperatorError` when it cannot be read or is not TOML (with line and column)."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise OperatorError(f"cannot read the file ({error.strerror})", where=str(path)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise OperatorError("the file is not UTF-8", where=f"{path}:{line}", remedy="Save it as UTF-8") from error
    return parse_toml(text, name=str(path))


def parse_toml(text: str, *, name: str) -> TomlFile:
    """Parse `text`; `name` is what messages call it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _malformed(text, name, str(error)) from error
    return TomlFile(name, data, key_lines(text))


def _malformed(text: str, name: str, message: str) -> OperatorError:
    """`tomllib` puts the position at the end of its message; ours goes to the front, as compilers do."""
    found = _POSITION.search(message)
    reason = _POSITION.sub("", message)
    if found is None:
        return OperatorError(f"not valid TOML: {reason}", where=name)
    if found.group(1) is None:
        last = text.rstrip("\n")
        line, column = last.count("\n") + 1, len(last) - (last.rfind("\n") + 1) + 1
    else:
        line, column = int(found.group(1)), int(found.group(2))
    return OperatorError(
        f"not valid TOML: {reason[:1].lower()}{reason[1:]}",
        where=f"{name}:{line}:{column}",
        remedy=f"The line reads: {text.splitlines()[line - 1].strip()!r}" if text else "",
    )


def dotted(path: KeyPath) -> str:
    """The path as a person writes it: `operations.upload.requests[0].path`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy that suggests the nearest known word, or lists them all when none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}" if names else ""


def problems_of(error: ValidationError, data: Mapping[str, object], model: type[BaseModel]) -> list[TomlProblem]:
    """Pydantic's complaints about `data` as problems with a path that exists in it.

    A list with a faulty item is also reported as too short; of two complaints the one about the inner key is the cause.
    """
    problems = [_problem(data, model, detail) for detail in error.errors(include_url=False)]
    return [problem for problem in problems if not any(_is_around(problem.path, other.path) for other in problems)]


def _is_around(path: KeyPath, inner: KeyPath) -> bool:
    return len(path) < len(inner) and inner[: len(path)] == path


def _problem(data: Mapping[str, object], model: type[BaseModel], detail: ErrorDetails) -> TomlProblem:
    """One of pydantic's complaints in the words of TOML."""
    path = _path_in_data(data, detail["loc"], is_missing=detail["type"] in ("missing", "extra_forbidden"))
    match detail["type"]:
        case "extra_forbidden":
            return TomlProblem(path, "unknown key", nearest(str(path[-1]), _known_keys(model, path[:-1])))
        case "missing":
            return TomlProblem(path, "this key is missing", "Add it")
        case "value_error":
            return TomlProblem(path, str(detail["ctx"]["error"]))
        case kind if kind in _EXPECTED:
            return TomlProblem(path, f"expected {_EXPECTED[kind]}, found {_found(detail['input'])}")
        case _:
            text = detail["msg"][:1].lower() + detail["msg"][1:]
            return TomlProblem(path, f"{text}, found {_found(detail['input'])}")


def _path_in_data(data: object, loc: Sequence[str | int], *, is_missing: bool) -> KeyPath:
    """The part of pydantic's location that exists in the data; it also names members of unions, which no file has."""
    path: KeyPath = ()
    here = data
    for depth, part in enumerate(loc):
        is_last = depth == len(loc) - 1
        if _holds(here, part):
            here = here[part]  # type: ignore[index]  # _holds has just looked
        elif not (is_last and is_missing):
            continue
        path = (*path, part)
    return path


def _holds(container: object, part: str | int) -> bool:
    if isinstance(container, Mapping):
        return part in container
    return isinstance(container, list) and isinstance(part, int) and part < len(container)


def _found(value: object) -> str:
    match value:
        case bool():
            return f"{str(value).lower()} (true or false)"
        case int() | float():
            return f"{value} (a number)"
        case str():
            return f"{value!r} (a string)"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a table"
        case _:
            return f"{value} ({type(value).__name__})"


def _known_keys(model: type[BaseModel], path: KeyPath) -> set[str]:
    """The keys that the model knows at `path`, which leads through fields, tables and lists."""
    found: list[object] = [model]
    for part in path:
        found = [inner for outer in found for inner in _inside(outer, part)]
    return {
        field.alias or name
        for kind in found
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    }


def _inside(kind: object, part: str | int) -> list[object]:
    """The types that may stand below `part` of `kind`, with unions and annotations opened."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return _opened(fields.get(str(part)))
    arguments = get_args(kind)
    return _opened(arguments[-1] if isinstance(part, str) else arguments[0]) if arguments else []


def _opened(kind: object) -> list[object]:
    origin = get_origin(kind)
    if origin is Annotated:
        return _opened(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [inner for member in get_args(kind) for inner in _opened(member)]
    return [kind]
