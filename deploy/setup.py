"""Set up a checkout: virtual environment, locked dependencies, browser, reference parts; with `--with`, other programs too.

    python3 -m deploy.setup [--with tests] [--with bench]

Runs with the system's Python, so it needs nothing but the standard library. What is in place already is left alone: a
second call looks at one small file and ends. Two calls at once wait for each other. It never installs a package whose hash
the lock does not list. Called by the Makefile, after `deploy/check-python` has seen that this Python is supported.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy import debian

__all__ = ["SetupError", "main", "set_up"]

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "tests": {
        "curl": "curl",
        "ip": "iproute2",
        "mosquitto": "mosquitto",
        "pg_ctlcluster": "postgresql",
        "prometheus-alertmanager": "prometheus-alertmanager",
        "promtool": "prometheus",
        "systemd-analyze": "systemd",
    },
    "bench": {
        "curl": "curl",
        "pg_ctlcluster": "postgresql",
        "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    },
}
"""What else a purpose wants: program -> Debian package. Without them tests are skipped, and say so."""


class SetupError(Exception):
    """The set-up cannot go on; the message says what to type."""


class Stamp:
    """What the environment was set up from, kept inside it, so that both go together."""

    def __init__(self, environment: Path) -> None:
        self._path = environment / "setup.json"
        try:
            self._facts: dict[str, str] = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._facts = {}

    def get(self, key: str) -> str:
        """The fact noted under `key`; empty when there is none."""
        return self._facts.get(key, "")

    def note(self, key: str, value: str) -> None:
        """Keep a fact: the step it stands for is done."""
        self._facts[key] = value
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._facts, indent=1), encoding="utf-8")
        draft.replace(self._path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up and return the exit code: 0, or 3 when this host lacks something."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.setup", description="Set up this checkout.")
    parser.add_argument("--with", dest="purposes", action="append", default=[], choices=sorted(PROGRAMS))
    options = parser.parse_args(arguments)
    try:
        with _alone(ROOT):
            set_up(ROOT, purposes=options.purposes)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 3
    return 0


def set_up(root: Path, *, purposes: Sequence[str] = ()) -> None:
    """Bring `root` to the state in which everything runs; raises SetupError with what to type."""
    environment = root / ".venv"
    python = _environment(environment)
    stamp = Stamp(environment)
    _dependencies(root, python, stamp)
    _browser(root, python, stamp)
    _parts(root, python, stamp)
    for purpose in purposes:
        _programs(PROGRAMS[purpose])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other set-up of this checkout is running; the lock goes with the process, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _environment(folder: Path) -> Path:
    """The environment's Python, of the version that runs this; made (again) when it is missing, broken or another one."""
    python = folder / "bin" / "python"
    wanted = "{}.{}.{}".format(*sys.version_info[:3])
    if python.exists() and _version_of(python) == wanted:
        return python
    if importlib.util.find_spec("ensurepip") is None:
        _install_venv_support()
    print(f"set-up: making {folder} with Python {wanted}", flush=True)
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=True).create(folder)
    _run([python, "-m", "ensurepip", "--default-pip"], "could not put pip into the environment", quiet=True)
    return python


def _version_of(python: Path) -> str:
    code = "import sys, pip; print('{}.{}.{}'.format(*sys.version_info[:3]))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def _install_venv_support() -> None:
    """Debian ships Python without what makes environments; it is a package of its own."""
    package = f"python3.{sys.version_info[1]}-venv"
    if not debian.install(package):
        message = (
            f"this Python cannot make virtual environments; on Debian or Ubuntu type: sudo apt-get install {package}"
        )
        raise SetupError(message)


def _dependencies(root: Path, python: Path, stamp: Stamp) -> None:
    lock = root / "requirements" / "dev.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.get("lock") == digest:
        return
    print(f"set-up: installing what {lock.relative_to(root)} lists (about 900 MB on disk)", flush=True)
    _run(
        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock],
        "the locked dependencies could not be installed; is a package registry reachable?",
        quiet=True,
    )
    stamp.note("lock", digest)


def _browser(root: Path, python: Path, stamp: Stamp) -> None:
    if stamp.get("browser") and Path(stamp.get("browser")).exists():
        return
    done = subprocess.run(
        [python, "-m", "deploy.ensure_browser"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = "there is no browser to measure with; the lines above say why, and what to type"
        raise SetupError(message)
    stamp.note("browser", done.stdout.strip())


def _parts(root: Path, python: Path, stamp: Stamp) -> None:
    """Check the committed reference parts and make the large ones, so that the first run does not wait for them."""
    digest = hashlib.sha256((root / "fixtures" / "cad" / "manifest.json").read_bytes()).hexdigest()
    if stamp.get("parts") == digest:
        return
    print("set-up: making the large reference parts", flush=True)
    _run([python, "-m", "fixtures.cad", "make"], "the reference parts could not be made", cwd=root, quiet=True)
    stamp.note("parts", digest)


def _programs(packages_by_program: dict[str, str]) -> None:
    missing = {program: package for program, package in packages_by_program.items() if not _on_path(program)}
    if missing and not debian.install(*sorted(set(missing.values()))):
        print(f"set-up: {', '.join(missing)} not found; what needs them is skipped. On Debian or Ubuntu type: ", end="")
        print(f"sudo apt-get install {' '.join(sorted(set(missing.values())))}", flush=True)


def _on_path(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is not None


def _run(command: Sequence[str | Path], failure: str, *, cwd: Path | None = None, quiet: bool = False) -> None:
    """Run a step; `quiet` keeps its output back unless it fails."""
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        sys.stderr.write((done.stdout or b"").decode(errors="replace") + (done.stderr or b"").decode(errors="replace"))
        message = f"{failure} (exit code {done.returncode} of: {' '.join(map(str, command))})"
        raise SetupError(message)


if __name__ == "__main__":
    sys.exit(main())
