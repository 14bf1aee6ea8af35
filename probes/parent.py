"""The process that a program ends with: who that is, said by itself when it starts the program.

A program that only looks for its parent once it runs may look too late: a parent that has died meanwhile is taken for whoever
adopted its child, and that one never ends. Refuses to watch: whoever waits does that. Called by what starts programs with
`--exit-with-parent`, and by those programs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

__all__ = ["PARENT_VARIABLE", "naming_parent", "parent_of"]

PARENT_VARIABLE: Final = "FLEET_PARENT_PID"


def naming_parent(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that this process starts itself, and that is to end with it."""
    return {**environ, PARENT_VARIABLE: str(os.getpid())}


def parent_of(environ: Mapping[str, str]) -> int:
    """The process to end with: the one that named itself, else the parent as it is now."""
    said = environ.get(PARENT_VARIABLE, "")
    return int(said) if said.isdecimal() else os.getppid()
