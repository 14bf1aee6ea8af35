"""Build an image and run it: with docker or podman where one works, else with Debian's buildah, which needs no service.

Buildah runs with chroot isolation and the vfs storage driver, which work inside a container and on any kernel; its base
image is made with debootstrap from the sources that this machine's apt uses. The machine's pip settings and certificates
are lent to the build as secrets, so that they do not stay in the image. Called by `deploy.image_test`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy import debian

__all__ = ["Engine", "EngineError", "Lent", "choose_engine", "lend_settings"]

_BUILD_DEADLINE_S = 1800
_RUN_DEADLINE_S = 300
_ANSWER_DEADLINE_S = 60
_DEBIAN = "bookworm"
_CA_BUNDLE = "/run/secrets/ca_bundle"


class EngineError(Exception):
    """Images cannot be built or run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Lent:
    """What the build may use of this machine and must not keep."""

    pip_conf: Path
    ca_bundle: Path

    def options(self) -> list[str]:
        """The same for docker, podman and buildah."""
        return [f"--secret=id=pip_conf,src={self.pip_conf}", f"--secret=id=ca_bundle,src={self.ca_bundle}"]


class Engine(Protocol):
    """A way to build one image and to run it."""

    name: str

    def build(self, context: Path, *, base_image: str, lent: Lent) -> None:
        """Build `deploy/Dockerfile` of `context`; an empty `base_image` means the engine's own choice."""
        ...

    def run(self, arguments: Sequence[str], *, program: str = "", environ: Mapping[str, str] | None = None) -> str:
        """Run the image as its own user on the host's network; its stdout. Raises CalledProcessError with what it said.

        `program` takes the place of the image's entry point.
        """
        ...

    def close(self) -> None:
        """Remove what the runs left; the image stays."""
        ...


def choose_engine(store: Path, *, tag: str) -> Engine:
    """Docker or podman when its service answers, else buildah (installed on Debian as root); or EngineError."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return ServiceEngine(name, tag)
    needed = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if os.geteuid() != 0 or (needed and not debian.install(*needed)):
        message = "no container engine works here; start docker or podman, or be root on Debian, where buildah does it"
        raise EngineError(message)
    return BuildahEngine(store, tag)


def lend_settings(folder: Path) -> Lent:
    """Write this machine's pip settings into `folder`; places that only this machine has are left out.

    Source: `pip config list` prints what files and variables add up to, one `section.key='value'` a line.
    """
    keys = ("index-url", "extra-index-url", "proxy", "trusted-host", "default-timeout")
    settings: dict[str, str] = {}
    for line in _output([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        if (key := name.rpartition(".")[2]) in keys:
            settings[key] = " ".join(word for word in value.strip("'\"").split() if not word.startswith(("/", "file:")))
    bundle = Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")
    if bundle.is_file():
        settings["cert"] = _CA_BUNDLE
    else:
        bundle = folder / "no-bundle"
        bundle.touch()
    pip_conf = folder / "pip.conf"
    lines = [f"{key} = {value}" for key, value in settings.items() if value]
    pip_conf.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return Lent(pip_conf=pip_conf, ca_bundle=bundle)


class ServiceEngine:
    """Docker or podman; both take the same words."""

    def __init__(self, name: str, tag: str) -> None:
        self.name = name
        self._tag = tag

    def build(self, context: Path, *, base_image: str, lent: Lent) -> None:
        """Build with the Dockerfile's own base image unless told otherwise."""
        base = [f"--build-arg=BASE_IMAGE={base_image}"] if base_image else []
        file = context / "deploy" / "Dockerfile"
        _output(
            [self.name, "build", *base, *lent.options(), "--file", file, "--tag", self._tag, context], _BUILD_DEADLINE_S
        )

    def run(self, arguments: Sequence[str], *, program: str = "", environ: Mapping[str, str] | None = None) -> str:
        """Run a container that is removed afterwards."""
        entry = ["--entrypoint", program] if program else []
        variables = [f"--env={name}={value}" for name, value in (environ or {}).items()]
        command = [
            self.name,
            "run",
            "--rm",
            "--network=host",
            "--shm-size=256m",
            *variables,
            *entry,
            self._tag,
            *arguments,
        ]
        return _output(command, _RUN_DEADLINE_S)

    def close(self) -> None:
        """Nothing is left: every container was removed when it ended."""


