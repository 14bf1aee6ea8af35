"""A file of step events as columns of numbers, one row group at a time, checked for all that scoring takes for granted.

Refuses, by row group and rule, whatever it could read wrongly: another form, words that are no outcome, runs that are cut in
two, minutes out of order. Needs the extra `export` (pyarrow and numpy). Called by `collector.column_scoring`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from collector.archive import arrow_modules
from collector.step_export import FORM, FORM_KEY
from collector.step_rows import OPTIONAL, WORDS
from probes.errors import OperatorError
from probes.ledger_entries import SlotReason
from probes.records import Outcome

__all__ = ["NOTHING_NS", "Bits", "Numbers", "Steps", "read_steps"]

Bits: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[Any]
NOTHING_NS: Final = -(1 << 63)
"""Stands for null in a column of times: no file holds it, and it is below every limit."""
READ: Final = (
    *("minute", "fleet", "region", "probe", "scenario", "target", "attempt", "run_outcome", "step", "name", "outcome"),
    *("cleanup", "started_ns", "duration_ns", "answer_ns", "good_requests", "bad_requests"),
    *("pages", "thrown_pages", "ready_ns", "part", "part_bytes"),
)
CONCLUSIVE: Final = frozenset({Outcome.PASS.value, Outcome.FAIL.value})
SILENT: Final = frozenset({Outcome.INCONCLUSIVE.value, *(reason.value for reason in SlotReason)})
FEW: Final = 65_536


@dataclass(frozen=True)
class Steps:
    """The rows of whole runs as arrays of one length, in the order of the file. Not slotted: some columns are made on demand.

    `minutes` are the different minutes, rising, and `places` the different (fleet, region, probe, target); `cell` numbers both
    together: minute by minute the places. `run` numbers the runs from 0. `shape` is the number of the row's (scenario, step name)
    in `shapes`; -1 for a row that no line looks at: a repetition, a run that says nothing, a clean-up, no step.
    """

    table: Any
    minutes: Numbers
    places: Sequence[tuple[str, ...]]
    shapes: Sequence[tuple[str, ...]]
    cell: Numbers
    run: Numbers
    shape: Numbers
    silent_shape: Numbers
    passed: Bits
    conclusive: Bits
    _known: dict[str, Numbers] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """How many different cells there are."""
        return len(self.minutes) * len(self.places)

    @cached_property
    def end_ns(self) -> Numbers:
        """When each step ended, since its run began."""
        ends: Numbers = self.numbers("started_ns") + self.numbers("duration_ns")
        return ends

    @cached_property
    def part(self) -> tuple[Numbers, int]:
        """The number of each row's part, and how many there are."""
        codes, words = _words_of(self.table, "part")
        return codes, len(words)

    def numbers(self, name: str) -> Numbers:
        """A column of numbers; NOTHING_NS where there is null."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = _numbers_of(self.table, name)
        return found


def read_steps(path: Path) -> Iterator[Steps]:
    """The row groups of a file. Raises OperatorError for a file that cannot be read or is no file of step events."""
    arrow, parquet = arrow_modules()
    last_minute = -(1 << 31)
    try:
        if (parquet.read_schema(path).metadata or {}).get(FORM_KEY) != FORM:
            raise _refusal(path, "it says of itself no form of step events that this program knows")
        with parquet.ParquetFile(path, read_dictionary=list(WORDS), pre_buffer=False) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=list(READ), use_threads=False).combine_chunks()
                if table.num_rows:
                    where = f"{path}: row group {number}"
                    steps = _steps_of(table.unify_dictionaries(), where, last_minute)
                    last_minute = int(steps.minutes[-1])
                    yield steps
    except (OSError, arrow.ArrowException, KeyError) as error:
        raise _refusal(path, str(error)) from error


def _steps_of(table: Any, where: str, last_minute: int) -> Steps:  # noqa: ANN401 - pyarrow ships no types
    step = _numbers_of(table, "step")
    starts: Bits = step <= 0
    if not starts[0] or bool(np.any((np.diff(step) != 1) & ~starts[1:])):
        raise _refusal(where, "the steps of a run do not stand together in their order")
    minute = _numbers_of(table, "minute")
    later = np.diff(minute)
    if minute[0] < last_minute or bool(np.any(later < 0)):
        raise _refusal(where, "the rows are not in the order of their minutes")
    moves: Bits = later > 0
    at_minute = _counted_up(moves)
    places, place = _combined(table, ("fleet", "region", "probe", "target"))
    shapes, shape = _combined(table, ("scenario", "name"))
    outcome, outcomes = _words_of(table, "outcome")
    _check_words(where, set(outcomes), {*CONCLUSIVE, Outcome.INCONCLUSIVE.value, ""})
    is_silent = _silence_of(table, where)
    first_try: Bits = _numbers_of(table, "attempt") == 0
    counts = first_try & ~is_silent & ~_flags_of(table, "cleanup") & (step >= 0)
    return Steps(
        table=table,
        minutes=minute[np.concatenate(([True], moves))],
        places=places,
        shapes=shapes,
        cell=at_minute * len(places) + place,
        run=_counted_up(starts[1:]),
        shape=np.where(counts, shape, -1),
        silent_shape=np.where(starts & first_try & is_silent, shape, -1),
        passed=_is_word(outcome, outcomes, {Outcome.PASS.value}),
        conclusive=_is_word(outcome, outcomes, CONCLUSIVE),
    )


def _silence_of(table: Any, where: str) -> Bits:  # noqa: ANN401 - pyarrow ships no types
    """Which rows are of runs and slots that say nothing."""
    codes, words = _words_of(table, "run_outcome")
    _check_words(where, set(words), CONCLUSIVE | SILENT)
    return _is_word(codes, words, SILENT)


def _check_words(where: str, found: set[str], known: frozenset[str] | set[str]) -> None:
    if strange := sorted(found - known):
        raise _refusal(where, f"{strange[0]!r} is no outcome that this program knows")


def _is_word(codes: Numbers, words: Sequence[str], wanted: frozenset[str] | set[str]) -> Bits:
    """Which rows have one of these words."""
    table: Bits = np.array([word in wanted for word in words], dtype=np.bool_)
    return table[codes]


def _counted_up(changes: Bits) -> Numbers:
    """The number of each row's group: one more at each change; the first row is in group 0."""
    groups = np.zeros(len(changes) + 1, dtype=np.intp)
    np.cumsum(changes, out=groups[1:])
    return groups


