"""YAML text split into documents, each value with the line of its key, so that a refusal can point at it.

Stricter than YAML: a key that stands twice, an alias and a merge key are refused, because a reader of the file would not see what
counts. Refuses to open files. Pure; called by `slo.document`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

__all__ = ["Place", "Problem", "TextDocument", "split_documents"]

_LAST_PART: Final = re.compile(r"(\.[^.\[]*|\[\d+\])$")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do: `file`:`line`, the dotted `key` (empty: the document itself), `reason`, `remedy`."""

    file: str
    line: int
    key: str
    reason: str
    remedy: str

    @property
    def where(self) -> str:
        """File and line as an editor opens them."""
        return f"{self.file}:{self.line}"

    @property
    def what(self) -> str:
        """Key and reason."""
        return f"{self.key}: {self.reason}" if self.key else self.reason

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands, with the line of each of its keys by dotted path."""

    file: str
    line: int
    lines: Mapping[str, int]

    def line_of(self, key: str) -> int:
        """The line of a key, or of the nearest one around it when it is missing."""
        while key:
            if key in self.lines:
                return self.lines[key]
            shorter = _LAST_PART.sub("", key)
            key = shorter if shorter != key else ""
        return self.line

    def problem(self, key: str, reason: str, remedy: str) -> Problem:
        """A problem at that key."""
        return Problem(self.file, self.line_of(key), key, reason, remedy)


@dataclass(frozen=True, slots=True)
class TextDocument:
    """One document of a file: plain values, and where they stand."""

    value: object
    place: Place


def split_documents(text: str, file: str) -> tuple[tuple[TextDocument, ...], tuple[Problem, ...]]:
    """The documents of a text, and what keeps others from being read. Empty documents are left out, unless there is no other."""
    documents: list[TextDocument] = []
    problems: list[Problem] = []
    try:
        for document, found in _documents(text, file):
            problems += found
            if not found:
                documents.append(document)
    except yaml.YAMLError as error:
        problems.append(_malformed(error, text, file))
    except RecursionError:
        problems.append(Problem(file, 1, "", "is nested too deeply to be read", "Write it as config/slos/ does"))
    if not documents and not problems:
        place = Place(file, 1, {})
        documents.append(TextDocument(None, place))
    return tuple(documents), tuple(problems)


def _documents(text: str, file: str) -> Iterator[tuple[TextDocument, tuple[Problem, ...]]]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
                continue
            walk = _Walk(file)
            walk.visit(node, "")
            place = Place(file, _line(node), walk.lines)
            if walk.problems:
                yield TextDocument(None, place), tuple(walk.problems)
                continue
            try:
                value = loader.construct_document(node)
            except ValueError as error:
                # Only a date that does not exist gets here, and YAML does not say where it stands.
                reason = f"holds a date that does not exist: {error}"
                yield (
                    TextDocument(None, place),
                    (Problem(file, _line(node), "", reason, "Quote dates, and mend this one"),),
                )
                continue
            yield TextDocument(value, place), ()
    finally:
        loader.dispose()


class _Walk:
    """One pass over the nodes of a document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def visit(self, node: yaml.Node, path: str) -> None:
        """Note the lines below `node`, which stands at `path`."""
        if id(node) in self._seen:
            self._refuse(node, path, "is an alias (*name), which is not followed here", "Write it out in both places")
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for place, entry in enumerate(node.value):
                inner = f"{path}[{place}]"
                self.lines[inner] = _line(entry)
                self.visit(entry, inner)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._visit_pair(key, value, path)

    def _visit_pair(self, key: yaml.Node, value: yaml.Node, path: str) -> None:
        if not isinstance(key, yaml.ScalarNode):
            self._refuse(key, path, "has a key that is no plain word", "Write 'key: value'")
            return
        inner = f"{path}.{key.value}" if path else key.value
        if key.tag == "tag:yaml.org,2002:merge":
            self._refuse(key, inner, "merges another mapping, which is not done here", "Write the keys out")
        elif inner in self.lines:
            reason = f"stands twice, first in line {self.lines[inner]}"
            self._refuse(key, inner, reason, "Remove one of them: YAML would silently take the last")
        else:
            self.lines[inner] = _line(key)
            self.visit(value, inner)

    def _refuse(self, node: yaml.Node, path: str, reason: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, _line(node), path, reason, remedy))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _malformed(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """What the YAML library says, at its line."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(file, line, "", "holds a character that YAML does not allow", "Remove it")
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    reason = str(getattr(error, "problem", "") or error)
    if isinstance(error, yaml.constructor.ConstructorError):
        return Problem(
            file, line, "", f"holds what only programs understand: {reason}", "Write plain values, without tags"
        )
    return Problem(
        file, line, "", f"is not YAML: {reason}", "Mend it here; a text with ': ' or ' #' in it needs quotes"
    )
