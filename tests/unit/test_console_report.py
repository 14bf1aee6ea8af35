"""What a person reads after runs: figures, tables at several widths, verdict."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from collector.texts.figures import bytes_text, count_text, duration_text, milliseconds_text, printable, rate_text
from console.objectives import load_objectives
from console.report import Report, print_report
from console.step_rows import PHASES, phases_of, step_rows
from console.verdict import ExitCode, exit_code_of
from console.waterfall import waterfall
from probes.records import Exchange, Expectation, FailureKind, Fitness, Outcome, PageLoad, Phases, Run
from slo.judgement import judge_lines
from tests.sample_runs import MS, S, make_exchange, make_run, make_step


def printed(*runs: Run, width: int = 120, interrupted: bool = False) -> str:
    """The whole report of `runs` as text, `width` columns wide."""
    out = io.StringIO()
    report = Report(runs, judge_lines(load_objectives(), runs), interrupted=interrupted)
    print_report(report, Console(file=out, width=width, highlight=False))
    return out.getvalue()


GOOD = make_run(
    make_step("sign-in", 20 * MS, exchanges=(make_exchange(wait_ns=11 * MS),)),
    make_step(
        "upload",
        1200 * MS,
        started_ns=20 * MS,
        part="padded-52428799",
        part_bytes=52_428_799,
        exchanges=(make_exchange(send_ns=900 * MS, wait_ns=200 * MS),),
    ),
    make_step("analyse", 2 * S, started_ns=1220 * MS, part="padded-52428799", part_bytes=52_428_799),
    make_step("price", 90 * MS, started_ns=3300 * MS, exchanges=(make_exchange(),)),
    make_step("quote", 90 * MS, started_ns=3400 * MS, exchanges=(make_exchange(),)),
)
BAD = make_run(
    make_step(
        "price",
        kind=FailureKind.ASSERTION,
        message="the subtotal is nothing",
        expectations=(Expectation("subtotal", "> 0 USD", "0.00 USD", ok=False),),
        exchanges=(make_exchange(),),
    ),
    number=2,
)
OURS = make_run(make_step("price", kind=FailureKind.INTERNAL, message="no memory"), number=3)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ms"),
        (420_000, "420 µs"),
        (1_234_000, "1.23 ms"),
        (12_340_000, "12.3 ms"),
        (480 * MS, "480 ms"),
        (1_240 * MS, "1.24 s"),
        (59 * S, "59.0 s"),
        (500 * MS - 1, "499 ms"),
        (125 * S, "2 min 05 s"),
    ],
)
def test_a_duration_is_told_in_the_unit_that_suits_it(duration_ns: int, text: str) -> None:
    """Three digits are enough for a person; verdicts never use them."""
    assert duration_text(duration_ns) == text


def test_sizes_rates_and_counts_read_like_sentences() -> None:
    """Decimal megabytes, so that both readings of 50 MB can be told apart."""
    assert [bytes_text(size) for size in (812, 14_200, 49_999_999, 52_428_799)] == [
        "812 B",
        "14.2 kB",
        "49.9 MB",
        "52.4 MB",
    ]
    assert [rate_text(rate) for rate in (14_200.0, 38.1e6, 612e6)] == ["14.2 kB/s", "38.1 MB/s", "612 MB/s"]
    assert [count_text(count, "run") for count in (0, 1, 2)] == ["no runs", "1 run", "2 runs"]
    assert milliseconds_text(0) == "·"


def test_what_a_target_answers_cannot_steer_the_terminal() -> None:
    """Escape sequences and line breaks in an error message come out as plain text on one line."""
    hostile = make_run(make_step("price", kind=FailureKind.STATUS, message="a\x1b[2Jb\nc\x07", exchanges=()))
    text = printed(hostile)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert printable("a\nb\x1b") == "a b\ufffd"


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 200])
@pytest.mark.parametrize("run", [GOOD, BAD, OURS], ids=["good", "bad", "ours"])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width: int, run: Run) -> None:
    """From 60 columns on everything fits, and nothing is shortened with an ellipsis."""
    text = printed(run, width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_a_wide_terminal_shows_all_seven_phases_and_the_limits() -> None:
    """The header names every phase; a step shows the strictest limit and the numbers of its lines."""
    text = printed(GOOD, width=140)
    header = next(line for line in text.splitlines() if "total ms" in line)
    assert all(phase in header.split() for phase in PHASES)
    price = next(line for line in text.splitlines() if " price " in line)
    assert "< 500" in price
    assert price.split()[-3:] == ["3", "4", "13"]


def test_a_narrow_terminal_keeps_the_phases_on_lines_of_their_own() -> None:
    """When no table fits any more it becomes lines, with the same figures."""
    text = printed(GOOD, width=44)
    assert "send 900" in text
    assert "padded-52428799 52.4 MB" in text
    assert "no stall" in text


def test_the_phases_and_the_rest_add_up_to_the_step() -> None:
    """What no request accounts for stands under `other`, exactly."""
    step = make_step("price", 100 * MS, exchanges=(make_exchange(wait_ns=7 * MS), make_exchange(queue_ns=3 * MS)))
    assert sum(phases_of(step)) == step.duration_ns


def test_a_page_shows_what_it_measured_and_what_driving_it_cost() -> None:
    """The figures of a browser step stand below it."""
    page = PageLoad("http://x/", ready_ns=700 * MS, ttfb_ns=10 * MS, cls=0.012, drive_ns=12 * MS)
    text = printed(make_run(make_step("load", pages=(page,)), scenario="widget-load"))
    assert "page ready 700 ms, TTFB 10.0 ms, CLS 0.012, driving cost 12.0 ms" in text


def test_backups_are_told_apart_by_their_day_and_drills_show_their_figures() -> None:
    """Thirty steps of one name would say nothing; the figures of a restore are what it was made for."""
    day = replace(make_step("verify"), attributes={"backup.day": "2026-03-01"})
    canary = replace(make_step("canary"), attributes={"restore.duration_s": 90.0, "restore.canary_age_s": 5400})
    rows = step_rows(make_run(day, canary), ())
    assert rows[0].subject == "2026-03-01"
    assert len(rows[1].notes) == 2
    assert any("restored in" in note for note in rows[1].notes)


def test_a_failure_is_explained_with_what_was_expected_and_found() -> None:
    """Step, kind, message, expectation, and the verdict that follows."""
    text = printed(BAD)
    assert "price assertion: the subtotal is nothing" in text
    assert "subtotal: expected > 0 USD, found 0.00 USD" in text
    assert "FAILED: 1 run found the platform at fault." in text


def test_our_own_fault_is_never_told_as_the_platforms() -> None:
    """Inconclusive, not charged, and no service level is touched."""
    text = printed(OURS)
    assert "INCONCLUSIVE: 1 run could not measure; the platform is not charged." in text
    assert "FAILED" not in text
    assert "Service levels" not in text


def test_a_failure_seen_from_an_unfit_host_is_shown_and_not_charged() -> None:
    """What was found stands there, and above all why it does not count."""
    unfit = replace(BAD, outcome=Outcome.INCONCLUSIVE, fitness=Fitness(reasons=("our event loop was late by 266 ms",)))
    text = printed(unfit, GOOD)
    assert "the host was not fit to measure: our event loop was late by 266 ms" in text
    assert "price assertion: the subtotal is nothing" in text
    assert "FAILED" not in text
    assert "price failed" not in text


def test_one_good_run_says_how_little_it_proves() -> None:
    """The verdict names how many runs each kind of line needs."""
    text = printed(GOOD)
    assert "1 run says: good on every service level" in text
    assert "29 for p90, 59 for p95" in " ".join(text.split())


def test_percentiles_appear_only_when_there_are_enough_runs() -> None:
    """28 runs do not make a p90, 29 do; the cell says what it needs until then."""
    many = [make_run(make_step("price", number * MS), number=number) for number in range(1, 30)]
    assert "needs 29" in printed(*many[:28])
    assert "p50 needs 5 runs, p90 29, p95 59, p99 299" in printed(*many[:4])
    row = next(line for line in printed(*many).splitlines() if line.startswith("price "))
    assert row.split() == ["price", "29", "0", "15.0", "ms", "27.0", "ms", "needs", "59", "needs", "299", "29.0", "ms"]


def test_a_failed_run_is_slower_than_any_percentile() -> None:
    """4 of 29 failed: the p90 falls on a failure and says so."""
    many = [
        make_run(make_step("price", MS, kind=FailureKind.STATUS if number < 4 else None), number=number)
        for number in range(29)
    ]
    row = next(line for line in printed(*many).splitlines() if line.startswith("price "))
    assert row.split()[:6] == ["price", "29", "4", "1.00", "ms", "failed"]


def test_an_interrupted_session_says_so() -> None:
    """Whoever reads the report later knows that it is not all."""
    assert "INTERRUPTED" in printed(GOOD, interrupted=True)


@pytest.mark.parametrize(
    ("runs", "interrupted", "code"),
    [
        ((GOOD,), False, ExitCode.PASSED),
        ((GOOD, OURS), False, ExitCode.INCONCLUSIVE),
        ((GOOD, OURS, BAD), False, ExitCode.PLATFORM_FAILED),
        ((GOOD,), True, ExitCode.INCONCLUSIVE),
        ((BAD,), True, ExitCode.PLATFORM_FAILED),
        ((), False, ExitCode.INCONCLUSIVE),
    ],
)
def test_a_known_failure_outranks_doubt_and_doubt_outranks_success(
    runs: tuple[Run, ...], interrupted: bool, code: ExitCode
) -> None:
    """1 over 3 over 0; nothing run is never a success."""
    assert exit_code_of(runs, interrupted=interrupted) is code


def test_a_waterfall_puts_every_phase_where_it_happened() -> None:
    """Ten cells for ten milliseconds: two of connect, five of send, three of wait."""
    exchange = Exchange("PUT", "http://h/up", 0, Phases(connect_ns=2 * MS, send_ns=5 * MS, wait_ns=3 * MS), status=201)
    run = make_run(make_step("upload", 10 * MS, exchanges=(exchange,)))
    lines = waterfall(run, 200)
    bar = lines[1].bar
    shares = [(letter, sum(1 for _ in cells) / len(bar)) for letter, cells in itertools.groupby(bar)]
    assert [letter for letter, _ in shares] == ["c", "s", "w"]
    assert [share for _, share in shares] == pytest.approx([0.2, 0.5, 0.3], abs=0.01)
    assert "201 PUT /up" in lines[1].label


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_waterfall_is_as_wide_as_it_was_told(width: int) -> None:
    """Label, bar and time never run over the edge, and the shortest step still shows."""
    for line in waterfall(GOOD, width):
        assert len(f"{line.label} {line.bar} {line.time}") <= width
        assert line.bar.strip()
