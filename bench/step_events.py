"""A month of step events that nobody measured, straight into Parquet: arrays all the way, a hundred million rows in minutes.

Twelve regions run the journeys of `collector.simulation_journeys` at a fixed rate, each minute the same runs, with log-normal
times, failures now and then, two outages and some silence, drawn from a seed. Called by `bench.scoring`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types

from collector.columns import Numbers
from collector.simulation_journeys import JOURNEYS
from collector.step_export import COMPRESSION, FORM, FORM_KEY, SMALL_NUMBERS
from collector.step_rows import COLUMNS, WORDS

FLEET: Final = "bench"
TARGET: Final = "bench"
PROBE: Final = "probe-1"
REGIONS: Final = tuple(f"region-{number:02}" for number in range(12))
RUNS_A_MINUTE: Final[Mapping[str, int]] = {
    "api-health": 24,
    "web-health": 20,
    "widget-load": 24,
    "sign-in": 5,
    "quote": 5,
    "cad-small": 2,
    "cad-large": 2,
    "payment": 2,
}
"""Of each region: about what 24 probes would do together, and 2,316 steps a minute for all regions."""
MINUTES_AT_ONCE: Final = 56
MS: Final = 1_000_000
FAILS: Final = 0.0005
SAYS_NOTHING: Final = 0.002
OUTAGES: Final = ((9_000, 9_040), (30_100, 30_112))
OUTCOMES: Final = ("pass", "fail", "inconclusive")
NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Template:
    """The rows of one minute without what is random. `starts` marks the first row of each run."""

    words: Mapping[str, tuple[Sequence[str], Numbers]]
    step: Numbers
    starts: Numbers
    requests: Numbers
    is_page: Numbers
    part_bytes: Numbers
    median_ns: Numbers


def template() -> Template:
    """A minute of all regions."""
    rows = [
        (region, scenario, at, step)
        for region in range(len(REGIONS))
        for scenario, count in RUNS_A_MINUTE.items()
        for _ in range(count)
        for at, step in enumerate(JOURNEYS[scenario])
    ]
    scenarios = list(RUNS_A_MINUTE)
    names = sorted({step.name for _, _, _, step in rows})
    parts = sorted({step.part for _, _, _, step in rows})
    words = {
        "region": (REGIONS, _array([region for region, *_ in rows])),
        "scenario": (scenarios, _array([scenarios.index(scenario) for _, scenario, _, _ in rows])),
        "name": (names, _array([names.index(step.name) for *_, step in rows])),
        "part": (parts, _array([parts.index(step.part) for *_, step in rows])),
    }
    return Template(
        words,
        step=_array([at for _, _, at, _ in rows]),
        starts=_array([at == 0 for _, _, at, _ in rows]).astype(np.bool_),
        requests=_array([step.requests for *_, step in rows]),
        is_page=_array([step.is_page for *_, step in rows]).astype(np.bool_),
        part_bytes=_array([step.part_bytes for *_, step in rows]),
        median_ns=np.array([step.median_ms * MS for *_, step in rows]),
    )


def _array(values: Sequence[int]) -> Numbers:
    return np.array(values, dtype=np.int32)


def write_month(path: Path, from_minute: int, events: int) -> int:
    """Write whole minutes of so many planned events; returns how many there are: steps behind a failed one do not happen."""
    plan = template()
    minutes = -(-events // len(plan.step))
    dice = np.random.default_rng(4)
    written = runs = 0
    writer = None
    for first in range(0, minutes, MINUTES_AT_ONCE):
        table = chunk(plan, from_minute, range(first, min(first + MINUTES_AT_ONCE, minutes)), runs, dice)
        runs += int(plan.starts.sum()) * MINUTES_AT_ONCE
        if writer is None:
            writer = pq.ParquetWriter(
                path, table.schema, compression=COMPRESSION, use_dictionary=[*WORDS, *SMALL_NUMBERS]
            )
        writer.write_table(table, row_group_size=table.num_rows)
        written += table.num_rows
    if writer is not None:
        writer.close()
    return written


@dataclass(frozen=True, slots=True)
class Draft:
    """What chance makes of the planned rows of some minutes; without `keep` a step stands behind a failed one."""

    minute: Numbers
    run: Numbers
    started_ns: Numbers
    duration_ns: Numbers
    failed: Numbers
    keep: Numbers
    run_outcome: Numbers


def drawn(plan: Template, minutes: range, dice: np.random.Generator) -> Draft:
    """Times, failures and silence."""
    count, rows = len(minutes), len(plan.step)
    minute = np.repeat(np.arange(minutes.start, minutes.stop, dtype=np.int32), rows)
    starts = np.tile(plan.starts, count)
    run = np.cumsum(starts) - 1
    first_row = np.flatnonzero(starts)
    duration_ns = (np.tile(plan.median_ns, count) * dice.lognormal(0, 0.25, count * rows)).astype(np.int64)
    until_ns = np.cumsum(duration_ns)
    started_ns = until_ns - duration_ns
    started_ns -= started_ns[first_row][run]
    chance = np.full(count * rows, FAILS)
    for begin, end in OUTAGES:
        chance[(minute >= begin) & (minute < end)] = 0.6
    failed = dice.random(count * rows) < chance
    so_far = np.cumsum(failed)
    before: Numbers = so_far - failed
    keep: Numbers = before == before[first_row][run]  # no failure of its run comes before it
    failed &= keep
    run_outcome = np.zeros(len(first_row), dtype=np.int32)
    run_outcome[run[failed]] = 1
    run_outcome[dice.random(len(first_row)) < SAYS_NOTHING] = 2
    return Draft(minute, run, started_ns, duration_ns, failed, keep, run_outcome[run])


def chunk(plan: Template, from_minute: int, minutes: range, first_run: int, dice: np.random.Generator) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """The rows of some minutes. A run ends at the step that fails."""
    count = len(minutes)
    draft = drawn(plan, minutes, dice)
    keep, failed, minute, duration_ns = draft.keep, draft.failed, draft.minute, draft.duration_ns
    requests = np.tile(plan.requests, count)
    is_page = np.tile(plan.is_page, count)
    part_bytes = np.tile(plan.part_bytes, count).astype(np.int64)
    zero = np.zeros(len(keep), dtype=np.int32)
    codes = {name: (words, np.tile(of_minute, count)) for name, (words, of_minute) in plan.words.items()}
    codes |= {
        "fleet": ((FLEET,), zero),
        "probe": ((PROBE,), zero),
        "target": ((TARGET,), zero),
        "run_outcome": (OUTCOMES, draft.run_outcome),
        "outcome": (OUTCOMES, failed.astype(np.int32)),
        "failure": (("", "status"), failed.astype(np.int32)),
    }
    bad = (failed & (requests > 0)).astype(np.int32)
    numbers: dict[str, tuple[Numbers, Numbers | None]] = {
        "minute": (minute + np.int32(from_minute), None),
        "attempt": (zero, None),
        "run": (draft.run + first_run, None),
        "step": (np.tile(plan.step, count).astype(np.int16), None),
        "cleanup": (zero.astype(np.bool_), None),
        "started_ns": (draft.started_ns, None),
        "duration_ns": (duration_ns, None),
        "answer_ns": (duration_ns // np.maximum(requests, 1), requests == 0),
        "good_requests": (requests - bad, None),
        "bad_requests": (bad, None),
        "pages": (is_page.astype(np.int32), None),
        "thrown_pages": ((failed & is_page).astype(np.int32), None),
        "ready_ns": (duration_ns, ~is_page | failed),
        "part_bytes": (part_bytes, part_bytes == 0),
    }
    arrays = {
        name: pa.DictionaryArray.from_arrays(of_rows[keep], pa.array(words)) for name, (words, of_rows) in codes.items()
    }
    arrays |= {
        name: pa.array(values[keep], mask=None if nulls is None else nulls[keep])
        for name, (values, nulls) in numbers.items()
    }
    return pa.table({name: arrays[name] for name in COLUMNS}).replace_schema_metadata({FORM_KEY: FORM})
