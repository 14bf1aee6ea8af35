"""Commands of service levels called in this process at an instant of one's choice, over a store that is made up.

Used by the integration tests of `slo explain`, `slo alerts`, `maintenance` and `rescore`. Nothing here
knows how they work inside.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from collector.scoring import Scorer
from collector.simulation import deliveries_of
from collector.simulation_plan import read_plan
from collector.store import open_store
from console.command_line import parse_arguments
from console.desk import Desk
from console.objectives import load_set
from console.stopping import Stop
from probes.settings import load_settings
from slo.window import Span
from tests.clock import JumpingClock
from tests.report_kit import look_at_backups

__all__ = ["Called", "call", "desk_of", "simulated"]

Command = Callable[[Desk], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Called:
    """What a command left: its exit code, and what it printed as it stood there."""

    code: int
    lines: tuple[str, ...]

    @property
    def said(self) -> str:
        """All of it on one line, for looking up a phrase wherever lines were broken."""
        return " ".join(" ".join(self.lines).split())


def desk_of(
    words: Sequence[str], now: datetime, *, environ: Mapping[str, str] | None = None, width: int = 400
) -> tuple[Desk, io.StringIO]:
    """A desk for these words at an instant, and what is printed there."""
    printed = io.StringIO()
    settings = load_settings(environ=environ or {})
    console = Console(file=printed, width=width, highlight=False)
    return Desk(parse_arguments(words), settings, console, JumpingClock(now), Stop(None)), printed


async def call(
    command: Command, words: Sequence[str], now: datetime, *, environ: Mapping[str, str] | None = None, width: int = 400
) -> Called:
    """Call a command to its end."""
    desk, printed = desk_of(words, now, environ=environ, width=width)
    code = await command(desk)
    return Called(int(code), tuple(printed.getvalue().splitlines()))


async def simulated(database: Path, plan: str, span: Span, slos: Path | None = None) -> None:
    """Fill a database with what a plan says of a span."""
    file = database.with_suffix(".toml")
    file.write_text(plan, encoding="utf-8")
    async with open_store(str(database)) as store:
        await store.scores.begin(Scorer.of(load_set(slos) if slos else load_set()))
        for delivery in deliveries_of(read_plan(file), span):
            await store.file([delivery])
        await store.file([look_at_backups(span.from_at)])
