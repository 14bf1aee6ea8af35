"""Cells in the database: added to inside the transaction that stores a slot, and read back as tracks of a span.

Two tables say the same in two grains: `cells` the exact counts of each minute, `cell_days` sums and votes by day, so that a month
of a fleet is read as a few hundred rows. Both change together, under the lock of the cells' probe. A probe's unfit minutes are
applied when cells are read: the word about a minute may come after its runs.

Called by `collector.store_commit` for what arrives, by `collector.store_rescore`, and by `collector.store_scores` to read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, ColumnElement, Select, and_, bindparam, func, select

from collector.store_session import Row, Session
from collector.store_tables import cell_days, cells, senders, unfit_minutes
from slo.cells import Cell, Measured, Track
from slo.window import MINUTES_PER_DAY, Span

__all__ = [
    "CellKey",
    "Place",
    "add_cells",
    "add_counts",
    "fetch_cells",
    "fetch_events",
    "fetch_measured",
]

CellKey = tuple[int, int, int, int]
"""Check, target, probe, minute."""
DayKey = tuple[int, int, int, int]
Events = tuple[int, int]
"""Good and bad."""
DAY_BYTES: Final = MINUTES_PER_DAY // 8
NO_BITS: Final = bytes(DAY_BYTES)
NO_TARGET: Final = 0
MS_PER_MINUTE: Final = 60_000
KEYS_AT_ONCE: Final = 4_000
NAMED_AT_ONCE: Final = 1_000
SUMS: Final = ("good", "bad", "inconclusive", "runs")
BITS: Final = ("good_bits", "bad_bits", "mute_bits")
DAY_KEY: Final = ("check_id", "target", "sender_id", "day")
TOO_MANY: Final = tuple(range(NAMED_AT_ONCE + 1))


@dataclass(frozen=True, slots=True)
class Place:
    """Which cells: of these checks (numbers), of one target, of the probes of one fleet."""

    check_ids: tuple[int, ...]
    target: int
    fleet: str

    def of(self, table: Any) -> ColumnElement[bool]:  # noqa: ANN401 - two tables with the same columns
        """The condition on either table; a slot without a run names no target and counts for each."""
        return and_(
            table.c.check_id.in_(self.check_ids),
            table.c.target.in_((NO_TARGET, self.target)),
            senders.c.fleet == self.fleet,
        )

    def of_probes(self, table: Any, probes: Collection[int]) -> ColumnElement[bool]:  # noqa: ANN401 - the same
        """The same by the numbers of the fleet's probes, without a look at `senders`."""
        return and_(
            table.c.check_id.in_(self.check_ids),
            table.c.target.in_((NO_TARGET, self.target)),
            table.c.sender_id.in_(sorted(probes)),
        )


async def add_cells(session: Session, additions: Mapping[CellKey, Cell]) -> None:
    """Add these counts to both tables; the lock of every probe among them must be held. Counts may be negative."""
    await add_counts(session, {key: counts_of(cell) for key, cell in additions.items()})


async def add_counts(session: Session, additions: Mapping[CellKey, Sequence[int]]) -> None:
    """The same for counts in the order of a cell's columns."""
    keys = sorted(additions)
    for start in range(0, len(keys), KEYS_AT_ONCE):
        rows = [(*key, *additions[key]) for key in keys[start : start + KEYS_AT_ONCE]]
        await _update_days(session, rows, await session.add_up(cells, rows))