def _combined(table: Any, names: Sequence[str]) -> tuple[list[tuple[str, ...]], Numbers]:  # noqa: ANN401 - the same
    """Several columns of words as one: the combinations that occur, and the number of each row's."""
    columns = [_words_of(table, name) for name in names]
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for of_column, words in columns:
        codes = codes * len(words) + of_column
    sizes = [len(words) for _, words in columns]
    total = int(np.prod(sizes, dtype=object))
    if total >= 1 << 62:  # only a file that was made to do this has so many
        raise _refusal(", ".join(names), "there are more combinations of words than can be counted")
    if total <= FEW:
        present = np.flatnonzero(np.bincount(codes, minlength=total))
        number_of = np.zeros(total, dtype=np.intp)
        number_of[present] = np.arange(len(present), dtype=np.intp)
        numbers = number_of[codes]
    else:
        present, inverse = np.unique(codes, return_inverse=True)
        numbers = inverse.astype(np.intp)
    found = [_decomposed(int(code), [words for _, words in columns]) for code in present]
    return found, numbers


def _decomposed(code: int, columns: Sequence[Sequence[str]]) -> tuple[str, ...]:
    words = []
    for of_column in reversed(columns):
        code, at = divmod(code, len(of_column))
        words.append(of_column[at])
    return tuple(reversed(words))


def _column(table: Any, name: str) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """The one chunk of a column."""
    return table.column(name).combine_chunks()


def _words_of(table: Any, name: str) -> tuple[Numbers, list[str]]:  # noqa: ANN401 - pyarrow ships no types
    """A column of words as codes, and the word of each."""
    column = _column(table, name)
    if column.null_count:
        raise _refusal(name, "a word is missing")
    return column.indices.to_numpy(zero_copy_only=False), column.dictionary.to_pylist()


def _numbers_of(table: Any, name: str) -> Numbers:  # noqa: ANN401 - pyarrow ships no types
    column = _column(table, name)
    if column.null_count:
        if name not in OPTIONAL:
            raise _refusal(name, "a number is missing")
        column = column.fill_null(NOTHING_NS)
    numbers: Numbers = column.to_numpy(zero_copy_only=False)
    return numbers


def _flags_of(table: Any, name: str) -> Bits:  # noqa: ANN401 - pyarrow ships no types
    flags: Bits = _column(table, name).to_numpy(zero_copy_only=False)
    return flags


def _refusal(where: object, why: str) -> OperatorError:
    remedy = "Score files that `export FILE.steps.parquet` has written, with the program that wrote them"
    return OperatorError(f"this file of step events cannot be scored: {why}", where=str(where), remedy=remedy)
