"""The statements of the collector's transactions, described once for both databases.

They are constants, so that each is compiled once per dialect. Called by `collector.store_commit` alone.
"""

from __future__ import annotations

from sqlalchemy import bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

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
    "NEW_BATCH",
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

# Written in PostgreSQL's words, which SQLite's compiler speaks too.
NEW_SENDER = (
    insert(senders)
    .on_conflict_do_nothing()
    .values(
        fleet=bindparam("fleet"),
        region=bindparam("region"),
        probe=bindparam("probe"),
        first_seen_us=bindparam("now_us"),
    )
)
SENDER = select(senders.c.sender_id).where(
    senders.c.fleet == bindparam("fleet"),
    senders.c.region == bindparam("region"),
    senders.c.probe == bindparam("probe"),
)
NEW_SERIES = insert(series).on_conflict_do_nothing().values(sender_id=bindparam("sender"), scenario=bindparam("name"))
SERIES = select(series.c.series_id).where(
    series.c.sender_id == bindparam("sender"), series.c.scenario == bindparam("name")
)
SERIES_OF_SENDER = select(func.count()).select_from(series).where(series.c.sender_id == bindparam("sender"))
NEW_WORD = insert(words).on_conflict_do_nothing().values(word=bindparam("text"))
WORD = select(words.c.word_id).where(words.c.word == bindparam("text"))
HIGHEST = select(epochs.c.highest_seq).where(
    epochs.c.sender_id == bindparam("sender"), epochs.c.epoch == bindparam("life")
)
GAPS = select(gaps.c.first_seq, gaps.c.last_seq).where(
    gaps.c.sender_id == bindparam("sender"), gaps.c.epoch == bindparam("life")
)
CLOSE_GAPS = delete(gaps).where(gaps.c.sender_id == bindparam("sender"), gaps.c.epoch == bindparam("life"))
_EPOCH = insert(epochs).values(
    sender_id=bindparam("sender"),
    epoch=bindparam("life"),
    highest_seq=bindparam("highest"),
    last_seen_us=bindparam("now_us"),
)
SET_EPOCH = _EPOCH.on_conflict_do_update(
    index_elements=["sender_id", "epoch"],
    set_={"highest_seq": _EPOCH.excluded.highest_seq, "last_seen_us": _EPOCH.excluded.last_seen_us},
)
COUNT = (
    update(senders)
    .where(senders.c.sender_id == bindparam("sender"))
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
_DEBT = insert(schedules).values(
    series_id=bindparam("series"),
    from_us=bindparam("since"),
    until_us=bindparam("until"),
    interval_ms=bindparam("interval"),
    phase_ms=bindparam("phase"),
    tolerance_ms=bindparam("tolerance"),
    timeout_ms=bindparam("timeout"),
)
SET_DEBT = _DEBT.on_conflict_do_update(
    index_elements=["series_id", "from_us"],
    set_={name: _DEBT.excluded[name] for name in ("until_us", "interval_ms", "phase_ms", "tolerance_ms", "timeout_ms")},
)
_MINUTE = insert(unfit_minutes).values(
    minute_ms=bindparam("minute"), sender_id=bindparam("sender"), reasons=bindparam("why")
)
SET_MINUTE = _MINUTE.on_conflict_do_update(
    index_elements=["minute_ms", "sender_id"], set_={"reasons": _MINUTE.excluded.reasons}
)
NEW_LOSS = (
    insert(losses)
    .on_conflict_do_nothing()
    .values(
        sender_id=bindparam("sender"),
        epoch=bindparam("life"),
        first_seq=bindparam("first"),
        last_seq=bindparam("last"),
        entries=bindparam("count"),
        reason=bindparam("why"),
        received_us=bindparam("now_us"),
    )
)
KEPT = select(func.count()).select_from(quarantine).where(quarantine.c.sender_id == bindparam("sender"))
NEW_QUARANTINE = (
    insert(quarantine)
    .inline()
    .values(
        received_us=bindparam("now_us"),
        sender_id=bindparam("sender"),
        epoch=bindparam("life"),
        seq=bindparam("number"),
        topic=bindparam("came_on"),
        kind=bindparam("sort"),
        reason=bindparam("why"),
        body=bindparam("content"),
    )
)
NEW_BATCH = (
    insert(batches)
    .inline()
    .values(
        batch_no=bindparam("number"),
        sender_id=bindparam("sender"),
        received_us=bindparam("now_us"),
        newest_slot_ms=bindparam("newest"),
        form=bindparam("how"),
        body=bindparam("content"),
    )
)
BATCH = select(batches.c.form, batches.c.body).where(batches.c.batch_no == bindparam("number"))
SET_STATUS = (
    update(senders)
    .where(senders.c.sender_id == bindparam("sender"), senders.c.status_us <= bindparam("now_us"))
    .values(status_us=bindparam("now_us"), status=bindparam("content"))
)
