"""What every command is handed: arguments, settings, a console to print on, a clock, and the way to be stopped."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from console.arguments import Arguments
from console.stopping import Stop
from probes.clock import Clock
from probes.settings import Settings

__all__ = ["Desk"]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every command works with."""

    arguments: Arguments
    settings: Settings
    console: Console
    clock: Clock
    stop: Stop

    def say(self, text: str) -> None:
        """A line for the person, unless only the verdict is wanted; brackets in it are brackets."""
        if not self.arguments.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
