"""Which stored runs stand behind minutes that cost budget: where, of what kind, at which step, and their ids.

Looks into a few runs of each episode, spread over its first hours, for the reasons stand in the records; says how many it did
not look into. Refuses to count cost (`slo.episodes` does). Called by `collector.line_account`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from collector.score_reader import Reader
from collector.store_runs import RunSummary
from probes.records import Outcome, Run
from probes.wire import WireError, parse_run
from slo.cells import Cell
from slo.episodes import CostEpisode
from slo.events import Event, events_of
from slo.objective import EventKind, Objective
from slo.pieces import Piece
from slo.window import Span, instant_of_minute, minute_of

__all__ = ["EpisodeAccount", "SeenRun", "account_of_episode"]

LOOKED_INTO: Final = 24
"""So many records of each episode are read: they tell kinds and steps, and reading them all would take minutes."""
LOOKED_MINUTES: Final = 180
MOST_RUNS: Final = 4_000
_WILD: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run that cost budget, and why: `timeout at quote`. `kind` and `message` are of the step's failure, if it has one."""

    run_id: str
    region: str
    probe: str
    scenario: str
    slot_at: datetime
    why: str
    step: str = ""
    kind: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class EpisodeAccount:
    """An episode with what is known of it.

    `bad_by_region`: bad events of each region in its bad minutes; `good_by_region`: the good ones. `whys`: how often each
    reason was found among the `looked_into` of `candidates` stored runs; `runs` are those in which one was found.
    """

    episode: CostEpisode
    bad_by_region: Mapping[str, int]
    good_by_region: Mapping[str, int]
    whys: Mapping[str, int]
    runs: tuple[SeenRun, ...]
    looked_into: int
    candidates: int


async def account_of_episode(reader: Reader, pieces: Sequence[Piece], episode: CostEpisode) -> EpisodeAccount:
    """Look into an episode, by the version of the line that was in force as it began."""
    piece = next(one for one in pieces if episode.from_minute < one.span.until_minute)
    objective = piece.objective
    until_minute = min(episode.until_minute, piece.span.until_minute)
    span = Span(piece.span.name, episode.from_minute, until_minute)
    cells = await _counted_cells(reader, piece, span, frozenset(episode.minutes))
    candidates = await _candidates(reader, objective, span, cells)
    chosen = _spread(candidates)
    seen = [one async for one in _seen(reader, objective, chosen)]
    return EpisodeAccount(
        episode,
        _by_region(cells, bad=True),
        _by_region(cells, bad=False),
        Counter(one.why for one in seen),
        tuple(seen),
        len(chosen),
        len(candidates),
    )


def _spread(candidates: Sequence[RunSummary]) -> list[RunSummary]:
    """So many of them that reading takes no time, from beginning to end; failed ones first, for their reason is surest."""
    failed = [one for one in candidates if one.outcome is Outcome.FAIL]
    others = [one for one in candidates if one.outcome is not Outcome.FAIL]
    chosen: list[RunSummary] = []
    for group in (failed, others):
        room = LOOKED_INTO - len(chosen)
        if room > 0:
            chosen += group[:: max(1, -(-len(group) // room))]
    return sorted(chosen, key=_place)


def _place(run: RunSummary) -> tuple[datetime, str, str]:
    return run.identity.slot_at, run.identity.region, run.identity.scenario


Cells = Mapping[tuple[str, str], Mapping[int, Cell]]


async def _counted_cells(reader: Reader, piece: Piece, span: Span, minutes: frozenset[int]) -> Cells:
    """The cells of the bad minutes, of regions that are asked and not under maintenance."""
    left_out = reader.exclusions(piece.objective, span).by_region
    regions = reader.regions_of(piece.objective)
    return {
        name: {
            minute: cell
            for minute, cell in of_probe.items()
            if minute in minutes and not left_out.get(name[0], 0) >> (minute - span.from_minute) & 1
        }
        for name, of_probe in (await reader.cells(piece.objective.check, span)).items()
        if name[0] in regions
    }


def _by_region(cells: Cells, *, bad: bool) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (region, _), of_probe in sorted(cells.items()):
        found[region] += sum(cell.bad if bad else cell.good for cell in of_probe.values())
    return {region: count for region, count in found.items() if count}


async def _candidates(reader: Reader, objective: Objective, span: Span, cells: Cells) -> list[RunSummary]:
    """The conclusive first attempts whose minute has a bad event of their probe, oldest first; of the first hours only."""
    asked = reader.asked
    until_at = instant_of_minute(min(span.until_minute, span.from_minute + LOOKED_MINUTES))
    found: list[RunSummary] = []
    for scenario in _scenarios(objective.selector.scenarios, asked.timeouts_s):
        found += await reader.store.runs(span.from_at, until_at, scenario=scenario, limit=MOST_RUNS)
    costly = {(*name, minute) for name, of_probe in cells.items() for minute, cell in of_probe.items() if cell.bad}
    mine = [
        one
        for one in found
        if (one.target, one.identity.fleet, one.identity.attempt) == (asked.target, asked.fleet, 0)
        and one.outcome is not Outcome.INCONCLUSIVE
        and (one.identity.region, one.identity.probe, minute_of(one.identity.slot_at)) in costly
    ]
    return sorted(mine, key=_place)


def _scenarios(globs: Sequence[str], names: Mapping[str, float]) -> list[str]:
    """The scenarios that a line is about; an empty name stands for all, where a glob matches nothing that is known."""
    found: dict[str, None] = {}
    for glob in globs:
        if not _WILD & set(glob):
            found[glob] = None
            continue
        matching = [name for name in names if fnmatchcase(name, glob)]
        if glob == "*" or not matching:
            return [""]
        found.update(dict.fromkeys(matching))
    return list(found)


async def _seen(reader: Reader, objective: Objective, chosen: Sequence[RunSummary]) -> AsyncIterator[SeenRun]:
    """Those of the runs that hold a bad event of the line."""
    for summary in chosen:
        try:
            run = parse_run(await reader.store.record(summary.identity))
        except WireError:
            continue
        bad = [event for event in events_of(run, objective) if not event.good]
        if bad:
            yield _seen_run(run, objective, bad[0])


def _seen_run(run: Run, objective: Objective, event: Event) -> SeenRun:
    identity, step = run.identity, run.steps[event.step_index]
    return SeenRun(
        run.run_id,
        identity.region,
        identity.probe,
        identity.scenario,
        identity.slot_at,
        _why(run, objective, event),
        step.name,
        step.failure.kind.value if step.failure else "",
        step.failure.message if step.failure else "",
    )


def _why(run: Run, objective: Objective, event: Event) -> str:
    """The kind of a failure and its step; else what the line has against a step that passed."""
    step = run.steps[event.step_index]
    if step.failure is not None:
        return f"{step.failure.kind.value} at {step.name}"
    if event.time_ns is not None:
        return f"too slow at {step.name}"
    if objective.selector.event is EventKind.SESSION:
        return f"uncaught error at {step.name}"
    return f"bad answer at {step.name}"
