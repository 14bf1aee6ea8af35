"""Debian's package manager, for the set-up of a machine where we are root.

Installs what is asked for and nothing else; asks for no password, changes no list of sources, and does nothing where it is
not root or there is no `apt-get`. Called by `deploy.setup` and `deploy.ensure_browser`, with the system's Python: standard
library only. Talks on stderr.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

__all__ = ["can_install", "install"]

_UPDATE_ATTEMPTS = 4
_UPDATE_PAUSE_S = 5.0
_LOCK_WAIT_S = 300
_COMMAND_DEADLINE_S = 1800


def can_install() -> bool:
    """Whether this is Debian (or a relative of it) and we may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> bool:
    """Install `packages` with what they need but nothing recommended; True when they are installed afterwards.

    The lists of packages are fetched first, several times if need be: on a fresh machine they are missing, and a mirror
    that is being updated answers wrongly for a few seconds. The installation is tried even when that failed: the source
    that did not answer may be one that nothing here comes from.
    """
    if not can_install():
        return False
    print(f"set-up: installing {', '.join(packages)} with apt-get", file=sys.stderr, flush=True)
    _update()
    return _apt_get("install", "--yes", "--no-install-recommends", *packages)


def _update() -> None:
    for attempt in range(1, _UPDATE_ATTEMPTS + 1):
        if _apt_get("update"):
            return
        print(f"set-up: apt-get update failed, attempt {attempt} of {_UPDATE_ATTEMPTS}", file=sys.stderr, flush=True)
        time.sleep(_UPDATE_PAUSE_S * attempt if attempt < _UPDATE_ATTEMPTS else 0)


def _apt_get(*arguments: str) -> bool:
    """Run apt-get quietly; its output is shown only when it failed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = [
        "apt-get",
        "--quiet",
        "-o",
        f"DPkg::Lock::Timeout={_LOCK_WAIT_S}",
        "-o",
        "APT::Update::Error-Mode=any",
        *arguments,
    ]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_COMMAND_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        print(f"set-up: {' '.join(command)} did not end within {_COMMAND_DEADLINE_S} s", file=sys.stderr, flush=True)
        return False
    if done.returncode != 0:
        print(done.stdout.decode(errors="replace"), file=sys.stderr, flush=True)
    return done.returncode == 0
