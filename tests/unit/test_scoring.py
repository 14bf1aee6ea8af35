"""What a slot adds to cells and facts: only first attempts, nothing from what says nothing, and only facts that were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.scoring import NOTHING, Scorer
from console.objectives import load_set
from probes.records import Attribute, Failure, FailureKind, Outcome, Run
from slo.cells import Cell
from tests.sample_runs import S, make_exchange, make_run, make_step

KNOWN = load_set()
SCORER = Scorer.of(KNOWN)


def check_of(name: str) -> str:
    """The key of what a built-in line measures."""
    return KNOWN.objectives[name][-1].check


def drill(*, restored: FailureKind | None = None, seconds: float | None = 60.5) -> Run:
    """A restore drill that ended somewhere."""
    steps = [make_step("fetch", S), make_step("restore", S, kind=restored)]
    if restored is None:
        attributes = {} if seconds is None else {"restore.duration_s": seconds, "restore.canary_age_s": 3600.0}
        steps.append(replace(make_step("canary", S), attributes=attributes))
    return make_run(*steps, scenario="restore-drill")


def test_lines_that_differ_in_target_only_share_a_check() -> None:
    """99.9 % and 99.99 % of the same minutes are counted once."""
    assert check_of("api-uptime") == check_of("api-uptime-stretch")
    assert check_of("api-p95") != check_of("api-p95-stretch")


def test_a_repeated_run_enters_no_denominator() -> None:
    """Retries and runs on demand are stored and shown, never scored."""
    run = make_run(make_step("api-health", exchanges=(make_exchange(),)), scenario="api-health")
    assert dict(SCORER.score_run(run).cells)[check_of("api-uptime")] == Cell(1, 0, 0, 1)
    again = replace(run, identity=replace(run.identity, attempt=1))
    assert SCORER.score_run(again) is NOTHING


def test_a_run_that_says_nothing_is_inconclusive_for_the_lines_that_name_its_scenario() -> None:
    """And no event of any line, not even with steps that passed."""
    run = make_run(make_step("api-health", exchanges=(make_exchange(),)), scenario="api-health")
    silent = dict(SCORER.score_run(replace(run, outcome=Outcome.INCONCLUSIVE)).cells)
    assert silent[check_of("api-uptime")] == Cell(inconclusive=1)
    assert silent[check_of("api-p95")] == Cell(
        inconclusive=1
    )  # of every scenario, and names those that have its events
    assert check_of("widget-p90") not in silent
    assert SCORER.score_silence("api-health").cells == tuple(silent.items())


@pytest.mark.parametrize(
    ("run", "facts"),
    [
        (drill(), [(True, 60_500_000_000), (True, 3_600_000_000_000)]),
        (drill(restored=FailureKind.ASSERTION), [(False, None)]),
        (drill(restored=FailureKind.TIMEOUT), [(False, None)]),
        (drill(restored=FailureKind.INTERNAL), []),
        (drill(seconds=None), []),
    ],
    ids=["it worked", "it did not restore", "it took too long", "our own fault", "nothing was measured"],
)
def test_a_drill_is_a_fact_when_it_measured_something_or_failed(run: Run, facts: list[tuple[bool, int | None]]) -> None:
    """A drill that fails is a broken promise, not a missing one."""
    found = SCORER.score_run(run).observations
    assert [(one.good, one.value_ns) for _, one in found] == facts


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (None, [True] * 2),
        (Failure(FailureKind.ASSERTION, "cut off", "assertion"), [False] * 2),
        (Failure(FailureKind.STATUS, "gone", "404"), [False] * 2),
        (Failure(FailureKind.CONNECT, "refused", "ECONNREFUSED"), []),
        (Failure(FailureKind.STATUS, "slow down", "503"), []),
        (Failure(FailureKind.STATUS, "account problem", "403"), []),
    ],
    ids=["good", "cut off", "gone", "refused", "server error", "not let in"],
)
def test_a_backup_that_could_not_be_reached_is_not_called_bad(failure: Failure | None, seen: list[bool]) -> None:
    """The store of the backups was away, or had an error of its own: that says nothing about the backup."""
    day = "2026-02-28"
    attributes: dict[str, Attribute] = {
        "backup.day": day,
        "backup.written_at": f"{day}T00:00:00Z",
        "backup.age_s": 60.0,
    }
    outcome = Outcome.PASS if failure is None else Outcome.FAIL
    step = replace(make_step("verify", S), attributes=attributes, failure=failure, outcome=outcome)
    run = make_run(step, scenario="backups")
    found = [one for _, one in SCORER.score_run(run).observations if one.subject.startswith("2026-02-28")]
    assert [one.good for one in found] == seen
