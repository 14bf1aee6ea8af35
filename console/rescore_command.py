"""`rescore`: score stored runs again, or with `--check` look whether every cell is what the stored runs say.

Refuses to write anything with `--check`. Run it with the objectives that the collector has: what the collector does not score is
complete only until its next run. Called by `console.app`.
"""

from __future__ import annotations

from collector.catch_up import score_past
from collector.scoring import Scorer
from collector.texts.figures import count_text
from console.desk import Desk
from console.scored_store import known_objectives, open_existing
from console.verdict import ExitCode

__all__ = ["rescore"]

_TENTHS = 10


async def rescore(desk: Desk) -> ExitCode:
    """Correct what differs and return 0; with `--check` only look, and return 3 when something differs."""
    looks_only = desk.arguments.check_only
    scorer = Scorer.of(known_objectives(desk))
    async with open_existing(desk) as store:
        unscored = await (store.scores.look(scorer) if looks_only else store.scores.begin(scorer))
        complete = len(scorer.keys) - len(unscored)
        desk.say(f"{complete} of {count_text(len(scorer.keys), 'check')} were complete before, in {store.where}")
        told = _Told(desk)
        found = await score_past(store, scorer.keys, clock=desk.clock, writes=not looks_only, tell=told)
    looked = f"{count_text(found.slots, 'slot')} in {count_text(found.hours, 'hour')}"
    changed = f"{count_text(found.cells_changed, 'cell')} and {count_text(found.facts_changed, 'fact')}"
    is_different = bool(found.cells_changed or found.facts_changed)
    if looks_only:
        verb = (
            "differ from what the stored runs say"
            if is_different
            else "differ: every number is what the stored runs say"
        )
        desk.console.print(f"Looked at {looked}: {changed} {verb}")
        return ExitCode.INCONCLUSIVE if is_different else ExitCode.PASSED
    desk.console.print(f"Scored {looked}: {changed} were corrected; all checks are complete")
    return ExitCode.PASSED


class _Told:
    """Says each tenth of the hours once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tenths = 0

    def __call__(self, done: int, of: int) -> None:
        tenths = _TENTHS * done // of
        if tenths != self._tenths and done < of:
            self._tenths = tenths
            self._desk.say(f"{tenths * 10} %: {done:,} of {of:,} hours")
