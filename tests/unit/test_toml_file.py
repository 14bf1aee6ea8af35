"""The strict way from TOML to a model: every complaint names file, line and key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from probes.errors import OperatorError
from probes.toml_file import TomlFile, parse_toml, read_toml
from probes.toml_positions import KeyPath, key_lines


class Inner(BaseModel):
    """A table in a list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    path: str
    retries: int = 0


class Outer(BaseModel):
    """A file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    limit_s: float = 1.0
    allowed: bool = False
    steps: Annotated[tuple[Inner, ...], Field(strict=False)] = ()
    tables: Mapping[str, Inner] = Field(default_factory=dict)


def refused(text: str) -> OperatorError:
    """The error that `text` is refused with."""
    with pytest.raises(OperatorError) as caught:
        parse_toml(text, name="f.toml").validate(Outer)
    return caught.value


def test_malformed_toml_names_file_line_and_column() -> None:
    """The place is that of the fault, in the form that editors open."""
    error = refused('name = "x"\nlimit_s = = 3\n')
    assert error.where == "f.toml:2:11"
    assert "limit_s = = 3" in error.remedy


def test_malformed_toml_at_the_end_of_the_file_still_names_a_line() -> None:
    """`tomllib` says "end of document" there, which is no place."""
    assert refused('name = "x"\nlimit_s =').where == "f.toml:2:10"


def test_an_unknown_key_names_its_line_and_the_nearest_known_key() -> None:
    """A typing slip is found without reading the reference."""
    error = refused('name = "x"\n\n[[steps]]\npath = "/"\nretires = 2\n')
    assert error.where == "f.toml:5"
    assert "steps[0].retires" in error.what
    assert "'retries'" in error.remedy


def test_an_unknown_key_in_a_named_table_is_found_too() -> None:
    """The way to the model leads through a mapping."""
    error = refused('name = "x"\n[tables.one]\npath = "/"\npth = 2\n')
    assert error.where == "f.toml:4"
    assert "tables.one.pth" in error.what
    assert "'path'" in error.remedy


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ("limit_s = 'soon'", "a number", "'soon' (a string)"),
        ("allowed = 1", "true or false", "1 (a number)"),
        ("steps = 3", "a list", "3 (a number)"),
        ("tables = []", "a table", "a list"),
        ("limit_s = true", "a number", "true (true or false)"),
    ],
)
def test_a_wrong_type_names_key_expected_found_and_line(line: str, expected: str, found: str) -> None:
    """Nothing is converted silently."""
    error = refused(f'# a comment\nname = "x"\n{line}\n')
    assert error.where == "f.toml:3"
    assert line.split(" ", maxsplit=1)[0] in error.what
    assert f"expected {expected}, found {found}" in error.what


def test_a_missing_key_points_at_its_table() -> None:
    """The key has no line of its own."""
    error = refused('name = "x"\n\n[[steps]]\npath = "/"\n[[steps]]\nretries = 1\n')
    assert error.where == "f.toml:5"
    assert "steps[1].path" in error.what


def test_all_problems_are_listed_in_the_order_of_the_file() -> None:
    """A file is mended in one go."""
    error = refused('nam = "x"\nallowed = 1\n')
    assert "name: this key is missing" in str(error)
    assert "f.toml:1: nam: unknown key" in str(error)
    assert "f.toml:2: allowed" in str(error)


def test_a_file_that_is_not_there_is_an_operator_error(tmp_path: Path) -> None:
    """The message names the file and the reason."""
    with pytest.raises(OperatorError, match="No such file") as caught:
        read_toml(tmp_path / "none.toml")
    assert "none.toml" in caught.value.where


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    """An editor with another encoding is a common cause."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "x"\n# caf\xe9\n')
    with pytest.raises(OperatorError, match="not UTF-8") as caught:
        read_toml(path)
    assert caught.value.where == f"{path}:2"


LINES: list[tuple[str, KeyPath, int]] = [
    ("a = 1\nb.c = 2\n", ("b", "c"), 2),
    ('"quoted key" = 1\n', ("quoted key",), 1),
    ('"\\u0041" = 1\n', ("A",), 1),
    ("[t]\nx = 1\n[t.u]\ny = 2\n", ("t", "u", "y"), 4),
    ("[[s]]\na=1\n[[s]]\na=2\n[s.t]\nb=3\n", ("s", 1, "t", "b"), 6),
    ("[[s]]\n[[s.q]]\na=1\n[[s.q]]\na=2\n", ("s", 0, "q", 1, "a"), 5),
    ("a = [\n  1, # one ]\n  { k = '}' },\n]\nz = 0\n", ("a", 1, "k"), 3),
    ('a = """\n[no]\nb = 1\n"""\nz = 0\n', ("z",), 5),
    ("a = '''x''''\nz = 0\n", ("z",), 2),
    ('a = "\\"]"\nz = 0\n', ("z",), 2),
    ("a = 1979-05-27T07:32:00Z # x = 1\r\nz = 0\r\n", ("z",), 2),
]


@pytest.mark.parametrize(("text", "path", "line"), LINES)
def test_the_line_of_a_key_is_found_through_all_the_forms_of_toml(text: str, path: KeyPath, line: int) -> None:
    """Strings, comments, nested tables and arrays do not lead astray."""
    tomllib.loads(text)
    assert key_lines(text)[path] == line


def paths_of(value: object, path: KeyPath = ()) -> set[KeyPath]:
    """Every key path in parsed data."""
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found |= paths_of(inner, (*path, key))
    return found


def test_every_key_of_the_built_in_files_has_a_line() -> None:
    """The scanner keeps up with everything that our own files use."""
    root = Path(__file__).resolve().parents[2] / "config"
    for file in (root / "fleet.toml", *sorted((root / "targets").glob("*.toml"))):
        read = read_toml(file)
        assert paths_of(read.data) <= set(read.lines), file


@given(st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), st.text(st.characters(codec="ascii"))))
def test_any_key_and_any_string_is_followed(data: dict[str, str]) -> None:
    """Whatever stands between quotes, the scanner agrees with `tomllib` about the keys."""

    def quoted(text: str) -> str:
        return '"' + "".join(c if c.isalnum() else f"\\u{ord(c):04x}" for c in text) + '"'

    text = "".join(f"{quoted(key)} = {quoted(value)}\n" for key, value in data.items())
    assert tomllib.loads(text) == data
    assert key_lines(text) == {(key,): line for line, key in enumerate(data, start=1)}


def test_where_falls_back_to_the_table_around_a_missing_key() -> None:
    """A person is led as near as possible."""
    file = TomlFile("f.toml", {}, {("a",): 3})
    assert file.where(("a", "b", 0)) == "f.toml:3"
    assert file.where(("z",)) == "f.toml"
