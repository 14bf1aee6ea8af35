"""The board: what each region last found of each scenario, how old that is, and how much of the last hour was covered.

Rows are scenarios, columns are regions; all probes of a region are one cell, of which the newest ending is told and the
counts are added. Refuses to judge a platform by one run: a cell says what was last found, no more. Called by
`collector.web.live`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final

from collector.ledger import SlotCounts
from collector.store_views import LatestEnding
from collector.texts.figures import count_text, duration_text
from probes.ledger_entries import SlotReason
from probes.records import Outcome

__all__ = ["Board", "Cell", "board_of", "board_words", "cell_of"]

_REASONS: Final = {
    SlotReason.MISSED: "not run",
    SlotReason.MAINTENANCE: "maintenance",
    SlotReason.ABORTED: "cut short",
}
MOST_TOLD: Final = 6
MOST_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario of one region. `at` is when the newest slot that ended began; None: nothing ended lately.

    `state` is good, bad, warn or none; `word` says the same. `due` slots of the last hour should have a run, `ran` have one.
    """

    scenario: str
    region: str
    state: str
    word: str
    detail: str
    at: datetime | None
    ran: int
    due: int
    probe: str = ""
    attempt: int = 0

    @property
    def coverage(self) -> float | None:
        """The covered share of the last hour; None: nothing was due."""
        return self.ran / self.due if self.due else None


@dataclass(frozen=True, slots=True)
class Board:
    """All cells as of an instant. `number` counts boards that differ."""

    number: int
    at: datetime
    regions: tuple[str, ...]
    scenarios: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]

    def cell(self, scenario: str, region: str) -> Cell | None:
        """The cell, None where nothing was ever owed."""
        return self.cells.get((scenario, region))


def board_of(
    endings: Iterable[LatestEnding],
    counts: Mapping[tuple[str, str], SlotCounts],
    *,
    regions: tuple[str, ...],
    at: datetime,
) -> Board:
    """The board from what is stored; `counts` of the last hour by scenario and region.

    Regions are in the order of the settings, then come any others.
    """
    newest: dict[tuple[str, str], LatestEnding] = {}
    for ending in endings:
        key = (ending.scenario, ending.address.region)
        if key not in newest or newest[key].slot_at < ending.slot_at:
            newest[key] = ending
    keys = newest.keys() | counts.keys()
    cells = {key: cell_of(*key, newest.get(key), counts.get(key, SlotCounts())) for key in sorted(keys)}
    others = sorted({region for _, region in keys} - set(regions))
    return Board(0, at, (*regions, *others), tuple(sorted({scenario for scenario, _ in keys})), cells)


def board_words(board: Board) -> str:
    """What the board comes to in one sentence: how many cells failed, and where. The script of the page says the same."""
    bad: dict[str, list[str]] = {}
    for scenario, region in product(board.scenarios, board.regions):
        cell = board.cell(scenario, region)
        if cell is not None and cell.state == "bad":
            bad.setdefault(scenario, []).append(region)
    whole = count_text(len(board.cells), "cell")
    if not bad:
        return f"None of {whole} failed."
    said = [f"{name} in {regions_text(regions)}" for name, regions in list(bad.items())[:MOST_TOLD]]
    more = f"; and {count_text(len(bad) - MOST_TOLD, 'more scenario')}" if len(bad) > MOST_TOLD else ""
    return f"{sum(map(len, bad.values()))} of {whole} failed: {'; '.join(said)}{more}."


def regions_text(regions: Sequence[str]) -> str:
    """Few by name, many as a number."""
    return ", ".join(regions) if len(regions) <= MOST_NAMED else count_text(len(regions), "region")


def cell_of(scenario: str, region: str, ending: LatestEnding | None, counts: SlotCounts) -> Cell:
    """A cell from its newest ending."""
    if ending is None:
        return Cell(
            scenario, region, "none", "nothing", "nothing ended in the last hours", None, counts.ran, counts.due
        )
    state, word, detail = _told(ending)
    address = ending.address
    return Cell(
        *(scenario, region, state, word, detail, ending.slot_at, counts.ran, counts.due, address.probe, ending.attempt)
    )


def _told(ending: LatestEnding) -> tuple[str, str, str]:
    """State, word and detail of an ending."""
    if ending.reason is not None:
        return "none", _REASONS[ending.reason], ""
    if ending.is_unfit:
        return "none", "unfit host", "the host was not fit to measure in that minute"
    where = f" at {ending.failed_step}" if ending.failed_step else ""
    kind = ending.kind.value if ending.kind is not None else ""
    match ending.outcome:
        case Outcome.PASS:
            return "good", "passed", f"in {duration_text(ending.duration_ns)}"
        case Outcome.FAIL:
            return "bad", "failed", f"{kind}{where}"
        case _:
            return "warn", "says nothing", f"{kind}{where}"
