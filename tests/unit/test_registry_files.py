"""Finding scenarios in files, when some of them are broken."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from probes.errors import OperatorError
from probes.registry import Registry, load_registry

HEAD = "from probes.registry import scenario\n\n"


def write(folder: Path, name: str, body: str) -> Path:
    """A scenario file with the decorator imported in its first line."""
    path = folder / name
    path.write_text(HEAD + dedent(body), encoding="utf-8")
    return path


def good(name: str) -> str:
    """A file with one scenario of this name, at line 3."""
    return f'@scenario("{name}")\nasync def run(probe):\n    """Does nothing.\n\n    At length."""\n'


def test_a_folder_is_searched_file_by_file(tmp_path: Path) -> None:
    """Each file may hold several scenarios; the headings become specs."""
    write(
        tmp_path,
        "first.py",
        """
        @scenario("cad-one", every="90s", timeout="2.5m", writes=True, needs=("upload",), tags=("cad",))
        async def one(probe):
            '''Upload a part.

            More about it.'''

        @scenario("cad-two")
        async def two(probe):
            '''Upload another.'''
        """,
    )
    registry = load_registry(tmp_path)
    assert registry.names() == ("cad-one", "cad-two")
    spec = registry.get("cad-one")
    assert (spec.every_s, spec.timeout_s, spec.writes, spec.needs, spec.tags) == (90, 150, True, ("upload",), ("cad",))
    assert spec.summary == "Upload a part."
    assert spec.where == f"{tmp_path / 'first.py'}:4"
    assert registry.problems == ()


def test_a_file_can_be_given_instead_of_a_folder(tmp_path: Path) -> None:
    """The others in its folder are not touched."""
    write(tmp_path, "broken.py", "this is not Python\n")
    chosen = write(tmp_path, "mine.py", good("mine"))
    registry = load_registry(chosen)
    assert registry.names() == ("mine",)
    assert registry.problems == ()


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("x = 1\nasync def broken(:\n", 4, "syntax error"),
        ("import a_module_that_nobody_has\n", 3, "a_module_that_nobody_has"),
        ("\n\n1 / 0\n", 5, "ZeroDivisionError"),
        ("raise SystemExit(4)\n", 3, "SystemExit"),
        ('@scenario("Bad Name")\nasync def run(probe):\n    """x"""\n', 3, "is not a scenario name"),
        (
            '@scenario("bad-time", every="15 minutes")\nasync def run(probe):\n    """x"""\n',
            3,
            "every: '15 minutes' is not a",
        ),
        (
            '@scenario("bad-time", timeout="0s")\nasync def run(probe):\n    """x"""\n',
            3,
            "timeout: '0s' is not a duration",
        ),
        ('@scenario("bad-time", timeout=90)\nasync def run(probe):\n    """x"""\n', 3, "timeout: 90 is not a duration"),
        ('@scenario("no-doc")\nasync def run(probe):\n    pass\n', 3, "no docstring"),
        ('@scenario("not-async")\ndef run(probe):\n    """x"""\n', 3, "must be an async function"),
        ('@scenario("bad-needs", needs=("upload"))\nasync def run(probe):\n    """x"""\n', 3, "Write ('upload',)"),
    ],
)
def test_a_broken_file_is_a_problem_and_the_others_still_run(tmp_path: Path, body: str, line: int, words: str) -> None:
    """The problem names file and line; the scenario beside it is found."""
    broken = write(tmp_path, "broken.py", body)
    write(tmp_path, "fine.py", good("fine"))
    registry = load_registry(tmp_path)
    assert registry.names() == ("fine",)
    [problem] = registry.problems
    assert (problem.path, problem.line) == (broken, line)
    assert words in problem.message
    assert str(problem).startswith(f"{broken}:{line}: ")
    assert str(problem).count(str(broken)) == 1


def test_bytes_that_are_no_text_are_a_problem_of_that_file(tmp_path: Path) -> None:
    """A null byte or a wrong encoding does not stop the loading."""
    (tmp_path / "zero.py").write_bytes(b"x = 1\x00\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9\xff'\n")
    write(tmp_path, "fine.py", good("fine"))
    registry = load_registry(tmp_path)
    assert registry.names() == ("fine",)
    assert {problem.path.name for problem in registry.problems} == {"zero.py", "latin.py"}


def test_two_scenarios_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    """Nobody could say which of them a result belongs to."""
    first = write(tmp_path, "a.py", good("same"))
    second = write(tmp_path, "b.py", good("same"))
    with pytest.raises(OperatorError) as caught:
        load_registry(tmp_path)
    assert f"{first}:3" in str(caught.value)
    assert f"{second}:3" in str(caught.value)


def test_an_imported_scenario_is_not_found_twice(tmp_path: Path) -> None:
    """Only the file that defines it counts; neighbours may import each other relatively."""
    write(tmp_path, "a.py", good("once") + "from ._shared import ANSWER\n")
    (tmp_path / "_shared.py").write_text("ANSWER = 42\n", encoding="utf-8")
    write(tmp_path, "b.py", "from .a import run, ANSWER\nassert ANSWER == 42\n")
    registry = load_registry(tmp_path)
    assert registry.names() == ("once",)
    assert registry.problems == ()


def test_nothing_is_added_to_the_search_path_and_no_byte_code_is_left(tmp_path: Path) -> None:
    """A folder of scenarios cannot shadow a library, and stays as it was."""
    write(tmp_path, "json.py", good("json-of-mine"))
    before = list(sys.path)
    load_registry(tmp_path)
    assert sys.path == before
    assert "json_of_mine" not in sys.modules
    assert [path.name for path in tmp_path.iterdir()] == ["json.py"]


def test_the_version_follows_the_source(tmp_path: Path) -> None:
    """The same bytes have the same version; a changed file has another and is really loaded again."""
    path = write(tmp_path, "a.py", good("one"))
    first = load_registry(tmp_path).get("one")
    again = load_registry(tmp_path).get("one")
    path.write_text(HEAD + good("two"), encoding="utf-8")
    changed = load_registry(tmp_path).get("two")
    assert first.version == again.version != changed.version


def test_a_folder_that_does_not_exist_is_the_operators_to_correct(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(OperatorError, match="nowhere"):
        load_registry(tmp_path / "nowhere")
    with pytest.raises(OperatorError, match="no_such_package"):
        load_registry("no_such_package")


def test_the_nearest_name_is_suggested(tmp_path: Path) -> None:
    """A slip of the finger is answered with the name that was meant, and with files that would not load."""
    write(tmp_path, "a.py", good("cad-large"))
    broken = write(tmp_path, "b.py", "1 / 0\n")
    registry = load_registry(tmp_path)
    with pytest.raises(OperatorError, match="Did you mean 'cad-large'") as caught:
        registry.get("cad-lrage")
    assert f"{broken}:3" in str(caught.value)
    with pytest.raises(OperatorError, match="There are: cad-large"):
        registry.get("xyz")


def test_globs_choose_each_scenario_once_in_the_order_asked_for(tmp_path: Path) -> None:
    """Names must exist, and a glob that matches nothing is an error too."""
    for name in ("cad-small", "cad-large", "quote"):
        write(tmp_path, f"{name}.py", good(name))
    registry = load_registry(tmp_path)
    chosen = registry.select(["quote", "cad-*", "cad-large"])
    assert [spec.name for spec in chosen] == ["quote", "cad-large", "cad-small"]
    with pytest.raises(OperatorError, match="no scenario matches 'web-\\*'"):
        registry.select(["web-*"])
    with pytest.raises(OperatorError, match="no scenario 'web'"):
        registry.select(["web"])


def test_an_empty_registry_says_that_it_is_empty() -> None:
    """No traceback, no empty list of suggestions."""
    with pytest.raises(OperatorError, match="There are: none"):
        Registry().get("anything")


def test_every_built_in_scenario_loads() -> None:
    """The package itself has no problem, and each scenario knows its file and version."""
    registry = load_registry("scenarios")
    assert registry.problems == ()
    assert "cad-large" in registry.names()
    assert all(spec.path.is_file() and spec.version and spec.line for spec in registry)