class BuildahEngine:
    """Debian's buildah as root, without a service, without namespaces, without a registry."""

    name = "buildah"

    def __init__(self, store: Path, tag: str) -> None:
        self._tag = f"localhost/{tag}"
        self._base = f"localhost/{tag}-base-{_DEBIAN}"
        self._store = store
        self._container = ""
        self._buildah = ["buildah", "--storage-driver=vfs", f"--root={store}/images", f"--runroot={store}/run"]

    def build(self, context: Path, *, base_image: str, lent: Lent) -> None:
        """Build on a Debian of our own making, which is kept for the next time, unless told otherwise."""
        if not base_image and not self._has(self._base):
            self._make_base()
        base = f"--build-arg=BASE_IMAGE={base_image or self._base}"
        file = context / "deploy" / "Dockerfile"
        words: list[str | Path] = [
            "build",
            "--isolation=chroot",
            base,
            *lent.options(),
            f"--file={file}",
            f"--tag={self._tag}",
            context,
        ]
        _output([*self._buildah, *words], _BUILD_DEADLINE_S)

    def run(self, arguments: Sequence[str], *, program: str = "", environ: Mapping[str, str] | None = None) -> str:
        """Run in one container for all runs: with vfs each new one is a copy of the whole image.

        `buildah run` does not know entry points, so it is told.
        """
        if not self._container:
            self._container = _output([*self._buildah, "from", self._tag], _BUILD_DEADLINE_S).strip()
        inspected = json.loads(_output([*self._buildah, "inspect", "--type=image", self._tag]))
        entry = [program] if program else inspected["OCIv1"]["config"]["Entrypoint"]
        variables = [f"--env={name}={value}" for name, value in (environ or {}).items()]
        words = ["run", "--isolation=chroot", "--network=host", *variables, self._container, "--", *entry, *arguments]
        return _output([*self._buildah, *words], _RUN_DEADLINE_S)

    def close(self) -> None:
        """Remove the container of the runs, and images that a newer one has taken the name of."""
        if self._container:
            _output([*self._buildah, "rm", self._container], _BUILD_DEADLINE_S)
            self._container = ""
        _output([*self._buildah, "rmi", "--prune", "--force"], _BUILD_DEADLINE_S)

    def _has(self, image: str) -> bool:
        return (
            subprocess.run(
                [*self._buildah, "inspect", "--type=image", image], capture_output=True, check=False
            ).returncode
            == 0
        )

    def _make_base(self) -> None:
        """A Debian of the smallest variant, with the sources of this machine's apt, as an image."""
        print(f"image-test: making a base image of Debian {_DEBIAN} with debootstrap", flush=True)
        self._store.mkdir(parents=True, exist_ok=True)
        sources = _debian_sources()
        with tempfile.TemporaryDirectory(dir=self._store) as root:
            mirror = next(uri for uri, suite, _ in sources if suite == _DEBIAN)
            _output(["debootstrap", "--variant=minbase", _DEBIAN, root, mirror], _BUILD_DEADLINE_S)
            lines = [f"deb {uri} {suite} {component}\n" for uri, suite, component in sources]
            (Path(root) / "etc/apt/sources.list").write_text("".join(lines), encoding="utf-8")
            container = _output([*self._buildah, "from", "scratch"]).strip()
            _output([*self._buildah, "copy", "--quiet", container, root, "/"], _BUILD_DEADLINE_S)
            _output([*self._buildah, "commit", "--quiet", "--rm", container, self._base], _BUILD_DEADLINE_S)


def _debian_sources() -> list[tuple[str, str, str]]:
    """Address, suite and component of every Debian source of this release that apt is set up for."""
    words = ["--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)", "Created-By: Packages"]
    rows = [line.split() for line in _output(["apt-get", "indextargets", *words]).splitlines()]
    found = [(row[0], row[1], row[2]) for row in rows if row[3:] == ["Debian"] and row[1].startswith(_DEBIAN)]
    if not any(suite == _DEBIAN for _, suite, _ in found):
        message = f"apt on this machine has no source of Debian {_DEBIAN}; start docker or podman, or give --base-image"
        raise EngineError(message)
    return list(dict.fromkeys(found))


def _output(command: Sequence[str | Path], deadline_s: float = _ANSWER_DEADLINE_S) -> str:
    """What a program printed; CalledProcessError with all that it said when it failed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=deadline_s
    )
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout
