"""Where in a TOML file each key stands: a map from key path to line, for messages that a person can act on.

`tomllib` (and tomlkit) give values without positions. This scanner walks text that `tomllib` already accepted, so it
judges nothing: it only follows keys, tables, strings and brackets. Used by `probes.toml_file` and nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["KeyPath", "key_lines"]

KeyPath = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The 1-based line of every key and array item in `text`, which must be TOML that `tomllib` accepts."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    """A cursor over the text; each method consumes one construct and notes the lines of the keys in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}
        """How many elements each array of tables has so far."""

    def scan(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_blank(newlines=True):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip_blank(self, *, newlines: bool) -> bool:
        """Move past spaces and comments (and line ends); False at the end of the text."""
        blank = " \t\n" if newlines else " \t"
        while self._at < len(self._text):
            if self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._peek() in blank:
                self._at += 1
            else:
                return True
        return False

    def _note(self, path: KeyPath, at: int) -> None:
        self._lines.setdefault(path, self._text.count("\n", 0, at) + 1)

    def _header(self) -> KeyPath:
        start = self._at
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        path = self._through_arrays(self._key(), last_is_new=is_array)
        self._at = self._text.index("]", self._at) + (2 if is_array else 1)
        for depth in range(1, len(path) + 1):
            self._note(path[:depth], start)
        return path

    def _through_arrays(self, key: tuple[str, ...], *, last_is_new: bool) -> KeyPath:
        """The key with the index of the current element put in behind every array of tables on the way."""
        path: KeyPath = ()
        for depth, part in enumerate(key, start=1):
            path = (*path, part)
            if last_is_new and depth == len(key):
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = table + self._key()
        for depth in range(len(table) + 1, len(path) + 1):
            self._note(path[:depth], start)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip_blank(newlines=False)
            if self._peek() in "\"'":
                parts.append(self._string())
            else:
                found = _BARE.match(self._text, self._at)
                assert found is not None, "tomllib accepted a key that is neither bare nor quoted"  # noqa: S101 - tells a bug
                parts.append(found.group())
                self._at = found.end()
            self._skip_blank(newlines=False)
            if self._peek() != ".":
                return tuple(parts)
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip_blank(newlines=True)
        self._note(path, self._at)
        match self._peek():
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                found = _SCALAR.match(self._text, self._at)
                self._at = found.end() if found else self._at + 1

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._skip_blank(newlines=True) and self._peek() != "]":
            if self._peek() == ",":
                self._at += 1
                continue
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip_blank(newlines=True) and self._peek() != "}":
            if self._peek() == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1

    def _string(self) -> str:
        quote = self._peek()
        if self._text.startswith(quote * 3, self._at):
            return self._long_string(quote * 3)
        self._at += 1
        start = self._at
        while self._peek() != quote:
            self._at += 2 if quote == '"' and self._peek() == "\\" else 1
        raw = self._text[start : self._at]
        self._at += 1
        return _unescape(raw) if quote == '"' else raw

    def _long_string(self, fence: str) -> str:
        self._at += 3
        start = self._at
        while not self._text.startswith(fence, self._at):
            self._at += 2 if fence[0] == '"' and self._peek() == "\\" else 1
        end = self._at
        self._at += 3
        # Up to two quotes may belong to the text and stand before the fence. Source: TOML 1.0.0, "String".
        while self._peek() == fence[0]:
            self._at += 1
            end += 1
        return self._text[start:end]


def _unescape(raw: str) -> str:
    """A basic string without its escapes (keys may be quoted, and the data has them unescaped)."""

    def plain(found: re.Match[str]) -> str:
        code = found.group(1)
        if code[0] in "uU":
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", plain, raw)
