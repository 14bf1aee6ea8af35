"""The one command: `python runner.py --scenario cad-large`. Finds a Python that has what it needs, then hands over.

Any Python may start it. When that one lacks the dependencies and a `.venv` stands beside this file (`make setup` makes it), the
one in there takes over; else a sentence says what to type. Refuses to do anything else: `console.app` parses and wires. Called by
people, by CI, and by the wheel's `probe-fleet` command.

This file must stay readable for a Python older than the project's, or that sentence could not be printed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main"]

OLDEST = (3, 11)
OWN = ("collector", "console", "fixtures", "probes", "scenarios", "slo")
ENVIRONMENT = Path(__file__).resolve().parent / ".venv"

UNFIT = ""
LACKING = "this Python has no module {!r}"
if sys.version_info < OLDEST:
    UNFIT = "this Python is {}.{}, and 3.11 or newer is needed".format(*sys.version_info[:2])
else:
    try:
        from console.app import main as console_main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN:
            raise
        UNFIT = LACKING.format(error.name)


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments ask for; the exit code is 0, 1, 2, 3 or 4 (docs/reference/cli.md)."""
    if UNFIT:
        return hand_over(UNFIT)
    try:
        return console_main(argv)  # loads the command's own modules only now
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in OWN:
            raise
        return hand_over(LACKING.format(missing.name))


def hand_over(unfit: str) -> int:
    """Become the Python of the environment beside this file; without one, say what is `unfit` and what to do, and return 2."""
    python = ENVIRONMENT / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != ENVIRONMENT:
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - arguments as a list
    sys.stderr.write(f"error: {unfit}\n  where: {sys.executable}\n")
    sys.stderr.write("  next:  run `make setup`, then `.venv/bin/python runner.py ...`\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