async def _update_days(session: Session, added: Sequence[tuple[int, ...]], now: Sequence[tuple[Any, ...]]) -> None:
    """The days of cells that have changed: sums by what was added, votes by what the cells are now."""
    sums: dict[DayKey, list[int]] = {}
    for check_id, target, sender_id, minute, good, bad, inconclusive, runs in added:
        key = (check_id, target, sender_id, minute // MINUTES_PER_DAY)
        of_day = sums.get(key)
        if of_day is None:
            sums[key] = [good, bad, inconclusive, runs]
        else:
            of_day[0] += good
            of_day[1] += bad
            of_day[2] += inconclusive
            of_day[3] += runs
    votes = {key: [bytearray(DAY_BYTES) for _ in BITS] for key in sums}
    for stored in await session.rows_at(cell_days, list(sums)):
        key = (stored[0], stored[1], stored[2], stored[3])
        sums[key] = [more + held for more, held in zip(sums[key], stored[4:8], strict=True)]
        votes[key] = [bytearray(part) for part in stored[8:]]
    for check_id, target, sender_id, minute, good, bad, inconclusive, _ in now:
        day, of_day_minute = divmod(minute, MINUTES_PER_DAY)
        place, bit = of_day_minute >> 3, 1 << (of_day_minute & 7)
        rows = votes[check_id, target, sender_id, day]
        for row in rows:
            row[place] &= ~bit
        # The vote of `slo.cells`: more bad events than good ones are bad, and a minute without events is mute if it had a slot.
        if good + bad:
            rows[1 if bad > good else 0][place] |= bit
        elif inconclusive:
            rows[2][place] |= bit
    await session.put(cell_days, [(*key, *sums[key], *map(bytes, votes[key])) for key in sorted(sums)])


def counts_of(cell: Cell) -> tuple[int, int, int, int]:
    """The columns of a cell."""
    return cell.good, cell.bad, cell.inconclusive, cell.runs


async def fetch_measured(session: Session, place: Place, span: Span) -> dict[int, Measured]:
    """The tracks of each check in a span, by the check's number; what an unfit host found says nothing."""
    names = {row[0]: row[1:] for row in await session.fetch(PROBES_OF_FLEET, fleet=place.fleet)}
    drafts = await _days(session, place, span, names)
    await _take_borders(session, place, span, drafts, names)
    muted = await _muted_cells(session, place, span)
    for (check_id, sender_id, minute), cell in muted.items():
        drafts[check_id, sender_id].mute_minute(minute, cell)
    tracks: dict[int, list[Track]] = {check_id: [] for check_id in place.check_ids}
    for (check_id, sender_id), draft in sorted(drafts.items()):
        region, probe = names[sender_id]
        tracks[check_id].append(draft.track(region, probe))
    return {check_id: Measured(span, tuple(of_check)) for check_id, of_check in tracks.items()}


class _Draft:
    """A track while rows are added to it."""

    def __init__(self, span: Span) -> None:
        self._from_minute = span.from_minute
        self._totals = [0, 0, 0, 0]
        self._bits = [0, 0, 0]

    def add_bits(self, bits: Sequence[int]) -> None:
        """Votes of the span's minutes, beside those of another target: of slots that named none."""
        self._bits = [held | more for held, more in zip(self._bits, bits, strict=True)]

    def add_totals(self, counts: Sequence[int]) -> None:
        """Counts that lie in the span."""
        for at, count in enumerate(counts):
            self._totals[at] += count

    def mute_minute(self, minute: int, cell: Cell) -> None:
        """Take back what a minute said, for its host was not fit."""
        bit = 1 << (minute - self._from_minute)
        muted = zip(counts_of(cell.muted), counts_of(cell), strict=True)
        self.add_totals([left - was for left, was in muted])
        for place in range(3):
            self._bits[place] &= ~bit
        self._bits[2] |= bit if cell.muted.inconclusive else 0

    def track(self, region: str, probe: str) -> Track:
        """The whole; a minute that any slot spoke in is not mute."""
        good, bad, mute = self._bits
        return Track(region, probe, Cell(*self._totals), good & ~bad, bad, mute & ~(good | bad))


PROBES_OF_FLEET: Final = select(senders.c.sender_id, senders.c.region, senders.c.probe).where(
    senders.c.fleet == bindparam("fleet")
)
UNFIT: Final = (
    select(unfit_minutes.c.sender_id, unfit_minutes.c.minute_ms)
    .select_from(unfit_minutes.join(senders, senders.c.sender_id == unfit_minutes.c.sender_id))
    .where(
        senders.c.fleet == bindparam("fleet"),
        unfit_minutes.c.minute_ms >= bindparam("from_ms"),
        unfit_minutes.c.minute_ms < bindparam("until_ms"),
    )
)


@lru_cache(maxsize=64)
def _days_query(place: Place, probes: tuple[int, ...]) -> Select[Any]:
    """The days of a place between two days. One object for each place, so that it is compiled once."""
    # Beside lists that become as many values the compiler wants each value: these are only places, and given with every call.
    first: BindParameter[int] = bindparam("first", 0)
    last: BindParameter[int] = bindparam("last", 0)
    columns = [cell_days.c[name] for name in (*DAY_KEY, *BITS, *SUMS)]
    query = select(*columns).where(cell_days.c.day.between(first, last))
    if len(probes) <= NAMED_AT_ONCE:  # then the key alone finds the rows
        return query.where(place.of_probes(cell_days, probes))
    query = query.select_from(cell_days.join(senders, senders.c.sender_id == cell_days.c.sender_id))
    return query.where(place.of(cell_days))


async def _days(session: Session, place: Place, span: Span, probes: Collection[int]) -> dict[tuple[int, int], _Draft]:
    """Votes of all days that the span touches, sums of those that lie in it whole; by check and probe."""
    first, last = span.from_minute // MINUTES_PER_DAY, (span.until_minute - 1) // MINUTES_PER_DAY
    query = _days_query(place, tuple(sorted(probes)) if len(probes) <= NAMED_AT_ONCE else TOO_MANY)
    series: dict[Row, list[Row]] = defaultdict(list)
    for row in await session.fetch(query, first=first, last=last):
        series[row[:3]].append(row)
    drafts: dict[tuple[int, int], _Draft] = defaultdict(lambda: _Draft(span))
    for (check_id, _, sender_id), rows in series.items():
        _add_days(drafts[check_id, sender_id], rows, span)
    return drafts


def _add_days(draft: _Draft, rows: list[Row], span: Span) -> None:
    """Days of one check, target and probe, all columns at once: a step for each of some thousand days is what costs time."""
    rows.sort(key=itemgetter(3))
    columns = list(zip(*rows, strict=True))
    days: tuple[int, ...] = columns[3]
    if days[-1] - days[0] + 1 == len(days):
        votes = [b"".join(column) for column in columns[4:7]]
    else:
        by_day = [dict(zip(days, column, strict=True)) for column in columns[4:7]]
        every = range(days[0], days[-1] + 1)
        votes = [b"".join([of_day.get(day, NO_BITS) for day in every]) for of_day in by_day]
    late = days[0] * MINUTES_PER_DAY - span.from_minute
    mask = (1 << span.minutes) - 1
    bits = (int.from_bytes(row, "little") for row in votes)
    draft.add_bits([(row << late if late >= 0 else row >> -late) & mask for row in bits])
    starts = bisect_left(days, -(-span.from_minute // MINUTES_PER_DAY))
    ends = bisect_left(days, span.until_minute // MINUTES_PER_DAY)
    draft.add_totals([sum(column[starts:ends]) for column in columns[7:]])


@lru_cache(maxsize=64)
def _sums_query(place: Place, probes: tuple[int, ...]) -> Select[Any]:
    """The sums of each check and probe from one minute on to another. All of a key is named: else a whole past is walked."""
    first, after = _minutes()
    columns = (cells.c.check_id, cells.c.sender_id)
    query = select(*columns, *(func.sum(cells.c[name]) for name in SUMS))
    query = query.where(place.of_probes(cells, probes), cells.c.minute >= first, cells.c.minute < after)
    return query.group_by(*columns)


async def _take_borders(
    session: Session, place: Place, span: Span, drafts: dict[tuple[int, int], _Draft], probes: Collection[int]
) -> None:
    """Sums of the days that lie in the span in part."""
    numbers = sorted(probes)
    for first, after in border_ranges(span):
        for start in range(0, len(numbers), NAMED_AT_ONCE):
            query = _sums_query(place, tuple(numbers[start : start + NAMED_AT_ONCE]))
            for check_id, sender_id, *sums in await session.fetch(query, first=first, after=after):
                drafts[check_id, sender_id].add_totals([int(count) for count in sums])


@lru_cache(maxsize=64)
def _events_query(place: Place, probes: tuple[int, ...]) -> Select[Any]:
    """The events of all these probes by minute."""
    first, after = _minutes()
    query = select(cells.c.minute, func.sum(cells.c.good), func.sum(cells.c.bad))
    query = query.where(place.of_probes(cells, probes), cells.c.minute >= first, cells.c.minute < after)
    return query.group_by(cells.c.minute)


def _minutes() -> tuple[BindParameter[int], BindParameter[int]]:
    return bindparam("first", 0, BigInteger), bindparam("after", 0, BigInteger)


async def fetch_events(session: Session, place: Place, span: Span, regions: Collection[str]) -> dict[int, Events]:
    """Good and bad events of one check in some regions by minute, where there was any; unfit hosts found none."""
    names = {row[0]: row[1] for row in await session.fetch(PROBES_OF_FLEET, fleet=place.fleet)}
    numbers = sorted(sender_id for sender_id, region in names.items() if region in regions)
    sums: dict[int, list[int]] = {}
    for start in range(0, len(numbers), NAMED_AT_ONCE):
        query = _events_query(place, tuple(numbers[start : start + NAMED_AT_ONCE]))
        for minute, good, bad in await session.fetch(query, first=span.from_minute, after=span.until_minute):
            held = sums.setdefault(minute, [0, 0])
            held[0] += int(good)
            held[1] += int(bad)
    for (_, sender_id, minute), cell in (await _muted_cells(session, place, span)).items():
        if names[sender_id] in regions:
            sums[minute][0] -= cell.good
            sums[minute][1] -= cell.bad
    return {minute: (good, bad) for minute, (good, bad) in sums.items() if good or bad}


def border_ranges(span: Span) -> list[tuple[int, int]]:
    """The parts of a span that are no whole days: none, one or two half-open ranges of minutes."""
    first_whole = -(-span.from_minute // MINUTES_PER_DAY) * MINUTES_PER_DAY
    last_whole = span.until_minute // MINUTES_PER_DAY * MINUTES_PER_DAY
    if first_whole > last_whole:
        return [(span.from_minute, span.until_minute)]
    ranges = [(span.from_minute, first_whole), (last_whole, span.until_minute)]
    return [(first, after) for first, after in ranges if first < after]


async def _muted_cells(session: Session, place: Place, span: Span) -> dict[tuple[int, int, int], Cell]:
    """The cells of unfit minutes, by check, probe and minute; looked up one by one, for unfit minutes are few."""
    unfit = await session.fetch(
        UNFIT,
        fleet=place.fleet,
        from_ms=span.from_minute * MS_PER_MINUTE,
        until_ms=span.until_minute * MS_PER_MINUTE,
    )
    keys = [
        (check_id, target, sender_id, minute_ms // MS_PER_MINUTE)
        for check_id in place.check_ids
        for target in (NO_TARGET, place.target)
        for sender_id, minute_ms in unfit
    ]
    found: dict[tuple[int, int, int], Cell] = defaultdict(Cell)
    for check_id, _, sender_id, minute, *counts in await session.rows_at(cells, keys):
        found[check_id, sender_id, minute] += Cell(*counts)
    return found


async def fetch_cells(
    session: Session, place: Place, span: Span, *, only: Collection[int] = ()
) -> dict[tuple[str, str], dict[int, Cell]]:
    """The cells of one check by region and probe, then minute, as they count; `only` some minutes where it names any."""
    (check_id,) = place.check_ids
    muted = await _muted_cells(session, place, span)
    query = (
        select(
            senders.c.sender_id, senders.c.region, senders.c.probe, cells.c.minute, *(cells.c[name] for name in SUMS)
        )
        .select_from(cells.join(senders, senders.c.sender_id == cells.c.sender_id))
        .where(place.of(cells), cells.c.minute >= span.from_minute, cells.c.minute < span.until_minute)
    )
    if only:
        query = query.where(cells.c.minute.in_(sorted(only)))
    found: dict[tuple[str, str], dict[int, Cell]] = defaultdict(lambda: defaultdict(Cell))
    for sender_id, region, probe, minute, *counts in await session.fetch(query):
        cell = Cell(*counts)
        found[region, probe][minute] += cell.muted if (check_id, sender_id, minute) in muted else cell
    return {name: dict(of_probe) for name, of_probe in found.items()}
