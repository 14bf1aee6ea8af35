"""How the number of one line came about: who counted what, what was left out, and the runs behind what cost budget.

Refuses to score (`collector.scorecard` does) and to lay anything out. Called by the command `slo explain`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.episode_runs import EpisodeAccount, account_of_episode
from collector.score_reader import Asked, Reader, maintenance_of
from collector.scorecard import LineScore, make_scorecard
from collector.store import Store
from slo.bitmaps import between, ones
from slo.cells import Cell, Track
from slo.episodes import CostEpisode, costliest, episodes_of
from slo.maintenance import Occurrence
from slo.objective_set import ObjectiveSet
from slo.pieces import Piece
from slo.score import Frame, Score, SliceDetail
from slo.window import Span, minute_of

__all__ = ["LineAccount", "ProbeCount", "account_of_line"]

MOST_EPISODES: Final = 12
Name = tuple[str, str]


@dataclass(slots=True)
class ProbeCount:
    """What one probe contributed, maintenance left out: minutes of each kind for a line of minutes, else events and slots.

    `mute`: slots that say nothing. `silent`: minutes that are over and that it said nothing about (of minutes only). `unfit`:
    minutes in which its host was not fit to measure, whatever it found there.
    """

    good: int = 0
    bad: int = 0
    mute: int = 0
    silent: int = 0
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class LineAccount:
    """A line's score with what it rests on; without a score of minutes or events there is nothing but `line`.

    `probes` by region and name. `episodes` are the costliest of `all_episodes`, looked into.
    """

    line: LineScore
    pieces: tuple[Piece, ...] = ()
    probes: Mapping[Name, ProbeCount] | None = None
    occurrences: tuple[Occurrence, ...] = ()
    episodes: tuple[EpisodeAccount, ...] = ()
    all_episodes: tuple[CostEpisode, ...] = ()


async def account_of_line(store: Store, known: ObjectiveSet, asked: Asked) -> LineAccount:
    """The account of the one line that `asked` names. Raises StoreError, and ValueError for a window that is none."""
    (line,) = (await make_scorecard(store, known, asked)).lines
    if not isinstance(line.score, Score) or line.span is None:
        return LineAccount(line)
    reader = Reader(store, asked, await maintenance_of(store, known))
    pieces = await reader.pieces(known.objectives[line.name], line.span)
    probes: dict[Name, ProbeCount] = {}
    if isinstance(line.score.detail, SliceDetail):
        episodes = _slice_episodes(line.score.detail)
        for piece in pieces:
            await _count_minutes(reader, piece, probes)
    else:
        episodes = await _count_events(reader, pieces, probes)
    await _count_unfit(reader, line.span, probes)
    looked_into = [await account_of_episode(reader, pieces, episode) for episode in costliest(episodes, MOST_EPISODES)]
    occurrences = [one for piece in pieces for one in reader.exclusions(piece.objective, piece.span).occurrences]
    return LineAccount(
        line,
        pieces,
        {name: probes[name] for name in sorted(probes)},
        tuple(dict.fromkeys(occurrences)),
        tuple(looked_into),
        episodes,
    )


def _slice_episodes(detail: SliceDetail) -> tuple[CostEpisode, ...]:
    """The bad minutes of all pieces; each costs one."""
    first = detail.pieces[0][0].from_minute
    good = sum(slices.good << (span.from_minute - first) for span, slices in detail.pieces)
    return episodes_of(dict.fromkeys(detail.bad_minutes, 1), good, first)


async def _count_minutes(reader: Reader, piece: Piece, probes: dict[Name, ProbeCount]) -> None:
    """Add what each probe voted in a piece, where its region was not under maintenance."""
    span, regions = piece.span, reader.regions_of(piece.objective)
    measured = await reader.measured(piece.objective.check, span)
    left_out = reader.exclusions(piece.objective, span).by_region
    now_minute = Frame(
        span, reader.asked.now, regions, settle_minutes=reader.settle_minutes(piece.objective)
    ).now_minute
    over = between(0, min(now_minute, span.until_minute) - span.from_minute)
    for track in measured.tracks:
        if track.region in regions:
            count = probes.setdefault((track.region, track.probe), ProbeCount())
            _add_votes(count, track, over & ~left_out.get(track.region, 0) & ones(span.minutes))


def _add_votes(count: ProbeCount, track: Track, counted: int) -> None:
    said = track.good | track.bad | track.mute
    count.good += (track.good & counted).bit_count()
    count.bad += (track.bad & counted).bit_count()
    count.mute += (track.mute & counted).bit_count()
    count.silent += (counted & ~said).bit_count()


async def _count_events(
    reader: Reader, pieces: tuple[Piece, ...], probes: dict[Name, ProbeCount]
) -> tuple[CostEpisode, ...]:
    """Add each probe's events, and find the episodes: a minute costs as many events as were bad in it."""
    costs: Counter[int] = Counter()
    good, first = 0, pieces[0].span.from_minute
    for piece in pieces:
        left_out = reader.exclusions(piece.objective, piece.span).by_region
        found = await reader.cells(piece.objective.check, piece.span)
        good_here: set[int] = set()
        for (region, probe), of_probe in found.items():
            if region not in reader.regions_of(piece.objective):
                continue
            bits = left_out.get(region, 0)
            counted = {at: cell for at, cell in of_probe.items() if not bits >> (at - piece.span.from_minute) & 1}
            _add_events(probes.setdefault((region, probe), ProbeCount()), sum(counted.values(), Cell()))
            costs.update({at: cell.bad for at, cell in counted.items() if cell.bad})
            good_here.update(at for at, cell in counted.items() if cell.good)
        good |= _bits_of(good_here - costs.keys(), first)
    return episodes_of(costs, good, first)


def _add_events(count: ProbeCount, cell: Cell) -> None:
    count.good += cell.good
    count.bad += cell.bad
    count.mute += cell.inconclusive


def _bits_of(minutes: set[int], first: int) -> int:
    """The minutes as a bitmap that begins at `first`."""
    if not minutes:
        return 0
    row = bytearray(b"0") * (max(minutes) - first + 1)
    for minute in minutes:
        row[-1 - (minute - first)] = ord("1")
    return int(row, 2)


async def _count_unfit(reader: Reader, span: Span, probes: dict[Name, ProbeCount]) -> None:
    """How many minutes each of these probes' hosts was unfit in."""
    for unfit in await reader.store.unfit_minutes(span.from_at, span.until_at):
        address = unfit.address
        if address.fleet == reader.asked.fleet and (address.region, address.probe) in probes:
            probes[address.region, address.probe].unfit += span.from_minute <= minute_of(unfit.minute_at)
