"""The package: what is in the wheel, and that the installed command works outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.runner_kit import ROOT, Outcome, run_process

WANTED = (
    "runner.py",
    "config/fleet.toml",
    "config/targets/stand-in.toml",
    "config/slos/03-api-p95.yaml",
    "fixtures/cad/manifest.json",
    "fixtures/cad/files/bracket.step",
    "fixtures/platform/__main__.py",
    "probes/records.py",
)

# Whichever test is first waits until the package is built and installed.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, really built."""
    folder = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed into an environment of its own; third-party packages are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "third-party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        folder / "bin" / "python",
        "install",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    return folder / "bin" / "probe-fleet"


def run(command: Path, *arguments: str, folder: Path) -> Outcome:
    """Run the installed command away from the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PROBE_FLEET_"))}
    return run_process([command, *arguments], cwd=folder, environ=environment)


def test_the_wheel_holds_what_the_command_needs_and_no_more(wheel: Path) -> None:
    """Code with its data, and neither tests nor tools."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in WANTED if name not in names] == []
    assert [
        name for name in names if name.split("/")[0] in ("tests", "bench", "deploy", "docs", "requirements", "var")
    ] == []


def test_the_installed_command_finds_scenarios_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    """`probe-fleet list` knows the same scenarios as `runner.py list`."""
    done = run(installed, "list", folder=tmp_path)
    assert done.code == 0, done.err
    assert "cad-large" in done.out


def test_the_installed_command_measures_a_stand_in_of_its_own(installed: Path, tmp_path: Path) -> None:
    """Config, scenarios and the stand-in are all found in the package."""
    done = run(installed, "--scenario", "quote", folder=tmp_path)
    assert done.code == 0, done.out + done.err
