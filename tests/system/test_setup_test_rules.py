"""The rules of a test run itself, held by tests/conftest.py: skips in CI, and tests that need the machine alone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
SKIPPED = """
import pytest
@pytest.mark.skip(reason="no part here")
def test_marked(): ...
def test_called(): pytest.skip("no part here either")
@pytest.mark.xfail(reason="known", strict=True)
def test_known(): raise RuntimeError
"""
SKIPPED_FILE = """
import pytest
pytest.skip("no library", allow_module_level=True)
"""
MEASURES = """
import pathlib, pytest, time
BUSY = pathlib.Path(__file__).parent / "busy"
"""
CROWD_TEST = """
def test_{number}():
    mark = BUSY / "{worker}-{number}"
    mark.touch(); time.sleep(0.02); mark.unlink()
"""
ALONE_TEST = """
@pytest.mark.serial
def test_alone_{number}():
    for _ in range(10):
        assert list(BUSY.iterdir()) == []
        time.sleep(0.01)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty test suite under our rules."""
    pytester.makeconftest(RULES)
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nmarkers =\n    serial: alone\n")
    for name in ("CI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading them takes longer than all else here
    return pytester


def test_a_skipped_test_is_a_failure_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a test is skipped, CI counts it as failed and names the reason; an expected failure stays one."""
    suite.makepyfile(SKIPPED)
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines(["*test_called was skipped, and in CI nothing may be*no part here either*"])


def test_a_skipped_file_is_an_error_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that skips itself cannot slip through."""
    suite.makepyfile(SKIPPED_FILE)
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    assert result.ret != 0


def test_a_skip_outside_of_ci_stays_a_skip(suite: pytest.Pytester) -> None:
    """On a person's machine a missing part costs its tests and nothing else."""
    suite.makepyfile(SKIPPED)
    suite.runpytest_subprocess().assert_outcomes(skipped=2, xfailed=1)


def test_a_test_that_measures_has_the_machine_alone(suite: pytest.Pytester) -> None:
    """While a `serial` test runs, no other worker runs a test."""
    suite.mkdir("busy")
    for worker in ("one", "two"):
        crowd = "".join(CROWD_TEST.format(worker=worker, number=number) for number in range(10))
        alone = "".join(ALONE_TEST.format(number=number) for number in range(2))
        suite.makepyfile(**{f"test_{worker}": MEASURES + crowd + alone})
    suite.runpytest_subprocess("-p", "xdist", "-n", "2", "--dist", "loadfile").assert_outcomes(passed=24)
