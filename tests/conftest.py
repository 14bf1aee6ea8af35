"""What every test shares: no silent skip in CI, nothing beside a test that measures, slow files first, a free port.

Fixtures of one area live with its tests. The seed of a run is printed by pytest-randomly in the head of the report.
Called by pytest; under xdist once in every worker.
"""

from __future__ import annotations

import fcntl
import gc
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.free_ports import free_port as a_free_port

# How long one example takes on a shared machine is no promise of ours, nor how long ten take to be thought of; that a test ends
# is pytest-timeout's.
hypothesis.settings.register_profile("fleet", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("fleet")

SKIPS_ALLOWED_IN_CI: dict[str, str] = {}
"""Part of a skip's reason -> why CI may do without that test. Everything else that is skipped in CI has failed."""

SLOWEST_FIRST = ("system", "integration", "contract", "unit")
"""Folders below tests/. What comes last are files of quick tests, so that no worker waits long for the other one at the end."""

_TURNS = "TESTS_TURNS_FOLDER"
_PAGES = "PROBE_FLEET_PAGES_LISTEN"
"""Where a collector serves its pages; tests that are not about them have none, for the default port is there once."""


@pytest.fixture(autouse=True)
def logs_as_they_come() -> Iterator[None]:
    """No test inherits how another one configured its logs."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens; for programs that cannot be asked to take port 0."""
    return a_free_port()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: written out they may differ from worker to worker, as the time in a gzip does."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped in CI has failed: the real part that it needs must be there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip_in_ci(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself as a whole."""
    report = yield
    if report.skipped:
        _refuse_skip_in_ci(report, collector.nodeid)
    return report


def _refuse_skip_in_ci(report: pytest.TestReport | pytest.CollectReport, name: str) -> None:
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if os.environ.get("CI") != "true" or any(allowed in reason for allowed in SKIPS_ALLOWED_IN_CI):
        return
    report.outcome = "failed"
    report.longrepr = f"{name} was skipped, and in CI nothing may be: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    """Have no pages, and make the folder in which the workers of this test run take turns; workers inherit its name."""
    os.environ.setdefault(_PAGES, "")
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="tests-turns-")
        os.environ[_TURNS] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that measure come first, so that others wait for the machine once, then folders as they are slow; else at random."""
    wishes: dict[Path, list[bool]] = {}
    for item in items:
        wishes.setdefault(item.path, []).append(_is_alone(item))

    order = {path: number for number, path in enumerate(wishes)}

    def place(item: pytest.Item) -> tuple[int, int, int, bool]:
        folder, of_file = item.path.parent.name, wishes[item.path]
        place_of_folder = SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)
        return -all(of_file) - any(of_file), place_of_folder, order[item.path], not _is_alone(item)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What was collected lives as long as we do: no search for garbage goes through it again, a tenth of the tests' CPU time."""
    gc.collect()
    gc.freeze()


def _is_alone(item: pytest.Item) -> bool:
    """A `serial` test."""
    return item.get_closest_marker("serial") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A `serial` test has the machine to itself; the wait for it is outside of every test's time limit."""
    with _turn(Path(os.environ[_TURNS]), alone=_is_alone(item)):
        return (yield)


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine together with other tests, or alone; who waits for it alone is not overtaken."""
    with ExitStack() as held:
        with (folder / "door").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            room = held.enter_context((folder / "room").open("w"))
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
