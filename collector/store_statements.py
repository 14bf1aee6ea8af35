"""The statements of the collector's transactions, described once for both databases.

They are constants, so that each is compiled once per dialect. Called by `collector.store_commit` and its parts, and by
`collector.store`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from collector.store_tables import (
    batches,
    epochs,
    gaps,
    losses,
    quarantine,
    schedules,
    senders,
    series,
    unfit_minutes,
    words,
)

__all__ = [
    "BATCH",
    "CLOSE_GAPS",
    "COUNT",
    "GAPS",
    "HIGHEST",
    "KEPT",
    "NEW_LOSS",
    "NEW_QUARANTINE",
    "NEW_SENDER",
    "NEW_SERIES",
    "NEW_WORD",
    "SENDER",
    "SERIES",
    "SERIES_OF_SENDER",
    "SET_DEBT",
    "SET_EPOCH",
    "SET_MINUTE",
    "SET_STATUS",
    "WORD",
]


def new_row(table: Table, **values: str) -> Insert:
    """An insert of one row: the column of each name takes the value that is given under the other name."""
    return insert(table).values({name: bindparam(value) for name, value in values.items()})


def new_or_known(table: Table, **values: str) -> Insert:
    """The same, and nothing happens when the key exists already."""
    return new_row(table, **values).on_conflict_do_nothing()


def new_or_replaced(table: Table, keys: Sequence[str], **values: str) -> Insert:
    """The same, and the later word replaces the earlier one under these keys."""
    row = new_row(table, **values)
    return row.on_conflict_do_update(
        index_elements=keys, set_={name: row.excluded[name] for name in values if name not in keys}
    )


def where(table: Table, **values: str) -> list[ColumnElement[bool]]:
    """The conditions that each column equals the value of the other name."""
    return [table.c[name] == bindparam(value) for name, value in values.items()]


# Written in PostgreSQL's words, which SQLite's compiler speaks too.
NEW_SENDER = new_or_known(senders, fleet="fleet", region="region", probe="probe", first_seen_us="now_us")
SENDER = select(senders.c.sender_id).where(*where(senders, fleet="fleet", region="region", probe="probe"))
NEW_SERIES = new_or_known(series, sender_id="sender", scenario="name")
SERIES = select(series.c.series_id).where(*where(series, sender_id="sender", scenario="name"))
SERIES_OF_SENDER = select(func.count()).select_from(series).where(*where(series, sender_id="sender"))
NEW_WORD = new_or_known(words, word="text")
WORD = select(words.c.word_id).where(*where(words, word="text"))
HIGHEST = select(epochs.c.highest_seq).where(*where(epochs, sender_id="sender", epoch="life"))
GAPS = select(gaps.c.first_seq, gaps.c.last_seq).where(*where(gaps, sender_id="sender", epoch="life"))
CLOSE_GAPS = delete(gaps).where(*where(gaps, sender_id="sender", epoch="life"))
SET_EPOCH = new_or_replaced(
    epochs,
    ["sender_id", "epoch"],
    sender_id="sender",
    epoch="life",
    highest_seq="highest",
    last_seen_us="now_us",
)
COUNT = (
    update(senders)
    .where(*where(senders, sender_id="sender"))
    .values(
        last_seen_us=case(
            (senders.c.last_seen_us > bindparam("now_us"), senders.c.last_seen_us), else_=bindparam("now_us")
        ),
        epoch=case((senders.c.epoch > bindparam("life"), senders.c.epoch), else_=bindparam("life")),
        entries=senders.c.entries + bindparam("new"),
        duplicates=senders.c.duplicates + bindparam("again"),
        conflicts=senders.c.conflicts + bindparam("contrary"),
        quarantined=senders.c.quarantined + bindparam("bad"),
    )
)
SET_DEBT = new_or_replaced(
    schedules,
    ["series_id", "from_us"],
    series_id="series",
    from_us="since",
    until_us="until",
    interval_ms="interval",
    phase_ms="phase",
    tolerance_ms="tolerance",
    timeout_ms="timeout",
)
SET_MINUTE = new_or_replaced(
    unfit_minutes, ["minute_ms", "sender_id"], minute_ms="minute", sender_id="sender", reasons="why"
)
_LOSS = new_row(
    losses,
    sender_id="sender",
    epoch="life",
    first_seq="first",
    last_seq="last",
    entries="count",
    reason="why",
    received_us="now_us",
)
# A loss that was lost itself is told again as part of a wider one.
NEW_LOSS = _LOSS.on_conflict_do_update(
    index_elements=["sender_id", "epoch", "first_seq"],
    set_={name: _LOSS.excluded[name] for name in ("last_seq", "entries", "reason", "received_us")},
    where=losses.c.last_seq < _LOSS.excluded.last_seq,
)
KEPT = select(func.count()).select_from(quarantine).where(*where(quarantine, sender_id="sender"))
NEW_QUARANTINE = new_row(
    quarantine,
    received_us="now_us",
    sender_id="sender",
    epoch="life",
    seq="number",
    topic="came_on",
    kind="sort",
    reason="why",
    body="content",
).inline()
BATCH = select(batches.c.form, batches.c.body).where(*where(batches, batch_no="number"))
SET_STATUS = (
    update(senders)
    .where(*where(senders, sender_id="sender"), senders.c.status_us <= bindparam("now_us"))
    .values(status_us=bindparam("now_us"), status=bindparam("content"))
)
