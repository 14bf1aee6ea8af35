"""The collector's tables, described once for SQLite and PostgreSQL, and the codes that stand for words in them.

Keys are composite integers in the order of time: new rows go to the end of every table, old ones are deleted from its
beginning, and nothing is keyed by random text. What repeats (probes, scenarios, step names) is stored once and referred to by
number. Instants are integers, the unit is in the column's name; durations are nanoseconds.

Refuses to hold any rule: what may be stored is decided in `collector.store_intake`, when in `collector.store_commit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from probes.ledger_entries import SlotReason
from probes.records import FailureKind, Outcome

__all__ = [
    "COUNT_TABLES",
    "ENDED_AS_RUN",
    "FIRST_TABLES",
    "KIND_CODES",
    "NO_SENDER",
    "OUTCOME_CODES",
    "REASON_CODES",
    "SCORE_TABLES",
    "TABLES",
    "batches",
    "cell_days",
    "cells",
    "checks",
    "epochs",
    "gaps",
    "instant_of_ms",
    "instant_of_us",
    "line_counts",
    "losses",
    "maintenance",
    "microseconds_of",
    "observations",
    "quarantine",
    "render_tables",
    "revisions",
    "runs",
    "schedules",
    "senders",
    "series",
    "steps",
    "unfit_minutes",
    "words",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

# A code is never given to another word: databases outlive programs.
OUTCOME_CODES: Final = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 2}
KIND_CODES: Final = {
    FailureKind.DNS: 1,
    FailureKind.CONNECT: 2,
    FailureKind.TLS: 3,
    FailureKind.TIMEOUT: 4,
    FailureKind.STATUS: 5,
    FailureKind.RATE_LIMITED: 6,
    FailureKind.ASSERTION: 7,
    FailureKind.BROWSER: 8,
    FailureKind.ABORTED: 9,
    FailureKind.INTERNAL: 10,
}
"""0 stands for no failure."""
NO_SENDER: Final = 0
"""Stands in the quarantine for a delivery whose topic named nobody."""
ENDED_AS_RUN: Final = 0
REASON_CODES: Final = {SlotReason.MISSED: 1, SlotReason.MAINTENANCE: 2, SlotReason.ABORTED: 3}
"""How a slot ended; 0 is a run."""

metadata = MetaData()


# SQLite gives numbers by itself only to a column of exactly its own type INTEGER.
GIVEN = BigInteger().with_variant(Integer(), "sqlite")


def _given(name: str) -> Column[int]:
    """A key that the database counts up by itself."""
    return Column(name, GIVEN, Identity(), primary_key=True)


def _key(name: str, kind: type[BigInteger | Integer | SmallInteger] = BigInteger) -> Column[int]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _reference(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _small(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False, server_default="0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _table(name: str, *columns: Column[int] | Column[str] | Column[bytes] | Index, counted: bool = False) -> Table:
    return Table(name, metadata, *columns, sqlite_with_rowid=counted)


# A probe as the collector knows it: who, when last heard, what it said about itself, and what was wrong with what it sent.
senders = _table(
    "senders",
    _given("sender_id"),
    _text("fleet"),
    _text("region"),
    _text("probe"),
    _number("first_seen_us"),
    _number("last_seen_us"),
    _number("epoch"),
    _number("entries"),
    _number("duplicates"),
    _number("conflicts"),
    _number("quarantined"),
    _number("status_us"),
    _text("status"),
    Index("senders_name", "fleet", "region", "probe", unique=True),
    counted=True,
)

# One life of a probe's outbox: up to `highest_seq` everything has come, but for the gaps.
epochs = _table("epochs", _key("sender_id"), _key("epoch"), _number("highest_seq"), _number("last_seen_us"))
gaps = _table("gaps", _key("sender_id"), _key("epoch"), _key("first_seq"), _number("last_seq"))
losses = _table(
    "losses",
    _key("sender_id"),
    _key("epoch"),
    _key("first_seq"),
    _number("last_seq"),
    _number("entries"),
    _text("reason"),
    _number("received_us"),
)

# A scenario of a probe, and words that repeat: names of steps and targets, releases, parts. Word 0 means none was kept.
series = _table(
    "series",
    _given("series_id"),
    _number("sender_id"),
    _text("scenario"),
    Index("series_name", "sender_id", "scenario", unique=True),
    counted=True,
)
words = _table("words", _given("word_id"), _text("word"), Index("words_word", "word", unique=True), counted=True)

# Every slot that ended, in whatever way. `turn` is attempt * 1000 + the microseconds beyond `slot_ms`: 0 for nearly all, and
# a zero takes no room. `run_check` finds a run by its id without an index on it. `batch_no` and `line` lead to the record.
runs = _table(
    "runs",
    _key("slot_ms"),
    _key("series_id", Integer),
    _key("turn", Integer),
    _number("duration_ns"),
    _number("lag_us"),
    _number("batch_no"),
    _reference("failed_step"),
    _reference("target"),
    _reference("release"),
    _reference("run_check"),
    _small("line"),
    _small("ended"),
    _small("outcome"),
    _small("kind"),
)
steps = _table(
    "steps",
    _key("slot_ms"),
    _key("series_id", Integer),
    _key("turn", Integer),
    _key("step_no", SmallInteger),
    _small("outcome"),
    _reference("name"),
    _reference("part"),
    _number("duration_ns"),
    _small("kind"),
    _small("cleanup"),
)

# The entries as they came, one batch a row: the whole records, compressed together.
batches = _table(
    "batches",
    _given("batch_no"),
    _number("sender_id"),
    _number("received_us"),
    _number("newest_slot_ms"),
    _small("form"),
    Column("body", LargeBinary, nullable=False),
    Index("batches_newest", "newest_slot_ms"),
    Index("batches_form", "form", "batch_no"),
    counted=True,
)

# What a probe owes; `until_us` is 0 for a debt without an end.
schedules = _table(
    "schedules",
    _key("series_id", Integer),
    _key("from_us"),
    _number("until_us"),
    _number("interval_ms"),
    _number("phase_ms"),
    _number("tolerance_ms"),
    _number("timeout_ms"),
)
unfit_minutes = _table("unfit_minutes", _key("minute_ms"), _key("sender_id"), _text("reasons"))

# What could not be taken for what it claims to be. Sender 0: the topic named none.
quarantine = _table(
    "quarantine",
    _given("quarantine_id"),
    _number("received_us"),
    _number("sender_id"),
    _number("epoch"),
    _number("seq"),
    _text("topic"),
    _text("kind"),
    _text("reason"),
    Column("body", LargeBinary, nullable=False),
    Index("quarantine_sender", "sender_id"),
    counted=True,
)

# What is scored. `is_complete`: its cells hold every stored run; 0 while older ones have still to be scored.
checks = _table(
    "checks",
    _given("check_id"),
    _text("check_key"),
    _small("is_complete"),
    Index("checks_key", "check_key", unique=True),
    counted=True,
)

# What the slots of a minute said about a check: the exact counts that verdicts rest on. `minute` since the epoch, of the slot.
cells = _table(
    "cells",
    _key("check_id", Integer),
    _key("target", Integer),
    _key("sender_id", Integer),
    _key("minute"),
    _reference("good"),
    _reference("bad"),
    _reference("inconclusive"),
    _reference("runs"),
)

# The same by days: sums, and the vote of each minute as a bit of 180 bytes (little end first).
cell_days = _table(
    "cell_days",
    _key("check_id", Integer),
    _key("target", Integer),
    _key("sender_id", Integer),
    _key("day", Integer),
    _number("good"),
    _number("bad"),
    _number("inconclusive"),
    _number("runs"),
    Column("good_bits", LargeBinary, nullable=False),
    Column("bad_bits", LargeBinary, nullable=False),
    Column("mute_bits", LargeBinary, nullable=False),
)

# Facts that obligations read; `value_ns` is -1 where the step measured none.
observations = _table(
    "observations",
    _key("check_id", Integer),
    _key("slot_ms"),
    _key("series_id", Integer),
    _key("place", Integer),
    _reference("target"),
    _number("seen_us"),
    _number("value_ns"),
    _small("good"),
    _text("subject"),
    _text("run_id"),
)

# Agreed interruptions, and the scores of closed windows as they were reported: revision 1, then 2 if late results changed one.
maintenance = _table(
    "maintenance",
    _given("maintenance_id"),
    _text("name"),
    _text("document"),
    _number("recorded_us"),
    Index("maintenance_name", "name", unique=True),
    counted=True,
)
revisions = _table(
    "revisions",
    _given("revision_id"),
    _text("line"),
    _text("target"),
    _text("span"),
    _reference("revision"),
    _number("made_us"),
    _text("digest"),
    _text("document"),
    Index("revisions_of", "line", "target", "span", "revision", unique=True),
    counted=True,
)

# What exported counters have counted of a line before the minute `until_minute`: its cells may be deleted one day.
line_counts = _table(
    "line_counts",
    _given("count_id"),
    _text("fleet"),
    _text("target"),
    _text("line"),
    _number("until_minute"),
    _number("good"),
    _number("bad"),
    _number("unknown"),
    _number("excluded"),
    Index("line_counts_of", "fleet", "target", "line", unique=True),
    counted=True,
)

FIRST_TABLES: Final = (
    senders,
    epochs,
    gaps,
    losses,
    series,
    words,
    runs,
    steps,
    batches,
    schedules,
    unfit_minutes,
    quarantine,
)
SCORE_TABLES: Final = (checks, cells, cell_days, observations, maintenance, revisions)
COUNT_TABLES: Final = (line_counts,)
TABLES: Final = FIRST_TABLES + SCORE_TABLES + COUNT_TABLES


def render_tables(dialect: Dialect, tables: Sequence[Table]) -> list[str]:
    """The statements that make these tables and their indexes."""
    statements = [str(CreateTable(table).compile(dialect=dialect)).strip() for table in tables]
    indexes = [index for table in tables for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return statements + [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]


def microseconds_of(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - EPOCH) // MICROSECOND


def instant_of_us(microseconds: int) -> datetime:
    """The instant so many microseconds after the epoch."""
    return EPOCH + microseconds * MICROSECOND


def instant_of_ms(milliseconds: int) -> datetime:
    """The instant so many milliseconds after the epoch."""
    return EPOCH + milliseconds * 1000 * MICROSECOND
