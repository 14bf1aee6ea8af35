"""`slo explain NAME`: how the number of one line came about, down to the runs that cost budget.

Prints what is promised, what was counted and by whom, what was left out, the arithmetic of the verdict in words, and episodes
with run ids for `show`. Refuses to print without end: what is left out is counted. Called by `console.slo_command`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from collector.line_account import account_of_line
from console.desk import Desk
from console.explain_text import Section, sections_of
from console.scored_store import database_words, known_objectives, open_scored
from console.verdict import ExitCode
from probes.errors import OperatorError
from slo.objective_set import ObjectiveSet

__all__ = ["explain_line"]


async def explain_line(desk: Desk) -> ExitCode:
    """Explain the line that is named; always 0: it explains, it does not judge. OperatorError for a name that is none."""
    name = desk.arguments.rest[1]
    require_line(known_objectives(desk), name)
    async with open_scored(desk, (name,)) as scored:
        account = await account_of_line(scored.store, scored.known, scored.asked)
        sections = sections_of(account, scored.known, scored.asked)
    _print(sections, desk.console)
    if account.episodes:
        desk.say(f"\nLook at a run: runner.py show RUN --database {database_words(desk)}")
    return ExitCode.PASSED


def require_line(known: ObjectiveSet, name: str) -> None:
    """OperatorError, with names that are near, for one that no file promises."""
    names = [*known.objectives, *known.obligations, *(gap.name for gap in known.not_measured)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        remedy = f"Did you mean {' or '.join(near)}?" if near else "`slo check` lists them"
        raise OperatorError(f"no line is called {name!r}", where=name, remedy=remedy)


def _print(sections: Sequence[Section], console: Console) -> None:
    for number, section in enumerate(sections):
        console.print(Text(("\n" if number else "") + section.heading, style="bold"))
        for line in section.lines:
            console.print(Padding(Text(line.text, style=line.style), (0, 0, 0, line.indent), expand=False))
        if section.table is not None:
            console.print(section.table(console))
