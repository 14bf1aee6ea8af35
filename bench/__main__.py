"""`python -m bench [NAME ...]`: runs the benches, prints what they measured, ends with 1 when a stated goal is missed.

Names: truth, connect, browser, cost, upload, stream, ingest, collectors, catchup, memory, scoring, gate, viewers, alerts; without
a name all of them, in some minutes. Called by `make bench`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from rich.console import Console

from bench import (
    alerts,
    browser_noise,
    catchup,
    collectors,
    cost,
    gate,
    ingest,
    memory,
    scoring,
    slow_connect,
    stream,
    truth,
    upload,
    viewers,
)
from bench.report import Findings

_BENCHES: dict[str, Callable[[], list[Findings]]] = {
    "truth": truth.run,
    "connect": slow_connect.run,
    "browser": browser_noise.run,
    "cost": cost.run,
    "upload": upload.run,
    "stream": stream.run,
    "ingest": ingest.run,
    "collectors": collectors.run,
    "catchup": catchup.run,
    "memory": memory.run,
    "scoring": scoring.run,
    "gate": gate.run,
    "viewers": viewers.run,
    "alerts": alerts.run,
}


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="What this project claims, measured here and now."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*_BENCHES, []], help=", ".join(_BENCHES))
    names = parser.parse_args().names or list(_BENCHES)
    console = Console(width=None if sys.stdout.isatty() else 120)
    missed = 0
    started_s = time.monotonic()
    for name in names:
        for findings in _BENCHES[name]():
            findings.show(console)
            missed += sum(goal.missed for goal in findings.goals)
    console.print(f"{time.monotonic() - started_s:.0f} s; goals missed: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
